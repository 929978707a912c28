"""gRPC on asyncio: guarded channels for callers, and a server interceptor.

    interceptors = client_interceptors(service, "prices")
    channel = grpc.aio.insecure_channel(address, interceptors=interceptors)
    server = grpc.aio.server(interceptors=[server_interceptor(service)])

As `breakwater.sdk.grpc`; an attempt is cancelled at its limit as well. Only calls of one request
and one answer are tried again; a call with a stream on either side is one attempt that holds its
permit until it ends or is cancelled. One that is merely forgotten goes on until its deadline, as
it does without a guard: gRPC itself holds on to it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from breakwater.sdk.needs import not_installed

try:
    import grpc
    import grpc.aio
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
from breakwater.sdk.outcomes import translated

if TYPE_CHECKING:
    from breakwater.sdk.grpc_aio_server import ServerInterceptor
    from breakwater.sdk.service import Service

T = TypeVar("T")

_NONE: Final = grpc.aio.Metadata()


class _Over(grpc.aio.AioRpcError):  # type: ignore[misc] # untyped
    """A call that is over and never was one."""

    _code: Any = grpc.StatusCode.UNAVAILABLE

    def code(self) -> Any:
        """The status code."""
        return self._code

    def _status_code(self) -> Any:
        return self._code

    def details(self) -> str:
        """What happened."""
        return str(self)

    def initial_metadata(self) -> Any:
        """None came."""
        return _NONE

    def trailing_metadata(self) -> Any:
        """None came."""
        return _NONE

    def debug_error_string(self) -> str:
        """Nothing more is known."""
        return ""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


class InjectedRpcError(_Over):
    """A fault on purpose: looks like the error of a call that ended with this code at once."""

    def __init__(self, code: Any) -> None:
        super().__init__(code, _NONE, _NONE, "injected fault")

    def __str__(self) -> str:
        return f"injected fault: {self._code.name}"


class RefusedRpcError(CallRefusedError, _Over):
    """The guard refused the call, which was not sent; its code is `UNAVAILABLE`."""


class TimedOutRpcError(AttemptTimedOutError, _Over):
    """The call ran into the guard's time limit."""

    _code = grpc.StatusCode.DEADLINE_EXCEEDED

    @property
    def code(self) -> Callable[[], Any]:  # type: ignore[override] # with us it is a field
        """The status code, asked for as gRPC's errors are."""
        return super()._status_code

    def __str__(self) -> str:
        return timed_out_text(self)


class PastDeadlineRpcError(DeadlineExceededError, _Over):
    """The caller's deadline had passed before the call could be made."""

    _code = grpc.StatusCode.DEADLINE_EXCEEDED


class _Answers(grpc.aio.UnaryStreamCall, grpc.aio.StreamStreamCall):  # type: ignore[misc] # untyped
    """A fallback's answers in the place of a call."""

    def __init__(self, answers: Iterable[Any]) -> None:
        self._answers = iter(answers)

    async def _each(self) -> AsyncIterator[Any]:
        for one in self._answers:
            yield one

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._each()

    async def read(self) -> Any:
        """The next answer, or the mark of the end."""
        return next(self._answers, grpc.aio.EOF)

    async def write(self, request: Any) -> None:
        """Nobody will read it."""

    async def done_writing(self) -> None:
        """Nobody reads."""

    async def initial_metadata(self) -> Any:
        """None came."""
        return _NONE

    async def trailing_metadata(self) -> Any:
        """None came."""
        return _NONE

    async def code(self) -> Any:
        """As of a call that went well."""
        return grpc.StatusCode.OK

    async def details(self) -> str:
        """Where they come from."""
        return "answered by a fallback"

    async def wait_for_connection(self) -> None:
        """There is none to wait for."""

    def cancelled(self) -> bool:
        """It was not."""
        return False

    def done(self) -> bool:
        """It is over."""
        return True

    def time_remaining(self) -> None:
        """It is over."""

    def cancel(self) -> bool:
        """It is over."""
        return False

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """It is over: `callback` is called at once."""
        callback(self)


