"""gRPC on asyncio: both sides over a real channel, calls of every kind."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import grpc
import grpc.aio
import pytest
from tests.sdk.fleet import PATIENCE_S, MeterListener
from tests.sdk.grpc_shop import PATIENT, SERVICE, Shop, method, open_shop
from tests.sdk.guarding import break_at, failures, permits_out

from breakwater.sdk import (
    AttemptTimedOutError,
    BreakerConfig,
    BulkheadConfig,
    CallRefusedError,
    CommandConfig,
    DeadlineExceededError,
    RetryConfig,
    Service,
    current,
    deadline,
)
from breakwater.sdk.grpc_aio import client_interceptors, server_interceptor
from breakwater.sdk.guard import Command

pytestmark = pytest.mark.anyio
Channels = Callable[..., Any]


@pytest.fixture
def shop() -> Shop:
    """What is called."""
    return Shop()


@pytest.fixture
def address(shop: Shop) -> Iterator[str]:
    """Where it listens, on threads of its own."""
    with open_shop(shop) as found:
        yield found


@pytest.fixture
async def gateway(service_of: Callable[..., Service], anyio_backend: str) -> AsyncIterator[Service]:
    """The service that calls; its rules come from the tests alone."""
    async with service_of("gateway", url="none") as service:
        yield service


@pytest.fixture
async def channel_of(gateway: Service) -> AsyncIterator[Channels]:
    """Makes guarded channels, closed at the end."""
    channels: list[Any] = []

    def make(address: str, config: CommandConfig = PATIENT, **options: Any) -> Any:
        interceptors = client_interceptors(gateway, "prices", config, **options)
        channels.append(grpc.aio.insecure_channel(address, interceptors=interceptors))
        return channels[-1]

    yield make
    for channel in channels:
        await channel.close()


async def each(*requests: bytes) -> AsyncIterator[bytes]:
    """Requests as a stream."""
    for request in requests:
        yield request


async def all_of(call: Any) -> list[bytes]:
    """The answers of a stream."""
    return [answer async for answer in call]


def guard(service: Service) -> Command:
    """The one guard there is."""
    (command,) = service.guards
    return command


async def line_with(meters: MeterListener, *parts: str) -> str:
    """A meter line, waited for elsewhere."""
    return await asyncio.to_thread(meters.wait_for, *parts)


async def test_every_kind_of_call_is_answered_and_recorded(
    address: str, channel_of: Channels, meters: MeterListener
) -> None:
    """One record each, under the method's name."""
    channel = channel_of(address)
    assert await method(channel, "Get")(b"a") == b"A"
    assert await all_of(method(channel, "Watch")(b"3")) == [b"0", b"1", b"2"]
    assert await method(channel, "Put")(each(b"a", b"b")) == b"a+b"
    assert await all_of(method(channel, "Chat")(each(b"a", b"b"))) == [b"A", b"B"]
    for name in ("Get", "Watch", "Put", "Chat"):
        line = await line_with(meters, "ipc.client.call", f"shop.Prices.{name}")
        assert "ipc.status=success" in line


async def test_requests_may_be_written_one_by_one(
    address: str, channel_of: Channels, gateway: Service
) -> None:
    """The guard waits for nothing that the caller has yet to write."""
    channel = channel_of(address)
    call = method(channel, "Put")()
    await call.write(b"a")
    await call.write(b"b")
    assert permits_out(guard(gateway)) == 1
    await call.done_writing()
    assert await call == b"a+b"
    chat = method(channel, "Chat")()
    await chat.write(b"x")
    assert await chat.read() == b"X"
    await chat.done_writing()
    assert await chat.read() is grpc.aio.EOF
    assert permits_out(guard(gateway)) == 0


