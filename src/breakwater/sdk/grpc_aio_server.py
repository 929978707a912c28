"""The server side of gRPC on asyncio; as `breakwater.sdk.grpc_server`, in words of its own loop.

A caller who goes away has gRPC cancel the handler, and the call is recorded as cancelled.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextvars import Token
from inspect import isasyncgenfunction
from typing import Any

import grpc
import grpc.aio

from breakwater.model import Status
from breakwater.sdk.calls import ServerStats
from breakwater.sdk.context import CURRENT, CallContext
from breakwater.sdk.endpoints import Labels
from breakwater.sdk.faults import InjectedFaultError, inject
from breakwater.sdk.faults.rules import header_of
from breakwater.sdk.grpc_server import begin, ended, rebuilt
from breakwater.sdk.grpc_status import code_of_http, endpoint_of, text_pairs
from breakwater.sdk.guard.sharing.scope import SCOPE, RequestScope
from breakwater.sdk.reception import Reception
from breakwater.sdk.runtime import Runtime


class ServerInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc] # untyped
    """Records every call of a `grpc.aio.server`; made by `server_interceptor`.

    endpoint: names the endpoint of a method such as `/shop.Prices/Get`; of few values.
    """

    def __init__(self, runtime: Runtime, *, endpoint: Callable[[str], str] = endpoint_of) -> None:
        self._runtime = runtime
        self._reception = Reception(runtime)
        self._endpoint = endpoint
        self._labels = Labels()

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        """The handler of the method, with everything around it."""
        handler = await continuation(details)
        if handler is None:
            return None
        endpoint = self._labels.name(self._endpoint(details.method))
        return rebuilt(handler, lambda behave: self._around(behave, handler, endpoint))

    def _around(self, behave: Callable[..., Any], handler: Any, endpoint: str) -> Any:
        async def serve(request: Any, context: Any) -> Any:
            async with _Served(self._runtime, self._reception, endpoint, context):
                return await behave(request, context)

        async def serve_stream(request: Any, context: Any) -> AsyncIterator[Any]:
            async with _Served(self._runtime, self._reception, endpoint, context):
                async for answer in behave(request, context):
                    yield answer

        async def serve_writes(request: Any, context: Any) -> None:
            async with _Served(self._runtime, self._reception, endpoint, context):
                await behave(request, context)

        if not handler.response_streaming:
            return serve
        return serve_stream if isasyncgenfunction(behave) else serve_writes

    def stats(self) -> ServerStats:
        """Counts since start."""
        return self._reception.stats()


class _Served:
    """One call being served; gRPC gives each a task, and so a context, of its own."""

    def __init__(self, runtime: Runtime, reception: Reception, endpoint: str, context: Any) -> None:
        self._runtime = runtime
        self._reception = reception
        self._endpoint = endpoint
        self._context = context
        self._scope = RequestScope()
        self._tokens: tuple[Token[CallContext], Token[RequestScope | None]]

    async def __aenter__(self) -> None:
        metadata = self._context.invocation_metadata()
        self._visit = visit = begin(self._reception, metadata, self._context.time_remaining())
        self._tokens = (CURRENT.set(visit.context), SCOPE.set(self._scope))
        try:
            if visit.is_late:
                visit.end(self._endpoint, Status.TIMEOUT, "past_deadline")
                await self._refuse(grpc.StatusCode.DEADLINE_EXCEEDED)
            await self._suffer(metadata)
        except BaseException as error:
            self._end(error)
            raise

    async def _suffer(self, metadata: Any) -> None:
        """Do what fault rules say, for no longer than the caller waits."""
        hits = self._visit.hits(self._endpoint, header_of(text_pairs(metadata)))
        if not hits:
            return
        try:
            async with asyncio.timeout(self._visit.left_s()):
                await inject(self._runtime.faults, hits)
        except InjectedFaultError as fault:
            await self._context.abort(code_of_http(fault.status), "injected fault")
        except TimeoutError:
            await self._refuse(grpc.StatusCode.DEADLINE_EXCEEDED)

    async def _refuse(self, code: Any) -> None:
        await self._context.abort(code, "the deadline has passed")

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._end(error)

    def _end(self, error: BaseException | None) -> None:
        current, scope = self._tokens
        self._scope.close()
        SCOPE.reset(scope)
        CURRENT.reset(current)
        has_left = isinstance(error, asyncio.CancelledError | GeneratorExit)
        status, detail = ended(
            _code(self._context.code()),
            has_failed=error is not None,
            has_left=has_left or self._context.cancelled(),
            left_s=self._visit.left_s(),
        )
        self._visit.end(self._endpoint, status, detail)


def _code(code: Any) -> Any:
    """The code as a member of the enumeration; 0 is what gRPC has before it is set."""
    if isinstance(code, int):
        return next((known for known in grpc.StatusCode if known.value[0] == code), None)
    return code
