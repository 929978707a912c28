"""Faults on purpose in the attempts of a command: what `breakwater.sdk.faults` switches on.

Imported when a rule first concerns a command; without one no call pays anything, for the fast
roads are closed and opened when rules come and go. Which rules hit is decided in the pipeline, the
waiting is done by the drivers, inside the attempt: its time limit ends a fault as it ends a slow
call, and the breaker counts it as a real one.
"""

from collections.abc import Awaitable, Callable
from contextvars import Token
from typing import Any

from breakwater.model import CallPoint, FaultRule
from breakwater.sdk.errors import AttemptTimedOutError, InjectedFaultError
from breakwater.sdk.faults import CallScope, RuleBook, inject, inject_sync
from breakwater.sdk.faults.rules import CONSIDERED, covers
from breakwater.sdk.guard.roles import Struck

Considered = frozenset[tuple[str, str]]


def injector_of(
    book: RuleBook,
    point: CallPoint,
    *,
    dependency: str,
    command: str,
    as_error: Callable[[int], Exception] | None,
) -> "Injector | None":
    """What acts on the calls of a command, None if no rule in force concerns them.

    To a rule its peer is the dependency, its endpoint the command's name; it has no headers.
    """
    scope = CallScope(point=point, peer=dependency, endpoint=command, header=_no_header)
    injector = Injector(book, scope, as_error)
    return injector if injector.considered() else None


class Injector:
    """The faults of one command. as_error: makes the error of an injected HTTP status."""

    __slots__ = ("_scope", "as_error", "book")

    def __init__(
        self, book: RuleBook, scope: CallScope, as_error: Callable[[int], Exception] | None
    ) -> None:
        self.book = book
        self._scope = scope
        self.as_error = as_error

    @property
    def point(self) -> CallPoint:
        """Where rules act."""
        return self._scope.point

    def considered(self) -> Considered:
        """The rules that concern the command, whether they hit a given attempt or not."""
        scope = self._scope
        return frozenset(
            (rule.id, scope.peer)
            for rule in self.book.at(scope.point)
            if covers(rule, peer=scope.peer, endpoint=scope.endpoint, header=scope.header)
        )

    def draw(self) -> "Fault":
        """What befalls one attempt."""
        return Fault(self, self.book.hits(self._scope), self.considered())


class Fault:
    """What befalls one attempt; `is_hit` is False where only the dice of `percent` were thrown."""

    __slots__ = ("_considered", "_hits", "_injector")

    def __init__(self, injector: Injector, hits: list[FaultRule], considered: Considered) -> None:
        self._injector = injector
        self._hits = hits
        self._considered = considered

    @property
    def is_hit(self) -> bool:
        """Whether any rule acts on the attempt."""
        return bool(self._hits)

    def before(
        self, call: Callable[[], Awaitable[Any]], attempt: Struck, now_s: Callable[[], float]
    ) -> Callable[[], Awaitable[Any]]:
        """The fault, then the call, as one."""

        async def struck() -> Any:
            await self.strike(attempt, now_s)
            token = self.bind()
            try:
                return await call()
            finally:
                self.unbind(token)

        return struck

    def before_sync(
        self, call: Callable[[], Any], attempt: Struck, now_s: Callable[[], float]
    ) -> Callable[[], Any]:
        """As `before`, on this thread."""

        def struck() -> Any:
            self.strike_sync(attempt, now_s)
            token = self.bind()
            try:
                return call()
            finally:
                CONSIDERED.reset(token)

        return struck

    def bind(self) -> "Token[Considered]":
        """Let calls made from here on not be judged by the same rules again."""
        return CONSIDERED.set(CONSIDERED.get() | self._considered)

    @staticmethod
    def unbind(token: "Token[Considered]") -> None:
        """Undo `bind`; see `context.unbind`."""
        try:
            CONSIDERED.reset(token)
        except ValueError:  # bound in another context, which goes with its owner
            return

    async def strike(self, attempt: Struck, now_s: Callable[[], float]) -> None:
        """Wait or raise as the rules say; the guard's time limit cancels it like any attempt.

        A deadline alone ends it too: the client library in its place would have been told of it.
        """
        if not self._hits:
            return
        from asyncio import timeout  # noqa: PLC0415 - a sync service never pays for it

        stop_s = None if attempt.stop_s is not None else attempt.context.deadline_s
        limit = timeout(None if stop_s is None else max(0.0, stop_s - now_s()))
        try:
            async with limit:
                await inject(self._injector.book, self._hits)
        except TimeoutError as error:
            raise AttemptTimedOutError(attempt.info.command, was_cut_short=True) from error
        except InjectedFaultError as fault:
            self._translate(fault)

    def strike_sync(self, attempt: Struck, now_s: Callable[[], float]) -> None:
        """As `strike`; nobody can cancel a thread, so the wait itself ends at the limit."""
        if not self._hits:
            return
        stop_s, was_cut_short = attempt.stop_s, attempt.was_cut_short
        if stop_s is None:
            stop_s, was_cut_short = attempt.context.deadline_s, True
        limit_s = None if stop_s is None else max(0.0, stop_s - now_s())
        try:
            inject_sync(self._injector.book, self._hits, limit_s)
        except TimeoutError as error:
            raise AttemptTimedOutError(attempt.info.command, was_cut_short=was_cut_short) from error
        except InjectedFaultError as fault:
            self._translate(fault)

    def _translate(self, fault: InjectedFaultError) -> None:
        as_error = self._injector.as_error
        if as_error is None:
            raise fault
        raise as_error(fault.status) from fault


def _no_header(_name: str) -> None:
    return None
