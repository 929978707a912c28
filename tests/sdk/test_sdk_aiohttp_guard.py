"""The guard around every call: limits, deadlines, circuits, bulkheads, fallbacks."""

import asyncio

import pytest
from tests.sdk.callee import Callee, account, failing
from tests.sdk.fleet import PATIENCE_S, MeterListener

from breakwater.model import Status
from breakwater.sdk import (
    BreakerConfig,
    BreakerState,
    CallFailedError,
    CallRefusedError,
    DeadlineExceededError,
    Service,
    deadline,
)

pytestmark = pytest.mark.anyio


async def test_a_hanging_callee_is_left_at_the_limit(
    gateway: Service, port: int, meters: MeterListener
) -> None:
    """The limit of the attempt holds, and its time is recorded."""
    error = await failing(account(gateway, port, timeout_s=0.05), "/hang")
    assert error.status is Status.TIMEOUT
    line = await asyncio.to_thread(
        meters.wait_for, "ipc.client.call", "ipc.status=timeout,ipc.status.detail=attempt_timeout"
    )
    assert float(line.rpartition(":")[2]) >= 0.05


async def test_the_callers_deadline_cuts_the_limit(gateway: Service, port: int) -> None:
    """With 0.2 s left nobody waits a minute, and it is not held against the callee."""
    config = BreakerConfig(minimum_calls=1)
    client = account(gateway, port, timeout_s=60.0, breaker=config)
    with deadline(0.2):
        assert (await failing(client, "/hang")).status is Status.TIMEOUT
    breaker = client.stats().breaker
    assert breaker is not None
    assert breaker.state is BreakerState.CLOSED


async def test_a_call_past_the_deadline_is_not_sent(
    gateway: Service, port: int, callee: Callee, meters: MeterListener
) -> None:
    """It is recorded as a timeout of no length, to no instance."""
    client = account(gateway, port)
    with deadline(0.0):
        assert isinstance(await failing(client, "/status/200"), DeadlineExceededError)
    assert callee.headers == []
    assert client.stats().past_deadline == 1
    line = await asyncio.to_thread(meters.wait_for, "ipc.status.detail=past_deadline")
    assert "ipc.server.node=none" in line
    assert line.endswith(":0")


async def test_a_cancelled_call_is_recorded_and_stays_cancelled(
    gateway: Service, port: int, callee: Callee, meters: MeterListener
) -> None:
    """Cancellation is never swallowed, and every permit comes back."""
    client = account(gateway, port, max_concurrent=1)
    call = asyncio.ensure_future(client.get("/hang"))
    assert await asyncio.to_thread(callee.is_hanging.wait, PATIENCE_S)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await asyncio.to_thread(
        meters.wait_for, "ipc.client.call", "ipc.server.node=account-0,ipc.status=cancelled"
    )
    bulkhead = client.stats().bulkhead
    assert bulkhead is not None
    assert bulkhead.in_use == 0


async def test_the_circuit_opens_and_refused_calls_are_recorded(
    gateway: Service, port: int, callee: Callee, meters: MeterListener
) -> None:
    """Once per refused call, of no length, to no instance."""
    client = account(gateway, port, breaker=BreakerConfig(minimum_calls=2))
    for _ in range(2):
        await failing(client, "/status/500")
    error = await failing(client, "/status/500")
    assert isinstance(error, CallRefusedError)
    assert error.status is Status.SHORT_CIRCUITED
    assert len(callee.headers) == 2
    line = await asyncio.to_thread(meters.wait_for, "ipc.status=short_circuited")
    assert "ipc.server.node=none" in line
    assert line.endswith(":0")


async def test_the_callers_own_mistakes_do_not_open_the_circuit(
    gateway: Service, port: int
) -> None:
    """404 is an answer: no failure of the callee, and no case for the fallback."""
    client = account(gateway, port, breaker=BreakerConfig(minimum_calls=1))
    for _ in range(5):
        error = await failing(client, "/status/404", fallback=lambda _error: "instead")
        assert isinstance(error, CallFailedError)
    assert (await client.get("/status/200")).status == 200


async def test_the_bulkhead_refuses_the_call_too_many(
    gateway: Service, port: int, callee: Callee, meters: MeterListener
) -> None:
    """It is recorded as rejected."""
    client = account(gateway, port, max_concurrent=1)
    call = asyncio.ensure_future(client.get("/hang"))
    assert await asyncio.to_thread(callee.is_hanging.wait, PATIENCE_S)
    error = await failing(client, "/status/200")
    assert isinstance(error, CallRefusedError)
    assert error.status is Status.REJECTED
    await asyncio.to_thread(meters.wait_for, "ipc.status=rejected")
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_a_fallback_answers_and_stands_beside_the_failure(
    gateway: Service, port: int, meters: MeterListener
) -> None:
    """A dependency masked by a fallback still shows as failing."""

    async def cached(error: Exception) -> dict[str, str]:
        return {"why": str(error)}

    client = account(gateway, port, fallback=lambda _error: "the client's")
    reply = await client.get("/status/503", fallback=cached)
    assert reply.from_fallback
    assert reply.json() == {"why": "call to account (status.~) failed: unavailable (HTTP 503)"}
    assert (await client.get("/status/503")).value == "the client's"
    await asyncio.to_thread(meters.wait_for, "ipc.result=failure", "ipc.status=unavailable")
    await asyncio.to_thread(meters.wait_for, "ipc.result=success", "ipc.status=fallback:")
    assert client.stats().fallbacks == 2


async def test_a_fallback_that_fails_is_seen(gateway: Service, port: int) -> None:
    """Its own error reaches the caller, the first one as its context."""
    client = account(gateway, port)

    def broken(_error: Exception) -> None:
        raise KeyError

    with pytest.raises(KeyError) as seen:
        await client.get("/status/503", fallback=broken)
    assert isinstance(seen.value.__context__, CallFailedError)
    assert client.stats().fallback_failures == 1
