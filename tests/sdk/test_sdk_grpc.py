"""gRPC, sync: the side that calls, over a real channel, calls of every kind."""

import gc
import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from tests.sdk.fleet import PATIENCE_S, MeterListener
from tests.sdk.grpc_shop import Shop, guarded_channels, method, open_shop
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
    deadline,
)
from breakwater.sdk.grpc import TimedOutRpcError
from breakwater.sdk.grpc_aio import TimedOutRpcError as AioTimedOutRpcError
from breakwater.sdk.guard import Command
from breakwater.sdk.outcomes import translated, verdict_of


@pytest.fixture
def shop() -> Shop:
    """What is called."""
    return Shop()


@pytest.fixture
def address(shop: Shop) -> Iterator[str]:
    """Where it listens."""
    with open_shop(shop) as found:
        yield found


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


def guard(service: Service) -> Command:
    """The one guard there is."""
    (command,) = service.guards
    return command


def test_every_kind_of_call_is_answered_and_recorded(
    address: str, channel_of: Callable[..., Any], meters: MeterListener
) -> None:
    """One record each, under the method's name."""
    channel = channel_of(address)
    assert method(channel, "Get")(b"a") == b"A"
    assert method(channel, "Get").future(b"b").result(PATIENCE_S) == b"B"
    assert list(method(channel, "Watch")(b"3")) == [b"0", b"1", b"2"]
    assert method(channel, "Put")(iter((b"a", b"b"))) == b"a+b"
    assert method(channel, "Put").future(iter((b"c",))).result(PATIENCE_S) == b"c"
    assert list(method(channel, "Chat")(iter((b"a", b"b")))) == [b"A", b"B"]
    for name in ("Get", "Watch", "Put", "Chat"):
        line = meters.wait_for("ipc.client.call", f"shop.Prices.{name}")
        assert "ipc.status=success" in line
        assert "ipc.server.app=prices" in line


def test_the_context_goes_with_a_call(
    shop: Shop, address: str, channel_of: Callable[..., Any]
) -> None:
    """Caller, trace and baggage as metadata, the time left as the timeout of gRPC."""
    channel = channel_of(address)
    with deadline(5.0):
        method(channel, "Get")(b"a", metadata=(("mine", "1"),))
    (told,) = shop.metadata
    assert (told["breakwater-caller"], told["mine"]) == ("gateway", "1")
    assert len(told["traceparent"]) == 55
    assert "breakwater-deadline-ms" not in told
    (left_s,) = shop.left_s
    assert left_s is not None
    assert 0 < left_s < 5.5


@pytest.mark.parametrize(
    ("given_s", "limit_s", "left_s"), [(None, 7.0, 7.0), (3.0, 7.0, 3.0), (7.0, 3.0, 3.0)]
)
def test_the_shortest_limit_holds(
    shop: Shop,
    address: str,
    channel_of: Callable[..., Any],
    given_s: float | None,
    limit_s: float,
    left_s: float,
) -> None:
    """Of the caller's own timeout and the guard's, whichever ends first."""
    channel = channel_of(address, CommandConfig(timeout_s=limit_s))
    method(channel, "Get")(b"a", timeout=given_s)
    (told_s,) = shop.left_s
    assert told_s is not None
    assert left_s - 1.0 < told_s < left_s + 0.5


def test_a_stream_is_not_bound_by_the_limit_of_an_attempt(
    shop: Shop, address: str, channel_of: Callable[..., Any]
) -> None:
    """Only by its own timeout and the deadline."""
    channel = channel_of(address, CommandConfig(timeout_s=0.5))
    list(method(channel, "Watch")(b"1"))
    list(method(channel, "Watch")(b"1", timeout=60.0))
    with deadline(60.0):
        list(method(channel, "Watch")(b"1"))
    free, own, by_deadline = shop.left_s
    assert free is None
    assert own is not None
    assert 50 < own < 62.0  # gRPC rounds up
    assert by_deadline is not None
    assert 50 < by_deadline < 62.0


