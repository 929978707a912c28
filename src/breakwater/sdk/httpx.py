"""httpx under guard: a transport around the transport, so that the user's client stays as it is.

    client = httpx.Client(transport=guarded_transport(service), base_url="http://account")
    client = httpx.AsyncClient(transport=guarded_async_transport(service), ...)

Whatever the guard ends a call with is also an error of httpx, so `except httpx.HTTPError` goes on
working: a refused call is an `httpx.TransportError`, one that took too long an
`httpx.TimeoutException`. An answer of 5xx, 408 or 429 counts against the callee and is given to
the caller as it is, unless a retry or a fallback has a better one.

The time limit of the guard is that of the response's head, and of each piece of its body after
that; the deadline limits all of it. The permit is held until the body is read or closed. Sync
calls give what is left to each read from the socket; async ones are cancelled.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, Unpack

from breakwater.sdk.needs import not_installed

try:
    import httpx
except ModuleNotFoundError as error:
    raise not_installed(error, "httpx") from None

from breakwater.model import Status
from breakwater.sdk import edges
from breakwater.sdk.attempt import Attempt
from breakwater.sdk.errors import (
    AttemptTimedOutError,
    CallError,
    CallRefusedError,
    DeadlineExceededError,
    NoInstanceError,
)
from breakwater.sdk.guard.travel.drivers import limited
from breakwater.sdk.httpx_limits import Limits
from breakwater.sdk.outbound import OutboundStats
from breakwater.sdk.outcomes import connection_detail, translated
from breakwater.sdk.terms import Terms

if TYPE_CHECKING:
    from breakwater.sdk.service import Service

STICKY: Final = "breakwater.sticky"
"""Extension of a request: those with the same key go to the same instance while it can."""


class _OfHttpx:
    """An error that httpx completes with the request it was about."""

    _request: httpx.Request | None = None


class RefusedError(_OfHttpx, CallRefusedError, httpx.TransportError):
    """The guard refused the request; nothing was sent."""


class TimedOutError(_OfHttpx, AttemptTimedOutError, httpx.TimeoutException):
    """The request ran into the guard's time limit."""


class PastDeadlineError(_OfHttpx, DeadlineExceededError, httpx.TimeoutException):
    """The caller's deadline has passed."""


class NobodyThereError(_OfHttpx, NoInstanceError, httpx.ConnectError):
    """Every instance of the service refuses connections; nothing was sent."""


Options = edges.Options[httpx.Request, httpx.Response | Awaitable[httpx.Response]]
"""What can be said of a guarded transport; see `breakwater.sdk.edges.Options`.

A request's extension `endpoint` names what that one is for.
"""


def guarded_transport(
    service: "Service", inner: httpx.BaseTransport | None = None, **options: Unpack[Options]
) -> "GuardedTransport":
    """A transport for `httpx.Client(transport=...)`; inner: sends, by default an HTTPTransport.

    httpx leaves `verify`, `http2`, `limits` and `proxy` to the transport: give them to `inner`.
    """
    return GuardedTransport(service, inner or httpx.HTTPTransport(), options)


def guarded_async_transport(
    service: "Service", inner: httpx.AsyncBaseTransport | None = None, **options: Unpack[Options]
) -> "AsyncGuardedTransport":
    """As `guarded_transport`, for `httpx.AsyncClient(transport=...)`."""
    return AsyncGuardedTransport(service, inner or httpx.AsyncHTTPTransport(), options)


