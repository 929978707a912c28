"""What the adapters of HTTP clients share: whom a request calls, what for, and whether twice."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypedDict, TypeVar

from breakwater.model import Instance
from breakwater.sdk.attempt import Attempt
from breakwater.sdk.choice import choose
from breakwater.sdk.discovery import is_service_name
from breakwater.sdk.guard import Command, CommandConfig
from breakwater.sdk.outbound import Outbound, OutboundStats, Peers, guard_of
from breakwater.sdk.outcomes import REPEATABLE, Classify

if TYPE_CHECKING:
    from breakwater.sdk.service import Service

Request = TypeVar("Request")
Answer = TypeVar("Answer")


class Options(TypedDict, Generic[Request, Answer], total=False):
    """What can be said of a guarded client.

    peer: the callee's name in records and guard; without it each host is a peer of its own.
    config: of its guard. command: a guard made elsewhere instead (needs `peer`). fallback: gives a
    response in place of the error, for async clients perhaps an awaitable of one. endpoint: names
    what a request is for, else the shape of its path. may_retry: whether a request may be sent
    twice, else GET, HEAD and OPTIONS. resolve: a host name without dots and port is looked up in
    the registry.
    """

    peer: str
    config: CommandConfig
    command: Command
    fallback: Callable[[Exception], Answer]
    endpoint: Callable[[Request], str]
    may_retry: Callable[[Request], bool]
    resolve: bool


class Edges(Generic[Request]):
    """The dependencies behind one guarded client.

    group: of their commands, for live configuration. classify: reads the errors of the library.
    """

    def __init__(
        self,
        service: "Service",
        options: Options[Request, Any],
        *,
        group: str,
        classify: Classify,
    ) -> None:
        self._runtime = service.runtime
        self._guards = service.guards
        self._options = options
        self._group = group
        self._classify = classify
        self._peers = Peers(self._made, options.get("peer", ""))

    def _made(self, peer: str) -> Outbound:
        options = self._options
        command = options.get("command") or guard_of(
            self._guards,
            peer,
            options.get("config", CommandConfig()),
            group=self._group,
            idempotent=True,  # as far as `may_retry` goes
            fallback=options.get("fallback"),
        )
        return Outbound(self._runtime, peer, command=command, classify=self._classify)

    def to(self, host: str | None) -> Outbound:
        """The dependency that a request to `host` goes to."""
        return self._peers.of(host or "")

    def endpoint_of(self, request: Request, path: str) -> str:
        """What the request is for."""
        chosen = self._options.get("endpoint")
        return self._runtime.endpoints.name(path) if chosen is None else chosen(request)

    def may_retry(self, request: Request, method: str | None) -> bool:
        """Whether it may be sent twice."""
        chosen = self._options.get("may_retry")
        return method in REPEATABLE if chosen is None else chosen(request)

    def place_of(
        self,
        attempt: Attempt,
        scheme: str | None,
        host: str | None,
        port: int | None,
        sticky: str | None,
    ) -> Instance | None:
        """Where a service's name in a URL leads this attempt; other hosts are left to the network.

        sticky: requests with the same key go to the same instance while it can take them. Raises
        NoInstanceError.
        """
        is_name = host is not None and is_service_name(scheme or "", host, port)
        if host is None or not is_name or not self._options.get("resolve", True):
            return None
        return choose(attempt, self._runtime.resolver, host, sticky)

    def stats(self) -> list[OutboundStats]:
        """Counts by peer since start."""
        return self._peers.stats()