@pytest.mark.parametrize(
    ("code", "status", "counts"),
    [
        ("UNAVAILABLE", "unavailable", True),
        ("RESOURCE_EXHAUSTED", "throttled", True),
        ("INTERNAL", "unexpected_error", True),
        ("DEADLINE_EXCEEDED", "timeout", True),
        ("NOT_FOUND", "bad_request", False),
        ("PERMISSION_DENIED", "access_denied", False),
    ],
)
def test_codes_are_recorded_and_judged(
    address: str,
    channel_of: Callable[..., Any],
    gateway: Service,
    meters: MeterListener,
    code: str,
    status: str,
    counts: bool,  # noqa: FBT001 - drawn by pytest
) -> None:
    """The error stays gRPC's own; what the caller did wrong does not count against the callee."""
    channel = channel_of(address)
    with pytest.raises(grpc.RpcError) as failed:
        method(channel, "Get")(f"code:{code}".encode())
    assert failed.value.code() is getattr(grpc.StatusCode, code)
    meters.wait_for("ipc.client.call", f"ipc.status={status}", f"grpc_{code.lower()}")
    assert failures(guard(gateway)) == (1 if counts else 0)


def test_unavailable_is_tried_again(
    shop: Shop, address: str, channel_of: Callable[..., Any], meters: MeterListener
) -> None:
    """And only the last attempt is the final one."""
    shop.failures = ["UNAVAILABLE"]
    config = CommandConfig(timeout_s=PATIENCE_S, retry=RetryConfig(initial_s=0.0))
    assert method(channel_of(address, config), "Get")(b"a") == b"A"
    meters.wait_for("ipc.attempt=initial", "ipc.attempt.final=false", "ipc.status=unavailable")
    meters.wait_for("ipc.attempt=second", "ipc.attempt.final=true", "ipc.status=success")
    assert [told.get("breakwater-attempt") for told in shop.metadata] == ["1;more", "2;more"]


@pytest.mark.parametrize(("pushback", "attempts"), [("0", 2), ("-1", 1), ("3600000", 1)])
def test_push_back_is_obeyed(
    shop: Shop, address: str, channel_of: Callable[..., Any], pushback: str, attempts: int
) -> None:
    """A callee that says when to come again is taken at its word; negative means never."""
    shop.failures, shop.pushback_ms = ["UNAVAILABLE", "UNAVAILABLE"], pushback
    config = CommandConfig(
        timeout_s=PATIENCE_S, retry=RetryConfig(max_attempts=2, initial_s=3600.0)
    )
    with pytest.raises(grpc.RpcError):
        method(channel_of(address, config), "Get")(b"a")
    assert len(shop.metadata) == attempts


@pytest.mark.parametrize("name", ["Watch", "Chat", "Put"])
def test_what_cannot_be_repeated_is_not(
    shop: Shop, address: str, channel_of: Callable[..., Any], name: str
) -> None:
    """A stream is one attempt, whatever the configuration says."""
    config = CommandConfig(timeout_s=PATIENCE_S, retry=RetryConfig(initial_s=0.0))
    channel = channel_of(address, config)
    if name == "Watch":
        with pytest.raises(grpc.RpcError):
            list(method(channel, name)(b"0,UNAVAILABLE"))
    elif name == "Chat":
        list(method(channel, name)(iter((b"a",))))
    else:
        method(channel, name)(iter((b"a",)))
    assert len(shop.metadata) == 1


