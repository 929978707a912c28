"""Load shedding in front of gRPC servers, sync and asyncio, over real channels."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import grpc.aio
import pytest
from tests.sdk.fleet import PATIENCE_S, MeterListener
from tests.sdk.grpc_shop import SERVICE, Shop, method, open_shop
from tests.sdk.guarding import wait_until, wait_until_async

from breakwater.sdk import Service, grpc_aio
from breakwater.sdk.errors import SettingsError
from breakwater.sdk.grpc import server_interceptor
from breakwater.sdk.guard.config import SheddingConfig

SHEDDABLE = (("baggage", "bw.criticality=sheddable"),)
PUSH_BACK = "grpc-retry-pushback-ms"


@pytest.fixture
def anyio_backend() -> str:
    """The servers of `grpc.aio` are of asyncio."""
    return "asyncio"


@pytest.fixture
def prices(service_of: Callable[..., Service]) -> Iterator[Service]:
    """The service that is called."""
    with service_of("prices", url="none") as service:
        yield service


def refused(error: Any) -> tuple[str, str | None]:
    """Why, and when to come again; it must be a refusal."""
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    return error.details(), dict(error.trailing_metadata()).get(PUSH_BACK)


def test_less_important_calls_are_shed_with_a_reason(
    prices: Service, meters: MeterListener
) -> None:
    """One of two places taken is too much for sheddable work, and fine for critical work."""
    shop = Shop()
    shedding = SheddingConfig(limit=2, sheddable=0.5, retry_after_s=1.5)
    door = server_interceptor(prices, shedding=shedding)
    with open_shop(shop, door) as address, grpc.insecure_channel(address) as channel:
        get = method(channel, "Get")
        hanging = get.future(b"hang")
        assert shop.entered.wait(PATIENCE_S)
        with pytest.raises(grpc.RpcError) as failed:
            get(b"a", metadata=SHEDDABLE)
        assert refused(failed.value) == ("shed", "1500")
        with pytest.raises(grpc.RpcError) as failed:
            list(method(channel, "Watch")(b"1", metadata=SHEDDABLE))
        assert refused(failed.value) == ("shed", "1500")
        assert get(b"a") == b"A"
        shop.release.set()
        assert hanging.result(PATIENCE_S) == b"HANG"
    assert len(shop.metadata) == 2
    assert prices.stats().servers[-1].shed == door.stats().shed == {"sheddable.shed": 2}
    meters.wait_for("ipc.server.call", "shop.Prices.Get", "ipc.status=unavailable", "detail=shed")
    meters.wait_for("guard.shed", "criticality=sheddable", "reason=shed")


def test_a_stream_holds_its_place_until_it_ends(prices: Service) -> None:
    """Also when its caller leaves; then the place is free for the next."""
    shop = Shop()
    door = server_interceptor(prices, max_concurrent=1)
    with open_shop(shop, door) as address, grpc.insecure_channel(address) as channel:
        get, watch = method(channel, "Get"), method(channel, "Watch")
        stream = watch(b"1,hang")
        assert next(stream) == b"0"
        assert shop.entered.wait(PATIENCE_S)
        with pytest.raises(grpc.RpcError) as failed:
            get(b"a")
        assert refused(failed.value) == ("bulkhead_full", "1000")
        stream.cancel()
        wait_until(lambda: door.stats().in_flight == 0)
        assert list(watch(b"2")) == [b"0", b"1"]
        with pytest.raises(grpc.RpcError):
            get(b"crash")
        assert get(b"a") == b"A"
    assert door.stats().limit == 1


def test_a_call_waits_in_the_queue_for_its_turn(prices: Service) -> None:
    """On a thread of the pool, and is served when the first has ended."""
    shop = Shop()
    shedding = SheddingConfig(limit=1, interval_s=PATIENCE_S, target_s=PATIENCE_S)
    door = server_interceptor(prices, shedding=shedding)
    with open_shop(shop, door) as address, grpc.insecure_channel(address) as channel:
        get = method(channel, "Get")
        first = get.future(b"hang")
        assert shop.entered.wait(PATIENCE_S)
        second = get.future(b"a")
        wait_until(lambda: door.stats().waiting == 1)
        shop.release.set()
        assert (first.result(PATIENCE_S), second.result(PATIENCE_S)) == (b"HANG", b"A")
    assert door.stats().shed == {}


def test_two_limits_are_one_too_many(prices: Service) -> None:
    """Whoever gives both meant one of them."""
    for make in (server_interceptor, grpc_aio.server_interceptor):
        with pytest.raises(SettingsError, match="not both"):
            make(prices, shedding=SheddingConfig(limit=1), max_concurrent=1)


class AsyncShop:
    """Answers, or hangs until it is let go."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.go = asyncio.Event()

    async def get(self, request: bytes, _context: Any) -> bytes:
        """One request, one answer."""
        if request == b"hang":
            self.entered.set()
            await self.go.wait()
        return request.upper()

    async def watch(self, request: bytes, context: Any) -> Any:
        """One request, two answers."""
        yield b"first"
        yield await self.get(request, context)

    async def open(self, door: Any) -> tuple[Any, str]:
        """A server of this shop, and its address."""
        server = grpc.aio.server(interceptors=[door])
        handlers = {
            "Get": grpc.unary_unary_rpc_method_handler(self.get),
            "Watch": grpc.unary_stream_rpc_method_handler(self.watch),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        return server, f"127.0.0.1:{port}"


@pytest.mark.anyio
async def test_on_asyncio_calls_are_shed_and_streams_hold_their_place(prices: Service) -> None:
    """Refused with a reason while a stream is open; served once its caller has left."""
    shop = AsyncShop()
    shedding = SheddingConfig(limit=1, queue=0, retry_after_s=2)
    door = grpc_aio.server_interceptor(prices, shedding=shedding)
    server, address = await shop.open(door)
    async with asyncio.timeout(PATIENCE_S), grpc.aio.insecure_channel(address) as channel:
        get, watch = method(channel, "Get"), method(channel, "Watch")
        stream = watch(b"hang")
        await shop.entered.wait()
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await get(b"a")
        assert refused(failed.value) == ("bulkhead_full", "2000")
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await anext(aiter(watch(b"a", metadata=SHEDDABLE)))
        assert refused(failed.value)[1] == "2000"
        stream.cancel()
        await wait_until_async(lambda: door.stats().in_flight == 0)
        assert await get(b"a") == b"A"
    await server.stop(None)
    assert prices.stats().servers[-1].rejected == 2


@pytest.mark.anyio
async def test_on_asyncio_a_call_waits_for_its_turn_or_leaves_the_queue(prices: Service) -> None:
    """The one whose caller left is passed over, and the next one is served."""
    shop = AsyncShop()
    shedding = SheddingConfig(limit=1, interval_s=PATIENCE_S, target_s=PATIENCE_S)
    door = grpc_aio.server_interceptor(prices, shedding=shedding)
    server, address = await shop.open(door)
    async with asyncio.timeout(PATIENCE_S), grpc.aio.insecure_channel(address) as channel:
        get = method(channel, "Get")
        first = get(b"hang")
        await shop.entered.wait()
        leaver, second = get(b"x"), get(b"a")
        await wait_until_async(lambda: door.stats().waiting == 2)
        leaver.cancel()
        await wait_until_async(lambda: door.stats().waiting == 1)
        shop.go.set()
        assert [await first, await second] == [b"HANG", b"A"]
    await server.stop(None)
    assert (door.stats().shed, door.stats().in_flight) == ({}, 0)
