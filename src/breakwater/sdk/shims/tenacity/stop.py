"""When to give up: strategies asked after each failed attempt, combined by `|` and `&`."""
# ruff: noqa: N801, D102 - the library's names; what `__call__` does, the class says

from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import timedelta
from typing import Final, Protocol

from breakwater.sdk.shims.tenacity.calls import RetryCallState

TimeUnit = float | timedelta
StopBaseT = Callable[[RetryCallState], bool]


class IsSet(Protocol):
    """An event, of threads or of asyncio."""

    def is_set(self) -> bool:
        """Whether it happened."""
        ...


def seconds_of(time: TimeUnit) -> float:
    """A time span in seconds."""
    return float(time.total_seconds() if isinstance(time, timedelta) else time)


class stop_base(ABC):
    """What all strategies have in common."""

    @abstractmethod
    def __call__(self, retry_state: RetryCallState) -> bool:
        """Whether no further attempt is made."""

    def __and__(self, other: StopBaseT) -> "stop_all":
        return stop_all(self, other)

    def __or__(self, other: StopBaseT) -> "stop_any":
        return stop_any(self, other)


class stop_any(stop_base):
    """As soon as one of them says so."""

    def __init__(self, *stops: StopBaseT) -> None:
        self.stops = stops

    def __call__(self, retry_state: RetryCallState) -> bool:
        return any(stop(retry_state) for stop in self.stops)


class stop_all(stop_base):
    """When all of them say so."""

    def __init__(self, *stops: StopBaseT) -> None:
        self.stops = stops

    def __call__(self, retry_state: RetryCallState) -> bool:
        return all(stop(retry_state) for stop in self.stops)


class _stop_never(stop_base):
    """See `stop_never`."""

    def __call__(self, retry_state: RetryCallState) -> bool:  # noqa: ARG002 - asked like the others
        return False


stop_never: Final = _stop_never()
"""Try for ever."""


class stop_when_event_set(stop_base):
    """Once an event has happened."""

    def __init__(self, event: IsSet) -> None:
        self.event = event

    def __call__(self, retry_state: RetryCallState) -> bool:  # noqa: ARG002 - asked like the others
        return self.event.is_set()


class stop_after_attempt(stop_base):
    """After so many attempts, the first one counted."""

    def __init__(self, max_attempt_number: int) -> None:
        self.max_attempt_number = max_attempt_number

    def __call__(self, retry_state: RetryCallState) -> bool:
        return retry_state.attempt_number >= self.max_attempt_number


def _elapsed_s(retry_state: RetryCallState) -> float:
    elapsed_s = retry_state.seconds_since_start
    if elapsed_s is None:
        raise RuntimeError("asked before the attempt ended: seconds_since_start is not known")
    return elapsed_s


class stop_after_delay(stop_base):
    """After the first attempt that ends so long after the start; the last wait may exceed it."""

    def __init__(self, max_delay: TimeUnit) -> None:
        self.max_delay = seconds_of(max_delay)

    def __call__(self, retry_state: RetryCallState) -> bool:
        return _elapsed_s(retry_state) >= self.max_delay


class stop_before_delay(stop_base):
    """When the next attempt would begin so long after the start, or later."""

    def __init__(self, max_delay: TimeUnit) -> None:
        self.max_delay = seconds_of(max_delay)

    def __call__(self, retry_state: RetryCallState) -> bool:
        return _elapsed_s(retry_state) + retry_state.upcoming_sleep >= self.max_delay