class _Guarding:
    """What both transports share: everything that is not sending."""

    def __init__(self, service: "Service", options: Options) -> None:
        self._edges = edges.Edges(service, options, group="httpx", classify=_classify)

    def _endpoint(self, request: httpx.Request) -> str:
        said = request.extensions.get("endpoint")
        if isinstance(said, str):
            return said
        return self._edges.endpoint_of(request, request.url.path)

    def _terms(self, request: httpx.Request, discard: Callable[[httpx.Response], Any]) -> Terms:
        may_retry = self._edges.may_retry(request, request.method)
        limits = request.extensions.get("timeout", {})
        read_s = limits.get("read")

        def answer_for(attempt: Attempt, status: int) -> httpx.Response:
            response = httpx.Response(status, json={"type": "error", "message": "injected fault"})
            return attempt.answered(status, response, response.close)

        return {
            "discard": discard,
            "may_retry": may_retry and isinstance(request.stream, httpx.ByteStream),
            "header": request.headers.get,
            "answer_for": answer_for,
            "patience_s": read_s,
            "late": lambda: httpx.ReadTimeout(f"no answer within {read_s} s"),
            "no_connection": _no_connection,
            "pool_patience_s": limits.get("pool"),
        }

    def _prepared(self, request: httpx.Request, attempt: Attempt) -> httpx.Request:
        """The request as this attempt sends it: whereto, what it tells, how long it waits."""
        url = self._resolved(request.url, attempt, request.extensions.get(STICKY))
        told = {name.encode(): value.encode() for name, value in attempt.headers().items()}
        own = [pair for pair in request.headers.raw if pair[0].lower() not in told]
        headers = httpx.Headers([*own, *told.items()])  # its `update` takes thrice as long
        extensions = dict(request.extensions)
        extensions["timeout"] = Limits(extensions.get("timeout", {}), attempt)
        return httpx.Request(
            request.method, url, headers=headers, stream=request.stream, extensions=extensions
        )

    def _resolved(self, url: httpx.URL, attempt: Attempt, sticky: str | None) -> httpx.URL:
        """Where a service's name in the URL leads to."""
        place = self._edges.place_of(attempt, url.scheme, url.host, url.port, sticky)
        return url if place is None else url.copy_with(host=place.host, port=place.port)

    def stats(self) -> list[OutboundStats]:
        """Counts by peer since start."""
        return self._edges.stats()


class GuardedTransport(_Guarding, httpx.BaseTransport):
    """Guards every request that `inner` sends; see `guarded_transport`."""

    def __init__(self, service: "Service", inner: httpx.BaseTransport, options: Options) -> None:
        from breakwater.sdk.httpx_network import watch_network  # noqa: PLC0415 - for sync clients only

        super().__init__(service, options)
        self._inner = inner
        watch_network(inner)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request under guard."""
        outbound = self._edges.to(request.url.host)

        def attempt_of(attempt: Attempt) -> httpx.Response:
            response = self._inner.handle_request(self._prepared(request, attempt))
            attempt.answered(response.status_code, response, response.close)
            if attempt.hold():
                assert isinstance(response.stream, httpx.SyncByteStream), "a sync transport"
                response.stream = _HeldStream(response.stream, attempt)
            return response

        try:
            return outbound.call_sync(
                self._endpoint(request), attempt_of, **self._terms(request, httpx.Response.close)
            )
        except CallError as error:
            raise _translated(error) from error

    def close(self) -> None:
        """Close `inner`."""
        self._inner.close()


class AsyncGuardedTransport(_Guarding, httpx.AsyncBaseTransport):
    """Guards every request that `inner` sends; see `guarded_async_transport`."""

    def __init__(
        self, service: "Service", inner: httpx.AsyncBaseTransport, options: Options
    ) -> None:
        super().__init__(service, options)
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request under guard."""
        outbound = self._edges.to(request.url.host)

        async def attempt_of(attempt: Attempt) -> httpx.Response:
            prepared = self._prepared(request, attempt)
            response = await self._inner.handle_async_request(prepared)
            attempt.answered(response.status_code, response, response.aclose)
            if attempt.hold():
                assert isinstance(response.stream, httpx.AsyncByteStream), "an async transport"
                response.stream = _AsyncHeldStream(response.stream, attempt)
            return response

        try:
            return await outbound.call(
                self._endpoint(request), attempt_of, **self._terms(request, httpx.Response.aclose)
            )
        except CallError as error:
            raise _translated(error) from error

    async def aclose(self) -> None:
        """Close `inner`."""
        await self._inner.aclose()


