"""Whether a process that died unasked is started again."""

from collections.abc import Sequence

import msgspec


class RestartBudget(msgspec.Struct, frozen=True, kw_only=True):
    """At most `times` restarts of one process within `window_s`; then it stays dead.

    The wait before a restart doubles from `first_wait_s` to at most `longest_wait_s`.
    """

    times: int = 5
    window_s: float = 60.0
    first_wait_s: float = 0.1
    longest_wait_s: float = 5.0


def wait_before_restart(
    budget: RestartBudget | None, restarted_ms: Sequence[int], now_ms: int
) -> float | None:
    """Seconds to wait before the next restart, or None when it must stay dead.

    restarted_ms: when this process was restarted before, any order.
    """
    if budget is None:
        return None
    since_ms = now_ms - budget.window_s * 1000.0
    recent = sum(1 for at_ms in restarted_ms if at_ms > since_ms)
    if recent >= budget.times:
        return None
    return min(budget.first_wait_s * 2.0**recent, budget.longest_wait_s)
