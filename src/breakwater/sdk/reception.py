"""The server side of any protocol: who calls, with what context, and one record when it ends.

A server adapter says what came in (its headers as ASGI gives them) and how it ended. The rest is
the same for all: the caller's name from a bounded set, the context to work in, fault rules at the
point `inbound`, `ipc.server.call` and the number of calls under way.
"""

from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from breakwater.model import FaultRule, Status
from breakwater.sdk.calls import UNKNOWN, Outcome, ServerStats
from breakwater.sdk.context import CallContext
from breakwater.sdk.endpoints import OTHER
from breakwater.sdk.faults import CallScope
from breakwater.sdk.propagation import Inbound, read_headers
from breakwater.sdk.runtime import Runtime

MAX_CALLERS: Final = 200
"""Distinct names of callers that get series of their own; later ones share `other`."""


class Visit:
    """One call being served; `end` it once.

    context: to work in. caller: of the bounded set. is_late: its deadline has passed already.
    """

    __slots__ = ("_is_over", "_reception", "_start_s", "caller", "context", "inbound", "injected")

    def __init__(
        self, reception: "Reception", inbound: Inbound, context: CallContext, start_s: float
    ) -> None:
        self._reception = reception
        self._start_s = start_s
        self._is_over = False
        self.inbound = inbound
        self.context = context
        self.caller = reception.caller(inbound.caller)
        self.injected = False
        reception.entered(self)

    @property
    def is_late(self) -> bool:
        """Whether nobody waits for an answer any more."""
        deadline_s = self.context.deadline_s
        return deadline_s is not None and deadline_s <= self._start_s

    def left_s(self) -> float | None:
        """Seconds until the deadline, None without one."""
        deadline_s = self.context.deadline_s
        now_s = self._reception.runtime.clock.monotonic_s()
        return None if deadline_s is None else deadline_s - now_s

    def hits(self, endpoint: str, header: Callable[[str], str | None]) -> list[FaultRule]:
        """The fault rules that act on this call."""
        book = self._reception.runtime.faults
        if not book.inbound:
            return []
        scope = CallScope(point="inbound", peer=self.caller, endpoint=endpoint, header=header)
        found = book.hits(scope)
        self.injected = self.injected or bool(found)
        return found

    def end(
        self, endpoint: str, status: Status, detail: str = "", stop_s: float | None = None
    ) -> None:
        """Record the call; whatever follows the first time is nothing. stop_s: when it ended."""
        if self._is_over:
            return
        self._is_over = True
        runtime = self._reception.runtime
        outcome = Outcome(
            status=status,
            seconds=(runtime.clock.monotonic_s() if stop_s is None else stop_s) - self._start_s,
            detail=detail,
            attempt=self.inbound.attempt,
            is_final=self.inbound.is_final,
            injected=self.injected,
        )
        runtime.served.record(self.caller, endpoint, outcome)
        self._reception.left(self, status, detail)


class Reception:
    """What all calls to one server of this process have in common."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self._callers: set[str] = set()
        self._requests = self._in_flight = self._past_deadline = self._rejected = 0
        self._departed = self._malformed = 0

    def begin(self, headers: Iterable[tuple[bytes, bytes]], budget_s: float | None = None) -> Visit:
        """A call came in. budget_s: what the protocol itself says of the time left, if anything."""
        now_s = self.runtime.clock.monotonic_s()
        inbound = read_headers(headers, now_s)
        context = inbound.context
        if budget_s is not None:
            deadline_s = now_s + budget_s
            if context.deadline_s is None or deadline_s < context.deadline_s:
                context = msgspec.structs.replace(context, deadline_s=deadline_s)
        return Visit(self, inbound, context, now_s)

    def caller(self, name: str) -> str:
        """The caller's name, as far as there is room for one more."""
        if not name:
            return UNKNOWN
        if name not in self._callers:
            if len(self._callers) >= MAX_CALLERS:
                return OTHER
            self._callers.add(name)
        return name

    def entered(self, visit: Visit) -> None:
        """Count a call that begins."""
        self._requests += 1
        self._in_flight += 1
        self._malformed += visit.inbound.malformed
        self.runtime.served.inflight(visit.caller).enter()
        self.runtime.drain.enter()

    def left(self, visit: Visit, status: Status, detail: str) -> None:
        """Count a call that ended."""
        self._in_flight -= 1
        self._past_deadline += detail == "past_deadline"
        self._rejected += detail == "bulkhead_full"
        self._departed += status is Status.CANCELLED
        self.runtime.served.inflight(visit.caller).leave()
        self.runtime.drain.leave()

    def stats(self) -> ServerStats:
        """Counts since start."""
        return ServerStats(
            requests=self._requests,
            in_flight=self._in_flight,
            past_deadline=self._past_deadline,
            rejected=self._rejected,
            departed=self._departed,
            malformed_headers=self._malformed,
            naming_failures=0,
        )