def test_a_stream_holds_its_permit_until_it_ends(
    address: str, channel_of: Callable[..., Any], gateway: Service, meters: MeterListener
) -> None:
    """Not only until its first answer."""
    config = CommandConfig(bulkhead=BulkheadConfig(max_concurrent=1))
    channel = channel_of(address, config)
    stream = method(channel, "Watch")(b"2,hang")
    assert isinstance(stream, grpc.Call)
    assert next(stream) == b"0"
    assert permits_out(guard(gateway)) == 1
    with pytest.raises(CallRefusedError) as refused:
        method(channel, "Get")(b"a")
    assert isinstance(refused.value, grpc.RpcError)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    with pytest.raises(CallRefusedError):
        next(method(channel, "Watch")(b"1"))
    stream.cancel()
    meters.wait_for("ipc.client.call", "shop.Prices.Watch", "ipc.status=cancelled")
    assert permits_out(guard(gateway)) == 0
    assert method(channel, "Get")(b"a") == b"A"


def test_a_dropped_stream_is_cancelled(
    shop: Shop,
    address: str,
    channel_of: Callable[..., Any],
    gateway: Service,
    meters: MeterListener,
) -> None:
    """Who forgets a stream half way leaves no permit and no call behind."""
    stream = method(channel_of(address), "Watch")(b"1,hang")
    next(stream)
    assert shop.entered.wait(PATIENCE_S)
    del stream
    gc.collect()
    assert shop.release.wait(PATIENCE_S)
    meters.wait_for("ipc.client.call", "ipc.status=cancelled")
    assert permits_out(guard(gateway)) == 0


def test_a_stream_that_breaks_is_a_failure(
    address: str, channel_of: Callable[..., Any], gateway: Service, meters: MeterListener
) -> None:
    """Though its beginning was well."""
    with pytest.raises(grpc.RpcError):
        list(method(channel_of(address), "Watch")(b"2,INTERNAL"))
    meters.wait_for("shop.Prices.Watch", "ipc.status=unexpected_error", "grpc_internal")
    assert failures(guard(gateway)) == 1


def test_a_future_does_not_wait(
    shop: Shop, address: str, channel_of: Callable[..., Any], gateway: Service
) -> None:
    """The call is under way, under guard, and can be cancelled."""
    call = method(channel_of(address), "Get").future(b"hang")
    assert shop.entered.wait(PATIENCE_S)
    assert permits_out(guard(gateway)) == 1
    over = threading.Event()
    call.add_done_callback(lambda _call: over.set())
    assert call.cancel()
    assert over.wait(PATIENCE_S)
    with pytest.raises(grpc.FutureCancelledError):
        call.result()


def test_a_slow_call_ends_at_the_limit(
    address: str, channel_of: Callable[..., Any], meters: MeterListener
) -> None:
    """By the timeout that gRPC was given."""
    with pytest.raises(grpc.RpcError) as failed:
        method(channel_of(address, CommandConfig(timeout_s=0.05)), "Get")(b"hang")
    assert failed.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    meters.wait_for("ipc.client.call", "ipc.status=timeout")


def test_work_past_its_deadline_is_not_sent(
    shop: Shop, address: str, channel_of: Callable[..., Any]
) -> None:
    """The error is ours and gRPC's."""
    channel = channel_of(address)
    with deadline(-1.0), pytest.raises(DeadlineExceededError) as late:
        method(channel, "Get")(b"a")
    assert isinstance(late.value, grpc.RpcError)
    assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert shop.metadata == []


def test_a_fallback_answers_for_a_dead_callee(
    refusing: int, channel_of: Callable[..., Any], meters: MeterListener
) -> None:
    """One answer, or as many as it likes for a stream; and the open breaker refuses with it."""
    config = CommandConfig(breaker=BreakerConfig(minimum_calls=1))
    address = f"127.0.0.1:{refusing}"
    channel = channel_of(address, config, fallback=lambda error: [b"guess", type(error).__name__])
    assert method(channel, "Get")(b"a")[0] == b"guess"
    assert method(channel, "Get")(b"a") == [b"guess", "CallRefusedError"]
    assert list(method(channel, "Watch")(b"1")) == [b"guess", "CallRefusedError"]
    meters.wait_for("ipc.status=unavailable", "ipc.client.call")
    meters.wait_for("ipc.status=short_circuited")
    meters.wait_for("ipc.status=fallback", "ipc.result=success")


