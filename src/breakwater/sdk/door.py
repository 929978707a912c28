"""The door of an HTTP server: what ASGI, WSGI and aiohttp servers do alike with every request.

Whoever comes is asked for his headers, let in if there is time and room, hit by the fault rules in
force, and recorded once when he leaves: by his response if it was given in full, else by how it
ended. Only how to wait, and how to answer, is the adapter's own.
"""

from collections.abc import Callable, Iterable, MutableMapping
from math import ceil
from typing import Any

import msgspec

from breakwater.model import Status, status_of_http
from breakwater.sdk.admission import seated, seated_sync, with_shedding
from breakwater.sdk.calls import ServerStats
from breakwater.sdk.context import CallContext
from breakwater.sdk.endpoints import RequestNames
from breakwater.sdk.errors import CallFailedError, CallRefusedError, DeadlineExceededError
from breakwater.sdk.faults import InjectedFaultError, inject
from breakwater.sdk.faults.injection import inject_sync
from breakwater.sdk.guard.config import SheddingConfig
from breakwater.sdk.guard.gate import CallInfo, Ticket
from breakwater.sdk.guard.limiting.shedding import Waiting
from breakwater.sdk.guard.verdict import Verdict
from breakwater.sdk.reception import Reception
from breakwater.sdk.runtime import Runtime

Scope = MutableMapping[str, Any]
"""`path` of the request, and `route` once the framework knows it, as in ASGI."""
EndpointOf = Callable[[Scope], str]
Header = Callable[[str], str | None]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer given at the door, in the application's stead."""

    code: int
    text: str
    retry_after_s: float | None = None

    def body(self) -> bytes:
        """As JSON."""
        return msgspec.json.encode({"type": "error", "message": self.text})

    def headers(self) -> dict[str, str]:
        """What goes with it, but its length."""
        found = {"content-type": "application/json"}
        if self.retry_after_s is not None:
            found["retry-after"] = str(ceil(self.retry_after_s))
        return found


def answer_of(error: Exception) -> Answer:
    """The answer for an error of a guard that no handler caught, instead of a 500."""
    if isinstance(error, CallRefusedError):
        return Answer(code=503, text=str(error), retry_after_s=error.retry_after_s)
    if isinstance(error, DeadlineExceededError):
        return Answer(code=504, text=str(error))
    return Answer(code=500, text="internal error")