async def test_the_context_goes_with_a_call(shop: Shop, address: str, channel_of: Channels) -> None:
    """Caller and trace as metadata, the least of the limits as the timeout of gRPC."""
    channel = channel_of(address, CommandConfig(timeout_s=7.0))
    await method(channel, "Get")(b"a", timeout=3.0, metadata=(("mine", "1"),))
    await method(channel, "Get")(b"a")
    await all_of(method(channel, "Watch")(b"1"))
    with deadline(60.0):
        await all_of(method(channel, "Watch")(b"1"))
    assert shop.metadata[0]["breakwater-caller"] == "gateway"
    assert shop.metadata[0]["mine"] == "1"
    assert len(shop.metadata[0]["traceparent"]) == 55
    own, limit, free, by_deadline = shop.left_s
    assert own is not None
    assert 2.0 < own < 3.5
    assert limit is not None
    assert 6.0 < limit < 7.5
    assert free is None
    assert by_deadline is not None
    assert 50 < by_deadline < 62


async def test_a_failed_call_is_recorded_and_judged(
    address: str, channel_of: Channels, gateway: Service, meters: MeterListener
) -> None:
    """The error stays gRPC's own."""
    channel = channel_of(address)
    for code, seen in (("NOT_FOUND", 0), ("UNAVAILABLE", 1)):
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await method(channel, "Get")(f"code:{code}".encode())
        assert failed.value.code() is getattr(grpc.StatusCode, code)
        await line_with(meters, "ipc.client.call", f"grpc_{code.lower()}")
        assert failures(guard(gateway)) == seen
    with pytest.raises(grpc.aio.AioRpcError):
        await all_of(method(channel, "Watch")(b"2,INTERNAL"))
    await line_with(meters, "shop.Prices.Watch", "ipc.status=unexpected_error")
    assert failures(guard(gateway)) == 2


@pytest.mark.parametrize(("pushback", "attempts"), [(None, 2), ("0", 2), ("-1", 1)])
async def test_unavailable_is_tried_again_as_the_callee_says(
    shop: Shop, address: str, channel_of: Channels, pushback: str | None, attempts: int
) -> None:
    """With the guard's own wait, or the one pushed back."""
    shop.failures, shop.pushback_ms = ["UNAVAILABLE", "UNAVAILABLE"], pushback
    wait_s = 0.0 if pushback is None else 3600.0
    retry = RetryConfig(max_attempts=2, initial_s=wait_s, max_s=3600.0)
    channel = channel_of(address, CommandConfig(timeout_s=PATIENCE_S, retry=retry))
    with pytest.raises(grpc.aio.AioRpcError):
        await method(channel, "Get")(b"a")
    assert len(shop.metadata) == attempts


async def test_a_stream_holds_its_permit_until_it_ends(
    address: str, channel_of: Channels, gateway: Service, meters: MeterListener
) -> None:
    """Whoever comes meanwhile is refused, with an error that is gRPC's too."""
    channel = channel_of(address, CommandConfig(bulkhead=BulkheadConfig(max_concurrent=1)))
    stream = method(channel, "Watch")(b"2,hang")
    assert await stream.read() == b"0"
    assert permits_out(guard(gateway)) == 1
    with pytest.raises(CallRefusedError) as refused:
        await method(channel, "Get")(b"a")
    assert isinstance(refused.value, grpc.aio.AioRpcError)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    with pytest.raises(CallRefusedError):
        await all_of(method(channel, "Watch")(b"1"))
    stream.cancel()
    await line_with(meters, "ipc.client.call", "shop.Prices.Watch", "ipc.status=cancelled")
    assert permits_out(guard(gateway)) == 0


async def test_a_slow_call_ends_at_the_limit(
    address: str, channel_of: Channels, meters: MeterListener
) -> None:
    """Whether gRPC or the guard is first, it is a timeout to both."""
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await method(channel_of(address, CommandConfig(timeout_s=0.05)), "Get")(b"hang")
    assert failed.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await line_with(meters, "ipc.client.call", "ipc.status=timeout")