def test_injected_faults_look_like_real_ones(
    shop: Shop,
    address: str,
    channel_of: Callable[..., Any],
    gateway: Service,
    meters: MeterListener,
) -> None:
    """Within the attempt: nothing is sent, the breaker counts, the record says injected."""
    channel = channel_of(address)
    break_at(gateway, "outbound", "error", status=503, headers={"user": "7"})
    method(channel, "Get")(b"a")
    for name in ("Get", "Watch"):
        with pytest.raises(grpc.RpcError) as failed:
            next(iter((method(channel, name)(b"1", metadata=(("user", "7"),)),)).__next__())
        assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
    assert len(shop.metadata) == 1
    line = meters.wait_for("ipc.failure.injected=true", "shop.Prices.Watch")
    assert "ipc.status=unavailable" in line
    assert failures(guard(gateway)) == 2


def test_an_injected_hang_ends_at_the_limit(
    shop: Shop, address: str, channel_of: Callable[..., Any], gateway: Service
) -> None:
    """As a call to a callee that hangs would."""
    break_at(gateway, "outbound", "hang")
    channel = channel_of(address, CommandConfig(timeout_s=0.03))
    with pytest.raises(grpc.RpcError) as failed:
        method(channel, "Get")(b"a")
    assert failed.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert shop.metadata == []


def test_a_refusal_has_the_shape_of_a_call_that_is_over(
    address: str, channel_of: Callable[..., Any], gateway: Service
) -> None:
    """So interceptors and callers further out need to know nothing of guards."""
    channel = channel_of(address, CommandConfig(bulkhead=BulkheadConfig(max_concurrent=1)))
    with guard(gateway).entered():
        call = method(channel, "Get").future(b"a")
    error = call.exception()
    assert isinstance(error, CallRefusedError)
    over: Any = error
    called: list[Any] = []
    over.add_done_callback(called.append)
    assert called == [over]
    assert over.done()
    says_no = (over.is_active, over.running, over.cancelled, over.cancel)
    assert not any(ask() for ask in says_no)
    assert not over.add_callback(called.clear)
    assert over.exception() is over
    assert over.traceback() is not None
    assert (over.initial_metadata(), over.trailing_metadata()) == ((), ())
    assert over.time_remaining() is None
    assert "refused" in over.details()
    with pytest.raises(CallRefusedError):
        over.result()


def test_a_future_lives_while_something_is_asked_of_it(
    shop: Shop, channel_of: Callable[..., Any], address: str, gateway: Service
) -> None:
    """`.future(...).result()` is answered, and so is who only left a callback."""
    get = method(channel_of(address), "Get")
    for _ in range(3):
        shop.entered.clear()
        shop.release.clear()
        threading.Thread(target=_release_when_entered, args=(shop,), daemon=True).start()
        assert get.future(b"hang").result(PATIENCE_S) == b"HANG"
    answers: list[bytes] = []
    answered = threading.Event()

    def note(call: Any) -> None:
        answers.append(call.result())
        answered.set()

    shop.entered.clear()
    shop.release.clear()
    get.future(b"hang").add_done_callback(note)
    gc.collect()
    _release_when_entered(shop)
    assert answered.wait(PATIENCE_S)
    assert answers == [b"HANG"]
    assert permits_out(guard(gateway)) == 0


def _release_when_entered(shop: Shop) -> None:
    shop.entered.wait(PATIENCE_S)
    shop.release.set()


def test_a_timed_out_call_can_be_shown_and_judged() -> None:
    """Its `code` is a method, as with all errors of gRPC, and not an HTTP status."""
    late = AttemptTimedOutError("prices", was_cut_short=False)
    for both in (TimedOutRpcError, AioTimedOutRpcError):
        error = translated(late, grpc.RpcError, {AttemptTimedOutError: both})
        assert str(error) == "call to prices failed: timeout (attempt_timeout)"
        assert "prices" in repr(error)
        assert verdict_of(error) is None
