"""What may be said of one call that leaves this process, and to whom it is said."""

from collections.abc import Callable, Hashable
from typing import Any, Protocol, TypedDict

from breakwater.model import CallPoint, Instance, Status
from breakwater.sdk.attempt import Attempt
from breakwater.sdk.calls import Inflight
from breakwater.sdk.guard import Command, Fallback
from breakwater.sdk.runtime import Runtime


class Terms(TypedDict, total=False):
    """What may be said of one call.

    fallback: instead of the command's. timeout_s: of one attempt, instead of the command's.
    may_retry: False for a call that must not be sent twice. header: a request's header by name,
    for rules of fault injection. answer_for: makes an answer of the library's own from the HTTP
    status of an injected error, and may raise AnswerFailedError; without it InjectedFaultError is
    raised. target: chooses where an attempt goes, before faults hit it: `Attempt.target`.
    patience_s: how long the library itself would wait for an answer; late: the error it would
    then raise. key: of the answer in the caches, hashable; without one it is neither kept nor
    shared. discard: closes a good answer that lost a race of hedged attempts. no_connection: the
    error of the library for an attempt that gets no connection, from the HTTP status of an injected
    error or None for a wait that was too long; where it is given, rules at the point `pool` act on
    attempts. pool_patience_s: how long the library itself would wait for a connection.
    """

    fallback: Fallback | None
    timeout_s: float | None
    may_retry: bool
    header: Callable[[str], str | None]
    answer_for: Callable[[Attempt, int], Any]
    target: Callable[[Attempt], Instance]
    patience_s: float | None
    late: Callable[[], Exception]
    key: Hashable
    discard: Callable[[Any], Any]
    no_connection: Callable[[Attempt, int | None], Exception]
    pool_patience_s: float | None


class Edge(Protocol):
    """One dependency as this process calls it; `breakwater.sdk.outbound.Outbound`."""

    runtime: Runtime
    peer: str
    command: Command
    inflight: Inflight
    attempts: int
    past_deadline: int
    fallbacks: int
    fallback_failures: int

    @property
    def point(self) -> CallPoint:
        """Where fault rules act on its calls."""
        ...

    def status_of(self, error: BaseException) -> tuple[Status, str]:
        """Status and detail of the record of an attempt that ended so."""
        ...

    def headers(self, budget_s: float | None) -> dict[str, str]:
        """What the next hop is told."""
        ...

    def record_success(self, endpoint: str, attempt: Attempt, seconds: float) -> None:
        """Write the record of a call whose only attempt raised nothing."""
        ...

    def errand(
        self, endpoint: str, terms: Terms, *, is_async: bool, start_s: float | None = None
    ) -> Any:
        """One call, ready to go; an `Errand`."""
        ...
