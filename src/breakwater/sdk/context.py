"""What a request carries from hop to hop: deadline, trace, baggage, criticality, attempts.

One immutable `CallContext` sits in one context variable, so threads and tasks started with a
copied context see it, and binding costs one `set`. Between processes it travels as HTTP headers
(`breakwater.sdk.propagation`). Deadlines are kept on the monotonic clock; only the budget that is
left crosses the wire, so the clocks of two machines need not agree.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import msgspec

from breakwater.model import Clock, SystemClock

_EMPTY: Final[Mapping[str, str]] = MappingProxyType({})
_SYSTEM_CLOCK: Final = SystemClock()


class Criticality(StrEnum):
    """How much is lost if this request is refused under overload; most important first."""

    CRITICAL_PLUS = "critical_plus"
    CRITICAL = "critical"
    SHEDDABLE_PLUS = "sheddable_plus"
    SHEDDABLE = "sheddable"


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """W3C trace context: 32 hex digits of trace, 16 of the present span, flags; opaque state."""

    trace_id: str
    span_id: str
    flags: int = 1
    state: str = ""


class Attempts(msgspec.Struct, frozen=True, kw_only=True):
    """Where this work stands among repetitions of it.

    number: of the attempt under way, from 1. may_follow: whether another may come. is_nested: a
    caller further up tries again too, so whoever is below had better not: three layers of three
    attempts are 27 calls.
    """

    number: int = 1
    may_follow: bool = False
    is_nested: bool = False


NESTED: Final = Attempts(is_nested=True)
"""Work for a caller, near or far, who tries failed calls again."""


class CallContext(msgspec.Struct, frozen=True, kw_only=True):
    """All that is carried; `deadline_s` is a time point of the monotonic clock, None for none.

    attempts: None where nobody further up tries failed calls again.
    """

    deadline_s: float | None = None
    trace: Trace | None = None
    baggage: Mapping[str, str] = _EMPTY
    criticality: Criticality = Criticality.CRITICAL
    attempts: Attempts | None = None


_NOTHING: Final = CallContext()
CURRENT: Final[ContextVar[CallContext]] = ContextVar("breakwater", default=_NOTHING)


def current() -> CallContext:
    """The context of the work now being done; an empty one outside any request."""
    return CURRENT.get()


def bind(context: CallContext) -> Token[CallContext]:
    """Make `context` current; give the token to `unbind` when the work is done."""
    return CURRENT.set(context)


def unbind(token: Token[CallContext]) -> None:
    """Go back to the context before `bind`.

    A coroutine or generator that is collected unfinished is closed in whatever context that happens
    to be; there is nothing to go back to there, and nothing is done.
    """
    try:
        CURRENT.reset(token)
    except ValueError:  # bound in another context, which goes with its owner
        return


def remaining_s(clock: Clock = _SYSTEM_CLOCK) -> float | None:
    """Seconds left until the current deadline, negative when it has passed, None without one."""
    deadline_s = CURRENT.get().deadline_s
    return None if deadline_s is None else deadline_s - clock.monotonic_s()


def narrowed(context: CallContext, deadline_s: float) -> CallContext:
    """`context` with its deadline no later than `deadline_s`; a deadline never moves out."""
    if context.deadline_s is not None and context.deadline_s <= deadline_s:
        return context
    if context is _NOTHING:
        return CallContext(deadline_s=deadline_s)
    return CallContext(
        deadline_s=deadline_s,
        trace=context.trace,
        baggage=context.baggage,
        criticality=context.criticality,
        attempts=context.attempts,
    )


def attempted(context: CallContext, number: int, *, may_follow: bool) -> CallContext:
    """`context` for one attempt of a call that is tried again when it fails.

    Whatever is called with it, in this process or another, sees that repetition has an owner.
    """
    return CallContext(
        deadline_s=context.deadline_s,
        trace=context.trace,
        baggage=context.baggage,
        criticality=context.criticality,
        attempts=Attempts(
            number=number, may_follow=may_follow, is_nested=context.attempts is not None
        ),
    )


@contextmanager
def deadline(timeout_s: float, clock: Clock = _SYSTEM_CLOCK) -> Iterator[None]:
    """Give the block at most `timeout_s` seconds, or less if an outer deadline is nearer.

    Nothing is interrupted; calls made through the SDK keep to it, and tell the callee.
    """
    token = bind(narrowed(current(), clock.monotonic_s() + timeout_s))
    try:
        yield
    finally:
        unbind(token)


@contextmanager
def criticality(level: Criticality) -> Iterator[None]:
    """Give the block, and every call it makes, this criticality."""
    token = bind(msgspec.structs.replace(current(), criticality=level))
    try:
        yield
    finally:
        unbind(token)


@contextmanager
def baggage(**entries: str) -> Iterator[None]:
    """Add baggage entries for the block and for everything downstream of its calls."""
    before = current()
    token = bind(msgspec.structs.replace(before, baggage={**before.baggage, **entries}))
    try:
        yield
    finally:
        unbind(token)
