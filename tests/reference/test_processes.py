"""A part of the fleet as real processes: started by its plan, watched by a registry, stopped."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tests.announcing import AnnouncingServer

from breakwater.model import ProcessSpec, SystemClock
from breakwater.reference import fleet_plan
from breakwater.registry import Directory, RegistrySettings
from breakwater.registry.http import routes

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


class Meters(asyncio.DatagramProtocol):
    """Keeps every meter line it is sent, and says when one with a certain text has come."""

    def __init__(self) -> None:
        """Nothing has come yet."""
        self.lines: list[str] = []
        self._news = asyncio.Event()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Take in one datagram."""
        self.lines += data.decode().splitlines()
        self._news.set()

    async def until(self, *words: str) -> str:
        """The first line that holds all the words, now or within the deadline."""
        with anyio.fail_after(60):
            while True:
                for line in self.lines:
                    if all(word in line for word in words):
                        return line
                self._news.clear()
                await self._news.wait()


class Platform:
    """As much of a platform as a service needs: a registry, no fault rules, a place for meters."""

    def __init__(self, directory: Directory, meters: Meters, http: str, udp: str) -> None:
        """Already listening."""
        self.directory = directory
        self.meters = meters
        self.http = http
        self.udp = udp


@asynccontextmanager
async def _platform() -> AsyncIterator[Platform]:
    directory = Directory(RegistrySettings(), SystemClock())
    loop = asyncio.get_running_loop()
    transport, meters = await loop.create_datagram_endpoint(Meters, local_addr=("127.0.0.1", 0))
    app = Starlette(routes=[*routes(directory), Route("/api/v1/faults/rules", _no_rules)])
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, log_level="error", timeout_graceful_shutdown=1
    )
    is_up = anyio.Event()
    server = AnnouncingServer(config, is_up.set)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve)
        with anyio.fail_after(10):
            await is_up.wait()
        port = server.servers[0].sockets[0].getsockname()[1]
        udp = transport.get_extra_info("sockname")[1]
        yield Platform(directory, meters, f"http://127.0.0.1:{port}", f"udp://127.0.0.1:{udp}")
        server.should_exit = True
    transport.close()


async def _no_rules(request: Request) -> Response:
    if request.query_params.get("revision") == "1":
        with anyio.move_on_after(min(20.0, float(request.query_params.get("wait_s", "0")))):
            await anyio.Event().wait()  # no rule ever comes
    return Response(b'{"revision":1,"rules":[]}', media_type="application/json")


@asynccontextmanager
async def _running(specs: list[ProcessSpec]) -> AsyncIterator[list[asyncio.subprocess.Process]]:
    processes = [
        await asyncio.create_subprocess_exec(*spec.argv, env={**os.environ, **spec.env})
        for spec in specs
    ]
    try:
        yield processes
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
        for process in processes:
            await process.wait()


async def _until_registered(directory: Directory, count: int) -> None:
    with anyio.fail_after(60):
        revision = None
        while True:
            view = await directory.native.wait_view(revision, 20.0)
            if len(view.instances) == count:
                return
            revision = view.revision


async def test_people_watch_streams_on_real_processes_and_all_stop_when_told() -> None:
    """Started by plan, the fleet registers, streams start and are counted; SIGTERM ends it all."""
    async with _platform() as platform:
        plan = fleet_plan(platform.http, platform.udp, base_port=0, rps=40.0)
        part = [s for s in plan if s.name.endswith(("-a-1", "player"))]
        assert len(part) == 14
        async with _running(part) as processes:
            await _until_registered(platform.directory, len(part))
            await platform.meters.until("stream.starts", "result=success", "nf.app=gateway")
            for caller, callee, endpoint in (
                ("player", "gateway", "heartbeat"),
                ("player", "cdn", "segment"),
                ("cdn", "origin", "segment"),
                ("personalization", "ranker", "rank"),
                ("playback", "licence", "verify"),
                ("licence", "session", "streams"),
            ):
                edge = (f"client.app={caller}", f"server.app={callee}", f"endpoint={endpoint}")
                await platform.meters.until("ipc.client.call", "ipc.status=success", *edge)
                await platform.meters.until("ipc.server.call", "ipc.status=success", *edge)
            for process in processes:
                process.send_signal(signal.SIGTERM)
            with anyio.fail_after(20):
                codes = [await process.wait() for process in processes]
            assert set(codes) == {-signal.SIGTERM}
            await _until_registered(platform.directory, 0)
