"""What every part that admits or refuses calls has in common, so that one loop can drive them all.

A gate never waits, never reads a clock and never runs the user's code: time is passed in, and
where a call has to wait the gate says so by what it returns. The drivers of `Command` do the
waiting, in a thread or in an event loop, so each part is written once for both.

An abandoned call (a generator left half-way, the task of a closed loop) is ended by the garbage
collector, which may come in the midst of any step of a part, on the same thread. So the locks of
parts are reentrant: one that is not would wait for itself.
"""

from collections.abc import Callable
from typing import Protocol

import msgspec

from breakwater.sdk.context import CallContext
from breakwater.sdk.guard.verdict import Verdict


class CallInfo(msgspec.Struct, kw_only=True):
    """One attempt as the gates see it.

    command, endpoint, peer: what is called. attempt counts from 1; partition: the class of
    callers whose share of a limit it uses. context: deadline, criticality, baggage. course: what
    the retry part remembers from one attempt of the call to the next. injected: a fault rule acts
    on it.
    """

    command: str
    context: CallContext
    endpoint: str = ""
    peer: str = ""
    partition: str = ""
    attempt: int = 1
    is_hedge: bool = False
    course: object | None = None
    injected: bool = False


class Ticket:
    """Leave to go on; given back to the gate exactly once. A gate may use a class of its own."""

    __slots__ = ()


class Delay(msgspec.Struct, frozen=True, kw_only=True):
    """A place is reserved: go with `ticket` after `seconds`; if the caller leaves, `leave` it."""

    seconds: float
    ticket: Ticket


class Queued(Protocol):
    """A place in a queue: the driver waits until woken or `until_s`, then asks `claim`."""

    until_s: float

    def on_wake(self, wake: Callable[[], None]) -> None:
        """Call `wake` (from any thread, once) as soon as `claim` has an answer."""
        ...

    def claim(self, now_s: float) -> Ticket | None:
        """The ticket, or None to wait on; raises CallRefusedError when it was given up on."""
        ...

    def abandon(self, now_s: float) -> None:
        """The caller left: take it out of the queue, or give back a ticket it has not seen."""
        ...


class Gate(Protocol):
    """One part of the guard that calls pass on the way in and on the way out."""

    name: str
    """As `Command.describe()` shows it."""

    def enter(self, call: CallInfo, now_s: float) -> "Ticket | Delay | Queued":
        """Leave to go on, at once or later; raises CallRefusedError."""
        ...

    def leave(
        self,
        ticket: Ticket,
        verdict: Verdict,
        *,
        now_s: float,
        took_s: float,
        error: BaseException | None,
    ) -> None:
        """The attempt ended; exactly once for each ticket, whatever happened in between."""
        ...
