"""Some services of the fleet in this process, over real sockets, without any platform."""

import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import anyio
import uvicorn

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
        """`services` is by instance name, such as `account-a-1`."""
        self.services = services
        self.caller = caller

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
    services = {name: _service(name, known) for name in names}
    caller = _service("tester", known)
    servers = {name: _server(name, service) for name, service in services.items()}
    async with anyio.create_task_group() as tasks, caller:
        for name, server in servers.items():
            tasks.start_soon(server.serve, [sockets[name]])
        with anyio.fail_after(10):
            while not all(s.started for s in servers.values()):  # noqa: ASYNC110 - flags, no event
                await anyio.sleep(0.001)
        yield LocalFleet(services, caller)
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


def _server(name: str, service: Service) -> uvicorn.Server:
    world = World(seed=SEED, secret="secret", instance=f"{name}-a-1", zone="a", rps=0.0)
    config = uvicorn.Config(
        build(name, service, world), lifespan="on", ws="none", log_level="warning",
        access_log=False, timeout_graceful_shutdown=1,
    )  # fmt: skip
    return uvicorn.Server(config)


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
