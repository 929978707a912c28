"""A user's own aiohttp session under guard: a client middleware (aiohttp 3.12 and later).

    session = aiohttp.ClientSession(middlewares=[guarded_middleware(service)])

Whatever the guard ends a call with is also an error of aiohttp, so `except aiohttp.ClientError`
goes on working: a refused call is a `ClientConnectionError`, one that took too long a
`ServerTimeoutError`. An answer of 5xx, 408 or 429 counts against the callee and is given to the
caller as it is, unless a retry or a fallback has a better one.

The time limit of the guard is that of the response's head; the deadline limits the body as well
(for single reads there is aiohttp's own `sock_read`). The permit is held until the body is read or
the response closed.

aiohttp itself sends a request that may be repeated once more when its connection breaks, above all
middlewares. Here that is a second call, and there is none where the guard tries again itself, nor
for a caller who does, and no more than one for ten calls.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from copy import copy
from typing import TYPE_CHECKING, Any, Final, Unpack

from breakwater.sdk.needs import not_installed

try:
    import aiohttp
except ModuleNotFoundError as error:
    raise not_installed(error, "aiohttp") from None

from yarl import URL

from breakwater.model import Status
from breakwater.sdk import context, edges
from breakwater.sdk.aiohttp import classify, no_connection
from breakwater.sdk.attempt import Attempt
from breakwater.sdk.choice import STICKY
from breakwater.sdk.errors import (
    AttemptTimedOutError,
    CallError,
    CallRefusedError,
    DeadlineExceededError,
    NoInstanceError,
)
from breakwater.sdk.outbound import Outbound, OutboundStats
from breakwater.sdk.outcomes import mark_answer, status_of_answer, translated
from breakwater.sdk.terms import Terms

if TYPE_CHECKING:
    from breakwater.sdk.service import Service

Handler = Callable[[aiohttp.ClientRequest], Awaitable[aiohttp.ClientResponse]]


class RefusedError(CallRefusedError, aiohttp.ClientConnectionError):
    """The guard refused the request; nothing was sent."""


class TimedOutError(AttemptTimedOutError, aiohttp.ServerTimeoutError):
    """The request ran into the guard's time limit."""


class PastDeadlineError(DeadlineExceededError, aiohttp.ServerTimeoutError):
    """The caller's deadline has passed."""


class NobodyThereError(NoInstanceError, aiohttp.ClientConnectionError):
    """Every instance of the service refuses connections; nothing was sent."""


Options = edges.Options[
    aiohttp.ClientRequest, aiohttp.ClientResponse | Awaitable[aiohttp.ClientResponse]
]
"""What can be said of a guarded session; see `breakwater.sdk.edges.Options`."""

RESENDS: Final = 10.0
"""How many requests to a peer aiohttp may send again in a row; each call earns a tenth of one."""


def guarded_middleware(service: "Service", **options: Unpack[Options]) -> "GuardedMiddleware":
    """For `aiohttp.ClientSession(middlewares=[...])`, as the first of the list."""
    return GuardedMiddleware(service, options)


