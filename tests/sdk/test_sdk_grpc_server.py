"""gRPC, sync: what the side that is called records, suffers and refuses."""

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from tests.sdk.fleet import PATIENCE_S, MeterListener
from tests.sdk.grpc_shop import Shop, guarded_channels, method, open_shop
from tests.sdk.guarding import break_at, waits_of

from breakwater.model import SystemClock
from breakwater.sdk import (
    Service,
    current,
    deadline,
)
from breakwater.sdk.grpc import server_interceptor


@pytest.fixture
def shop() -> Shop:
    """What is called."""
    return Shop()


@pytest.fixture
def gateway(service_of: Callable[..., Service]) -> Iterator[Service]:
    """The service that calls."""
    with service_of("gateway", url="none") as service:
        yield service


@pytest.fixture
def channel_of(gateway: Service) -> Iterator[Callable[..., Any]]:
    """Makes guarded channels, closed at the end."""
    with guarded_channels(gateway) as make:
        yield make


@pytest.fixture
def prices(service_of: Callable[..., Service]) -> Iterator[Service]:
    """The service that is called."""
    with service_of("prices", url="none") as service:
        yield service


@pytest.fixture
def served(prices: Service, shop: Shop) -> Iterator[str]:
    """Where the shop listens as a member of the fleet."""
    with open_shop(shop, server_interceptor(prices)) as found:
        yield found


def test_the_server_side_records_every_kind(
    served: str, channel_of: Callable[..., Any], meters: MeterListener
) -> None:
    """With the caller's name and how the call ended."""
    channel = channel_of(served)
    assert method(channel, "Get")(b"a") == b"A"
    assert list(method(channel, "Watch")(b"2")) == [b"0", b"1"]
    assert method(channel, "Put")(iter((b"a", b"b"))) == b"a+b"
    assert list(method(channel, "Chat")(iter((b"a", b"b")))) == [b"A", b"B"]
    for name in ("Get", "Watch", "Put", "Chat"):
        line = meters.wait_for("ipc.server.call", f"shop.Prices.{name}", "ipc.status=success")
        assert "ipc.client.app=gateway" in line
    with pytest.raises(grpc.RpcError):
        method(channel, "Get")(b"crash")
    meters.wait_for("ipc.server.call", "grpc_unknown")
    with pytest.raises(grpc.RpcError):
        list(method(channel, "Watch")(b"1,NOT_FOUND"))
    meters.wait_for("ipc.server.call", "ipc.status=bad_request", "grpc_not_found")


def test_a_handler_works_in_the_callers_context(
    shop: Shop, served: str, channel_of: Callable[..., Any]
) -> None:
    """Deadline and trace, in the bodies of streams too, and nothing is left of it afterwards."""
    shop.look = current
    channel = channel_of(served)
    with deadline(5.0):
        method(channel, "Get")(b"a")
        list(method(channel, "Watch")(b"1"))
    now_s = SystemClock().monotonic_s()
    for seen in shop.seen:
        assert seen.deadline_s is not None
        assert now_s - 1.0 < seen.deadline_s <= now_s + 5.1  # gRPC rounds timeouts up
        assert seen.trace is not None


def test_a_caller_who_leaves_is_recorded_as_cancelled(
    shop: Shop, served: str, channel_of: Callable[..., Any], meters: MeterListener
) -> None:
    """Although the handler came to its end."""
    call = method(channel_of(served), "Get").future(b"hang")
    assert shop.entered.wait(PATIENCE_S)
    call.cancel()
    meters.wait_for("ipc.server.call", "ipc.status=cancelled")


def test_inbound_faults_are_suffered_before_the_handler(
    shop: Shop,
    served: str,
    channel_of: Callable[..., Any],
    prices: Service,
    meters: MeterListener,
) -> None:
    """The caller gets the code that stands for the status."""
    channel = channel_of(served)
    break_at(prices, "inbound", "error", status=429, peer="gateway")
    with pytest.raises(grpc.RpcError) as failed:
        method(channel, "Get")(b"a")
    assert failed.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    break_at(prices, "inbound", "hang")
    with pytest.raises(grpc.RpcError) as failed:
        method(channel, "Get")(b"a", timeout=0.05)
    assert failed.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    is_waiting = waits_of(prices.runtime.faults)
    call = method(channel, "Get").future(b"a")
    assert is_waiting.wait(PATIENCE_S)
    call.cancel()
    assert shop.metadata == []
    meters.wait_for("ipc.server.call", "ipc.failure.injected=true", "ipc.status=cancelled")
    assert not prices.runtime.faults._watches
    meters.wait_for("ipc.server.call", "ipc.failure.injected=true", "ipc.status=throttled")
    meters.wait_for("ipc.server.call", "ipc.failure.injected=true", "ipc.status=timeout")


def test_work_nobody_waits_for_is_refused(shop: Shop, served: str, meters: MeterListener) -> None:
    """The deadline of a caller without gRPC's own timeout counts as well."""
    with grpc.insecure_channel(served) as channel:
        for name in ("Get", "Watch"):
            call = method(channel, name)
            with pytest.raises(grpc.RpcError) as failed:
                list(call(b"1", metadata=(("breakwater-deadline-ms", "0"),)))
            assert failed.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert shop.metadata == []
    meters.wait_for("ipc.server.call", "shop.Prices.Get", "past_deadline")
    meters.wait_for("ipc.server.call", "shop.Prices.Watch", "past_deadline")


def test_unknown_methods_are_left_to_grpc(served: str) -> None:
    """There is no handler to put anything around."""
    with grpc.insecure_channel(served) as channel:
        with pytest.raises(grpc.RpcError) as failed:
            channel.unary_unary("/shop.Prices/Nothing")(b"", timeout=PATIENCE_S)
        assert failed.value.code() is grpc.StatusCode.UNIMPLEMENTED
