"""Guarded calls over aiohttp: one `ipc.client.call` for every attempt, refused ones too.

Order of the parts: fallback( bulkhead( retry( breaker( attempt timeout( fault, connect, send,
read ))))). The client's clock runs from before the fault and the connection until the body is
read, so that whatever the callee's clock does not show is seen as the edge's own.
"""

import asyncio
import errno
from collections.abc import Mapping
from inspect import isawaitable
from typing import Any, Final

import aiohttp
import msgspec

from breakwater.model import Instance, Status, status_of_http
from breakwater.sdk import context
from breakwater.sdk.attempt import Attempt, Call, needs_fallback, verdict
from breakwater.sdk.calls import NO_NODE, Outcome
from breakwater.sdk.client import (
    REPEATABLE,
    ClientStats,
    Policy,
    Reply,
    callee_failed,
    status_of_answer,
)
from breakwater.sdk.context import Criticality
from breakwater.sdk.errors import (
    CallError,
    CallFailedError,
    CallRefusedError,
    DeadlineExceededError,
)
from breakwater.sdk.faults import CallScope, InjectedFaultError, inject
from breakwater.sdk.faults.rules import header_of
from breakwater.sdk.guard import Breaker, Bulkhead, Fallback, attempt_timeout
from breakwater.sdk.propagation import ATTEMPT, CALLER, CALLER_NODE, write_headers
from breakwater.sdk.runtime import Runtime

KEEPALIVE_S: Final = 4.0
"""Shorter than the 5 s after which common servers close, so that an idle connection is not reused
in the very moment the server drops it."""
_MAX_PINNED: Final = 256