class GuardedMiddleware:
    """Guards every request of a session; see `guarded_middleware`."""

    def __init__(self, service: "Service", options: Options) -> None:
        self._edges = edges.Edges(service, options, group="aiohttp", classify=_classify)
        self._resends: dict[Outbound, float] = {}

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: Handler
    ) -> aiohttp.ClientResponse:
        """Send one request under guard."""
        outbound = self._edges.to(request.url.host)
        before = _broken_before(request)
        if not self._may_send(outbound, is_again=before is not None):
            assert before is not None, "only what was sent before may be refused"
            raise before
        asked = request.url
        sticky = request.headers.pop(STICKY, None)

        async def attempt_of(attempt: Attempt) -> aiohttp.ClientResponse:
            request.headers.update(attempt.headers())
            self._resolve(request, asked, attempt, sticky)
            response = await handler(request)
            attempt.answered(response.status, response, response.close)
            if response.connection is not None and attempt.hold():
                _Body(response, attempt)
            return response

        try:
            endpoint = self._edges.endpoint_of(request, asked.path)
            return await outbound.call(endpoint, attempt_of, **self._terms(request))
        except CallError as error:
            raise _translated(error) from error
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            _BROKEN.set((request._timer, copy(error)))  # noqa: SLF001 - see `_broken_before`
            raise

    def _may_send(self, outbound: Outbound, *, is_again: bool) -> bool:
        """Whether a request may be sent, again or not, for all that this process sent before."""
        left = self._resends.get(outbound, RESENDS)
        if not is_again:
            self._resends[outbound] = min(RESENDS, left + 0.1)
            return True
        is_tried_again = outbound.command.config.retry is not None
        if is_tried_again or context.current().attempts is not None or left < 1.0:
            return False
        self._resends[outbound] = left - 1.0
        return True

    def _terms(self, request: aiohttp.ClientRequest) -> Terms:
        info = request.request_info  # the request itself would keep a dropped response alive

        def answer_for(attempt: Attempt, code: int) -> aiohttp.ClientResponse:
            attempt.status, attempt.detail = status_of_answer(code)
            error = aiohttp.ClientResponseError(info, (), status=code, message="injected fault")
            mark_answer(error, code)
            raise error

        return {
            "may_retry": self._edges.may_retry(request, request.method),
            "header": request.headers.get,
            "discard": aiohttp.ClientResponse.close,
            "answer_for": answer_for,
            "no_connection": lambda _attempt, status: no_connection(status),
        }

    def _resolve(
        self, request: aiohttp.ClientRequest, asked: URL, attempt: Attempt, sticky: str | None
    ) -> None:
        """Where a service's name in the URL leads to."""
        place = self._edges.place_of(attempt, asked.scheme, asked.host, asked.explicit_port, sticky)
        if place is not None:
            request.url = asked.with_host(place.host).with_port(place.port)

    def stats(self) -> list[OutboundStats]:
        """Counts by peer since start."""
        return self._edges.stats()


def _broken_before(request: aiohttp.ClientRequest) -> Exception | None:
    """The error that aiohttp answers by sending this request; None if it is the first time.

    It makes a new request for that, but with the timer of the user's own, which it makes once.
    """
    before = _BROKEN.get()
    _BROKEN.set(None)
    return None if before is None or before[0] is not request._timer else before[1]  # noqa: SLF001 - as said


_BROKEN: Final[ContextVar[tuple[Any, Exception] | None]] = ContextVar(
    "breakwater_broken", default=None
)
"""The timer of the request of this task that broke last, and its error."""


class _Body:
    """Ends the attempt with the response's body, and the body with the caller's deadline."""

    def __init__(self, response: aiohttp.ClientResponse, attempt: Attempt) -> None:
        self._content = response.content
        self._attempt = attempt
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        assert response.connection is not None, "there is more to read"
        left_s = attempt.body_s()
        if left_s is not None:
            self._timer = self._loop.call_later(left_s, self._expire, response.connection)
        response.connection.add_callback(self._released)

    def _released(self) -> None:
        """The connection is not needed any more, maybe because the response was collected."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        error = self._content.exception()
        broke = isinstance(error, aiohttp.ClientPayloadError | TimeoutError | OSError)
        self._attempt.end(error if broke else None)

    def _expire(self, connection: "aiohttp.connector.Connection") -> None:
        late = PastDeadlineError(service=self._attempt.peer, endpoint=self._attempt.endpoint)
        self._content.set_exception(late)
        connection.close()


def _classify(error: BaseException) -> tuple[Status, str] | None:
    """What an error of aiohttp is in a record."""
    if isinstance(error, aiohttp.ClientResponseError):
        return status_of_answer(error.status)
    return classify(error)


def _translated(error: CallError) -> CallError:
    """The error as users of aiohttp expect it, with all it had to say."""
    return translated(error, aiohttp.ClientError, _KINDS)


_KINDS: Final[dict[type[CallError], type[CallError]]] = {
    CallRefusedError: RefusedError,
    AttemptTimedOutError: TimedOutError,
    DeadlineExceededError: PastDeadlineError,
    NoInstanceError: NobodyThereError,
}
