"""httpx under guard, the real library against a server on a real socket."""

import asyncio
import gc
from collections.abc import Iterator
from typing import Any

import anyio.to_thread
import httpx
import pytest
from tests.sdk.fleet import PATIENCE_S, MeterListener
from tests.sdk.streaming import QUICK, Streamer, in_flight, rule

from breakwater.model import FaultKind, Instance, Status
from breakwater.sdk import (
    BreakerConfig,
    BulkheadConfig,
    CallFailedError,
    CallRefusedError,
    CommandConfig,
    Service,
    deadline,
)
from breakwater.sdk.dispatch import sweep
from breakwater.sdk.httpx import (
    PastDeadlineError,
    RefusedError,
    TimedOutError,
    guarded_async_transport,
    guarded_transport,
)


def client(caller: Service, streamer: Streamer, **options: Any) -> httpx.Client:
    """A user's client with a guarded transport."""
    config = CommandConfig(**options.pop("parts", {}))
    transport = guarded_transport(caller, peer="account", config=config, **options)
    return httpx.Client(transport=transport, base_url=streamer.url)


def async_client(caller: Service, streamer: Streamer, **options: Any) -> httpx.AsyncClient:
    """As `client`."""
    config = CommandConfig(**options.pop("parts", {}))
    transport = guarded_async_transport(caller, peer="account", config=config, **options)
    return httpx.AsyncClient(transport=transport, base_url=streamer.url)


def test_the_callee_is_told_and_the_call_recorded(
    caller: Service, streamer: Streamer, meters: MeterListener
) -> None:
    """The user's client stays as it is; identity, deadline and trace go along."""
    with client(caller, streamer) as user, deadline(5.0):
        reply = user.get("/v1/profiles/7", headers={"x-mine": "1"})
    assert (reply.status_code, reply.text) == (200, "yes")
    _, headers = streamer.seen[0]
    assert headers["breakwater-caller"] == "gateway"
    assert headers["x-mine"] == "1"
    assert 0 < float(headers["breakwater-deadline-ms"]) <= 5000.0
    line = meters.wait_for("T:ipc.client.call")
    for tag in ("ipc.server.app=account", "ipc.endpoint=v1.profiles.~", "ipc.status=success"):
        assert tag in line


def test_a_bad_answer_counts_and_is_given_to_the_caller(
    caller: Service, streamer: Streamer, meters: MeterListener
) -> None:
    """503 is no exception, but it opens the circuit."""
    with client(caller, streamer, parts={"breaker": BreakerConfig(minimum_calls=2)}) as user:
        assert [user.get("/fail").text for _ in range(2)] == ["no", "no"]
        with pytest.raises(httpx.TransportError) as refused:
            user.get("/fail")
    assert isinstance(refused.value, CallRefusedError)
    assert refused.value.reason == "breaker_open"
    assert refused.value.request.url.path == "/fail"
    assert len(streamer.seen) == 2
    line = meters.wait_for("ipc.status=short_circuited")
    assert "ipc.server.node=none" in line


