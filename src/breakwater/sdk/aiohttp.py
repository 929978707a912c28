"""Guarded calls over aiohttp: one `ipc.client.call` for every attempt, refused ones too.

The guard is a `Command`: fallback( retry( breaker( bulkhead( attempt timeout( fault, connect, send,
read ))))). The client's clock runs from before the fault and the connection until the body is
read, so that whatever the callee's clock does not show is seen as the edge's own.
"""

import asyncio
from collections.abc import Hashable, Mapping
from inspect import isawaitable
from typing import Any, Final

from breakwater.sdk.needs import not_installed

try:
    import aiohttp
except ModuleNotFoundError as error:
    raise not_installed(error, "aiohttp") from None

import msgspec

from breakwater.model import Clock, Instance, Status
from breakwater.sdk import context
from breakwater.sdk.attempt import Attempt
from breakwater.sdk.calls import NO_NODE
from breakwater.sdk.choice import choose
from breakwater.sdk.client import ClientStats, Reply
from breakwater.sdk.context import Criticality
from breakwater.sdk.errors import CallFailedError, NoInstanceError
from breakwater.sdk.faults.rules import header_of
from breakwater.sdk.guard import Command, CommandConfig, Fallback
from breakwater.sdk.outbound import Outbound, guard_of
from breakwater.sdk.outcomes import (
    REPEATABLE,
    connection_detail,
    status_of_answer,
    status_of_error,
)
from breakwater.sdk.runtime import Runtime

KEEPALIVE_S: Final = 4.0
"""Shorter than the 5 s after which common servers close, so that an idle connection is not reused
in the very moment the server drops it."""
_MAX_PINNED: Final = 256


class _Call(msgspec.Struct, frozen=True, kw_only=True):
    """One call as the user asked for it."""

    method: str
    path: str
    body: bytes | None
    headers: Mapping[str, str]
    params: Mapping[str, str] | None
    pinned: str | None
    sticky: str | None


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
            session._retry_connection = False  # noqa: SLF001 - no other way; the guard tries again
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
        command: Command,
        fallback: Fallback | None,
    ) -> None:
        self.service = service
        self.command = command
        self._runtime = runtime
        self._sessions = sessions
        self._fallback = fallback
        self._outbound = Outbound(runtime, service, command=command, classify=classify)
        self._pinned: dict[str, tuple[Outbound, CommandConfig]] = {}

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
        sticky: str | None = None,
    ) -> Reply:
        """Send one request and read the whole answer.

        endpoint: its name in the records, else the shape of the path. json: a body to encode;
        data: a body as it is. timeout_s: limit of one attempt instead of the client's; the
        deadline may make it shorter. instance: call this very instance, whatever its zone.
        sticky: calls with the same key go to the same instance as long as it can take them.
        """
        sent = dict(headers) if headers else {}
        if json is not msgspec.UNSET:
            data = msgspec.json.encode(json)
            sent.setdefault("content-type", "application/json")
        call = _Call(
            method=method,
            path=path,
            body=data,
            headers=sent,
            params=params,
            pinned=instance,
            sticky=sticky,
        )
        name = endpoint or self._runtime.endpoints.name(path)
        token = None
        if criticality is not None:
            token = context.bind(
                msgspec.structs.replace(context.current(), criticality=criticality)
            )
        try:
            return await self._guarded(call, name, fallback or self._fallback, timeout_s)
        finally:
            if token is not None:
                context.unbind(token)

    async def _guarded(
        self, call: _Call, endpoint: str, fallback: Fallback | None, timeout_s: float | None
    ) -> Reply:
        """The call under guard."""

        async def ask(error: Exception) -> Reply:
            assert fallback is not None, "asked only if there is one"
            value = fallback(error)
            return Reply(from_fallback=True, value=await value if isawaitable(value) else value)

        def answer_for(attempt: Attempt, code: int) -> Reply:
            return self._judged(attempt, Reply(status=code, instance=attempt.node))

        return await self._outbound_to(call.pinned).call(
            endpoint,
            lambda attempt: self._exchange(call, attempt),
            fallback=None if fallback is None else ask,
            timeout_s=timeout_s,
            may_retry=call.method in REPEATABLE and call.pinned is None,
            header=header_of(call.headers),
            answer_for=answer_for,
            target=lambda attempt: self._target(call, attempt),
            no_connection=lambda one, status: self._failure(one, no_connection(status)),
            key=_key_of(call),
        )

    async def _exchange(self, call: _Call, attempt: Attempt) -> Reply:
        """One attempt: send, and read the whole answer."""
        target = attempt.target
        host = f"[{target.host}]" if ":" in target.host else target.host
        try:
            async with self._sessions.get().request(
                call.method,
                f"http://{host}:{target.port}{call.path}",
                data=call.body,
                headers={**call.headers, **attempt.headers()},
                params=call.params,
                allow_redirects=False,
            ) as response:
                body = await response.read()
                headers = {name.lower(): value for name, value in response.headers.items()}
                status = response.status
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise self._failure(attempt, error) from error
        node = target.instance_id
        return self._judged(
            attempt, Reply(status=status, body=body, headers=headers, instance=node)
        )

    def _judged(self, attempt: Attempt, reply: Reply) -> Reply:
        """The answer if it is a good one."""
        if reply.status < 400:
            return reply
        status, detail = status_of_answer(reply.status)
        raise CallFailedError(
            status,
            service=self.service,
            endpoint=attempt.endpoint,
            code=reply.status,
            body=reply.body,
            detail=detail,
            instance=attempt.node,
            retry_after_s=_retry_after_s(reply, self._runtime.clock),
        )

    def _target(self, call: _Call, attempt: Attempt) -> Instance:
        """The instance that this attempt goes to."""
        resolver, pinned = self._runtime.resolver, call.pinned
        if pinned is None:
            target = choose(attempt, resolver, self.service, call.sticky)
        else:
            pick = resolver.pick_one(self.service, pinned)
            target = None if pick is None else attempt.go_to(pick)
        if target is None:
            attempt.node = NO_NODE
            raise NoInstanceError(
                self.service, endpoint=attempt.endpoint, instance=pinned or NO_NODE
            )
        return target

    def _outbound_to(self, pinned: str | None) -> Outbound:
        """The service's guard; a pinned instance has its own, since no other can stand in.

        It goes by what the service's guard goes by, changes while it runs included.
        """
        if pinned is None:
            return self._outbound
        found, config = self._pinned.get(pinned, (None, None))
        if found is None:
            if len(self._pinned) >= _MAX_PINNED:
                self._forget_pinned()
            found = self._pin(pinned)
        elif config is not self.command.config:
            guards = self.command.guards
            guards.configure(found.command.name, _pinned_config(self.command.config))
            self._pinned[pinned] = (found, self.command.config)
        return found

    def _pin(self, instance: str) -> Outbound:
        """A guard for one instance, among the commands of the process like any other."""
        command = guard_of(
            self.command.guards,
            self.service,
            _pinned_config(self.command.config),
            name=f"{self.command.name}@{instance}",
            group=self.command.group,
        )
        made = Outbound(self._runtime, self.service, command=command, classify=classify)
        self._pinned[instance] = (made, self.command.config)
        return made

    def _forget_pinned(self) -> None:
        """Instances come and go; their guards must not stay for ever."""
        for outbound, _ in self._pinned.values():
            self.command.guards.forget(outbound.command.name)
        self._pinned.clear()

    def _failure(self, attempt: Attempt, error: Exception) -> CallFailedError:
        status, detail = status_of_error(error, classify)
        return CallFailedError(
            status,
            service=self.service,
            endpoint=attempt.endpoint,
            detail=detail,
            instance=attempt.node,
        )

    def stats(self) -> ClientStats:
        """Calls since start, and the state of the guard."""
        guard = self.command.stats()
        pinned = (outbound for outbound, _ in self._pinned.values())
        all_calls = [one.stats() for one in (self._outbound, *pinned)]
        return ClientStats(
            service=self.service,
            calls=sum(one.calls for one in all_calls),
            attempts=sum(one.attempts for one in all_calls),
            fallbacks=sum(one.fallbacks for one in all_calls),
            fallback_failures=sum(one.fallback_failures for one in all_calls),
            past_deadline=sum(one.past_deadline for one in all_calls),
            bulkhead=guard.bulkhead,
            breaker=guard.breaker,
        )


