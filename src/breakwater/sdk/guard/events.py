"""What can happen to a call, and who wants to hear of it.

`EventType` holds the nineteen counters of Hystrix, in its order, because dashboards and Turbine
know them; a rolling counter is an index into an array. An `Event` is what hooks are given: it says
more than a counter can, in a class for each `Kind`, so that a type checker knows its
fields. Hooks are called after the fact and off the hot path, can never break a call, and are
switched off (and counted) if they keep raising.
"""

from collections.abc import Hashable
from enum import IntEnum, StrEnum
from typing import Any, ClassVar, Final, Literal, Protocol

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


class BreakerState(StrEnum):
    """Whether calls go through: all, none, a few probes; or what an operator ordered."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    DISABLED = "disabled"
    FORCED_OPEN = "forced_open"
    METRICS_ONLY = "metrics_only"


Source = Literal["code", "file", "environment", "platform"]
"""Where a setting comes from."""

Scope = Literal["default", "group", "command"]
"""For whom a setting is made."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened to one command; each kind is a class of its own, with its fields.

    at_ms: wall time. outcome: the event types of the call or attempt in the order they happened,
    for kinds that have them. seconds: how long it took.
    """

    kind: ClassVar[Kind]
    command: str
    group: str
    at_ms: int
    outcome: tuple[EventType, ...] = ()
    seconds: float = 0.0

    def details(self) -> dict[str, Any]:
        """The fields of its kind alone, by name, for logs."""
        return {name: getattr(self, name) for name in self.__struct_fields__ if name not in _ALL}


_ALL: Final = frozenset(Event.__struct_fields__)


class CallEnded(Event, frozen=True, kw_only=True):
    """A whole call ended. attempts: begun. error: for the caller. key: in the caches, if any."""

    kind: ClassVar[Kind] = Kind.CALL
    attempts: int
    error: BaseException | None
    key: Hashable = None
    injected: bool = False


class AttemptEnded(Event, frozen=True, kw_only=True):
    """An attempt that was begun ended. attempt: counts from 1. injected: a fault rule acted.

    is_hedge: it was a further copy of a slow one.
    """

    kind: ClassVar[Kind] = Kind.ATTEMPT
    attempt: int
    error: BaseException | None
    injected: bool = False
    is_hedge: bool = False


class RetryMade(Event, frozen=True, kw_only=True):
    """Attempt number `attempt` follows, in `delay_s` seconds."""

    kind: ClassVar[Kind] = Kind.RETRY
    attempt: int
    delay_s: float


class RetryRefused(Event, frozen=True, kw_only=True):
    """No attempt follows attempt number `attempt`. reason: `budget`, `attempts`, `no_time` ..."""

    kind: ClassVar[Kind] = Kind.RETRY_REFUSED
    attempt: int
    reason: str
    error: BaseException | None


class HedgeSent(Event, frozen=True, kw_only=True):
    """A further copy of a slow call was sent. number: 2 for the first one beside the call."""

    kind: ClassVar[Kind] = Kind.HEDGE
    number: int
    delay_s: float


class CallRefused(Event, frozen=True, kw_only=True):
    """An attempt was not begun. reason: a word of `REASONS`, or `past_deadline`."""

    kind: ClassVar[Kind] = Kind.REFUSED
    reason: str
    attempt: int = 1


class FallbackAsked(Event, frozen=True, kw_only=True):
    """A call failed. stale_s: the age of the last good answer, if that stood in; outcome: else.

    error: what the caller is given, None if a fallback answered.
    """

    kind: ClassVar[Kind] = Kind.FALLBACK
    error: BaseException | None = None
    stale_s: float | None = None


class BreakerTold(Event, frozen=True, kw_only=True):
    """What the four kinds of a breaker have in common.

    old and state: before and after. reason: a word, see `Breaker`. calls: judged, or expired.
    failure_percent, slow_percent: -1 below the minimum of calls. open_s: how long it stays open.
    """

    state: BreakerState
    old: BreakerState
    reason: str = ""
    calls: int = 0
    failure_percent: float = -1.0
    slow_percent: float = -1.0
    open_s: float = 0.0


class StateChanged(BreakerTold, frozen=True, kw_only=True):
    """The breaker went from `old` to `state`."""

    kind: ClassVar[Kind] = Kind.STATE


class RateExceeded(BreakerTold, frozen=True, kw_only=True):
    """Too large a share of calls failed or was slow."""

    kind: ClassVar[Kind] = Kind.RATE_EXCEEDED


class StaleResult(BreakerTold, frozen=True, kw_only=True):
    """A call ended that was admitted in an earlier round; it has no say."""

    kind: ClassVar[Kind] = Kind.STALE_RESULT


class ProbeExpired(BreakerTold, frozen=True, kw_only=True):
    """`calls` probes did not report within their lease."""

    kind: ClassVar[Kind] = Kind.PROBE_EXPIRED


class LimitMoved(Event, frozen=True, kw_only=True):
    """The adaptive limit went from `before` to `after` calls at once."""

    kind: ClassVar[Kind] = Kind.LIMIT
    before: int
    after: int


class SettingChanged(Event, frozen=True, kw_only=True):
    """A key got another value, in words of JSON; from where, and for whom it was said there."""

    kind: ClassVar[Kind] = Kind.CONFIG
    key: str
    old: Any
    new: Any
    source: Source
    scope: Scope


EVENTS: Final[tuple[type[Event], ...]] = (
    CallEnded,
    AttemptEnded,
    RetryMade,
    RetryRefused,
    HedgeSent,
    CallRefused,
    FallbackAsked,
    StateChanged,
    RateExceeded,
    StaleResult,
    ProbeExpired,
    LimitMoved,
    SettingChanged,
)
"""One class for each kind."""


class Hook(Protocol):
    """Whatever is called with events."""

    def __call__(self, event: Event, /) -> None:
        """Take notice; whatever it raises stays here."""
        ...
