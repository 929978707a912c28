"""The one place between any client library and the guard: calls that leave this process.

An adapter says how its library sends one attempt; everything else is here and the same for all:
the guard (a `Command`), faults injected at their point, the headers that carry the context, what
the end of an attempt means, and one `ipc.client.call` record for each attempt. A refused call is
recorded once, an answer of a fallback beside the failure it stands in for.

Around an attempt lie, outermost first: fallback, total deadline, retry or hedge, breaker, bulkhead,
attempt timeout, fault. An attempt may outlast its function (`Attempt.hold`): a response whose body
is still to be read keeps its permit, and its record waits, until the body's end.
"""

import threading
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar, Unpack, cast

import msgspec

from breakwater.model import CallPoint, Status
from breakwater.sdk import context
from breakwater.sdk.attempt import Attempt
from breakwater.sdk.calls import Outcome
from breakwater.sdk.dispatch import drive_async, drive_sync, sweep
from breakwater.sdk.endpoints import OTHER
from breakwater.sdk.errand import DROPPED, Errand
from breakwater.sdk.express import dash, run_async, run_sync
from breakwater.sdk.guard import Command, CommandConfig, Fallback
from breakwater.sdk.guard.travel.journey import CallOptions
from breakwater.sdk.guard.travel.ports import Registry
from breakwater.sdk.meters import Timer
from breakwater.sdk.outcomes import Classify, needs_fallback, status_of_error, verdict_of
from breakwater.sdk.propagation import CALLER, CALLER_NODE, write_headers
from breakwater.sdk.runtime import Runtime
from breakwater.sdk.terms import Terms

T = TypeVar("T")

MAX_PEERS: Final = 100
"""Hosts that one transport gives a guard of their own; later ones share `other`."""


class OutboundStats(msgspec.Struct, frozen=True, kw_only=True):
    """Calls to one peer since start, and how many are under way."""

    peer: str
    calls: int
    attempts: int
    in_flight: int
    fallbacks: int
    fallback_failures: int
    past_deadline: int