async def test_a_caller_who_leaves_takes_his_call_along(
    shop: Shop, address: str, channel_of: Channels, gateway: Service, meters: MeterListener
) -> None:
    """The callee is told, and the permit is back."""
    call = method(channel_of(address), "Get")(b"hang")
    waiting = asyncio.ensure_future(_answer(call))
    assert await asyncio.to_thread(shop.entered.wait, PATIENCE_S)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await asyncio.to_thread(shop.release.wait, PATIENCE_S)
    await line_with(meters, "ipc.client.call", "ipc.status=cancelled")
    assert permits_out(guard(gateway)) == 0


async def _answer(call: Any) -> Any:
    return await call


async def test_work_past_its_deadline_is_not_sent(
    shop: Shop, address: str, channel_of: Channels
) -> None:
    """The error is ours and gRPC's."""
    with deadline(-1.0), pytest.raises(DeadlineExceededError) as late:
        await method(channel_of(address), "Get")(b"a")
    assert isinstance(late.value, grpc.aio.AioRpcError)
    assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert shop.metadata == []


async def test_a_fallback_answers_for_a_dead_callee(
    refusing: int, channel_of: Channels, meters: MeterListener
) -> None:
    """One answer, or as many as it likes for a stream."""
    config = CommandConfig(breaker=BreakerConfig(minimum_calls=1))
    channel = channel_of(f"127.0.0.1:{refusing}", config, fallback=lambda _error: [b"g", b"u"])
    assert await method(channel, "Get")(b"a") == [b"g", b"u"]
    assert await all_of(method(channel, "Watch")(b"1")) == [b"g", b"u"]
    chat = method(channel, "Chat")(each(b"a"))
    assert [await chat.read() for _ in range(3)] == [b"g", b"u", grpc.aio.EOF]
    await line_with(meters, "ipc.status=fallback", "ipc.result=success")


async def test_injected_faults_look_like_real_ones(
    shop: Shop, address: str, channel_of: Channels, gateway: Service, meters: MeterListener
) -> None:
    """Within the attempt: nothing is sent, the breaker counts, the record says injected."""
    channel = channel_of(address)
    break_at(gateway, "outbound", "error", status=503)
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await method(channel, "Get")(b"a")
    assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
    with pytest.raises(grpc.aio.AioRpcError):
        await all_of(method(channel, "Watch")(b"1"))
    break_at(gateway, "outbound", "hang")
    guard(gateway).configure(CommandConfig(timeout_s=0.05))
    with pytest.raises(AttemptTimedOutError) as late:
        await method(channel, "Get")(b"a")
    assert isinstance(late.value, grpc.aio.AioRpcError)
    assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert shop.metadata == []
    assert failures(guard(gateway)) == 3
    await line_with(meters, "ipc.failure.injected=true", "ipc.status=unavailable")
    await line_with(meters, "ipc.failure.injected=true", "ipc.status=timeout")


