"""The step grid: which distances between datapoints are allowed, and which fits a graph.

Steps divide their next larger unit, so that every step of every length has its ends on the same
walls: 1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30 s and min, 1, 2, 3, 4, 6, 8, 12 h, whole days.
"""

from functools import lru_cache
from typing import Final

from breakwater.metrics.errors import InvalidStepError

_SIXTY: Final = (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30)
_HOURS: Final = (1, 2, 3, 4, 6, 8, 12)
DAY_MS: Final = 86_400_000
STEPS_MS: Final = (
    1,
    5,
    10,
    50,
    100,
    500,
    *(n * 1000 for n in _SIXTY),
    *(n * 60_000 for n in _SIXTY),
    *(n * 3_600_000 for n in _HOURS),
)
"""Every allowed step below a day, ascending, in milliseconds."""

_LISTED: Final = frozenset(STEPS_MS)

_ALLOWED_TEXT: Final = (
    "1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30 s or min, 1, 2, 3, 4, 6, 8, 12 h, whole days"
)


def check_primary_step(step_ms: int) -> None:
    """Raise InvalidStepError unless `step_ms` can be the store's own step."""
    if step_ms not in STEPS_MS or not 1000 <= step_ms <= 60_000:
        allowed = ", ".join(str(s // 1000) for s in STEPS_MS if 1000 <= s <= 60_000)
        raise InvalidStepError(f"step of {step_ms} ms is not allowed; allowed: {allowed} seconds")


def check_stored_step(step_ms: int) -> None:
    """Raise InvalidStepError unless a store may have `step_ms`: classes may be longer than 60 s."""
    if step_ms > 60_000:
        check_query_step(step_ms, 1)
    else:
        check_primary_step(step_ms)


def check_query_step(step_ms: int, primary_ms: int) -> None:
    """Raise InvalidStepError unless a query over data of `primary_ms` may use `step_ms`."""
    is_listed = step_ms in _LISTED or (step_ms > 0 and step_ms % DAY_MS == 0)
    if not is_listed:
        raise InvalidStepError(f"step of {step_ms} ms is not allowed; allowed: {_ALLOWED_TEXT}")
    if step_ms % primary_ms:
        raise InvalidStepError(
            f"step of {step_ms} ms is not a multiple of the stored step of {primary_ms} ms"
        )


@lru_cache(1024)
def round_step(primary_ms: int, step_ms: int, *, block_ms: int | None = None) -> int:
    """The smallest allowed step that is at least `step_ms` and a multiple of `primary_ms`.

    With `block_ms` given, the step also divides the block or is a multiple of it, so that no
    interval straddles blocks that are kept in different places.
    """
    days = -(-step_ms // DAY_MS) * DAY_MS
    for allowed in (*STEPS_MS, days):
        fits = block_ms is None or block_ms % allowed == 0 or allowed % block_ms == 0
        if allowed >= step_ms and allowed % primary_ms == 0 and fits:
            return allowed
    return days


def step_for_width(
    primary_ms: int, width_px: int, span_ms: int, *, block_ms: int | None = None
) -> int:
    """The step whose datapoints over `span_ms` are at most one a pixel, and at most 1440."""
    points = max(min(1440, width_px), 1)
    return round_step(primary_ms, max(-(-span_ms // points), primary_ms), block_ms=block_ms)
