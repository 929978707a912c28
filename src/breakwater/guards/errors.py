"""What can go wrong when guards are watched or configured.

BreakwaterError
├── InvalidInputError
│   ├── InvalidSettingError    no such key or no such value; the message says what is allowed
│   ├── UnknownSettingError    there is nothing to take back; carries what there is
│   └── UnknownClusterError    no instance of that service is registered; carries those that are
└── LimitExceededError
    ├── TooManySettingsError   as many settings are kept as may be; take some back
    ├── TooManyWatchersError   as many watch or wait as may; come back later
    └── EventTooLongError      an instance sent an event longer than is read; its stream is dropped
"""

from collections.abc import Iterable

from breakwater.model import InvalidInputError, LimitExceededError


class InvalidSettingError(InvalidInputError):
    """A setting that no command could go by; nothing was stored."""


class UnknownSettingError(InvalidInputError):
    """There is no such setting to take back."""

    def __init__(self, what: str, known: Iterable[str]) -> None:
        there = "; ".join(known) or "none"
        super().__init__(f"{what} is not set; set there: {there}")


class UnknownClusterError(InvalidInputError):
    """No instance of the service that was asked for is registered."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        names = ", ".join(sorted(set(known))) or "none"
        super().__init__(f"no instance of '{name[:80]}' is registered; services: {names}")


class TooManySettingsError(LimitExceededError):
    """The book of settings is full."""


class TooManyWatchersError(LimitExceededError):
    """More watchers or waiting callers than the platform serves at once."""


class EventTooLongError(LimitExceededError):
    """One event of a stream is longer than anybody honest makes it."""
