"""What one connection may cost before a request has come in, and after its answer has gone out.

uvicorn bounds neither how long nor how large the head of a request may be, and keeps an answer in
memory for as long as its reader likes. Here a head must be complete in `head_timeout_s` and, with
everything else that is not body, within 128 KiB; an answer of which nothing is read for ten
seconds is given up; and there are at most `max_connections`, so that files stay for other uses.
Nor does uvicorn spare a small answer its second packet; here head and body travel together.
"""

import asyncio
import resource
from collections import Counter
from typing import Any, Final

import msgspec
import structlog
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from breakwater.server.settings import ServerSettings

log = structlog.get_logger("breakwater.server")

_MOST_OVERHEAD_BYTES: Final = 128 << 10
_OVERHEAD_PER_BODY_BYTE: Final = 16
"""A chunk of one byte has five more around it; trailers and extensions count as overhead too."""
_READ_PATIENCE_S: Final = 10.0
_FILES_FOR_OTHERS: Final = 128
_JOINED_BYTES: Final = 64 << 10
"""The longest part of an answer that is copied to travel with the head."""


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """What the connections of one server share; `counts` says how many were ended, by reason."""

    head_timeout_s: float
    max_connections: int
    counts: Counter[str]


def bounds_of(settings: ServerSettings) -> Bounds:
    """The bounds under `settings`, with no more connections than this process may open files."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = settings.max_connections
    if files != resource.RLIM_INFINITY:
        most = max(min(most, files - _FILES_FOR_OTHERS), 1)
    return Bounds(head_timeout_s=settings.head_timeout_s, max_connections=most, counts=Counter())


def bounded_protocol(bounds: Bounds) -> type[asyncio.Protocol]:
    """The protocol class for uvicorn whose connections keep to `bounds`."""

    class Bounded(BoundedConnection):
        def __init__(self, *given: Any, **named: Any) -> None:  # Any: uvicorn's own arguments
            super().__init__(*given, **named)
            self.bounds = bounds

    return Bounded


class BoundedConnection(HttpToolsProtocol):
    """One connection that costs a bounded time and memory beside the bodies of its requests."""

    bounds: Bounds
    _head_timer: asyncio.TimerHandle | None = None
    _read_timer: asyncio.TimerHandle | None = None
    _overhead = 0
    _unread = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Take the connection, or refuse it when there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self.bounds.max_connections:
            self._refuse(503, "too many connections are open; try again later", "overloaded")
            return
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers."""
        self._stop_timers()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came, unless it is too much."""
        if self.transport.is_closing():
            return
        former: RequestResponseCycle | None = self.cycle
        self._overhead += len(data)
        super().data_received(data)
        is_between = former is None or former.response_complete
        if is_between and self.cycle is former and not self.transport.is_closing():
            self._expect_head()  # most heads come whole and need no timer
        if self._overhead > _MOST_OVERHEAD_BYTES and not self.transport.is_closing():
            what = f"the head of the request is larger than {_MOST_OVERHEAD_BYTES} bytes"
            self._refuse(431, what, "large_head")

    def on_headers_complete(self) -> None:
        """The head is complete."""
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Body does not count as overhead, and pays for the chunks around it."""
        self._overhead = max(self._overhead - (1 + _OVERHEAD_PER_BODY_BYTE) * len(body), 0)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The next head starts from nothing."""
        self._overhead = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """See that somebody reads the answer."""
        super().on_response_complete()
        self._watch_reader()

    def pause_writing(self) -> None:
        """More waits to be read than is kept for a reader; see that somebody reads."""
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:
        """The reader has read."""
        if self._read_timer is not None:
            self._read_timer.cancel()
            self._read_timer = None
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Say what is wrong in the shape of all errors."""
        self._refuse(
            400,
            f"{msg.rstrip('.')}: expected HTTP/1.1 with a target of at most 65535 bytes",
            "malformed",
        )

    def timeout_keep_alive_handler(self) -> None:
        """End an idle connection."""
        if not self.transport.is_closing():
            self.transport.close()
            self._watch_reader()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Begin to work on a request, of which the answer is written through `JoinedAnswer`."""
        cycle.transport = JoinedAnswer(self.transport, self.loop)  # type: ignore[assignment]  # all it calls
        super()._start_asgi_task(cycle, app)

    def _expect_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self.bounds.head_timeout_s, self._head_is_late)

    def _head_is_late(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            patience_s = self.bounds.head_timeout_s
            self._refuse(408, f"no complete request came in {patience_s:g} s", "slow_head")

    def _watch_reader(self) -> None:
        self._unread = self.transport.get_write_buffer_size()
        if self._unread and self._read_timer is None:
            self._read_timer = self.loop.call_later(_READ_PATIENCE_S, self._look_at_reader)

    def _look_at_reader(self) -> None:
        self._read_timer = None
        unread = self.transport.get_write_buffer_size()
        if not unread:
            return
        if unread < self._unread:
            self._watch_reader()
            return
        self.bounds.counts["slow_reader"] += 1
        self.transport.abort()

    def _refuse(self, status: int, message: str, reason: str) -> None:
        """Answer without having a request, and close."""
        self.bounds.counts[reason] += 1
        log.info("connection.refused", reason=reason, client=self.client)
        body = msgspec.json.encode({"type": "error", "message": message})
        self.transport.write(
            b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
            b"connection: close\r\n\r\n%b" % (status, _PHRASES[status], len(body), body)
        )
        self.transport.close()
        self._watch_reader()

    def _stop_timers(self) -> None:
        for timer in (self._head_timer, self._read_timer):
            if timer is not None:
                timer.cancel()
        self._head_timer = self._read_timer = None


class JoinedAnswer:
    """Where one answer is written: what is written first waits for what follows.

    It waits no longer than the event loop's present turn, so a stream that has nothing to tell
    yet, or a `100 Continue`, goes out as soon. One packet instead of two saves a system call here,
    and the reader a wake-up.
    """

    __slots__ = ("_first", "_loop", "_transport", "_turn")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._first = b""
        self._turn: asyncio.Handle | None = None

    def write(self, data: bytes) -> None:
        """Send this, with what waits for it."""
        if self._turn is None:
            self._first = data
            self._turn = self._loop.call_soon(self._send)
        elif self._first and len(data) <= _JOINED_BYTES:
            self._turn.cancel()
            joined, self._first = self._first + data, b""
            self._transport.write(joined)
        else:
            self._send()
            self._transport.write(data)

    def close(self) -> None:
        """Send what waits, then no more."""
        self._send()
        self._transport.close()

    def is_closing(self) -> bool:
        """Whether nothing more will be sent."""
        return self._transport.is_closing()

    def _send(self) -> None:
        if self._first:
            first, self._first = self._first, b""
            self._transport.write(first)


_PHRASES: Final = {
    400: b"Bad Request",
    408: b"Request Timeout",
    431: b"Request Header Fields Too Large",
    503: b"Service Unavailable",
}
