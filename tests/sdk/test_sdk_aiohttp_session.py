"""A user's own aiohttp session under guard, against a server on a real socket."""

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from tests.sdk.fleet import MeterListener
from tests.sdk.streaming import QUICK, Streamer, in_flight, rule

from breakwater.model import FaultKind, Instance
from breakwater.sdk import (
    BreakerConfig,
    BulkheadConfig,
    CallRefusedError,
    CommandConfig,
    Service,
    context,
    deadline,
)
from breakwater.sdk.aiohttp_session import (
    RESENDS,
    PastDeadlineError,
    RefusedError,
    TimedOutError,
    guarded_middleware,
)

pytestmark = pytest.mark.anyio


def session(caller: Service, **options: Any) -> aiohttp.ClientSession:
    """A user's session with the guarding middleware."""
    config = CommandConfig(**options.pop("parts", {}))
    guarded = guarded_middleware(caller, peer="account", config=config, **options)
    return aiohttp.ClientSession(middlewares=[guarded])


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until it holds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is awaited is the loop's own next turn
            await asyncio.sleep(0)


async def seen(meters: MeterListener, *parts: str) -> str:
    """The first line with all these parts."""
    return await asyncio.to_thread(meters.wait_for, *parts)


async def test_the_callee_is_told_and_the_call_recorded(
    caller: Service, streamer: Streamer, meters: MeterListener
) -> None:
    """The user's session stays as it is; identity, deadline and trace go along."""
    async with session(caller) as user:
        with deadline(5.0):
            async with user.get(f"{streamer.url}/v1/profiles/7", headers={"x-mine": "1"}) as reply:
                assert (reply.status, await reply.text()) == (200, "yes")
    _, headers = streamer.seen[0]
    assert (headers["breakwater-caller"], headers["x-mine"]) == ("gateway", "1")
    assert 0 < float(headers["breakwater-deadline-ms"]) <= 5000.0
    line = await seen(meters, "T:ipc.client.call")
    for tag in ("ipc.server.app=account", "ipc.endpoint=v1.profiles.~", "ipc.status=success"):
        assert tag in line


async def test_a_bad_answer_counts_and_is_given_to_the_caller(
    caller: Service, streamer: Streamer, meters: MeterListener
) -> None:
    """503 is no exception, but it opens the circuit; the refusal is an error of aiohttp."""
    async with session(caller, parts={"breaker": BreakerConfig(minimum_calls=2)}) as user:
        for _ in range(2):
            async with user.get(f"{streamer.url}/fail") as reply:
                assert (reply.status, await reply.text()) == (503, "no")
        with pytest.raises(aiohttp.ClientConnectionError) as refused:
            await user.get(f"{streamer.url}/fail")
    assert isinstance(refused.value, CallRefusedError)
    assert refused.value.reason == "breaker_open"
    assert "its circuit is open" in str(refused.value)
    await seen(meters, "ipc.status=short_circuited")


async def test_a_retry_takes_the_place_of_a_bad_answer(
    caller: Service, streamer: Streamer, meters: MeterListener
) -> None:
    """For methods that may be repeated, one record an attempt."""
    async with session(caller, parts={"retry": QUICK}) as user:
        async with user.get(f"{streamer.url}/flaky") as reply:
            assert reply.status == 200
        streamer.flaky_left = 1
        async with user.post(f"{streamer.url}/flaky", data=b"x") as reply:
            assert reply.status == 503
    assert "final=false" in await seen(meters, "ipc.attempt=initial", "ipc.status=unavailable")
    assert "final=true" in await seen(meters, "ipc.attempt=second", "ipc.status=success")


async def test_an_attempt_is_cancelled_at_its_limit(caller: Service, streamer: Streamer) -> None:
    """The error is a timeout of aiohttp, of Python and of ours."""
    async with session(caller, parts={"timeout_s": 0.05}) as user:
        with pytest.raises(aiohttp.ServerTimeoutError) as late:
            await user.get(f"{streamer.url}/slow")
    assert isinstance(late.value, TimedOutError)
    assert isinstance(late.value, TimeoutError)


async def test_a_body_under_way_holds_its_permit(
    caller: Service, streamer: Streamer, meters: MeterListener
) -> None:
    """Until it is read, or the response is closed or dropped."""
    parts = {"bulkhead": BulkheadConfig(max_concurrent=1)}
    async with session(caller, parts=parts) as user:
        async with user.get(f"{streamer.url}/drip") as reply:
            assert in_flight(caller) == 1
            with pytest.raises(RefusedError):
                await user.get(f"{streamer.url}/ok")
            streamer.go_on.set()
            assert await reply.read() == b"onetwo"
            await until(lambda: in_flight(caller) == 0)
        streamer.go_on.clear()
        async with user.get(f"{streamer.url}/drip"):
            assert in_flight(caller) == 1
        await until(lambda: in_flight(caller) == 0)
    await seen(meters, "ipc.endpoint=drip", "ipc.status=success")


async def test_a_response_that_is_dropped_gives_its_permit_back(
    caller: Service, streamer: Streamer
) -> None:
    """When its body has come: aiohttp keeps it until then."""
    async with session(caller) as user:
        await user.get(f"{streamer.url}/drip")
        assert in_flight(caller) == 1
        streamer.go_on.set()
        await until(lambda: in_flight(caller) == 0)