class _HeldStream(httpx.SyncByteStream):
    """A response's body; the attempt ends with it."""

    def __init__(self, inner: httpx.SyncByteStream, attempt: Attempt) -> None:
        self._inner = inner
        self._attempt = attempt

    def __iter__(self) -> Iterator[bytes]:
        """The pieces of the body; the deadline is looked at before each."""
        attempt = self._attempt
        try:
            for piece in self._inner:
                yield piece
                attempt.piece_s()
        except CallError as error:
            late = _translated(error)
            attempt.end(late)
            raise late from error
        except Exception as error:
            attempt.end(error)
            raise
        attempt.end()

    def close(self) -> None:
        """Whoever closes a body early has got what he wanted."""
        try:
            self._inner.close()
        finally:
            self._attempt.end()

    def __del__(self) -> None:
        """A response that nobody closed is one whose caller left."""
        self._attempt.drop()


class _AsyncHeldStream(httpx.AsyncByteStream):
    """As `_HeldStream`; a piece that takes too long is cancelled."""

    def __init__(self, inner: httpx.AsyncByteStream, attempt: Attempt) -> None:
        self._inner = inner
        self._attempt = attempt

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The pieces of the body, each within its time."""
        attempt, pieces = self._attempt, aiter(self._inner)
        try:
            while (piece := await self._next(pieces)) is not None:
                yield piece
        except CallError as error:
            late = _translated(error)
            attempt.end(late)
            raise late from error
        except GeneratorExit:  # `aclose` follows, and says how it ended
            raise
        except BaseException as error:
            attempt.end(error)
            raise
        attempt.end()

    async def _next(self, pieces: AsyncIterator[bytes]) -> bytes | None:
        seconds = self._attempt.piece_s()
        if seconds is None:
            return await anext(pieces, None)
        peer = self._attempt.peer
        piece = await limited(
            lambda: anext(pieces, None), seconds, command=peer, was_cut_short=False
        )
        assert piece is None or isinstance(piece, bytes), "what httpx gives"
        return piece

    async def aclose(self) -> None:
        """Whoever closes a body early has got what he wanted."""
        try:
            await self._inner.aclose()
        finally:
            self._attempt.end()

    def __del__(self) -> None:
        """A response that nobody closed is one whose caller left."""
        self._attempt.drop()


def _classify(error: BaseException) -> tuple[Status, str] | None:
    """What an error of httpx is in a record."""
    if isinstance(error, httpx.PoolTimeout):
        return Status.TIMEOUT, "pool_timeout"
    if isinstance(error, httpx.TimeoutException):
        return Status.TIMEOUT, "attempt_timeout"
    if isinstance(error, httpx.UnsupportedProtocol | httpx.LocalProtocolError | httpx.InvalidURL):
        return Status.BAD_REQUEST, "invalid_request"
    if isinstance(error, httpx.TransportError | httpx.StreamError):
        return Status.CONNECTION_ERROR, connection_detail(error)
    return None


def _no_connection(_attempt: Attempt, status: int | None) -> Exception:
    """What httpx raises where a fault keeps it from a connection."""
    if status in (None, 408, 504):
        return httpx.PoolTimeout("injected fault: no connection came free in time")
    return httpx.ConnectError("injected fault: no connection")


def _translated(error: CallError) -> CallError:
    """The error as users of httpx expect it, with all it had to say."""
    return translated(error, httpx.HTTPError, _KINDS)


_KINDS: Final[dict[type[CallError], type[CallError]]] = {
    CallRefusedError: RefusedError,
    AttemptTimedOutError: TimedOutError,
    DeadlineExceededError: PastDeadlineError,
    NoInstanceError: NobodyThereError,
}
