"""Faults at the point `pool`: HTTP clients that get no connection, or late."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import aiohttp
import httpx
import pytest
import requests
from tests.sdk.callee import account, failing
from tests.sdk.fleet import PATIENCE_S, MeterListener
from tests.sdk.guarding import break_at, mend, waits_of
from tests.sdk.streaming import Streamer

from breakwater.model import Status
from breakwater.sdk import CallFailedError, CommandConfig, Service
from breakwater.sdk.aiohttp_session import guarded_middleware
from breakwater.sdk.httpx import guarded_async_transport, guarded_transport
from breakwater.sdk.requests import guarded_adapter

Get = Callable[[str], Any]


def with_httpx(caller: Service, streamer: Streamer, **config: Any) -> Get:
    """A GET by httpx."""
    transport = guarded_transport(caller, peer="account", config=CommandConfig(**config))

    def get(path: str) -> str:
        timeout = httpx.Timeout(60, pool=0.05)
        with httpx.Client(transport=transport, timeout=timeout) as user:
            return user.get(f"{streamer.url}{path}").text

    return get


def with_requests(caller: Service, streamer: Streamer, **config: Any) -> Get:
    """A GET by requests."""
    adapter = guarded_adapter(caller, peer="account", config=CommandConfig(**config))

    def get(path: str) -> str:
        with requests.Session() as user:
            user.trust_env = False
            user.mount("http://", adapter)
            return user.get(f"{streamer.url}{path}", timeout=(0.05, 60)).text

    return get


def with_httpx_async(caller: Service, streamer: Streamer, **config: Any) -> Get:
    """A GET by httpx, in a loop of its own."""

    async def get_async(path: str) -> str:
        transport = guarded_async_transport(caller, peer="account", config=CommandConfig(**config))
        timeout = httpx.Timeout(60, pool=0.05)
        async with httpx.AsyncClient(transport=transport, timeout=timeout) as user:
            return (await user.get(f"{streamer.url}{path}")).text

    return lambda path: asyncio.run(get_async(path))


def with_aiohttp(caller: Service, streamer: Streamer, **config: Any) -> Get:
    """A GET by a session of aiohttp."""

    async def get_async(path: str) -> str:
        guarded = guarded_middleware(caller, peer="account", config=CommandConfig(**config))
        async with (
            aiohttp.ClientSession(middlewares=[guarded]) as user,
            user.get(f"{streamer.url}{path}") as reply,
        ):
            return await reply.text()

    return lambda path: asyncio.run(get_async(path))


LIBRARIES = [
    (with_httpx, httpx.ConnectError, httpx.PoolTimeout),
    (with_httpx_async, httpx.ConnectError, httpx.PoolTimeout),
    (with_requests, requests.ConnectionError, requests.ConnectTimeout),
    (with_aiohttp, aiohttp.ClientConnectionError, aiohttp.ServerTimeoutError),
]
Making = Callable[..., Get]


@pytest.mark.parametrize(("making", "broken", "late"), LIBRARIES)
def test_no_connection_is_an_error_of_the_library(
    caller: Service,
    streamer: Streamer,
    meters: MeterListener,
    making: Making,
    broken: type[Exception],
    late: type[Exception],
) -> None:
    """Nothing is sent; the record says that it was on purpose, and what kind of failure it was."""
    get = making(caller, streamer)
    break_at(caller, "pool", "error", peer="account", status=503)
    with pytest.raises(broken):
        get("/ok")
    assert "ipc.failure.injected=true" in meters.wait_for("ipc.status=connection_error")
    break_at(caller, "pool", "error", peer="account", status=504)
    with pytest.raises(late):
        get("/ok")
    assert "ipc.failure.injected=true" in meters.wait_for("ipc.status=timeout")
    assert not streamer.seen
    mend(caller)
    assert get("/ok") == "yes"


@pytest.mark.parametrize(("making", "_broken", "late"), LIBRARIES[:3])
def test_a_wait_without_end_is_as_long_as_the_library_s_patience(
    caller: Service,
    streamer: Streamer,
    making: Making,
    _broken: type[Exception],
    late: type[Exception],
) -> None:
    """A hang ends in the time limit for connections, though answers may take long."""
    get = making(caller, streamer)
    break_at(caller, "pool", "hang", endpoint="connect")
    with pytest.raises(late):
        get("/ok")
    assert not streamer.seen


@pytest.mark.parametrize(("making", "_broken", "_late"), LIBRARIES)
def test_a_wait_counts_towards_the_attempt(
    caller: Service,
    streamer: Streamer,
    meters: MeterListener,
    making: Making,
    _broken: type[Exception],
    _late: type[Exception],
) -> None:
    """Whoever waits too long for a connection has no time left for the answer."""
    get = making(caller, streamer, timeout_s=0.02)
    break_at(caller, "pool", "delay", delay_ms=60_000)
    with pytest.raises((TimeoutError, httpx.TimeoutException, requests.Timeout)):
        get("/ok")
    assert "ipc.failure.injected=true" in meters.wait_for("ipc.status=timeout")
    assert not streamer.seen


@pytest.mark.parametrize(("making", "_broken", "_late"), LIBRARIES)
def test_a_delay_is_a_delay(
    caller: Service,
    streamer: Streamer,
    making: Making,
    _broken: type[Exception],
    _late: type[Exception],
) -> None:
    """After it the request is sent, and the rules at other points act on it too."""
    get = making(caller, streamer)
    break_at(caller, "pool", "delay", delay_ms=1)
    assert get("/ok") == "yes"


def test_a_rule_that_is_taken_back_lets_the_waiting_go(caller: Service, streamer: Streamer) -> None:
    """At once; they get their connection."""
    adapter = guarded_adapter(caller, peer="account")
    break_at(caller, "pool", "hang")
    waiting, got = waits_of(caller.runtime.faults), []

    def run() -> None:
        with requests.Session() as user:
            user.trust_env = False
            user.mount("http://", adapter)
            got.append(user.get(f"{streamer.url}/ok", timeout=PATIENCE_S).text)

    thread = threading.Thread(target=run)
    thread.start()
    assert waiting.wait(PATIENCE_S)
    mend(caller)
    thread.join(PATIENCE_S)
    assert got == ["yes"]


@pytest.mark.anyio
async def test_a_service_s_own_client_gets_no_connection(
    gateway: Service, streamer: Streamer, meters: MeterListener
) -> None:
    """Its error is that of a call that failed, and names the instance that was meant."""
    client = account(gateway, streamer.port)
    break_at(gateway, "pool", "error", peer="account")
    error = await failing(client, "/ok")
    assert isinstance(error, CallFailedError)
    assert (error.status, error.instance) == (Status.CONNECTION_ERROR, "account-0")
    assert not streamer.seen
    line = await asyncio.to_thread(meters.wait_for, "ipc.status=connection_error")
    assert "ipc.failure.injected=true" in line