def test_answers_of_the_callers_own_fault_do_not_count(caller: Service, streamer: Streamer) -> None:
    """A 404 says nothing bad of the callee."""

    class NotFound(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            return httpx.Response(404)

    breaker = BreakerConfig(minimum_calls=1)
    with client(caller, streamer, inner=NotFound(), parts={"breaker": breaker}) as user:
        assert [user.get("/x").status_code for _ in range(3)] == [404, 404, 404]


def test_a_retry_takes_the_place_of_a_bad_answer(
    caller: Service, streamer: Streamer, meters: MeterListener
) -> None:
    """One record an attempt, and only the last is final."""
    with client(caller, streamer, parts={"retry": QUICK}) as user:
        assert user.get("/flaky").status_code == 200
    assert streamer.seen[0][1]["breakwater-attempt"] == "1;more"
    assert streamer.seen[1][1]["breakwater-attempt"] == "2"
    assert "final=false" in meters.wait_for("ipc.attempt=initial", "ipc.status=unavailable")
    assert "final=true" in meters.wait_for("ipc.attempt=second", "ipc.status=success")


def test_what_may_not_be_sent_twice_is_not(caller: Service, streamer: Streamer) -> None:
    """POST gets one attempt unless the user says that it may be repeated."""
    with client(caller, streamer, parts={"retry": QUICK}) as user:
        assert user.post("/flaky", content=b"x").status_code == 503
    streamer.flaky_left = 1
    again: dict[str, Any] = {"parts": {"retry": QUICK}, "may_retry": lambda _request: True}
    with client(caller, streamer, **again) as user:
        assert user.post("/flaky", content=b"x").status_code == 200
    assert len(streamer.seen) == 3


def test_a_fallback_gives_a_response(
    caller: Service, streamer: Streamer, meters: MeterListener
) -> None:
    """It is told what happened; its record stands beside the failure's."""
    seen: list[Exception] = []

    def guest(error: Exception) -> httpx.Response:
        seen.append(error)
        return httpx.Response(200, text="guest")

    with client(caller, streamer, fallback=guest) as user:
        assert user.get("/fail").text == "guest"
    assert isinstance(seen[0], CallFailedError)
    assert (seen[0].status, seen[0].code) == (Status.UNAVAILABLE, 503)
    meters.wait_for("ipc.result=failure", "ipc.status=unavailable")
    meters.wait_for("ipc.result=success", "ipc.status=fallback")


def test_time_limits_are_handed_to_the_library(
    caller: Service, streamer: Streamer, meters: MeterListener
) -> None:
    """A sync attempt ends at the guard's limit by a timeout of httpx itself."""
    with (
        client(caller, streamer, parts={"timeout_s": 0.05}) as user,
        pytest.raises(httpx.ReadTimeout),
    ):
        user.get("/slow")
    meters.wait_for("ipc.status=timeout", "ipc.status.detail=attempt_timeout")


def test_a_near_deadline_is_not_held_against_the_callee(
    caller: Service, streamer: Streamer
) -> None:
    """An attempt cut short says nothing, and after the deadline nothing is sent."""
    parts = {"timeout_s": 5.0, "breaker": BreakerConfig(minimum_calls=1)}
    with client(caller, streamer, parts=parts) as user, deadline(0.05):
        with pytest.raises(httpx.TimeoutException):
            user.get("/slow")
        with pytest.raises(PastDeadlineError) as late:
            user.get("/slow")
    assert isinstance(late.value, httpx.TimeoutException)
    assert len(streamer.seen) == 1


def test_a_body_under_way_holds_its_permit(
    caller: Service, streamer: Streamer, meters: MeterListener
) -> None:
    """Until it is read; the next call too many is refused meanwhile."""
    parts = {"bulkhead": BulkheadConfig(max_concurrent=1)}
    with client(caller, streamer, parts=parts) as user:
        with user.stream("GET", "/drip") as reply:
            assert in_flight(caller) == 1
            with pytest.raises(RefusedError):
                user.get("/ok")
            streamer.go_on.set()
            assert reply.read() == b"onetwo"
            assert in_flight(caller) == 0
        meters.wait_for("ipc.status=success", "ipc.endpoint=drip")


def test_a_body_closed_early_is_a_success(
    caller: Service, streamer: Streamer, meters: MeterListener
) -> None:
    """The user took what he wanted."""
    with client(caller, streamer) as user:
        with user.stream("GET", "/drip") as reply:
            assert next(reply.iter_raw()) == b"one"
        assert in_flight(caller) == 0
    meters.wait_for("ipc.endpoint=drip", "ipc.status=success")


def test_a_body_that_breaks_off_is_a_failure(
    caller: Service, streamer: Streamer, meters: MeterListener
) -> None:
    """It was answered 200, and is no success; it is not tried again, half of it was used."""
    with (
        client(caller, streamer, parts={"retry": QUICK}) as user,
        pytest.raises(httpx.RemoteProtocolError),
    ):
        user.get("/break")
    meters.wait_for("ipc.endpoint=break", "ipc.status=connection_error")
    assert streamer.paths() == ["/break"]
    assert in_flight(caller) == 0


def test_a_response_that_is_dropped_gives_its_permit_back(
    caller: Service, streamer: Streamer, meters: MeterListener
) -> None:
    """A user who forgets to close leaks no permit."""
    with client(caller, streamer) as user:
        reply = user.send(user.build_request("GET", "/drip"), stream=True)
        assert in_flight(caller) == 1
        del reply
        gc.collect()
        sweep()
        assert in_flight(caller) == 0
        meters.wait_for("ipc.endpoint=drip", "ipc.status=cancelled")


def test_a_service_name_leads_to_an_instance(
    caller: Service, streamer: Streamer, meters: MeterListener
) -> None:
    """The registry knows where; an instance that refuses is passed over by the retry."""
    places = [("gone", 9), ("there", streamer.port)]
    caller.runtime.resolver.pin(
        "account",
        [
            Instance(service="account", instance_id=name, host="127.0.0.1", port=port)
            for name, port in places
        ],
    )
    transport = guarded_transport(caller, config=CommandConfig(retry=QUICK))
    with httpx.Client(transport=transport, base_url="http://account") as user:
        assert [user.get("/ok").text for _ in range(2)] == ["yes", "yes"]
    assert streamer.seen[0][1]["host"] == "account"
    meters.wait_for("ipc.server.app=account", "ipc.server.node=there", "ipc.status=success")
    line = meters.wait_for("ipc.server.node=gone", "ipc.status=connection_error")
    assert "ipc.status.detail=refused" in line


def test_hosts_are_peers_of_their_own(caller: Service, streamer: Streamer) -> None:
    """Without a name each host has its guard."""
    transport = guarded_transport(caller)
    with httpx.Client(transport=transport) as user:
        user.get(f"http://127.0.0.1:{streamer.port}/ok")
        user.get(f"http://localhost:{streamer.port}/ok")
    assert {one.peer for one in transport.stats()} == {"127.0.0.1", "localhost"}


def test_injected_errors_look_like_answers(
    caller: Service, streamer: Streamer, meters: MeterListener
) -> None:
    """Nothing is sent, and the record says that it was on purpose."""
    caller.runtime.faults.accept(rule(FaultKind.ERROR, status=503))
    with client(caller, streamer) as user:
        reply = user.get("/ok")
    assert (reply.status_code, reply.json()["message"]) == (503, "injected fault")
    assert not streamer.seen
    assert "ipc.failure.injected=true" in meters.wait_for("ipc.status=unavailable")


def test_an_injected_hang_ends_as_a_real_one_would(caller: Service, streamer: Streamer) -> None:
    """In the user's own time limit, when the guard has none."""
    caller.runtime.faults.accept(rule(FaultKind.HANG))
    with client(caller, streamer) as user, pytest.raises(httpx.ReadTimeout):
        user.get("/ok", timeout=0.02)


def test_a_body_ends_with_the_deadline(
    caller: Service, streamer: Streamer, meters: MeterListener
) -> None:
    """However patient the user's own time limits are."""
    with client(caller, streamer) as user, deadline(0.1):
        with pytest.raises(httpx.TimeoutException):
            user.get("/drip", timeout=60)
        assert in_flight(caller) == 0
    meters.wait_for("ipc.endpoint=drip", "ipc.status=timeout")


def test_a_deadline_is_looked_at_between_pieces(caller: Service, streamer: Streamer) -> None:
    """A server that always has one more piece does not go on for ever."""

    class Endless(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            return httpx.Response(200, stream=Pieces())

    class Pieces(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            while True:
                yield b"more"

    with (
        client(caller, streamer, inner=Endless()) as user,
        deadline(0.05),
        pytest.raises(PastDeadlineError),
    ):
        user.get("/endless")


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/trickle", "/trickle-head"])
def test_a_server_that_drips_does_not_outlive_the_deadline(
    caller: Service, streamer: Streamer, path: str
) -> None:
    """Each read gets what is left, not the same time again."""
    with client(caller, streamer, parts={"timeout_s": 5.0}) as user, deadline(0.2):
        with pytest.raises(httpx.TimeoutException):
            user.get(path, timeout=60)
        assert not streamer.go_on.is_set()  # it would have gone on for ever
        assert in_flight(caller) == 0


@pytest.mark.slow
def test_a_head_that_drips_ends_with_the_attempt(caller: Service, streamer: Streamer) -> None:
    """The limit of an attempt is one for all reads, and the connection is not used again."""
    with client(caller, streamer, parts={"timeout_s": 0.1}) as user:
        for _ in range(2):
            with pytest.raises(httpx.ReadTimeout):
                user.get("/trickle-head", timeout=60)
        assert user.get("/ok").text == "yes"
    assert len(streamer.seen) == 3


@pytest.mark.slow
def test_a_dripping_stream_is_read_until_the_deadline(caller: Service, streamer: Streamer) -> None:
    """What came before it is the user's."""
    got: list[bytes] = []
    with (
        client(caller, streamer) as user,
        deadline(0.2),
        user.stream("GET", "/trickle") as reply,
        pytest.raises(httpx.TimeoutException),
    ):
        got.extend(reply.iter_raw())
    assert b"".join(got).startswith(b"xx")
    assert in_flight(caller) == 0


def test_what_cannot_be_sent_is_the_callers_mistake(
    caller: Service, streamer: Streamer, meters: MeterListener
) -> None:
    """It says nothing of the callee, and there is no fallback for it."""
    parts = {"breaker": BreakerConfig(minimum_calls=1)}
    given: dict[str, Any] = {"parts": parts, "fallback": lambda _error: httpx.Response(200)}
    with client(caller, streamer, **given) as user:
        for _ in range(2):
            with pytest.raises(httpx.UnsupportedProtocol):
                user.get("gopher://127.0.0.1/x")
    meters.wait_for("ipc.status=bad_request", "ipc.status.detail=invalid_request")


def test_endpoints_have_names(caller: Service, streamer: Streamer, meters: MeterListener) -> None:
    """Of one request by its extension, of all by a function."""
    with client(caller, streamer, endpoint=lambda request: request.method.lower()) as user:
        user.get("/ok", extensions={"endpoint": "profile"})
        user.get("/ok")
    meters.wait_for("ipc.endpoint=profile")
    meters.wait_for("ipc.endpoint=get")


@pytest.mark.anyio
async def test_a_reader_who_leaves_gives_the_permit_back(
    caller: Service, streamer: Streamer, meters: MeterListener
) -> None:
    """A body under way is cancelled with the task that reads it."""
    async with async_client(caller, streamer) as user:
        call = asyncio.ensure_future(user.get("/drip"))
        assert await anyio.to_thread.run_sync(streamer.arrived.wait, PATIENCE_S)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert in_flight(caller) == 0
    await anyio.to_thread.run_sync(meters.wait_for, "ipc.endpoint=drip", "ipc.status=cancelled")


@pytest.mark.anyio
async def test_async_calls_are_guarded_alike(
    caller: Service, streamer: Streamer, meters: MeterListener
) -> None:
    """Answers, bad answers, retries and refusals of an AsyncClient."""
    parts = {"retry": QUICK, "breaker": BreakerConfig(minimum_calls=3)}
    async with async_client(caller, streamer, parts=parts) as user:
        assert (await user.get("/flaky")).status_code == 200
        assert (await user.post("/fail")).text == "no"
        with pytest.raises(httpx.TransportError) as refused:
            await user.get("/ok")
    assert isinstance(refused.value, RefusedError)
    await anyio.to_thread.run_sync(meters.wait_for, "ipc.status=short_circuited")


@pytest.mark.anyio
async def test_an_async_attempt_is_cancelled_at_its_limit(
    caller: Service, streamer: Streamer
) -> None:
    """The error is a timeout of httpx and of ours."""
    async with async_client(caller, streamer, parts={"timeout_s": 0.05}) as user:
        with pytest.raises(TimedOutError) as late:
            await user.get("/slow")
    assert isinstance(late.value, httpx.TimeoutException)
    assert "account (slow)" in str(late.value)


@pytest.mark.anyio
async def test_an_async_body_has_its_limit_for_each_piece(
    caller: Service, streamer: Streamer, meters: MeterListener
) -> None:
    """A server that stops in the middle does not hold the caller or the permit."""
    async with async_client(caller, streamer, parts={"timeout_s": 0.1}) as user:
        with pytest.raises(TimedOutError):
            await user.get("/drip")
        assert in_flight(caller) == 0
    await anyio.to_thread.run_sync(meters.wait_for, "ipc.endpoint=drip", "ipc.status=timeout")


@pytest.mark.anyio
async def test_an_async_body_holds_its_permit(caller: Service, streamer: Streamer) -> None:
    """Until it is read, closed, or its reader is gone."""
    async with async_client(caller, streamer) as user:
        async with user.stream("GET", "/drip") as reply:
            assert in_flight(caller) == 1
            streamer.go_on.set()
            assert await reply.aread() == b"onetwo"
            assert in_flight(caller) == 0
        async with user.stream("GET", "/ok"):
            assert in_flight(caller) == 1
        assert in_flight(caller) == 0


@pytest.mark.anyio
async def test_an_async_fallback_is_awaited(caller: Service, streamer: Streamer) -> None:
    """It may ask elsewhere."""

    async def guest(_error: Exception) -> httpx.Response:
        return httpx.Response(200, text="guest")

    async with async_client(caller, streamer, fallback=guest) as user:
        assert (await user.get("/fail")).text == "guest"
