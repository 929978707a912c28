"""The client side of every edge, against real servers."""

import asyncio
import json

import pytest
from tests.sdk.callee import Callee, account, failing
from tests.sdk.fleet import MeterListener, Platform, instance
from tests.sdk.streaming import Streamer

from breakwater.model import Status
from breakwater.sdk import (
    BreakerConfig,
    CallFailedError,
    Criticality,
    Service,
    SettingsError,
    deadline,
)

pytestmark = pytest.mark.anyio


async def test_a_call_gives_the_answer_and_one_record(
    gateway: Service, port: int, meters: MeterListener
) -> None:
    """Status, body, headers, instance; and who, whom, what for and how it went."""
    reply = await account(gateway, port).get("/status/200", endpoint="profile")
    assert (reply.status, reply.json(), reply.instance) == (200, {"ok": True}, "account-0")
    assert reply.json(type=dict[str, bool]) == {"ok": True}
    assert reply.headers["content-type"] == "application/json"
    assert not reply.from_fallback
    line = await asyncio.to_thread(meters.wait_for, "T:ipc.client.call")
    for tag in (
        "nf.app=gateway",
        "ipc.client.app=gateway",
        "ipc.server.app=account",
        "ipc.server.node=account-0",
        "ipc.endpoint=profile",
        "ipc.result=success",
        "ipc.attempt=initial",
        "ipc.attempt.final=true",
    ):
        assert f",{tag}," in line
    assert line.rpartition(":")[0].endswith(",ipc.status=success")


async def test_the_callee_is_told_who_calls_and_how_long_it_has(
    gateway: Service, port: int, callee: Callee
) -> None:
    """Identity, deadline, trace and criticality travel as headers."""
    client = account(gateway, port, timeout_s=100.0)
    await client.get("/status/200")
    with deadline(50.0):
        await client.get("/status/200", criticality=Criticality.SHEDDABLE)
    first, second = callee.headers
    assert (first["breakwater-caller"], first["breakwater-caller-node"]) == ("gateway", "gateway-1")
    assert 50_000 < float(first["breakwater-deadline-ms"]) <= 100_000
    assert first["traceparent"].startswith("00-")
    assert 0 < float(second["breakwater-deadline-ms"]) <= 50_000
    assert second["baggage"] == "bw.criticality=sheddable"


async def test_bodies_headers_and_queries_go_through(gateway: Service, port: int) -> None:
    """JSON is encoded, bytes are sent as they are."""
    client = account(gateway, port)
    sent = await client.post("/echo", json={"a": [1]}, params={"q": "1"}, headers={"x-mine": "m"})
    assert sent.json() == {
        "body": '{"a":[1]}',
        "type": "application/json",
        "mine": "m",
        "query": {"q": "1"},
    }
    assert (await client.post("/echo", data=b"raw")).json()["body"] == "raw"
    assert (await client.post("/echo", json=None)).json()["body"] == "null"


async def test_a_redirect_is_an_answer(gateway: Service, port: int) -> None:
    """Calls between services follow nobody's pointers."""
    assert (await account(gateway, port).get("/moved")).status == 302


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (401, Status.ACCESS_DENIED),
        (404, Status.BAD_REQUEST),
        (429, Status.THROTTLED),
        (500, Status.UNEXPECTED_ERROR),
        (503, Status.UNAVAILABLE),
        (504, Status.TIMEOUT),
    ],
)
async def test_an_answer_of_400_and_above_is_an_error(
    gateway: Service, port: int, meters: MeterListener, code: int, status: Status
) -> None:
    """It carries what the callee said."""
    error = await failing(account(gateway, port), f"/status/{code}")
    assert isinstance(error, CallFailedError)
    assert (error.status, error.code, json.loads(error.body)) == (status, code, {"ok": True})
    assert str(error) == f"call to account (status.~) failed: {status} (HTTP {code})"
    await asyncio.to_thread(
        meters.wait_for,
        "ipc.client.call",
        f"ipc.result=failure,ipc.server.app=account,ipc.server.node=account-0,ipc.status={status},"
        f"ipc.status.detail=http_{code}",
    )


async def test_a_refused_connection_is_a_connection_error(
    gateway: Service, refusing: int, meters: MeterListener
) -> None:
    """Nobody listens there; the instance tried is named."""
    error = await failing(account(gateway, refusing), "/x")
    assert error.status is Status.CONNECTION_ERROR
    await asyncio.to_thread(
        meters.wait_for,
        "ipc.server.node=account-0,ipc.status=connection_error,ipc.status.detail=refused",
    )


async def test_a_connection_that_breaks_is_a_connection_error(gateway: Service) -> None:
    """A server that hangs up without an answer."""

    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        error = await failing(account(gateway, port), "/x")
    assert error.status is Status.CONNECTION_ERROR