class Outbound:
    """One dependency as this process calls it, over whatever library.

    peer: the callee in the records. command: its guard, see `guard_of`. point: where fault rules
    act on these calls. classify: reads the errors of the library.
    """

    def __init__(
        self,
        runtime: Runtime,
        peer: str,
        *,
        command: Command,
        point: CallPoint = "outbound",
        classify: Classify | None = None,
    ) -> None:
        self.runtime = runtime
        self.peer = peer
        self.command = command
        self.point: Final = point
        self.inflight = runtime.called.inflight(peer)
        self.past_deadline = self.attempts = self.fallbacks = self.fallback_failures = 0
        self._classify = classify
        self._calls = 0
        self._timers: dict[tuple[str, str], Timer] = {}
        self._identity = {
            CALLER: runtime.settings.service,
            CALLER_NODE: runtime.settings.instance,
        }

    async def call(
        self, endpoint: str, attempt: Callable[[Attempt], Awaitable[T]], **terms: Unpack[Terms]
    ) -> T:
        """Await `attempt` under guard, once or more often.

        The answer is that of an attempt, of a fallback, or the `response` of the last
        AnswerFailedError. Raises CallRefusedError, DeadlineExceededError, AttemptTimedOutError
        (the attempt is cancelled at its limit), and whatever the last attempt raised.
        """
        self._calls += 1
        if DROPPED:
            sweep()
        course = dash(self, endpoint, terms, is_async=True)
        if course is not None:
            return cast("T", await run_async(course, attempt))
        self.inflight.enter()
        errand = self.errand(endpoint, terms, is_async=True)
        return cast("T", await drive_async(errand, attempt))

    def call_sync(
        self, endpoint: str, attempt: Callable[[Attempt], T], **terms: Unpack[Terms]
    ) -> T:
        """As `call`, on this thread; nobody interrupts the attempt.

        It has to hand `Attempt.left_s` to its library as a time limit.
        """
        self._calls += 1
        if DROPPED:
            sweep()
        course = dash(self, endpoint, terms, is_async=False)
        if course is not None:
            return cast("T", run_sync(course, attempt))
        self.inflight.enter()
        return cast("T", drive_sync(self.errand(endpoint, terms, is_async=False), attempt))

    def errand(
        self, endpoint: str, terms: Terms, *, is_async: bool, start_s: float | None = None
    ) -> Errand:
        """One call, ready to go; start_s: when it began, now unless it is under way already."""
        errand = Errand(self, endpoint, terms, is_async=is_async)
        fallback = terms.get("fallback")
        fallbacks = self.command.parts.code.fallbacks if fallback is None else (fallback,)
        options = CallOptions(
            endpoint=endpoint,
            fallbacks=tuple(errand.noting(one) for one in fallbacks),
            timeout_s=terms.get("timeout_s"),
            may_retry=terms.get("may_retry", True),
            watch=errand.settled,
            key=terms.get("key"),
        )
        errand.journey = self.command.journey(start_s=start_s, options=options)
        return errand

    def status_of(self, error: BaseException) -> tuple[Status, str]:
        """Status and detail of the record of an attempt that ended so."""
        return status_of_error(error, self._classify)

    def record_success(self, endpoint: str, attempt: Attempt, seconds: float) -> None:
        """Write the record of a call whose only attempt raised nothing."""
        called = self.runtime.called
        if attempt.status is not Status.SUCCESS:
            outcome = Outcome(
                status=attempt.status, seconds=seconds, detail=attempt.detail, node=attempt.node
            )
            called.record(self.peer, endpoint, outcome)
            return
        timer = self._timers.get((endpoint, attempt.node))
        if timer is not None:
            called.repeat(timer, seconds)
            return
        outcome = Outcome(status=Status.SUCCESS, seconds=seconds, node=attempt.node)
        timer = called.record(self.peer, endpoint, outcome)
        if timer is not None:
            self._timers[endpoint, attempt.node] = timer

    def headers(self, budget_s: float | None) -> dict[str, str]:
        """What the next hop is told: who calls, the deadline, trace, baggage, attempts."""
        return self._identity | write_headers(context.current(), budget_s)

    def stats(self) -> OutboundStats:
        """Counts since start."""
        sweep()
        return OutboundStats(
            peer=self.peer,
            calls=self._calls,
            attempts=self.attempts,
            in_flight=self.inflight.current,
            fallbacks=self.fallbacks,
            fallback_failures=self.fallback_failures,
            past_deadline=self.past_deadline,
        )


def guard_of(
    guards: Registry,
    peer: str,
    config: CommandConfig,
    *,
    name: str = "",
    group: str = "",
    fallback: Fallback | None = None,
    **given: Any,
) -> Command:
    """A guard for calls to `peer`; `name-2` and so on if that name is taken.

    name: of the command, else that of the peer.
    group: of commands, for live configuration. given: further arguments of `Command`.
    """
    number, first = 1, name or peer
    name = first
    while name in guards:
        number += 1
        name = f"{first}-{number}"
    code: dict[str, Any] = {
        "judge": verdict_of, "falls_back": needs_fallback, "point": None, **given,
    }  # fmt: skip
    made: Command = guards.command(
        name, config, group=group or peer, dependency=peer, fallback=fallback, **code
    )
    return made


class Peers:
    """The dependencies behind one client of a library, each with a guard of its own.

    peer: one name for all that is called; empty: the host of each request, the first `MAX_PEERS`
    of them, then `other` for the rest together.
    """

    def __init__(self, make: Callable[[str], Outbound], peer: str = "") -> None:
        self._make = make
        self._peer = peer
        self._known: dict[str, Outbound] = {}
        self._making = threading.Lock()

    def of(self, host: str) -> Outbound:
        """The dependency that a request to `host` goes to."""
        name = self._peer or host
        known = self._known.get(name)
        if known is not None:
            return known
        if len(self._known) >= MAX_PEERS and name != OTHER:
            return self.of(OTHER)
        with self._making:  # threads that call first at the same time make one guard, not two
            known = self._known.get(name)
            if known is None:
                known = self._known[name] = self._make(name)
            return known

    def stats(self) -> list[OutboundStats]:
        """Of every dependency called so far."""
        return [one.stats() for one in tuple(self._known.values())]