async def test_a_body_that_breaks_off_is_a_failure(
    caller: Service, streamer: Streamer, meters: MeterListener
) -> None:
    """It was answered 200, and is no success."""
    async with session(caller) as user, user.get(f"{streamer.url}/break") as reply:
        with pytest.raises(aiohttp.ClientPayloadError):
            await reply.read()
    await seen(meters, "ipc.endpoint=break", "ipc.status=connection_error")


async def test_a_body_ends_with_the_deadline(
    caller: Service, streamer: Streamer, meters: MeterListener
) -> None:
    """However long the server takes for it."""
    async with session(caller) as user:
        with deadline(0.1):
            async with user.get(f"{streamer.url}/drip") as reply:
                with pytest.raises(PastDeadlineError):
                    await reply.read()
    await seen(meters, "ipc.endpoint=drip", "ipc.status=timeout")


async def test_a_service_name_leads_to_an_instance(
    caller: Service, streamer: Streamer, meters: MeterListener
) -> None:
    """The registry knows where; an instance that refuses is passed over by the retry."""
    instances = [
        Instance(service="account", instance_id=name, host="127.0.0.1", port=port)
        for name, port in (("gone", 9), ("there", streamer.port))
    ]
    caller.runtime.resolver.pin("account", instances)
    async with session(caller, parts={"retry": QUICK}) as user:
        for _ in range(2):
            async with user.get("http://account/ok") as reply:
                assert await reply.text() == "yes"
    assert streamer.seen[0][1]["host"] == "account"
    await seen(meters, "ipc.server.node=there", "ipc.status=success")
    line = await seen(meters, "ipc.server.node=gone", "ipc.status=connection_error")
    assert "ipc.status.detail=refused" in line


async def test_injected_errors_are_errors_of_the_library(
    caller: Service, streamer: Streamer, meters: MeterListener
) -> None:
    """With the status that was asked for; nothing is sent."""
    caller.runtime.faults.accept(rule(FaultKind.ERROR, status=503))
    async with session(caller) as user:
        with pytest.raises(aiohttp.ClientResponseError) as injected:
            await user.get(f"{streamer.url}/ok")
    assert injected.value.status == 503
    assert not streamer.seen
    assert "ipc.failure.injected=true" in await seen(meters, "ipc.status=unavailable")


async def test_a_fallback_gives_a_response(caller: Service, streamer: Streamer) -> None:
    """Asked elsewhere, for instance."""
    async with aiohttp.ClientSession() as other:

        async def elsewhere(_error: Exception) -> aiohttp.ClientResponse:
            return await other.get(f"{streamer.url}/ok")

        user = session(caller, fallback=elsewhere)
        async with user, user.get(f"{streamer.url}/fail") as reply:
            assert await reply.text() == "yes"


async def test_what_the_guard_tries_again_aiohttp_does_not(
    caller: Service, streamer: Streamer, meters: MeterListener
) -> None:
    """Of a connection that breaks, two attempts are two requests, and all that were sent."""
    async with session(caller, parts={"retry": QUICK}) as user:
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await user.get(f"{streamer.url}/hangup")
    assert streamer.paths() == ["/hangup", "/hangup"]
    await seen(meters, "ipc.status=connection_error", "ipc.attempt=second")


async def test_what_aiohttp_sends_again_is_a_call(caller: Service, streamer: Streamer) -> None:
    """Without a retry of the guard a broken connection is made good once, and recorded twice."""
    guarded = guarded_middleware(caller, peer="account")
    async with aiohttp.ClientSession(middlewares=[guarded]) as user:
        async with user.get(f"{streamer.url}/hangup-once") as reply:
            assert await reply.text() == "yes"
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await user.post(f"{streamer.url}/hangup")
    assert streamer.paths() == ["/hangup-once", "/hangup-once", "/hangup"]
    (stats,) = guarded.stats()
    assert (stats.calls, stats.attempts) == (3, 3)


async def test_a_caller_who_tries_again_is_the_only_one(
    caller: Service, streamer: Streamer
) -> None:
    """Below somebody's retries a broken connection is not made good by aiohttp."""
    async with session(caller) as user:
        token = context.bind(context.CallContext(attempts=context.NESTED))
        try:
            with pytest.raises(aiohttp.ServerDisconnectedError):
                await user.get(f"{streamer.url}/hangup")
        finally:
            context.unbind(token)
    assert streamer.paths() == ["/hangup"]


async def test_aiohttp_sends_a_tenth_again_in_an_outage(
    caller: Service, streamer: Streamer
) -> None:
    """However many calls fail, little is sent beside them."""
    calls = 60
    async with session(caller, parts={"breaker": None}) as user:
        for _ in range(calls):
            with pytest.raises(aiohttp.ServerDisconnectedError):
                await user.get(f"{streamer.url}/hangup")
    assert calls < len(streamer.seen) <= calls * 1.1 + RESENDS


async def test_broken_connections_leave_nothing_behind(caller: Service, streamer: Streamer) -> None:
    """Another request of the same task is not taken for one that is sent again."""
    async with session(caller) as user:
        for _ in range(3):
            with pytest.raises(aiohttp.ServerDisconnectedError):
                await user.post(f"{streamer.url}/hangup")
            async with user.get(f"{streamer.url}/ok") as reply:
                assert await reply.text() == "yes"
