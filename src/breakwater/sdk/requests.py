"""requests under guard: an adapter around the adapter, mounted in the user's own session.

    session = requests.Session()
    session.mount("http://", guarded_adapter(service))

Whatever the guard ends a call with is also an error of requests, so `except RequestException` goes
on working: a refused call is a `requests.ConnectionError`, one past its deadline a
`requests.Timeout`. An answer of 5xx, 408 or 429 counts against the callee and is given to the
caller as it is, unless a retry or a fallback has a better one.

Time limits are handed to urllib3 from what is left of attempt and deadline, for connecting and
anew for each read from the socket. Without `stream=True` the body is read within the attempt; with
it, the permit is held until the body is read or closed, and the deadline limits all of it.
"""

from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, Unpack

from breakwater.sdk.needs import not_installed

try:
    import requests
    from requests.adapters import BaseAdapter, HTTPAdapter
except ModuleNotFoundError as error:
    raise not_installed(error, "requests") from None

from urllib3 import Timeout
from urllib3.exceptions import HTTPError, ReadTimeoutError
from urllib3.util import parse_url

from breakwater.model import Status
from breakwater.sdk import edges
from breakwater.sdk.attempt import Attempt, shortest_s
from breakwater.sdk.choice import STICKY
from breakwater.sdk.errors import (
    AttemptTimedOutError,
    CallError,
    CallRefusedError,
    DeadlineExceededError,
    NoInstanceError,
)
from breakwater.sdk.outbound import OutboundStats
from breakwater.sdk.outcomes import connection_detail, translated
from breakwater.sdk.requests_limits import READING, watch_connections
from breakwater.sdk.terms import Terms

if TYPE_CHECKING:
    from breakwater.sdk.service import Service


class RefusedError(CallRefusedError, requests.ConnectionError):
    """The guard refused the request; nothing was sent."""


class TimedOutError(AttemptTimedOutError, requests.Timeout):
    """The request ran into the guard's time limit."""


class PastDeadlineError(DeadlineExceededError, requests.Timeout):
    """The caller's deadline has passed."""


class NobodyThereError(NoInstanceError, requests.ConnectionError):
    """Every instance of the service refuses connections; nothing was sent."""


Options = edges.Options[requests.PreparedRequest, requests.Response]
"""What can be said of a guarded adapter; see `breakwater.sdk.edges.Options`."""


def guarded_adapter(
    service: "Service", inner: BaseAdapter | None = None, **options: Unpack[Options]
) -> "GuardedAdapter":
    """An adapter for `Session.mount`; inner: sends, by default an HTTPAdapter."""
    return GuardedAdapter(service, inner or HTTPAdapter(), options)