class _Calls(Calls):
    """What the four interceptors of one channel share."""

    async def whole(self, continuation: Any, details: Any, request: Any) -> Any:
        """The call as attempts that end with the answer."""

        async def attempt(one: Attempt) -> Any:
            call = await continuation(self._told(details, one), request)
            await call
            return call

        limit_s = self.limit_s(details)
        return await self._called(details, attempt, timeout_s=limit_s, may_retry=True)

    async def held(self, continuation: Any, details: Any, request: Any) -> Any:
        """The call as one attempt that ends when the call does."""
        held: list[Attempt] = []

        async def attempt(one: Attempt) -> Any:
            call = await continuation(self._told(details, one), request)
            if one.hold():
                held.append(one)
            return call

        limit_s = stream_s(details)
        call = await self._called(details, attempt, timeout_s=limit_s, may_retry=False)
        if held:
            call.add_done_callback(lambda over: _end(held[0], over))
        return call

    async def _called(
        self, details: Any, attempt: Callable[[Attempt], Awaitable[Any]], **terms: Any
    ) -> Any:
        """Make the call; what the guard ends it with is an error of gRPC too."""
        try:
            terms.update(self.terms_of(details))
            return await self.outbound.call(self.endpoint_of(details), attempt, **terms)
        except CallError as error:
            raise translated(error, grpc.RpcError, _OURS) from error

    def _told(self, details: Any, one: Attempt) -> Any:
        """The details of one attempt: the context as metadata, and the time that is left."""
        timeout_s, metadata = self.told_of(details, one)
        return grpc.aio.ClientCallDetails(
            method=details.method,
            timeout=timeout_s,
            metadata=grpc.aio.Metadata(*metadata),
            credentials=details.credentials,
            wait_for_ready=details.wait_for_ready,
        )


class _UnaryUnary(grpc.aio.UnaryUnaryClientInterceptor):  # type: ignore[misc] # untyped
    def __init__(self, calls: _Calls) -> None:
        self._calls = calls

    async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        """One request, one answer."""
        return await self._calls.whole(continuation, details, request)


class _UnaryStream(grpc.aio.UnaryStreamClientInterceptor):  # type: ignore[misc] # untyped
    def __init__(self, calls: _Calls) -> None:
        self._calls = calls

    async def intercept_unary_stream(self, continuation: Any, details: Any, request: Any) -> Any:
        """One request, many answers."""
        answer = await self._calls.held(continuation, details, request)
        return answer if isinstance(answer, grpc.aio.Call) else _Answers(answer)


class _StreamUnary(grpc.aio.StreamUnaryClientInterceptor):  # type: ignore[misc] # untyped
    def __init__(self, calls: _Calls) -> None:
        self._calls = calls

    async def intercept_stream_unary(self, continuation: Any, details: Any, requests: Any) -> Any:
        """Many requests, one answer; they may still be written, so it is not waited for."""
        return await self._calls.held(continuation, details, requests)


class _StreamStream(grpc.aio.StreamStreamClientInterceptor):  # type: ignore[misc] # untyped
    def __init__(self, calls: _Calls) -> None:
        self._calls = calls

    async def intercept_stream_stream(self, continuation: Any, details: Any, requests: Any) -> Any:
        """Many requests, many answers."""
        answer = await self._calls.held(continuation, details, requests)
        return answer if isinstance(answer, grpc.aio.Call) else _Answers(answer)


def client_interceptors(
    service: "Service",
    peer: str,
    config: CommandConfig | None = None,
    *,
    fallback: Fallback | None = None,
    retry_on: RetryOn = is_unavailable,
) -> list[Any]:
    """The interceptors for a channel to the service `peer`, which guard its calls.

    fallback: gives the answer from the error, or for calls with a stream of answers an iterable
    of them; calls of many requests and one answer have none.
    """
    outbound = outbound_to(service, peer, config, fallback=fallback, retry_on=retry_on)
    calls = _Calls(outbound, InjectedRpcError)
    return [_UnaryUnary(calls), _UnaryStream(calls), _StreamUnary(calls), _StreamStream(calls)]


def server_interceptor(service: "Service", **options: Any) -> "ServerInterceptor":
    """The interceptor for `grpc.aio.server`; options as of `ServerInterceptor`."""
    from breakwater.sdk.grpc_aio_server import (  # noqa: PLC0415 - for servers only
        ServerInterceptor,
    )

    made = ServerInterceptor(service.runtime, **options)
    service.watch(made)
    return made


def _end(one: Attempt, call: Any) -> None:
    """The call is over: so is its attempt, with an error if it went badly."""
    if call.cancelled():
        one.end(asyncio.CancelledError())
        return
    code = _known(call.code())
    if code is grpc.StatusCode.OK:
        one.end()
    else:
        one.end(grpc.aio.AioRpcError(code or grpc.StatusCode.UNKNOWN, _NONE, _NONE))


def _known(asked: Coroutine[Any, Any, T]) -> T | None:
    """The answer of a coroutine that has no need to wait, None should it want to."""
    try:
        asked.send(None)
    except StopIteration as end:
        value: T = end.value
        return value
    asked.close()
    return None


_OURS: Final[dict[type[CallError], type[CallError]]] = {
    CallRefusedError: RefusedRpcError,
    AttemptTimedOutError: TimedOutRpcError,
    DeadlineExceededError: PastDeadlineRpcError,
}
