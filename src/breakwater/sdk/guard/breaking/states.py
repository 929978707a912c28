"""The six states of a breaker and which may follow which, by order of an operator or by itself.

The names, their order and the thirty-three legal transitions are those of resilience4j, so that
runbooks and dashboards made for it stay true. Three are refused: a breaker that never rejects has
no wait to end, so closed and metrics-only never become half open, and metrics-only never opens.
"""

from typing import Final

from breakwater.sdk.errors import IllegalTransitionError
from breakwater.sdk.guard.config import Mode
from breakwater.sdk.guard.events import BreakerState

ILLEGAL: Final = frozenset(
    {
        (BreakerState.CLOSED, BreakerState.HALF_OPEN),
        (BreakerState.METRICS_ONLY, BreakerState.OPEN),
        (BreakerState.METRICS_ONLY, BreakerState.HALF_OPEN),
    }
)
"""Every other pair is legal, a state followed by itself too: it starts anew."""

OF_MODE: Final[dict[Mode, BreakerState]] = {
    "enabled": BreakerState.CLOSED,
    "forced_closed": BreakerState.CLOSED,
    "disabled": BreakerState.DISABLED,
    "forced_open": BreakerState.FORCED_OPEN,
    "metrics_only": BreakerState.METRICS_ONLY,
}
"""Where a breaker starts that is configured so."""


def check_transition(old: BreakerState, new: BreakerState) -> None:
    """Raise IllegalTransitionError, which names both states, if `new` may not follow `old`."""
    if (old, new) in ILLEGAL:
        allowed = ", ".join(state for state in BreakerState if (old, state) not in ILLEGAL)
        raise IllegalTransitionError(
            f"a {old} breaker cannot become {new}; from {old} it may become: {allowed}"
        )
