"""Load shedding in front of an ASGI application, under a real server."""

import asyncio
import threading
from typing import Any

import aiohttp
import pytest
from tests.sdk.fleet import PATIENCE_S, MeterListener, serving
from tests.sdk.guarding import wait_until_async

from breakwater.sdk import Service
from breakwater.sdk.errors import SettingsError
from breakwater.sdk.guard import LiveConfig
from breakwater.sdk.guard.config import SheddingConfig
from breakwater.sdk.guard.tuning.layers import Place

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SHEDDABLE = {"baggage": "bw.criticality=sheddable"}


@pytest.fixture
def anyio_backend() -> str:
    """The middleware is of asyncio."""
    return "asyncio"


class Backend:
    """An application that answers once it is let go."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.go = threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise RuntimeError("no lifespan")
        if scope["path"] == "/hang":
            self.entered.release()
            assert await asyncio.to_thread(self.go.wait, PATIENCE_S)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})

    async def entered_once(self) -> None:
        """Wait until one more request hangs."""
        assert await asyncio.to_thread(self.entered.acquire, timeout=PATIENCE_S)


class Caller:
    """Requests to one server."""

    def __init__(self, session: aiohttp.ClientSession, port: int) -> None:
        self._session = session
        self._url = f"http://127.0.0.1:{port}"

    async def get(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, str, Any]:
        """Status, text, and headers."""
        async with self._session.get(f"{self._url}{path}", headers=headers) as response:
            return response.status, await response.text(), response.headers


@pytest.fixture
def service(service_of: Any) -> Service:
    """The service in front of the application."""
    made: Service = service_of("gateway")
    return made


async def test_less_important_requests_are_shed_with_a_reason(
    service: Service, meters: MeterListener
) -> None:
    """One of two places taken is too much for sheddable work, and fine for critical work."""
    backend = Backend()
    app = service.asgi(backend, shedding=SheddingConfig(limit=2, sheddable=0.5, retry_after_s=3))
    with serving(app) as port:
        async with aiohttp.ClientSession() as session, asyncio.timeout(PATIENCE_S):
            caller = Caller(session, port)
            hanging = asyncio.ensure_future(caller.get("/hang"))
            await backend.entered_once()
            status, text, headers = await caller.get("/quick", SHEDDABLE)
            assert (status, headers["retry-after"]) == (503, "3")
            assert "shed" in text
            assert (await caller.get("/quick"))[0] == 200
            backend.go.set()
            assert (await hanging)[0] == 200
    assert app.stats().shed == {"sheddable.shed": 1}
    meters.wait_for("ipc.status=unavailable", "ipc.status.detail=shed")


async def test_a_request_waits_in_the_queue_for_its_turn(service: Service) -> None:
    """A second request is served when the first has ended, not refused."""
    backend = Backend()
    shedding = SheddingConfig(limit=1, interval_s=PATIENCE_S, target_s=PATIENCE_S)
    app = service.asgi(backend, shedding=shedding)
    with serving(app) as port:
        async with aiohttp.ClientSession() as session, asyncio.timeout(PATIENCE_S):
            caller = Caller(session, port)
            first = asyncio.ensure_future(caller.get("/hang"))
            await backend.entered_once()
            second = asyncio.ensure_future(caller.get("/quick"))
            await wait_until_async(lambda: app.stats().waiting == 1)
            backend.go.set()
            assert [(await first)[0], (await second)[0]] == [200, 200]
    assert app.stats().shed == {}


async def test_the_queue_is_left_when_patience_ends(service: Service) -> None:
    """A request that waited its time gets 503 with queue_timeout."""
    backend = Backend()
    shedding = SheddingConfig(limit=1, interval_s=0.02, target_s=0.005)
    app = service.asgi(backend, shedding=shedding)
    with serving(app) as port:
        async with aiohttp.ClientSession() as session, asyncio.timeout(PATIENCE_S):
            caller = Caller(session, port)
            hanging = asyncio.ensure_future(caller.get("/hang"))
            await backend.entered_once()
            status, text, _ = await caller.get("/quick")
            assert status == 503
            assert "queue_timeout" in text
            backend.go.set()
            await hanging
    assert app.stats().in_flight == 0


async def test_a_client_that_leaves_the_queue_frees_its_place(service: Service) -> None:
    """Its request is forgotten, and the place that comes free is not lost."""
    backend = Backend()
    shedding = SheddingConfig(limit=1, interval_s=0.05, target_s=0.05)
    app = service.asgi(backend, shedding=shedding)
    with serving(app) as port:
        async with aiohttp.ClientSession() as session, asyncio.timeout(PATIENCE_S):
            caller = Caller(session, port)
            hanging = asyncio.ensure_future(caller.get("/hang"))
            await backend.entered_once()
            leaving = asyncio.ensure_future(caller.get("/quick"))
            await wait_until_async(lambda: app.stats().waiting == 1)
            leaving.cancel()
            await wait_until_async(lambda: app.stats().waiting == 0)
            backend.go.set()
            await hanging
            assert (await caller.get("/quick"))[0] == 200
    assert app.stats().in_flight == 0


async def test_an_adaptive_server_learns_and_serves(service: Service) -> None:
    """With the defaults, a quiet server serves everything and its limit stands in the stats."""
    app = service.asgi(Backend(), shedding=SheddingConfig())
    with serving(app) as port:
        async with aiohttp.ClientSession() as session, asyncio.timeout(PATIENCE_S):
            caller = Caller(session, port)
            answers = [await caller.get("/quick") for _ in range(50)]
    assert {status for status, _, _ in answers} == {200}
    stats = app.stats()
    assert (stats.limit, stats.shed, stats.rejected) == (20, {}, 0)


async def test_one_limit_is_enough(service: Service) -> None:
    """max_concurrent and shedding say the same and may not contradict each other."""
    with pytest.raises(SettingsError, match="not both"):
        service.asgi(Backend(), max_concurrent=1, shedding=SheddingConfig())


async def test_a_running_server_can_be_told_to_shed_and_to_stop(service: Service) -> None:
    """One that was made without a limit takes a live setting as any other does."""
    backend, live = Backend(), LiveConfig(service.guards)
    app = service.asgi(backend)
    with serving(app) as port:
        async with aiohttp.ClientSession() as session, asyncio.timeout(PATIENCE_S):
            caller = Caller(session, port)
            assert (await caller.get("/quick"))[0] == 200
            assert app.stats().limit is None
            keys = {"shedding.enabled": True, "shedding.limit": 1, "shedding.queue": 0}
            live.put("file", {Place("command", "http", key): keys[key] for key in keys})
            hanging = asyncio.ensure_future(caller.get("/hang"))
            await backend.entered_once()
            status, text, _ = await caller.get("/quick")
            assert (status, "bulkhead_full" in text) == (503, True)
            live.put("file", {})
            assert (await caller.get("/quick"))[0] == 200
            backend.go.set()
            assert (await hanging)[0] == 200
    assert app.stats().shed == {"critical.bulkhead_full": 1}