def _pinned_config(config: CommandConfig) -> CommandConfig:
    """What calls of one very instance go by: nobody else can be asked a second time."""
    return msgspec.structs.replace(config, retry=None, hedge=None)


def _key_of(call: _Call) -> Hashable:
    """Of its answer in the caches: all that was sent. Only what may be repeated is kept."""
    if call.method not in REPEATABLE or call.body is not None:
        return None
    params = tuple(sorted((call.params or {}).items()))
    return (call.method, call.path, params, tuple(sorted(call.headers.items())))


def _retry_after_s(reply: Reply, clock: Clock) -> float | None:
    """What the answer says about coming again."""
    said = reply.headers.get("retry-after")
    if said is None:
        return None
    from breakwater.sdk.guard.retrying.pushback import parse_retry_after  # noqa: PLC0415 - rarely said

    return parse_retry_after(said, clock.now_ms())


def no_connection(status: int | None) -> Exception:
    """What aiohttp raises where a fault keeps it from a connection."""
    if status in (None, 408, 504):
        return aiohttp.ServerTimeoutError("injected fault: no connection in time")
    return aiohttp.ClientConnectionError("injected fault: no connection")


def classify(error: BaseException) -> tuple[Status, str] | None:
    """What an error of aiohttp is in a record."""
    if isinstance(error, TimeoutError):
        return Status.TIMEOUT, "attempt_timeout"
    if isinstance(error, aiohttp.InvalidURL):
        return Status.BAD_REQUEST, "invalid_request"
    if isinstance(error, aiohttp.ClientConnectionError | aiohttp.ClientPayloadError):
        return Status.CONNECTION_ERROR, connection_detail(error)
    return None
