"""aiohttp servers under guard: the real library, real sockets."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from tests.sdk.fleet import PATIENCE_S, MeterListener
from tests.sdk.streaming import rule

from breakwater.model import FaultKind
from breakwater.sdk import Service, current, remaining_s
from breakwater.sdk.aiohttp_server import GuardingMiddleware, guard_application
from breakwater.sdk.guard.config import SheddingConfig
from breakwater.sdk.guard.sharing.scope import current_scope

pytestmark = pytest.mark.anyio


class Backend:
    """An application whose handlers tell what they saw."""

    def __init__(self, service: Service, **options: Any) -> None:
        self.entered = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.app = web.Application()
        self.app.add_routes(
            [
                web.get("/v1/titles/{id}", self.title),
                web.get("/broken", self.broken),
                web.get("/hang", self.hang),
                web.get("/stream", self.stream),
                web.get("/missing", self.missing),
            ]
        )
        self.guard: GuardingMiddleware = guard_application(service, self.app, **options)

    async def title(self, _request: web.Request) -> web.Response:
        """Answer with what is known of the caller."""
        left_s = remaining_s()
        return web.json_response(
            {
                "trace": current().trace is not None,
                "left": left_s is not None and 0 < left_s <= 5.0,
                "scope": current_scope() is not None,
            }
        )

    async def broken(self, _request: web.Request) -> web.Response:
        """Fail."""
        raise KeyError("broken")

    async def missing(self, _request: web.Request) -> web.Response:
        """Raise an answer."""
        raise web.HTTPNotFound

    async def hang(self, _request: web.Request) -> web.Response:
        """Wait until nobody waits any more."""
        self.entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()
        return web.Response()

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Send the answer from within."""
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"one")
        await response.write_eof(b"two")
        return response


@asynccontextmanager
async def running(backend: Backend) -> AsyncIterator[tuple[aiohttp.ClientSession, str]]:
    """The application on a free port, and somebody to call it."""
    runner = web.AppRunner(backend.app, handler_cancellation=True, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        async with aiohttp.ClientSession() as session:
            yield session, f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


@pytest.fixture
def catalogue(service_of: Callable[..., Service]) -> Service:
    """The service that serves; the application starts it."""
    return service_of("catalogue", url="none")


async def seen(meters: MeterListener, *parts: str) -> str:
    """The first line with all these parts."""
    return await asyncio.to_thread(meters.wait_for, *parts)


async def test_a_request_is_recorded_under_its_route(
    catalogue: Service, meters: MeterListener
) -> None:
    """It works in the context of its caller; the service lives as long as the application."""
    headers = {"breakwater-caller": "gateway", "breakwater-deadline-ms": "5000"}
    async with running(Backend(catalogue)) as (session, url):
        assert catalogue.stats().is_started
        async with session.get(f"{url}/v1/titles/7", headers=headers) as reply:
            assert await reply.json() == {"trace": True, "left": True, "scope": True}
        line = await seen(meters, "T:ipc.server.call", "ipc.client.app=gateway")
        assert "ipc.endpoint=v1.titles.~id" in line
        async with session.get(f"{url}/stream") as reply:
            assert await reply.text() == "onetwo"
        await seen(meters, "ipc.endpoint=stream", "ipc.status=success")
    assert not catalogue.stats().is_started


async def test_however_it_ends_it_is_recorded(catalogue: Service, meters: MeterListener) -> None:
    """Errors, answers that are raised, and paths that nobody serves."""
    async with running(Backend(catalogue)) as (session, url):
        for path in ("/broken", "/missing", "/nowhere"):
            async with session.get(url + path) as reply:
                assert reply.status in (404, 500)
        await seen(meters, "ipc.endpoint=broken", "ipc.status.detail=KeyError")
        await seen(meters, "ipc.endpoint=missing", "ipc.status.detail=http_404")
        await seen(meters, "ipc.endpoint=other", "ipc.status.detail=http_404")


async def test_a_client_that_leaves_is_recorded_as_such(
    catalogue: Service, meters: MeterListener
) -> None:
    """The handler is cancelled."""
    backend = Backend(catalogue)
    async with running(backend) as (session, url):
        call = asyncio.ensure_future(session.get(f"{url}/hang"))
        await backend.entered.wait()
        call.cancel()
        async with asyncio.timeout(PATIENCE_S):
            await backend.cancelled.wait()
        await seen(meters, "ipc.endpoint=hang", "ipc.status=cancelled")


async def test_what_comes_too_late_or_too_much_is_refused(
    catalogue: Service, meters: MeterListener
) -> None:
    """504 after the deadline, 503 beyond the limit with Retry-After."""
    backend = Backend(catalogue, shedding=SheddingConfig(limit=1, queue=0))
    async with running(backend) as (session, url):
        async with session.get(f"{url}/x", headers={"breakwater-deadline-ms": "0"}) as reply:
            assert reply.status == 504
        call = asyncio.ensure_future(session.get(f"{url}/hang"))
        await backend.entered.wait()
        async with session.get(f"{url}/v1/titles/7") as reply:
            assert (reply.status, reply.headers["retry-after"]) == (503, "1")
        call.cancel()
        await seen(meters, "ipc.status.detail=bulkhead_full")
        stats = backend.guard.stats()
        assert (stats.past_deadline, stats.rejected, stats.limit) == (1, 1, 1)


async def test_faults_hit_inside_the_servers_clock(
    catalogue: Service, meters: MeterListener
) -> None:
    """An error is an answer; a hang ends with the caller's deadline."""
    async with running(Backend(catalogue)) as (session, url):
        fault = {"point": "inbound", "service": "catalogue"}
        catalogue.runtime.faults.accept(rule(FaultKind.ERROR, status=503, **fault))
        async with session.get(f"{url}/v1/titles/7") as reply:
            assert reply.status == 503
        catalogue.runtime.faults.accept(rule(FaultKind.HANG, **fault))
        headers = {"breakwater-deadline-ms": "30"}
        async with session.get(f"{url}/v1/titles/7", headers=headers) as reply:
            assert reply.status == 504
        line = await seen(meters, "ipc.status.detail=http_503", "ipc.endpoint=v1.titles.~id")
        assert "ipc.failure.injected=true" in line