class Request:
    """One request being served; `end` it once.

    code: of the response, once it has begun. is_complete: the response was given in full, at
    stop_s (monotonic) if that is known.
    """

    __slots__ = (
        "_began_s", "_door", "_header", "_scope", "_seat", "_visit", "code", "is_complete",
        "stop_s",
    )  # fmt: skip

    def __init__(
        self, door: "Door", headers: Iterable[tuple[bytes, bytes]], scope: Scope, header: Header
    ) -> None:
        self._door = door
        self._scope = scope
        self._header = header
        self._visit = door.reception.begin(headers)
        self._seat: Ticket | None = None
        self._began_s = 0.0
        self.code: int | None = None
        self.is_complete = False
        self.stop_s: float | None = None

    @property
    def context(self) -> CallContext:
        """What to work in."""
        return self._visit.context

    def completed(self) -> None:
        """The response was given in full just now."""
        self.is_complete = True
        self.stop_s = self._door.now_s()

    # Getting in

    async def admit(self) -> Answer | None:
        """Wait for leave to begin; the answer to give instead if there is none."""
        try:
            place = self._enter()
            if isinstance(place, Waiting):
                place = await self._wait(place)
        except CallRefusedError as refusal:
            return self._refused(503, refusal.reason, refusal.retry_after_s)
        if isinstance(place, Answer):
            return place
        self._begin(place)
        return None

    def admit_sync(self) -> Answer | None:
        """As `admit`, on this thread."""
        try:
            place = self._enter()
            if isinstance(place, Waiting):
                place = seated_sync(place, self._door.now_s)
        except CallRefusedError as refusal:
            return self._refused(503, refusal.reason, refusal.retry_after_s)
        if isinstance(place, Answer):
            return place
        self._begin(place)
        return None

    def _enter(self) -> Ticket | Waiting | Answer | None:
        """Leave to begin, a place in the queue, or the answer for one who comes too late."""
        door = self._door
        if self._visit.is_late:
            return self._refused(504, "past_deadline", None)
        door.runtime.drain.let_in(door.runtime.settings.service)
        if not door.shedder.config.enabled:
            return None
        call = CallInfo(
            command=door.runtime.settings.service,
            context=self.context,
            endpoint=door.names.before(self._scope),
        )
        return door.shedder.enter(call, door.now_s())

    async def _wait(self, waiting: Waiting) -> Ticket:
        try:
            return await seated(waiting, self._door.now_s)
        except CallRefusedError:
            raise
        except BaseException:
            self.end(Status.CANCELLED)
            raise

    def _begin(self, seat: Ticket | None) -> None:
        self._seat = seat
        self._began_s = self._door.now_s()

    def _refused(self, code: int, detail: str, retry_after_s: float | None) -> Answer:
        """Record one who is not let in; returns what to tell him."""
        endpoint = self._door.names.before(self._scope)
        self._visit.end(endpoint, status_of_http(code), detail)
        return Answer(code=code, text=detail, retry_after_s=retry_after_s)

    # Faults on purpose

    async def suffer(self) -> Answer | None:
        """Do what fault rules say; the answer to give if one of them, or the deadline, ends it."""
        hits = self._hits()
        if not hits:
            return None
        import asyncio  # noqa: PLC0415 - a sync server never pays for it

        try:
            async with asyncio.timeout(self._visit.left_s()):
                await inject(self._door.runtime.faults, hits)
        except InjectedFaultError as fault:
            return Answer(code=fault.status, text="injected fault")
        except TimeoutError:
            return Answer(code=504, text="deadline passed")
        return None

    def suffer_sync(self) -> Answer | None:
        """As `suffer`, on this thread."""
        hits = self._hits()
        if not hits:
            return None
        try:
            inject_sync(self._door.runtime.faults, hits, self._visit.left_s())
        except InjectedFaultError as fault:
            return Answer(code=fault.status, text="injected fault")
        except TimeoutError:
            return Answer(code=504, text="deadline passed")
        return None

    def _hits(self) -> Any:
        if not self._door.runtime.faults.inbound:
            return ()
        return self._visit.hits(self._door.names.before(self._scope), self._header)

    # Leaving

    def end(self, status: Status | None = None, detail: str = "") -> None:
        """The request is over; record it, and give its seat to the next.

        status: how it ended, unless the response was given in full; None: as the response says.
        """
        door = self._door
        if self.is_complete or status is None:
            code = self.code if self.code is not None else 500
            status = status_of_http(code)
            detail = f"http_{code}" if status is not Status.SUCCESS else ""
        self._visit.end(door.names.after(self._scope, self.code), status, detail, self.stop_s)
        seat, self._seat = self._seat, None
        if seat is not None:
            now_s = door.now_s()
            took_s = (self.stop_s or now_s) - self._began_s
            verdict, error = self._verdict()
            door.shedder.leave(seat, verdict, now_s=now_s, took_s=took_s, error=error)

    def _verdict(self) -> tuple[Verdict, Exception | None]:
        """What it says of this server's own room: a 503 or 504 came from further in."""
        if not self.is_complete or self.code is None:
            return Verdict.CANCELLED, None
        if self.code < 500:
            return Verdict.SUCCESS, None
        return Verdict.FAILURE, CallFailedError(
            status_of_http(self.code), service="", code=self.code
        )


class Door:
    """What all requests to one application have in common.

    endpoint: names the endpoint of a request; by default the framework's route template, else the
    shape of the path. shedding: how much work is taken on, and whose first; None: everything
    is, until a live setting says otherwise.
    """

    def __init__(
        self, runtime: Runtime, *, endpoint: EndpointOf | None, shedding: SheddingConfig | None
    ) -> None:
        self.runtime = runtime
        self.now_s = runtime.clock.monotonic_s
        self.reception = Reception(runtime)
        self.names = RequestNames(runtime.endpoints, endpoint)
        self.shedder = runtime.guards.shedder("http", shedding, random=runtime.random)

    def open(self, headers: Iterable[tuple[bytes, bytes]], scope: Scope, header: Header) -> Request:
        """A request came in. headers: names in lower case; header: the value of one, by name."""
        return Request(self, headers, scope, header)

    def stats(self) -> ServerStats:
        """Counts since start."""
        stats = with_shedding(self.reception.stats(), self.shedder, self.now_s())
        return msgspec.structs.replace(stats, naming_failures=self.names.failures)
