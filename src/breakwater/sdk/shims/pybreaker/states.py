"""The states by the library's names, and its error."""

from typing import ClassVar, Final

from breakwater.sdk.guard.events import BreakerState

STATE_OPEN: Final = "open"
STATE_CLOSED: Final = "closed"
STATE_HALF_OPEN: Final = "half-open"

WORD_OF: Final = {
    BreakerState.CLOSED: STATE_CLOSED,
    BreakerState.OPEN: STATE_OPEN,
    BreakerState.HALF_OPEN: STATE_HALF_OPEN,
}
STATE_OF: Final = {word: state for state, word in WORD_OF.items()}


def state_of(word: str) -> BreakerState:
    """The state of that name; ValueError for others."""
    found = STATE_OF.get(word)
    if found is None:
        raise ValueError(f"Unknown state {word!r}, valid states: {', '.join(STATE_OF)}")
    return found


class CircuitBreakerError(Exception):
    """The circuit is open: the call was not made, or its failure has just opened it."""


class CircuitBreakerState:
    """What a listener is given for a state: its `name`."""

    name: ClassVar[str]

    def __init__(self, cb: object) -> None:
        self._breaker = cb

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"


class CircuitClosedState(CircuitBreakerState):
    """Calls go through."""

    name = STATE_CLOSED


class CircuitOpenState(CircuitBreakerState):
    """Calls are refused until the time is over."""

    name = STATE_OPEN


class CircuitHalfOpenState(CircuitBreakerState):
    """As many calls go through as must succeed for it to close; the first failure opens it."""

    name = STATE_HALF_OPEN


KINDS: Final[dict[BreakerState, type[CircuitBreakerState]]] = {
    BreakerState.CLOSED: CircuitClosedState,
    BreakerState.OPEN: CircuitOpenState,
    BreakerState.HALF_OPEN: CircuitHalfOpenState,
}
