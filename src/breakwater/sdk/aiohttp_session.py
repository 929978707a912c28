"""A user's own aiohttp session under guard: a client middleware (aiohttp 3.12 and later).

    session = aiohttp.ClientSession(middlewares=[guarded_middleware(service)])

Whatever the guard ends a call with is also an error of aiohttp, so `except aiohttp.ClientError`
goes on working: a refused call is a `ClientConnectionError`, one that took too long a
`ServerTimeoutError`. An answer of 5xx, 408 or 429 counts against the callee and is given to the
caller as it is, unless a retry or a fallback has a better one.

The time limit of the guard is that of the response's head; the deadline limits the body as well
(for single reads there is aiohttp's own `sock_read`). The permit is held until the body is read or
the response closed.

aiohttp itself sends a GET once more when its connection breaks, above all middlewares: here that is
a second call, with attempts of its own as far as the budget goes.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, TypedDict, Unpack

from breakwater.sdk.needs import not_installed

try:
    import aiohttp
except ModuleNotFoundError as error:
    raise not_installed(error, "aiohttp") from None

from yarl import URL

from breakwater.model import Status
from breakwater.sdk.aiohttp import classify
from breakwater.sdk.attempt import Attempt
from breakwater.sdk.discovery import is_service_name
from breakwater.sdk.errors import (
    AttemptTimedOutError,
    CallError,
    CallRefusedError,
    DeadlineExceededError,
)
from breakwater.sdk.guard import Command, CommandConfig
from breakwater.sdk.outbound import Outbound, OutboundStats, Peers, guard_of
from breakwater.sdk.outcomes import REPEATABLE, mark_answer, status_of_answer, translated
from breakwater.sdk.terms import Terms

if TYPE_CHECKING:
    from breakwater.sdk.service import Service

Fallback = Callable[[Exception], aiohttp.ClientResponse | Awaitable[aiohttp.ClientResponse]]
Handler = Callable[[aiohttp.ClientRequest], Awaitable[aiohttp.ClientResponse]]


class RefusedError(CallRefusedError, aiohttp.ClientConnectionError):
    """The guard refused the request; nothing was sent."""


class TimedOutError(AttemptTimedOutError, aiohttp.ServerTimeoutError):
    """The request ran into the guard's time limit."""


class PastDeadlineError(DeadlineExceededError, aiohttp.ServerTimeoutError):
    """The caller's deadline has passed."""


class Options(TypedDict, total=False):
    """What can be said of a guarded session.

    peer: the callee's name in records and guard; without it each host is a peer of its own.
    config: of its guard. command: a guard made elsewhere instead (needs `peer`). fallback: gives a
    response, or an awaitable of one, in place of the error. endpoint: names what a request is
    for, else the shape of its path. may_retry: whether a request may be sent twice, else GET,
    HEAD and OPTIONS. resolve: a host name without dots and port is looked up in the registry.
    """

    peer: str
    config: CommandConfig
    command: Command
    fallback: Fallback
    endpoint: Callable[[aiohttp.ClientRequest], str]
    may_retry: Callable[[aiohttp.ClientRequest], bool]
    resolve: bool


def guarded_middleware(service: "Service", **options: Unpack[Options]) -> "GuardedMiddleware":
    """For `aiohttp.ClientSession(middlewares=[...])`, as the first of the list."""
    return GuardedMiddleware(service, options)


class GuardedMiddleware:
    """Guards every request of a session; see `guarded_middleware`."""

    def __init__(self, service: "Service", options: Options) -> None:
        self._runtime = service.runtime
        self._guards = service.guards
        self._options = options
        self._peers = Peers(self._outbound, options.get("peer", ""))

    def _outbound(self, peer: str) -> Outbound:
        options = self._options
        command = options.get("command") or guard_of(
            self._guards,
            peer,
            options.get("config", CommandConfig()),
            group="aiohttp",
            idempotent=True,  # as far as `may_retry` goes
            fallback=options.get("fallback"),
        )
        return Outbound(self._runtime, peer, command=command, classify=_classify)

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: Handler
    ) -> aiohttp.ClientResponse:
        """Send one request under guard."""
        outbound = self._peers.of(request.url.host or "")
        asked = request.url

        async def attempt_of(attempt: Attempt) -> aiohttp.ClientResponse:
            request.headers.update(attempt.headers())
            self._resolve(request, asked, attempt)
            response = await handler(request)
            attempt.answered(response.status, response, response.close)
            if response.connection is not None and attempt.hold():
                _Body(response, attempt)
            return response

        try:
            return await outbound.call(self._endpoint(request), attempt_of, **self._terms(request))
        except CallError as error:
            raise _translated(error) from error

    def _endpoint(self, request: aiohttp.ClientRequest) -> str:
        chosen = self._options.get("endpoint")
        if chosen is not None:
            return chosen(request)
        return self._runtime.endpoints.name(request.url.path)

    def _terms(self, request: aiohttp.ClientRequest) -> Terms:
        chosen = self._options.get("may_retry")
        info = request.request_info  # the request itself would keep a dropped response alive

        def answer_for(attempt: Attempt, code: int) -> aiohttp.ClientResponse:
            attempt.status, attempt.detail = status_of_answer(code)
            error = aiohttp.ClientResponseError(info, (), status=code, message="injected fault")
            mark_answer(error, code)
            raise error

        return {
            "may_retry": request.method in REPEATABLE if chosen is None else chosen(request),
            "header": request.headers.get,
            "discard": aiohttp.ClientResponse.close,
            "answer_for": answer_for,
        }

    def _resolve(self, request: aiohttp.ClientRequest, asked: URL, attempt: Attempt) -> None:
        """Where a service's name in the URL leads to; other hosts are left to the network."""
        host = asked.host or ""
        is_name = is_service_name(asked.scheme, host, asked.explicit_port)
        if not is_name or not self._options.get("resolve", True):
            return
        target = self._runtime.resolver.pick(host, attempt.tried)
        if target is not None:
            attempt.node = target.instance_id
            request.url = asked.with_host(target.host).with_port(target.port)

    def stats(self) -> list[OutboundStats]:
        """Counts by peer since start."""
        return self._peers.stats()


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
}
