"""gRPC, sync: guarded channels for callers, and a server interceptor that records and refuses.

    channel = guarded_channel(service, grpc.insecure_channel(address), "prices")
    server = grpc.server(pool, interceptors=[server_interceptor(service)])

A call of one request and one answer is an attempt from sending until the answer, and may be tried
again (after `UNAVAILABLE`; `grpc-retry-pushback-ms` is obeyed) if the configuration says so. A
stream, and a call by `.future()`, is one attempt that holds its permit until it ends, is cancelled
or is dropped. The time limit of an attempt goes with the request as its gRPC timeout; it does not
bind streams, which only know the caller's own timeout and the deadline.
"""

import weakref
from collections import namedtuple
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from breakwater.sdk.needs import not_installed

try:
    import grpc
except ModuleNotFoundError as error:
    raise not_installed(error, "grpc") from None

from breakwater.sdk.attempt import Attempt
from breakwater.sdk.errors import (
    AttemptTimedOutError,
    CallError,
    CallRefusedError,
    DeadlineExceededError,
)
from breakwater.sdk.grpc_calls import Calls, outbound_to, stream_s
from breakwater.sdk.grpc_status import is_unavailable, timed_out_text
from breakwater.sdk.guard import CommandConfig, Fallback
from breakwater.sdk.guard.travel.code import RetryOn
from breakwater.sdk.outbound import Outbound, OutboundStats
from breakwater.sdk.outcomes import translated

if TYPE_CHECKING:
    from breakwater.sdk.grpc_server import ServerInterceptor
    from breakwater.sdk.service import Service


class _Over(grpc.Call, grpc.Future):  # type: ignore[misc] # untyped
    """A call that is over and never was one, in the shape that gRPC gives such calls."""

    _code: Any = grpc.StatusCode.UNAVAILABLE

    def code(self) -> Any:
        """The status code."""
        return self._code

    def _status_code(self) -> Any:
        return self._code

    def details(self) -> str:
        """What happened."""
        return str(self)

    def initial_metadata(self) -> tuple[()]:
        """None came."""
        return ()

    def trailing_metadata(self) -> tuple[()]:
        """None came."""
        return ()

    def time_remaining(self) -> None:
        """It is over."""

    def is_active(self) -> bool:
        """It is over."""
        return False

    def add_callback(self, _callback: Callable[[], None]) -> bool:
        """It is over: nothing will be called."""
        return False

    def cancel(self) -> bool:
        """It is over."""
        return False

    def cancelled(self) -> bool:
        """It was not."""
        return False

    def running(self) -> bool:
        """It is over."""
        return False

    def done(self) -> bool:
        """It is."""
        return True

    def result(self, timeout: float | None = None) -> Any:
        """Raises itself."""
        del timeout
        assert isinstance(self, BaseException), "unless it is an answer"
        raise self

    def exception(self, timeout: float | None = None) -> Any:
        """Itself."""
        del timeout
        return self

    def traceback(self, timeout: float | None = None) -> Any:
        """Where it was raised."""
        del timeout
        return getattr(self, "__traceback__", None)

    def add_done_callback(self, fn: Callable[[Any], None]) -> None:
        """It is done: `fn` is called at once."""
        fn(self)


class InjectedRpcError(_Over, grpc.RpcError):  # type: ignore[misc] # untyped
    """A fault on purpose: looks like the error of a call that ended with this code at once."""

    def __init__(self, code: Any) -> None:
        super().__init__(f"injected fault: {code.name}")
        self._code = code


class RefusedRpcError(CallRefusedError, _Over, grpc.RpcError):  # type: ignore[misc] # untyped
    """The guard refused the call, which was not sent; its code is `UNAVAILABLE`."""


