"""A fleet that renews, fetches and changes, played by one process over real HTTP.

Every request has its moment, whether or not the server keeps up; what is measured is from then to
the last byte of the answer. The connections are kept alive and shared, as in the clients' pools.
"""

import asyncio
import random
import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterator
from itertools import count
from typing import Final, NamedTuple
from urllib.parse import quote

import msgspec
import numpy as np

from breakwater.registry import InstanceInfo, LeaseInfo, Port
from breakwater.registry.spelling.json_codec import JsonCodec

BASE: Final = "/eureka/v2"
_APPS: Final = 200
_ZONES: Final = ("a", "b", "c")
_JSON: Final = "Accept: application/json\r\nAccept-Encoding: gzip\r\n"
_XML: Final = "Accept-Encoding: gzip\r\n"
_LINES: Final = 64
_AHEAD_S: Final = 0.002
_STAYING: Final = 5


class Reply(NamedTuple):
    """What came back."""

    status: int
    size_bytes: int


class Figures(NamedTuple):
    """One kind of request: how many, how many failed, milliseconds, and the last answer's size."""

    asked: int
    failed: int
    p50_ms: float
    p99_ms: float
    most_ms: float
    size_bytes: int


class Line(asyncio.Protocol):
    """One kept-alive connection with at most one request under way."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._reply: asyncio.Future[Reply] | None = None
        self._head = b""
        self._status = self._size = self._left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way out."""
        self._transport = transport  # type: ignore[assignment]  # a TCP connection

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever waits will not be answered."""
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(exc or ConnectionResetError("closed by the server"))

    def data_received(self, data: bytes) -> None:
        """Read the head, then count the body."""
        if self._left == 0:
            self._head += data
            head, end, data = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            self._head = b""
            self._status = int(head[9:12])
            self._size = self._left = _length_in(head.lower())
        self._left -= len(data)
        if self._left == 0 and self._reply is not None:
            self._reply.set_result(Reply(self._status, self._size))

    def hang_up(self) -> None:
        """No more requests."""
        if self._transport is not None:
            self._transport.close()

    async def ask(self, request: bytes) -> Reply:
        """Send a request and wait for all of the answer."""
        assert self._transport is not None
        self._reply = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._reply


def _length_in(head: bytes) -> int:
    _, _, rest = head.partition(b"content-length:")
    return int(rest.split(b"\r\n", 1)[0]) if rest else 0


class Fleet:
    """Instances of one registry, all at the address of a port that listens."""

    def __init__(self, port: int, *, instances: int, seed: int) -> None:
        self._port = port
        self._random = random.Random(seed)
        self._lines: asyncio.Queue[Line] = asyncio.Queue()
        self._here = 0
        self._names = [(f"SERVICE-{at % _APPS:03d}", f"host-{at:05d}") for at in range(instances)]
        self._taken_ms: dict[str, list[float]] = defaultdict(list)
        self._failed: dict[str, int] = defaultdict(int)
        self._size: dict[str, int] = {}

    async def gather(self, place: asyncio.Server) -> None:
        """Connect, and register everybody; they say they listen where `place` does."""
        self._here = place.sockets[0].getsockname()[1]
        loop = asyncio.get_running_loop()
        for _ in range(_LINES):
            _, line = await loop.create_connection(Line, "127.0.0.1", self._port)
            self._lines.put_nowait(line)
        for start in range(0, len(self._names), _LINES):
            batch = self._names[start : start + _LINES]
            await asyncio.gather(*(self._timed("register", self._register(*it)) for it in batch))

    async def leave(self) -> None:
        """Hang up all connections."""
        while not self._lines.empty():
            self._lines.get_nowait().hang_up()
        await asyncio.sleep(0.1)

    async def live(self, seconds: float, rates: "Rates") -> dict[str, Figures]:
        """Play the fleet for so long; figures by kind of request."""
        for kind in list(self._taken_ms):
            if kind != "register":
                del self._taken_ms[kind]
        churn = self._churn()
        kinds: list[tuple[str, float, Callable[[], bytes]]] = [
            ("renew", len(self._names) / rates.renewal_s, _each(map(self._renew, self._turns()))),
            ("full fetch, JSON", rates.full * (1 - rates.xml_share), lambda: _get("/apps/", _JSON)),
            ("full fetch, XML", rates.full * rates.xml_share, lambda: _get("/apps/", _XML)),
            (
                "delta, JSON",
                rates.delta * (1 - rates.xml_share),
                lambda: _get("/apps/delta", _JSON),
            ),
            ("delta, XML", rates.delta * rates.xml_share, lambda: _get("/apps/delta", _XML)),
            ("vip, JSON", rates.vip, self._vip),
            ("register or cancel", 2 * rates.churn, _each(churn)),
        ]
        await asyncio.gather(
            *(self._paced(kind, rate, make, seconds) for kind, rate, make in kinds if rate > 0)
        )
        return {kind: self._figures(kind) for kind in self._taken_ms}

    async def _paced(
        self, kind: str, rate: float, make: Callable[[], bytes], seconds: float
    ) -> None:
        """Send one request after the other at its moment, answered or not."""
        loop = asyncio.get_running_loop()
        began_s = loop.time() + self._random.random() / rate
        under_way = set()
        for number in range(int(seconds * rate)):
            wait_s = began_s + number / rate - loop.time()
            if wait_s > _AHEAD_S:
                await asyncio.sleep(wait_s)
            task = loop.create_task(self._timed(kind, make()))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        await asyncio.gather(*under_way)

    async def _timed(self, kind: str, request: bytes) -> None:
        began_s = time.perf_counter()
        reply = await self._answered(request)
        self._taken_ms[kind].append(1e3 * (time.perf_counter() - began_s))
        self._failed[kind] += reply.status not in {200, 204}
        self._size[kind] = reply.size_bytes

    async def _answered(self, request: bytes) -> Reply:
        line = await self._lines.get()
        try:
            return await line.ask(request)
        finally:
            self._lines.put_nowait(line)

    def _figures(self, kind: str) -> Figures:
        taken_ms = sorted(self._taken_ms[kind])
        p50_ms, p99_ms = (float(each) for each in np.percentile(taken_ms, (50, 99)))
        return Figures(
            len(taken_ms), self._failed[kind], p50_ms, p99_ms, taken_ms[-1], self._size[kind]
        )

    def _turns(self) -> Iterator[tuple[str, str]]:
        while True:
            yield from self._names

    def _register(self, app: str, name: str) -> bytes:
        body = JsonCodec().instance(JsonCodec().fragment(self._info(app, name), is_compact=False))
        return (
            f"POST {BASE}/apps/{app} HTTP/1.1\r\nHost: localhost\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode() + body

    def _info(self, app: str, name: str) -> InstanceInfo:
        service, url = app.lower(), f"http://127.0.0.1:{self._here}"
        return InstanceInfo(
            instance_id=f"{name}.eu-west-1.internal:{service}:{self._here}",
            host_name=f"{name}.eu-west-1.internal",
            app=app,
            ip_addr="127.0.0.1",
            port=Port(number=self._here, is_enabled=True),
            lease=LeaseInfo(renewal_interval_s=30, duration_s=90),
            metadata={"zone": self._random.choice(_ZONES), "version": "1.42.0", "owner": "team-7"},
            home_page_url=f"{url}/",
            status_page_url=f"{url}/actuator/info",
            health_check_url="",
            vip_address=service,
            secure_vip_address=service,
            last_dirty_ms=1_700_000_000_000,
        )

    def _renew(self, who: tuple[str, str]) -> bytes:
        query = "status=UP&lastDirtyTimestamp=1700000000000"
        return f"PUT {self._path(*who)}?{query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()

    def _path(self, app: str, name: str) -> str:
        return f"{BASE}/apps/{app}/{quote(self._info(app, name).instance_id)}"

    def _vip(self) -> bytes:
        app, _ = self._random.choice(self._names)
        return _get(f"/vips/{app.lower()}", _JSON)

    def _churn(self) -> Iterator[bytes]:
        """One after the other comes, and goes when a few more have come."""
        here: deque[tuple[str, str]] = deque()
        for number in count():
            here.append((f"SERVICE-{self._random.randrange(_APPS):03d}", f"new-{number:05d}"))
            yield self._register(*here[-1])
            if len(here) > _STAYING:
                path = self._path(*here.popleft())
                yield f"DELETE {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """Requests a second by kind; each instance renews every `renewal_s` seconds."""

    renewal_s: float = 30.0
    full: float = 50.0
    delta: float = 30.0
    vip: float = 5.0
    xml_share: float = 0.2
    churn: float = 1.0


def _get(path: str, headers: str) -> bytes:
    return f"GET {BASE}{path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n".encode()


def _each(requests: Iterator[bytes]) -> Callable[[], bytes]:
    return lambda: next(requests)


async def _hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()
    await writer.wait_closed()


async def play(
    port: int,
    *,
    instances: int,
    seconds: float,
    rates: Rates,
    settled: Callable[[], Awaitable[None]],
) -> dict[str, Figures]:
    """Register `instances`, call `settled`, and play for `seconds`."""
    place = await asyncio.start_server(_hang_up, "127.0.0.1", 0)
    async with place:
        fleet = Fleet(port, instances=instances, seed=1)
        try:
            await fleet.gather(place)
            await fleet.live(2.0, rates)
            await settled()
            return await fleet.live(seconds, rates)
        finally:
            await fleet.leave()
