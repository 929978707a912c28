"""Some services of the fleet in this process, over real sockets, without any platform."""

import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import anyio
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from tests.announcing import AnnouncingServer

from breakwater.model import Instance
from breakwater.reference.accounts import Accounts
from breakwater.reference.application import World, build
from breakwater.sdk import Service
from breakwater.sdk.aiohttp import Client

SEED = 1
ACCOUNTS = Accounts(SEED)


class LocalFleet:
    """Running services: their SDK, to look into, and a caller of their own for the test."""

    def __init__(self, services: Mapping[str, Service], caller: Service) -> None:
        """`services` is by name, such as `account`."""
        self.services = services
        self.caller = caller
        self._answered = anyio.Event()

    def telling(self, app: ASGIApp) -> ASGIApp:
        """`app`, and whoever waits in `until_answered` is told of each of its answers."""

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            await app(scope, receive, send)
            if not scope.get("path", "").startswith("/load"):  # that is the test itself, looking
                self._answered.set()
                self._answered = anyio.Event()

        return serve

    async def until_answered(self) -> None:
        """Return when a service has answered another; after a second of silence, too."""
        with anyio.move_on_after(1.0):
            await self._answered.wait()

    def client(self, name: str) -> Client:
        """A client for one of the services, without a breaker, so that tests may fail often."""
        return self.caller.client(name, timeout_s=5.0, breaker=None)


@asynccontextmanager
async def local_fleet(*names: str, absent: Sequence[str] = ()) -> AsyncIterator[LocalFleet]:
    """Run one instance of each service named; those `absent` are known but refuse connections.

    Services that are in neither list are unknown: calls to them fail without being sent.
    """
    sockets = {name: _listen() for name in names}
    known = {name: _instance(name, sock.getsockname()[1]) for name, sock in sockets.items()}
    known |= {name: _instance(name, _closed_port()) for name in absent}
    caller = _service("tester", known)
    up = {name: anyio.Event() for name in names}
    services = {name: _service(name, known) for name in names}
    fleet = LocalFleet(services, caller)
    servers = {name: _server(name, fleet, up[name]) for name in names}
    async with anyio.create_task_group() as tasks, caller:
        for name, server in servers.items():
            tasks.start_soon(server.serve, [sockets[name]])
        with anyio.fail_after(10):
            for is_up in up.values():
                await is_up.wait()
        yield fleet
        for server in servers.values():
            server.should_exit = True


def bearer(account: str, device: str = "tv") -> dict[str, str]:
    """The header by which a device of `account` says whose it is."""
    return {"authorization": f"Bearer {ACCOUNTS.token(account, device)}"}


def account_on(plan: str, region: str = "eu") -> str:
    """The first account with this plan in this region."""
    ids = (f"a{number}" for number in range(1, ACCOUNTS.count))
    accounts = map(ACCOUNTS.account, ids)
    return next(a.id for a in accounts if a.plan == plan and a.region == region)


def _server(name: str, fleet: LocalFleet, is_up: anyio.Event) -> uvicorn.Server:
    world = World(seed=SEED, secret="secret", instance=f"{name}-a-1", zone="a", rps=0.0)
    app = fleet.telling(build(name, fleet.services[name], world))
    config = uvicorn.Config(
        app, lifespan="on", ws="none", log_level="warning",
        access_log=False, timeout_graceful_shutdown=1,
    )  # fmt: skip
    return AnnouncingServer(config, is_up.set)


def _service(name: str, known: Mapping[str, Instance]) -> Service:
    service = Service(name, instance=f"{name}-a-1", zone="a", url="none", metrics="none")
    for callee, instance in known.items():
        service.client(callee, instances=[instance])
    return service


def _instance(name: str, port: int) -> Instance:
    return Instance(service=name, instance_id=f"{name}-a-1", host="127.0.0.1", port=port, zone="a")


def _listen() -> socket.socket:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock


def _closed_port() -> int:
    """A port nobody listens on: it was just given back."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