class AsyncShop:
    """The shop, on the loop."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.entered = asyncio.Event()

    async def get(self, request: bytes, context: Any) -> bytes:
        """One request, one answer."""
        self.seen.append(current())
        if request == b"abort":
            await context.abort(grpc.StatusCode.NOT_FOUND, "as asked")
        if request == b"crash":
            raise ZeroDivisionError
        if request == b"hang":
            self.entered.set()
            await asyncio.Event().wait()
        return request.upper()

    async def watch(self, request: bytes, _context: Any) -> AsyncIterator[bytes]:
        """One request, many answers."""
        for number in range(int(request)):
            self.seen.append(current())
            yield b"%d" % number

    async def write(self, request: bytes, context: Any) -> None:
        """One request, many answers, written."""
        for number in range(int(request)):
            await context.write(b"%d" % number)

    async def put(self, requests: AsyncIterator[bytes], _context: Any) -> bytes:
        """Many requests, one answer."""
        return b"+".join([request async for request in requests])


@pytest.fixture
async def prices(service_of: Callable[..., Service], anyio_backend: str) -> AsyncIterator[Service]:
    """The service that is called."""
    async with service_of("prices", url="none") as service:
        yield service


@pytest.fixture
def async_shop(anyio_backend: str) -> AsyncShop:
    """What it does."""
    return AsyncShop()


@pytest.fixture
async def served(prices: Service, async_shop: AsyncShop) -> AsyncIterator[str]:
    """Where it listens."""
    server = grpc.aio.server(interceptors=[server_interceptor(prices)])
    handlers = {
        "Get": grpc.unary_unary_rpc_method_handler(async_shop.get),
        "Watch": grpc.unary_stream_rpc_method_handler(async_shop.watch),
        "Write": grpc.unary_stream_rpc_method_handler(async_shop.write),
        "Put": grpc.stream_unary_rpc_method_handler(async_shop.put),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)


async def test_the_server_side_records_every_kind(
    served: str, channel_of: Channels, async_shop: AsyncShop, meters: MeterListener
) -> None:
    """With the caller's name; the handler works in the caller's context."""
    channel = channel_of(served)
    with deadline(60.0):
        assert await method(channel, "Get")(b"a") == b"A"
        assert await all_of(method(channel, "Watch")(b"2")) == [b"0", b"1"]
    assert await all_of(channel.unary_stream(f"/{SERVICE}/Write")(b"2")) == [b"0", b"1"]
    assert await method(channel, "Put")(each(b"a", b"b")) == b"a+b"
    for name in ("Get", "Watch", "Write", "Put"):
        line = await line_with(meters, "ipc.server.call", f"shop.Prices.{name}")
        assert "ipc.client.app=gateway" in line
        assert "ipc.status=success" in line
    assert all(seen.deadline_s is not None and seen.trace for seen in async_shop.seen)


async def test_the_server_side_records_how_calls_fail(
    served: str, channel_of: Channels, async_shop: AsyncShop, meters: MeterListener
) -> None:
    """By the code it gave, by an error it did not mean, or by a caller who left."""
    channel = channel_of(served)
    for request in (b"abort", b"crash"):
        with pytest.raises(grpc.aio.AioRpcError):
            await method(channel, "Get")(request)
    await line_with(meters, "ipc.server.call", "ipc.status=bad_request", "grpc_not_found")
    await line_with(meters, "ipc.server.call", "ipc.status=unexpected_error", "grpc_unknown")
    call = method(channel, "Get")(b"hang")
    async with asyncio.timeout(PATIENCE_S):
        await async_shop.entered.wait()
    call.cancel()
    await line_with(meters, "ipc.server.call", "ipc.status=cancelled")


async def test_work_nobody_waits_for_is_refused(
    served: str, async_shop: AsyncShop, meters: MeterListener
) -> None:
    """The deadline of a caller without gRPC's own timeout counts as well."""
    late = (("breakwater-deadline-ms", "0"),)
    async with grpc.aio.insecure_channel(served) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await method(channel, "Get")(b"a", metadata=late)
        assert failed.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        with pytest.raises(grpc.aio.AioRpcError):
            await all_of(method(channel, "Watch")(b"1", metadata=late))
    assert async_shop.seen == []
    await line_with(meters, "ipc.server.call", "shop.Prices.Get", "past_deadline")


async def test_inbound_faults_are_suffered_before_the_handler(
    served: str,
    channel_of: Channels,
    prices: Service,
    async_shop: AsyncShop,
    meters: MeterListener,
) -> None:
    """The caller gets the code that stands for the status."""
    channel = channel_of(served)
    break_at(prices, "inbound", "error", status=429, peer="gateway")
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await method(channel, "Get")(b"a")
    assert failed.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    break_at(prices, "inbound", "hang")
    with pytest.raises(grpc.aio.AioRpcError):
        await method(channel, "Get")(b"a", timeout=0.05)
    assert async_shop.seen == []
    await line_with(meters, "ipc.server.call", "ipc.failure.injected=true", "ipc.status=throttled")
