"""The server side of gRPC, sync: one `ipc.server.call` for every call, however it ends.

The caller's context comes from metadata and its deadline from gRPC itself; whatever the handler
calls through the SDK keeps to both. Work whose deadline has passed is refused, and so is work for
which there is no room; inbound faults are suffered before the handler. A handler's thread cannot be
interrupted: it may ask its context. A call waits in the queue on a thread of the server's pool,
which should have as many threads as limit and queue together.
"""

from collections.abc import Callable, Iterator
from contextvars import Context, copy_context
from typing import Any, Final

import grpc

from breakwater.model import Status
from breakwater.sdk.calls import ServerStats
from breakwater.sdk.context import CURRENT, CallContext
from breakwater.sdk.endpoints import Labels
from breakwater.sdk.errors import CallRefusedError
from breakwater.sdk.faults import InjectedFaultError, inject_sync
from breakwater.sdk.faults.rules import header_of
from breakwater.sdk.grpc_door import GrpcDoor, Place, push_back
from breakwater.sdk.grpc_status import code_of_http, endpoint_of, status_of_code, text_pairs
from breakwater.sdk.guard.config import SheddingConfig
from breakwater.sdk.guard.sharing.scope import SCOPE, RequestScope
from breakwater.sdk.propagation import MAX_DEADLINE_S
from breakwater.sdk.reception import Reception, Visit
from breakwater.sdk.runtime import Runtime

_MAKERS: Final = {
    (False, False): ("unary_unary", grpc.unary_unary_rpc_method_handler),
    (False, True): ("unary_stream", grpc.unary_stream_rpc_method_handler),
    (True, False): ("stream_unary", grpc.stream_unary_rpc_method_handler),
    (True, True): ("stream_stream", grpc.stream_stream_rpc_method_handler),
}


class ServerInterceptor(grpc.ServerInterceptor):  # type: ignore[misc] # untyped
    """Records every call of a `grpc.server`; made by `server_interceptor`.

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

    def intercept_service(self, continuation: Any, details: Any) -> Any:
        """The handler of the method, with everything around it."""
        handler = continuation(details)
        if handler is None:
            return None
        endpoint = self._labels.name(self._endpoint(details.method))
        return rebuilt(handler, lambda behave: self._around(behave, handler, endpoint))

    def _around(self, behave: Callable[..., Any], handler: Any, endpoint: str) -> Any:
        is_stream = bool(handler.request_streaming or handler.response_streaming)

        def serve(request: Any, context: Any) -> Any:
            place = Place(self._door, is_stream=is_stream)
            return _Served(self._door, place, endpoint, context).run(behave, request)

        def serve_stream(request: Any, context: Any) -> Iterator[Any]:
            place = Place(self._door, is_stream=is_stream)
            return _Served(self._door, place, endpoint, context).stream(behave, request)

        return serve_stream if handler.response_streaming else serve

    def stats(self) -> ServerStats:
        """Counts since start."""
        return self._door.stats()


class _Served:
    """One call being served, in a context of its own whichever thread runs it."""

    def __init__(self, door: GrpcDoor, place: Place, endpoint: str, context: Any) -> None:
        self._runtime = door.runtime
        self._place = place
        self._endpoint = endpoint
        self._context = context
        self._metadata = context.invocation_metadata()
        self._visit: Visit = begin(door.reception, self._metadata, context.time_remaining())
        self._scope = RequestScope()
        self._within: Context = copy_context()
        self._within.run(_bind, self._visit.context, self._scope)

    def run(self, behave: Callable[..., Any], request: Any) -> Any:
        """Serve a call of one answer."""
        try:
            self._suffer()
            answer = self._within.run(behave, request, self._context)
        except BaseException:
            self._end(has_failed=True)
            raise
        self._end(has_failed=False)
        return answer

    def stream(self, behave: Callable[..., Any], request: Any) -> Iterator[Any]:
        """Serve a call of many answers."""
        has_failed = True
        try:
            self._suffer()
            answers = iter(self._within.run(behave, request, self._context))
            while True:
                try:
                    answer = self._within.run(next, answers)
                except StopIteration:
                    break
                yield answer
            has_failed = False
        finally:
            self._end(has_failed=has_failed)

    def _suffer(self) -> None:
        """Refuse what is too late or too much, and do what fault rules say."""
        visit, context = self._visit, self._context
        if visit.is_late:
            visit.end(self._endpoint, Status.TIMEOUT, "past_deadline")
            context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline has passed")
        try:
            self._place.take_sync(visit, self._endpoint)
        except CallRefusedError as refusal:
            visit.end(self._endpoint, Status.UNAVAILABLE, refusal.reason)
            context.set_trailing_metadata(push_back(refusal))
            context.abort(grpc.StatusCode.UNAVAILABLE, refusal.reason)
        hits = visit.hits(self._endpoint, header_of(text_pairs(self._metadata)))
        if not hits:
            return
        try:
            inject_sync(self._runtime.faults, hits, visit.left_s(), leaving=self._leaving)
        except InjectedFaultError as fault:
            context.abort(code_of_http(fault.status), "injected fault")
        except TimeoutError:
            context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline has passed")

    def _leaving(self, wake: Callable[[], None]) -> None:
        if not self._context.add_callback(wake):
            wake()

    def _end(self, *, has_failed: bool) -> None:
        self._scope.close()
        has_left = not self._context.is_active()
        status, detail = ended(
            self._context.code(),
            has_failed=has_failed,
            has_left=has_left,
            left_s=self._visit.left_s(),
        )
        self._place.leave(status, has_left=has_left)
        self._visit.end(self._endpoint, status, detail)


def rebuilt(handler: Any, around: Callable[[Callable[..., Any]], Any]) -> Any:
    """A handler of the same kind whose behaviour is what `around` makes of this one's."""
    name, make = _MAKERS[bool(handler.request_streaming), bool(handler.response_streaming)]
    return make(
        around(getattr(handler, name)),
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )


def begin(reception: Reception, metadata: Any, left_s: float | None) -> Visit:
    """A call came in; left_s: as gRPC tells it, endless or None without a deadline."""
    pairs = text_pairs(metadata).items()
    headers = [(key.encode("latin-1"), value.encode("latin-1", "replace")) for key, value in pairs]
    is_limited = left_s is not None and left_s < MAX_DEADLINE_S
    return reception.begin(headers, left_s if is_limited else None)


def ended(
    code: Any, *, has_failed: bool, has_left: bool, left_s: float | None
) -> tuple[Status, str]:
    """How a call ended, for its record; a caller who left decides, whatever the handler did."""
    if has_left and (has_failed or code in (None, grpc.StatusCode.OK)):
        is_late = left_s is not None and left_s <= 0.0
        return (Status.TIMEOUT, "deadline") if is_late else (Status.CANCELLED, "")
    if has_failed and code in (None, grpc.StatusCode.OK):
        code = grpc.StatusCode.UNKNOWN
    return status_of_code(code or grpc.StatusCode.OK)


def _bind(context: CallContext, scope: RequestScope) -> None:
    CURRENT.set(context)
    SCOPE.set(scope)
