"""What can happen to a call, and who wants to hear of it.

`EventType` holds the nineteen counters of Hystrix, in its order, because dashboards and Turbine
know them; a rolling counter is an index into an array. `Event` is what hooks are given: it says
more than a counter can. Hooks are called after the fact and off the hot path, can never break a
call, and are switched off (and counted) if they keep raising.
"""

from enum import IntEnum, StrEnum
from typing import Any, Protocol

import msgspec


class EventType(IntEnum):
    """The event types of Hystrix, by ordinal."""

    EMIT = 0
    SUCCESS = 1
    FAILURE = 2
    TIMEOUT = 3
    BAD_REQUEST = 4
    SHORT_CIRCUITED = 5
    THREAD_POOL_REJECTED = 6
    SEMAPHORE_REJECTED = 7
    FALLBACK_EMIT = 8
    FALLBACK_SUCCESS = 9
    FALLBACK_FAILURE = 10
    FALLBACK_REJECTION = 11
    FALLBACK_DISABLED = 12
    FALLBACK_MISSING = 13
    EXCEPTION_THROWN = 14
    RESPONSE_FROM_CACHE = 15
    CANCELLED = 16
    COLLAPSED = 17
    COMMAND_MAX_ACTIVE = 18


class Kind(StrEnum):
    """The kinds of `Event`; a hook may ask for some of them only."""

    CALL = "call"
    ATTEMPT = "attempt"
    RETRY = "retry"
    RETRY_REFUSED = "retry_refused"
    HEDGE = "hedge"
    REFUSED = "refused"
    FALLBACK = "fallback"
    STATE = "state"
    RATE_EXCEEDED = "rate_exceeded"
    STALE_RESULT = "stale_result"
    PROBE_EXPIRED = "probe_expired"
    LIMIT = "limit"
    CONFIG = "config"


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened to one command.

    at_ms: wall time. outcome: the event types of the call or attempt in the order they happened,
    for kinds that have them. seconds: how long it took. detail: by kind, see docs/how-to.
    """

    kind: Kind
    command: str
    group: str
    at_ms: int
    outcome: tuple[EventType, ...] = ()
    seconds: float = 0.0
    detail: dict[str, Any] = {}


class Hook(Protocol):
    """Whatever is called with events."""

    def __call__(self, event: Event, /) -> None:
        """Take notice; whatever it raises stays here."""
        ...