class TimedOutRpcError(AttemptTimedOutError, _Over, grpc.RpcError):  # type: ignore[misc] # untyped
    """The call ran into the guard's time limit."""

    _code = grpc.StatusCode.DEADLINE_EXCEEDED

    @property
    def code(self) -> Callable[[], Any]:  # type: ignore[override] # with us it is a field
        """The status code, asked for as gRPC's errors are."""
        return super()._status_code

    def __str__(self) -> str:
        return timed_out_text(self)


class PastDeadlineRpcError(
    DeadlineExceededError,
    _Over,
    grpc.RpcError,  # type: ignore[misc] # untyped
):
    """The caller's deadline had passed before the call could be made."""

    _code = grpc.StatusCode.DEADLINE_EXCEEDED


class _Answer(_Over):
    """A fallback's answer in the place of a call."""

    _code = grpc.StatusCode.OK

    def __init__(self, value: Any) -> None:
        self._value = value

    def result(self, timeout: float | None = None) -> Any:
        """What the fallback gave."""
        del timeout
        return self._value

    def exception(self, timeout: float | None = None) -> None:
        """It is an answer."""

    def __iter__(self) -> Iterator[Any]:
        return iter(self._value)


class _Details(
    namedtuple(  # noqa: PYI024 - gRPC reads attributes of this shape
        "_Details",
        ("method", "timeout", "metadata", "credentials", "wait_for_ready", "compression"),
    ),
    grpc.ClientCallDetails,  # type: ignore[misc] # untyped
):
    """What gRPC is told of a call."""


class HeldCall:
    """A call under way that holds its permit; everything else it leaves to the call of gRPC.

    Dropped before its end, it is cancelled.
    """

    def __init__(self, call: Any) -> None:
        self._call = call
        weakref.finalize(self, _cancel, call)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return next(self._call)

    def add_done_callback(self, fn: Callable[[Any], None]) -> None:
        """Call `fn` with this call when it is over; until then it is not dropped."""
        self._call.add_done_callback(lambda _call: fn(self))

    def add_callback(self, callback: Callable[[], None]) -> bool:
        """Call `callback` when it is over, unless it is; until then it is not dropped."""
        return bool(self._call.add_callback(partial(_within, self, callback)))

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._call, name)
        return partial(_within, self, found) if callable(found) else found


grpc.Call.register(HeldCall)
grpc.Future.register(HeldCall)


class ClientInterceptor(
    grpc.UnaryUnaryClientInterceptor,  # type: ignore[misc] # untyped
    grpc.UnaryStreamClientInterceptor,  # type: ignore[misc] # untyped
    grpc.StreamUnaryClientInterceptor,  # type: ignore[misc] # untyped
    grpc.StreamStreamClientInterceptor,  # type: ignore[misc] # untyped
):
    """Guards and records all calls of one channel; made by `client_interceptor`."""

    def __init__(self, outbound: Outbound) -> None:
        self.outbound = outbound
        self._calls = Calls(outbound, InjectedRpcError)

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        """One request, one answer."""
        if _is_future(continuation):
            return self._held(continuation, details, request)
        return self._whole(continuation, details, request, may_retry=True)

    def intercept_unary_stream(self, continuation: Any, details: Any, request: Any) -> Any:
        """One request, many answers."""
        return self._held(continuation, details, request)

    def intercept_stream_unary(self, continuation: Any, details: Any, requests: Any) -> Any:
        """Many requests, one answer."""
        if _is_future(continuation):
            return self._held(continuation, details, requests)
        return self._whole(continuation, details, requests, may_retry=False)

    def intercept_stream_stream(self, continuation: Any, details: Any, requests: Any) -> Any:
        """Many requests, many answers."""
        return self._held(continuation, details, requests)

    def _whole(self, continuation: Any, details: Any, request: Any, *, may_retry: bool) -> Any:
        """The call as attempts that end with the answer."""
        made: list[Any] = []

        def attempt(one: Attempt) -> Any:
            call = continuation(self._told(details, one), request)
            error = call.exception()
            if error is not None:
                raise error
            made.append(call)
            return call

        limit_s = self._calls.limit_s(details)
        answer = self._called(details, attempt, timeout_s=limit_s, may_retry=may_retry)
        return answer if any(answer is one for one in made) else _Answer(answer)

    def _held(self, continuation: Any, details: Any, request: Any) -> Any:
        """The call as one attempt that ends when the call does."""
        held: list[Attempt] = []
        made: list[Any] = []

        def attempt(one: Attempt) -> Any:
            call = continuation(self._told(details, one), request)
            made.append(call)
            if one.hold():
                held.append(one)
            return call

        call = self._called(details, attempt, timeout_s=stream_s(details), may_retry=False)
        if not any(call is one for one in made):
            return _Answer(call)
        if not held:
            return call
        one = held[0]
        if not call.add_callback(lambda: _end(one, call)):
            _end(one, call)
        return HeldCall(call)

    def _called(self, details: Any, attempt: Callable[[Attempt], Any], **terms: Any) -> Any:
        """Make the call; what the guard ends it with is an error of gRPC too."""
        try:
            terms.update(self._calls.terms_of(details))
            return self.outbound.call_sync(self._calls.endpoint_of(details), attempt, **terms)
        except CallError as error:
            raise translated(error, grpc.RpcError, _OURS) from error

    def _told(self, details: Any, one: Attempt) -> _Details:
        """The details of one attempt: the context as metadata, and the time that is left."""
        timeout_s, metadata = self._calls.told_of(details, one)
        return _Details(
            details.method,
            timeout_s,
            metadata,
            details.credentials,
            getattr(details, "wait_for_ready", None),
            getattr(details, "compression", None),
        )

    def stats(self) -> OutboundStats:
        """Calls since start."""
        return self.outbound.stats()


