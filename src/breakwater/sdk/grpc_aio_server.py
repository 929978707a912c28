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
from breakwater.sdk.errors import CallRefusedError
from breakwater.sdk.faults import InjectedFaultError, inject
from breakwater.sdk.faults.rules import header_of
from breakwater.sdk.grpc_door import GrpcDoor, Place, push_back
from breakwater.sdk.grpc_server import begin, ended, rebuilt
from breakwater.sdk.grpc_status import code_of_http, endpoint_of, text_pairs
from breakwater.sdk.guard.config import SheddingConfig
from breakwater.sdk.guard.sharing.scope import SCOPE, RequestScope
from breakwater.sdk.runtime import Runtime


class ServerInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc] # untyped
    """Records every call of a `grpc.aio.server`; made by `server_interceptor`.

    endpoint: names the endpoint of a method such as `/shop.Prices/Get`; of few values. shedding:
    how much work is taken on, and whose first. max_concurrent: the same as a fixed limit without
    a queue; give one of the two. What is refused ends with `UNAVAILABLE`. Raises SettingsError.
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        endpoint: Callable[[str], str] = endpoint_of,
        shedding: SheddingConfig | None = None,
        max_concurrent: int | None = None,
    ) -> None:
        self._door = GrpcDoor(runtime, shedding=shedding, max_concurrent=max_concurrent)
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
        is_stream = bool(handler.request_streaming or handler.response_streaming)

        def served(context: Any) -> _Served:
            place = Place(self._door, is_stream=is_stream)
            return _Served(self._door, place, endpoint, context)

        async def serve(request: Any, context: Any) -> Any:
            async with served(context):
                return await behave(request, context)

        async def serve_stream(request: Any, context: Any) -> AsyncIterator[Any]:
            async with served(context):
                async for answer in behave(request, context):
                    yield answer

        async def serve_writes(request: Any, context: Any) -> None:
            async with served(context):
                await behave(request, context)

        if not handler.response_streaming:
            return serve
        return serve_stream if isasyncgenfunction(behave) else serve_writes

    def stats(self) -> ServerStats:
        """Counts since start."""
        return self._door.stats()


class _Served:
    """One call being served; gRPC gives each a task, and so a context, of its own."""

    def __init__(self, door: GrpcDoor, place: Place, endpoint: str, context: Any) -> None:
        self._runtime = door.runtime
        self._reception = door.reception
        self._place = place
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
            await self._get_in()
            await self._suffer(metadata)
        except BaseException as error:
            self._end(error)
            raise

    async def _get_in(self) -> None:
        """Wait for a place; without one the call ends here."""
        try:
            await self._place.take(self._visit, self._endpoint)
        except CallRefusedError as refusal:
            self._visit.end(self._endpoint, Status.UNAVAILABLE, refusal.reason)
            await self._context.abort(
                grpc.StatusCode.UNAVAILABLE, refusal.reason, push_back(refusal)
            )

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
        is_stopped = isinstance(error, asyncio.CancelledError | GeneratorExit)
        has_left = is_stopped or self._context.cancelled()
        status, detail = ended(
            _code(self._context.code()),
            has_failed=error is not None,
            has_left=has_left,
            left_s=self._visit.left_s(),
        )
        self._place.leave(status, has_left=has_left)
        self._visit.end(self._endpoint, status, detail)


def _code(code: Any) -> Any:
    """The code as a member of the enumeration; 0 is what gRPC has before it is set."""
    if isinstance(code, int):
        return next((known for known in grpc.StatusCode if known.value[0] == code), None)
    return code