class GuardedAdapter(BaseAdapter):
    """Guards every request that `inner` sends; see `guarded_adapter`. Safe for threads."""

    def __init__(self, service: "Service", inner: BaseAdapter, options: Options) -> None:
        super().__init__()
        self._inner = inner
        watch_connections(inner)
        self._edges = edges.Edges(service, options, group="requests", classify=_classify)

    def send(  # noqa: PLR0917 - the library's own signature
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: FBT001, FBT002 - as above
        timeout: Any = None,
        verify: bool | str = True,  # noqa: FBT001, FBT002 - as above
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send one request under guard."""
        url = parse_url(request.url or "")
        outbound = self._edges.to(url.host)
        waits = _timeout_of(timeout)

        def attempt_of(attempt: Attempt) -> requests.Response:
            reading = READING.set(attempt)
            try:
                response = self._inner.send(
                    self._prepared(request, attempt),
                    stream=stream,
                    timeout=_remaining(waits, attempt),  # type: ignore[arg-type] # stubs lack Timeout
                    verify=verify,
                    cert=cert,
                    proxies=proxies,
                )
            finally:
                READING.reset(reading)
            response.request = request
            body = _Body(response.raw, attempt)
            response.raw = body
            if not stream:
                _ = response.content
            attempt.answered(response.status_code, response, response.close)
            if stream:
                body.is_held = attempt.hold()
            return response

        try:
            return outbound.call_sync(
                self._edges.endpoint_of(request, url.path or "/"),
                attempt_of,
                **self._terms(request, waits),
            )
        except CallError as error:
            late = _translated(error)
            if isinstance(late, requests.RequestException):
                late.request, late.response = request, None
            raise late from error

    def close(self) -> None:
        """Close `inner`."""
        self._inner.close()

    def _terms(self, request: requests.PreparedRequest, waits: Timeout) -> Terms:
        may_retry = self._edges.may_retry(request, request.method)
        patience_s = shortest_s(_seconds(waits.total), _seconds(waits._read))  # noqa: SLF001 - as in `_remaining`

        def answer_for(attempt: Attempt, status: int) -> requests.Response:
            response = _made(request, status, b'{"type":"error","message":"injected fault"}')
            return attempt.answered(status, response, response.close)

        return {
            "may_retry": may_retry and isinstance(request.body, bytes | str | None),
            "header": request.headers.get,
            "discard": requests.Response.close,
            "answer_for": answer_for,
            "patience_s": patience_s,
            "late": lambda: requests.ReadTimeout(
                f"no answer within {patience_s} s", request=request
            ),
            "no_connection": lambda _attempt, status: _no_connection(request, status),
            "pool_patience_s": shortest_s(_seconds(waits.total), _seconds(waits._connect)),  # noqa: SLF001 - as above
        }

    def _prepared(
        self, request: requests.PreparedRequest, attempt: Attempt
    ) -> requests.PreparedRequest:
        """The request as this attempt sends it: whereto, and what it tells."""
        prepared = request.copy()
        sticky = prepared.headers.pop(STICKY, None)
        prepared.headers.update(attempt.headers())
        url = parse_url(request.url or "")
        place = self._edges.place_of(attempt, url.scheme, url.host, url.port, sticky)
        if place is not None:
            prepared.headers.setdefault("Host", url.host or "")
            prepared.url = url._replace(host=place.host, port=place.port).url
        return prepared

    def stats(self) -> list[OutboundStats]:
        """Counts by peer since start."""
        return self._edges.stats()


class _Body:
    """A response's raw body; a held attempt ends with it, and its deadline is looked at."""

    def __init__(self, inner: Any, attempt: Attempt) -> None:
        self._inner = inner
        self._attempt = attempt
        self.is_held = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def stream(self, amt: int = 65_536, **options: Any) -> Iterator[Any]:
        """The pieces of the body, read plainly where that is all the raw body can."""
        if hasattr(self._inner, "stream"):
            pieces = self._inner.stream(amt, **options)
        else:
            pieces = iter(lambda: self._inner.read(amt), b"")
        while True:
            piece = self._guarded(lambda: next(pieces, None))
            if piece is None:
                break
            yield piece
        self._attempt.end()

    def read(self, amt: int | None = None, **options: Any) -> Any:
        """So much of the body, empty at its end."""
        piece = self._guarded(lambda: self._inner.read(amt, **options))
        if amt is None or (amt and not piece):
            self._attempt.end()
        return piece

    def _guarded(self, read: Callable[[], Any]) -> Any:
        if not self.is_held:
            return read()
        try:
            self._attempt.piece_s()
            return read()
        except CallError as error:
            late = _translated(error)
            self._attempt.end(late)
            self._inner.close()  # nobody will read the rest, and urllib3 may not know it
            raise late from error
        except Exception as error:
            self._attempt.end(error)
            raise

    def close(self) -> None:
        """Whoever closes a body early has got what he wanted."""
        try:
            self._inner.close()
        finally:
            self._attempt.end()

    def release_conn(self) -> None:
        """The connection goes back; the answer is over."""
        release = getattr(self._inner, "release_conn", None)
        if release is not None:
            release()
        self._attempt.end()

    def __del__(self) -> None:
        """A response that nobody closed is one whose caller left."""
        self._attempt.drop()


def _timeout_of(given: Any) -> Timeout:
    """What the user said, in urllib3's words."""
    if isinstance(given, Timeout):
        return given
    if isinstance(given, tuple):
        connect_s, read_s = given
        return Timeout(connect=connect_s, read=read_s)
    return Timeout(connect=given, read=given)


def _remaining(waits: Timeout, attempt: Attempt) -> Timeout:
    """The user's limits, and together no more than the attempt has left."""
    left_s = attempt.left_s()
    if left_s is None:
        return waits.clone()
    return Timeout(
        total=shortest_s(left_s, _seconds(waits.total)),
        connect=waits._connect,  # noqa: SLF001 - what was given; the property wants a started clock
        read=waits._read,  # noqa: SLF001 - as above
    )


def _seconds(limit: Any) -> float | None:
    """A limit in urllib3's words, where other things than numbers say that there is none."""
    return float(limit) if isinstance(limit, int | float) else None


def _no_connection(request: requests.PreparedRequest, status: int | None) -> Exception:
    """What requests raises where a fault keeps it from a connection."""
    if status in (None, 408, 504):
        return requests.ConnectTimeout("injected fault: no connection in time", request=request)
    return requests.ConnectionError("injected fault: no connection", request=request)


def _made(request: requests.PreparedRequest, status: int, body: bytes) -> requests.Response:
    response = requests.Response()
    response.status_code = status
    response.url = request.url or ""
    response.request = request
    response.headers["content-type"] = "application/json"
    response.raw = BytesIO(body)
    return response


def _classify(error: BaseException) -> tuple[Status, str] | None:
    """What an error of requests is in a record."""
    is_late = isinstance(error, requests.Timeout | ReadTimeoutError) or (
        isinstance(error, requests.ConnectionError)
        and any(isinstance(one, ReadTimeoutError) for one in error.args)
    )
    if is_late:
        return Status.TIMEOUT, "attempt_timeout"
    if isinstance(error, requests.RequestException) and isinstance(error, ValueError):
        return Status.BAD_REQUEST, "invalid_request"  # InvalidURL, InvalidSchema, MissingSchema
    if isinstance(error, requests.RequestException | HTTPError):
        return Status.CONNECTION_ERROR, connection_detail(error)
    return None


def _translated(error: CallError) -> CallError:
    """The error as users of requests expect it, with all it had to say."""
    return translated(error, requests.RequestException, _KINDS)


_KINDS: Final[dict[type[CallError], type[CallError]]] = {
    CallRefusedError: RefusedError,
    AttemptTimedOutError: TimedOutError,
    DeadlineExceededError: PastDeadlineError,
    NoInstanceError: NobodyThereError,
}