def client_interceptor(
    service: "Service",
    peer: str,
    config: CommandConfig | None = None,
    *,
    fallback: Fallback | None = None,
    retry_on: RetryOn = is_unavailable,
) -> ClientInterceptor:
    """The interceptor for a channel to the service `peer`; one for each channel.

    fallback: gives the answer (or, for a stream, the iterable of answers) from the error.
    """
    return ClientInterceptor(
        outbound_to(service, peer, config, fallback=fallback, retry_on=retry_on)
    )


def guarded_channel(
    service: "Service",
    channel: Any,
    peer: str,
    config: CommandConfig | None = None,
    *,
    fallback: Fallback | None = None,
    retry_on: RetryOn = is_unavailable,
) -> Any:
    """`channel`, whose calls go to the service `peer`, under guard."""
    made = client_interceptor(service, peer, config, fallback=fallback, retry_on=retry_on)
    return grpc.intercept_channel(channel, made)


def server_interceptor(service: "Service", **options: Any) -> "ServerInterceptor":
    """The interceptor for `grpc.server`; options as of `ServerInterceptor`."""
    from breakwater.sdk.grpc_server import ServerInterceptor  # noqa: PLC0415 - for servers only

    made = ServerInterceptor(service.runtime, **options)
    service.watch(made)
    return made


def _is_future(continuation: Any) -> bool:
    """Whether the call was made by `.future()`, and so must not wait for its answer."""
    return ".future." in getattr(continuation, "__qualname__", "")


def _end(one: Attempt, call: Any) -> None:
    """The call is over: so is its attempt, with the call as its error if it went badly."""
    if call.code() is grpc.StatusCode.OK:
        one.end()
    else:
        one.end(call if isinstance(call, BaseException) else call.exception())


def _within(_held: HeldCall, fn: Callable[..., Any], *given: Any, **named: Any) -> Any:
    """Call a method of a held call, which lives until it returns: `.future(...).result()`."""
    return fn(*given, **named)


def _cancel(call: Any) -> None:
    call.cancel()


_OURS: Final[dict[type[CallError], type[CallError]]] = {
    CallRefusedError: RefusedRpcError,
    AttemptTimedOutError: TimedOutRpcError,
    DeadlineExceededError: PastDeadlineRpcError,
}