async def test_half_an_answer_is_a_connection_error(gateway: Service) -> None:
    """The call ends when the body is read, not when its head has come."""

    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(half, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        error = await failing(account(gateway, port), "/x")
    assert error.status is Status.CONNECTION_ERROR


async def test_a_get_is_tried_again_on_another_instance(
    gateway: Service, port: int, refusing: int, callee: Callee, meters: MeterListener
) -> None:
    """After a connection error only; both attempts are recorded, the last one as final."""
    client = account(gateway, refusing, port, retries=1)
    for _ in range(2):
        assert (await client.get("/status/200")).instance == "account-1"
    await asyncio.to_thread(
        meters.wait_for,
        "ipc.attempt=initial,ipc.attempt.final=false",
        "ipc.server.node=account-0,ipc.status=connection_error",
    )
    await asyncio.to_thread(
        meters.wait_for, "ipc.attempt=second,ipc.attempt.final=true", "ipc.status=success"
    )
    assert "2" in [headers.get("breakwater-attempt") for headers in callee.headers]


async def test_what_may_not_be_repeated_is_not(gateway: Service, refusing: int, port: int) -> None:
    """A POST, a pinned instance, or an answer of 500 is final."""
    client = account(gateway, refusing, port, retries=3)
    for _ in range(2):
        before = client.stats().attempts
        with pytest.raises(CallFailedError):
            await client.post("/status/500", data=b"")
        assert client.stats().attempts == before + 1


async def test_a_refusing_instance_is_passed_over_for_a_while(
    gateway: Service, port: int, refusing: int
) -> None:
    """One error at most, then its neighbour gets the calls."""
    client = account(gateway, port, refusing)
    replies = [await client.get("/status/200", fallback=lambda _error: None) for _ in range(8)]
    assert sum(reply.from_fallback for reply in replies) == 1


async def test_a_pinned_instance_is_called_and_no_other(
    gateway: Service, port: int, refusing: int
) -> None:
    """Its failures open its own circuit, not that of its neighbours."""
    client = account(gateway, port, refusing, breaker=BreakerConfig(minimum_calls=2))
    for _ in range(2):
        error = await failing(client, "/status/200", instance="account-1")
        assert error.status is Status.CONNECTION_ERROR
    error = await failing(client, "/status/200", instance="account-1")
    assert error.status is Status.SHORT_CIRCUITED
    assert (await client.get("/status/200", instance="account-0")).instance == "account-0"
    unknown = await failing(client, "/status/200", instance="account-7")
    assert isinstance(unknown, CallFailedError)
    assert (unknown.status, unknown.detail) == (Status.UNAVAILABLE, "no_instance")


async def test_a_service_nobody_knows_is_unavailable(
    gateway: Service, meters: MeterListener
) -> None:
    """Recorded with no instance, and not held against anybody."""
    client = gateway.client("nobody", breaker=BreakerConfig(minimum_calls=1))
    for _ in range(3):
        assert (await failing(client, "/x")).status is Status.UNAVAILABLE
    await asyncio.to_thread(
        meters.wait_for,
        "ipc.server.app=nobody,ipc.server.node=none,ipc.status=unavailable,"
        "ipc.status.detail=no_instance",
    )


async def test_instances_come_from_the_registry(
    gateway: Service, platform: Platform, port: int
) -> None:
    """Known by name a moment after they register."""
    platform.set_view(instance("catalogue", port))
    await asyncio.to_thread(
        platform.wait_for, lambda: platform.count("GET", "wait_s=20&revision=1") > 0
    )
    assert (await gateway.client("catalogue").get("/status/200")).instance == f"catalogue-{port}"


async def test_a_fixed_url_stands_for_an_instance(gateway: Service, port: int) -> None:
    """A program may call what no registry knows."""
    client = gateway.client("legacy", instances=[f"http://127.0.0.1:{port}"])
    assert (await client.get("/status/200")).instance == f"legacy-127.0.0.1-{port}"
    with pytest.raises(SettingsError, match="instances"):
        gateway.client("legacy", instances=["legacy.example"])


async def test_settings_that_cannot_work_are_refused(gateway: Service) -> None:
    """No time at all is no limit one can want."""
    with pytest.raises(SettingsError, match="timeout_s"):
        gateway.client("x", timeout_s=0.0)


async def test_a_path_that_cannot_be_sent_is_the_callers_mistake(
    gateway: Service, port: int
) -> None:
    """It neither counts against the callee nor goes to the fallback."""
    client = account(gateway, port, breaker=BreakerConfig(minimum_calls=1))
    error = await failing(client, "no-slash:x", fallback=lambda _error: "instead")
    assert error.status is Status.BAD_REQUEST
    assert (await client.get("/status/200")).status == 200


@pytest.mark.slow
async def test_calls_under_way_are_seen(gateway: Service, port: int, meters: MeterListener) -> None:
    """A callee that hangs shows as calls that pile up."""
    client = account(gateway, port, timeout_s=5.0)
    calls = [asyncio.ensure_future(client.get("/hang")) for _ in range(3)]
    await asyncio.to_thread(meters.wait_for, "m:ipc.client.inflight", "ipc.server.app=account:3")
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)


@pytest.mark.anyio
async def test_a_request_is_sent_once_for_each_attempt(
    gateway: Service, streamer: Streamer
) -> None:
    """The repetition that aiohttp itself has for broken connections is off."""
    client = account(gateway, streamer.port)
    await client.get("/ok")
    error = await failing(client, "/hangup")
    assert isinstance(error, CallFailedError)
    assert error.status is Status.CONNECTION_ERROR
    assert streamer.paths() == ["/ok", "/hangup"]