class Sessions:
    """The aiohttp session of this process, made when first needed, one for each event loop."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def get(self) -> aiohttp.ClientSession:
        """The session of the running loop."""
        loop = asyncio.get_running_loop()
        session = self._session
        if session is None or session.closed or self._loop is not loop:
            session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_S),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
            self._session, self._loop = session, loop
        return session

    async def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        session, self._session = self._session, None
        if session is not None and not session.closed:
            await session.close()


class Client:
    """Calls one service by name; made by `Service.client`.

    Every method raises CallFailedError for answers of 400 and above and for calls that got none,
    CallRefusedError for calls the guard did not let through, DeadlineExceededError when no time
    is left, unless a fallback answers. Answers of 4xx other than 408 and 429 are the caller's own
    affair: they neither count against the callee nor go to the fallback.
    """

    def __init__(
        self,
        service: str,
        runtime: Runtime,
        sessions: Sessions,
        *,
        policy: Policy,
        fallback: Fallback | None,
    ) -> None:
        self.service = service
        self._runtime = runtime
        self._sessions = sessions
        self._policy = policy
        self._fallback = fallback
        self._bulkhead = Bulkhead(policy.max_concurrent)
        self._breaker = None if policy.breaker is None else Breaker(policy.breaker)
        self._pinned_breakers: dict[str, Breaker] = {}
        self._inflight = runtime.called.inflight(service)
        self._identity = {
            CALLER: runtime.settings.service,
            CALLER_NODE: runtime.settings.instance,
        }
        self._calls = self._attempts = self._fallbacks = self._fallback_failures = 0
        self._past_deadline = 0

    async def get(self, path: str, **options: Any) -> Reply:
        """`request("GET", path, ...)`; options as there."""
        return await self.request("GET", path, **options)

    async def post(self, path: str, **options: Any) -> Reply:
        """`request("POST", path, ...)`; options as there."""
        return await self.request("POST", path, **options)

    async def request(  # noqa: PLR0913 - one parameter per part of a request, by name
        self,
        method: str,
        path: str,
        *,
        endpoint: str | None = None,
        json: Any = msgspec.UNSET,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
        fallback: Fallback | None = None,
        criticality: Criticality | None = None,
        instance: str | None = None,
    ) -> Reply:
        """Send one request and read the whole answer.

        endpoint: its name in the records, else the shape of the path. json: a body to encode;
        data: a body as it is. timeout_s: limit of one attempt instead of the client's; the
        deadline may make it shorter. instance: call this very instance, whatever its zone.
        """
        caller = context.current()
        if criticality is not None:
            caller = msgspec.structs.replace(caller, criticality=criticality)
        sent = dict(headers) if headers else {}
        if json is not msgspec.UNSET:
            data = msgspec.json.encode(json)
            sent.setdefault("content-type", "application/json")
        call = Call(
            method=method,
            path=path,
            endpoint=endpoint or self._runtime.endpoints.name(path),
            body=data,
            headers=sent,
            params=params,
            timeout_s=self._policy.timeout_s if timeout_s is None else timeout_s,
            context=caller,
            pinned=instance,
        )
        self._calls += 1
        try:
            return await self._guarded(call)
        except CallError as error:
            answer = fallback or self._fallback
            if answer is None or not needs_fallback(error):
                raise
            return await self._fall_back(call, error, answer)

    async def _guarded(self, call: Call) -> Reply:
        """The call within the bulkhead, tried again where that is allowed."""
        if not self._bulkhead.try_enter():
            self._record(call, Outcome(status=Status.REJECTED, seconds=0.0))
            raise CallRefusedError(
                Status.REJECTED,
                service=self.service,
                endpoint=call.endpoint,
                limit=self._bulkhead.limit,
            )
        self._inflight.enter()
        try:
            is_repeatable = call.method in REPEATABLE and call.pinned is None
            retries_left = self._policy.retries if is_repeatable else 0
            tried: list[str] = []
            while True:
                try:
                    return await self._attempt(call, tried, may_retry=retries_left > 0)
                except CallFailedError as error:
                    if retries_left == 0 or error.status is not Status.CONNECTION_ERROR:
                        raise
                    retries_left -= 1
                    tried.append(error.instance)
        finally:
            self._inflight.leave()
            self._bulkhead.leave()

    async def _attempt(self, call: Call, tried: list[str], *, may_retry: bool) -> Reply:
        """One attempt: admitted by deadline and breaker, limited in time, recorded, judged."""
        attempt = self._begin(call, len(tried) + 1, may_retry=may_retry)
        breaker = self._breaker_of(call)
        permit = None
        if breaker is not None:
            permit = breaker.admit(attempt.start_s)
            if permit is None:
                self._finish(call, attempt, Status.SHORT_CIRCUITED, "")
                raise CallRefusedError(
                    Status.SHORT_CIRCUITED, service=self.service, endpoint=call.endpoint
                )
        self._attempts += 1
        is_failure: bool | None = None
        try:
            reply = await self._timed(call, attempt, tried)
            is_failure = callee_failed(reply.status)
        except CallFailedError as error:
            is_failure = verdict(error, attempt)
            raise
        finally:
            if breaker is not None and permit is not None:
                if is_failure is None:
                    breaker.release(permit)
                else:
                    now_s = self._runtime.clock.monotonic_s()
                    breaker.settle(permit, is_failure=is_failure, now_s=now_s)
        if reply.status < 400:
            return reply
        raise CallFailedError(
            status_of_http(reply.status),
            service=self.service,
            endpoint=call.endpoint,
            code=reply.status,
            body=reply.body,
            detail=f"http_{reply.status}",
            instance=attempt.node,
        )

    def _begin(self, call: Call, number: int, *, may_retry: bool) -> Attempt:
        """Find how much time the attempt has; refuse it if that is none."""
        now_s = self._runtime.clock.monotonic_s()
        stop_s = now_s + call.timeout_s
        was_cut_short = False
        deadline_s = call.context.deadline_s
        if deadline_s is not None and deadline_s < stop_s:
            stop_s = deadline_s
            was_cut_short = deadline_s - now_s < call.timeout_s / 2
        attempt = Attempt(number, now_s, stop_s, may_retry=may_retry, was_cut_short=was_cut_short)
        if stop_s <= now_s:
            self._past_deadline += 1
            self._finish(call, attempt, Status.TIMEOUT, "past_deadline")
            raise DeadlineExceededError(service=self.service, endpoint=call.endpoint)
        return attempt

    async def _timed(self, call: Call, attempt: Attempt, tried: list[str]) -> Reply:
        """Exchange within the time limit and record how it ended, whatever way."""
        task = asyncio.current_task()
        assert task is not None, "an await outside any task"
        limit = attempt_timeout(task, task.get_loop(), attempt.stop_s - attempt.start_s)
        try:
            with limit:
                reply = await self._exchange(call, attempt, tried)
        except asyncio.CancelledError:
            self._finish(call, attempt, Status.CANCELLED, "")
            raise
        except CallFailedError as error:  # nobody to send it to
            self._finish(call, attempt, error.status, error.detail)
            raise
        except (TimeoutError, aiohttp.ClientError, OSError, InjectedFaultError) as error:
            failure = self._failure(call, attempt, error)
            self._finish(call, attempt, failure.status, failure.detail)
            raise failure from error
        except BaseException as error:
            self._finish(call, attempt, Status.UNEXPECTED_ERROR, type(error).__name__)
            raise
        self._finish(call, attempt, *status_of_answer(reply.status))
        return reply

    async def _exchange(self, call: Call, attempt: Attempt, tried: list[str]) -> Reply:
        """Choose an instance, suffer the faults in force, send, and read the answer."""
        target = self._target(call, tried)
        attempt.node = target.instance_id
        faults = self._runtime.faults
        if faults.outbound:
            scope = CallScope(
                point="outbound",
                peer=self.service,
                endpoint=call.endpoint,
                header=header_of(call.headers),
            )
            hits = faults.hits(scope)
            attempt.injected = bool(hits)
            await inject(faults, hits)
        budget_s = attempt.stop_s - self._runtime.clock.monotonic_s()
        headers = {**call.headers, **self._identity, **write_headers(call.context, budget_s)}
        if attempt.may_retry or attempt.number > 1:
            headers[ATTEMPT] = (
                f"{attempt.number};more" if attempt.may_retry else f"{attempt.number}"
            )
        host = f"[{target.host}]" if ":" in target.host else target.host
        async with self._sessions.get().request(
            call.method,
            f"http://{host}:{target.port}{call.path}",
            data=call.body,
            headers=headers,
            params=call.params,
            allow_redirects=False,
        ) as response:
            body = await response.read()
            return Reply(
                status=response.status,
                body=body,
                headers={name.lower(): value for name, value in response.headers.items()},
                instance=target.instance_id,
            )

    def _target(self, call: Call, tried: list[str]) -> Instance:
        resolver = self._runtime.resolver
        if call.pinned is not None:
            target = resolver.find(self.service, call.pinned)
        else:
            target = resolver.pick(self.service, tried)
        if target is None:
            raise CallFailedError(
                Status.UNAVAILABLE,
                service=self.service,
                endpoint=call.endpoint,
                detail="no_instance",
                instance=call.pinned or NO_NODE,
            )
        return target

    def _breaker_of(self, call: Call) -> Breaker | None:
        """The service's breaker; a pinned instance has its own, since no other can stand in."""
        config = self._policy.breaker
        if call.pinned is None or config is None:
            return self._breaker
        found = self._pinned_breakers.get(call.pinned)
        if found is None:
            if len(self._pinned_breakers) >= _MAX_PINNED:
                self._pinned_breakers.clear()
            found = self._pinned_breakers[call.pinned] = Breaker(config)
        return found

    def _failure(self, call: Call, attempt: Attempt, error: Exception) -> CallFailedError:
        status, detail = _classify(error, attempt)
        if detail == "refused":
            self._runtime.resolver.refused(attempt.node)
        return CallFailedError(
            status,
            service=self.service,
            endpoint=call.endpoint,
            code=error.status if isinstance(error, InjectedFaultError) else None,
            detail=detail,
            instance=attempt.node,
        )

    def _finish(self, call: Call, attempt: Attempt, status: Status, detail: str) -> None:
        was_sent = status is not Status.SHORT_CIRCUITED and detail != "past_deadline"
        now_s = self._runtime.clock.monotonic_s() if was_sent else attempt.start_s
        outcome = Outcome(
            status=status,
            seconds=now_s - attempt.start_s,
            detail=detail,
            node=attempt.node,
            attempt=attempt.number,
            is_final=not (attempt.may_retry and status is Status.CONNECTION_ERROR),
            injected=attempt.injected,
        )
        self._record(call, outcome)

    def _record(self, call: Call, outcome: Outcome) -> None:
        self._runtime.called.record(self.service, call.endpoint, outcome)

    async def _fall_back(self, call: Call, error: CallError, fallback: Fallback) -> Reply:
        start_s = self._runtime.clock.monotonic_s()
        try:
            value = fallback(error)
            if isawaitable(value):
                value = await value
        except BaseException:
            self._fallback_failures += 1
            raise
        self._fallbacks += 1
        seconds = self._runtime.clock.monotonic_s() - start_s
        self._record(call, Outcome(status=Status.FALLBACK, seconds=seconds))
        return Reply(from_fallback=True, value=value)

    def stats(self) -> ClientStats:
        """Calls since start, and the state of the guard."""
        return ClientStats(
            service=self.service,
            calls=self._calls,
            attempts=self._attempts,
            fallbacks=self._fallbacks,
            fallback_failures=self._fallback_failures,
            past_deadline=self._past_deadline,
            bulkhead=self._bulkhead.stats(),
            breaker=None if self._breaker is None else self._breaker.stats(),
        )


def _classify(error: Exception, attempt: Attempt) -> tuple[Status, str]:
    """Call status and detail of an exchange that brought no answer."""
    if isinstance(error, InjectedFaultError):
        return status_of_answer(error.status)
    if isinstance(error, TimeoutError):
        return Status.TIMEOUT, "deadline" if attempt.was_cut_short else "attempt_timeout"
    if isinstance(error, aiohttp.InvalidURL):
        return Status.BAD_REQUEST, "invalid_url"
    is_connection = isinstance(
        error, OSError | aiohttp.ClientConnectionError | aiohttp.ClientPayloadError
    )
    return (
        Status.CONNECTION_ERROR if is_connection else Status.UNEXPECTED_ERROR,
        _ERRNO.get(getattr(error, "errno", None) or 0, type(error).__name__),
    )


_ERRNO: Final = {
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "reset",
    errno.EPIPE: "reset",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETUNREACH: "unreachable",
}
