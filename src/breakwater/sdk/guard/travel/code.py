"""What of a command is code: its fallbacks, and how it reads errors and results."""

from collections.abc import Callable, Hashable
from inspect import isasyncgenfunction, isgeneratorfunction
from typing import Any, Final

import msgspec

from breakwater.model import CallPoint
from breakwater.sdk.errors import AttemptTimedOutError, InjectedFaultError
from breakwater.sdk.guard.verdict import Verdict

Fallback = Callable[[Exception], Any]
"""Given the error, gives the answer to use instead, or an awaitable of it, or raises.

For a generator it gives items: an iterable, for an async one an async iterable too, or an awaitable
of either. One that is itself a generator function is also asked after items have gone out."""

RetryOn = tuple[type[Exception], ...] | Callable[[Exception], bool]
"""Errors worth another attempt."""

Errors = tuple[type[BaseException], ...] | Callable[[Exception], bool]
"""Exception classes, or a predicate."""

Verdicts = Callable[[Exception], Verdict | None]
"""What an error says of the callee; None: the other rules decide."""


class CarriedStopError(Exception):
    """A StopIteration of the user's function, which no generator may raise, on its way through."""

    def __init__(self, error: StopIteration) -> None:
        self.error = error


class UnawaitedError(TypeError):
    """A function of the wrong kind was guarded: a mistake in the caller's code.

    It counts as a bad request, which says nothing of the callee, and is for the caller at once:
    no fallback, no retry.
    """


class Code(msgspec.Struct, frozen=True, kw_only=True):
    """See the arguments of `Command`, which have these names."""

    fallbacks: tuple[Fallback, ...] = ()
    ignore: Errors = ()
    record: Errors | None = None
    judge: Verdicts | None = None
    is_failure: Callable[[Any], bool] | None = None
    falls_back: Callable[[Exception], bool] | None = None
    retry_on: RetryOn | None = None
    retries_refusals: bool = False
    cache_key: Callable[..., Hashable] | None = None
    partition: Callable[..., str] | str = ""
    idempotent: bool = False
    point: CallPoint | None = "outbound"
    injected: Callable[[int], Exception] | None = None

    def verdict_of(self, error: BaseException) -> Verdict:
        """What an attempt that ended in `error` says of the callee."""
        if not isinstance(error, Exception):  # cancelled, or the process is ending
            return Verdict.CANCELLED
        if isinstance(error, AttemptTimedOutError):
            return Verdict.CANCELLED if error.was_cut_short else Verdict.TIMEOUT
        if isinstance(error, UnawaitedError):
            return Verdict.IGNORED
        judged = None if self.judge is None else self.judge(error)
        return self._by_rules(error) if judged is None else judged

    def _by_rules(self, error: Exception) -> Verdict:
        if isinstance(error, InjectedFaultError):
            return Verdict.FAILURE if error.counts_against_callee else Verdict.SUCCESS
        if self.ignore and matches(self.ignore, error):
            return Verdict.IGNORED
        if self.record is not None and not matches(self.record, error):
            return Verdict.SUCCESS
        return Verdict.FAILURE


def matches(errors: Errors, error: Exception) -> bool:
    """Whether the error is of these classes, or the predicate says so."""
    return isinstance(error, errors) if isinstance(errors, tuple) else errors(error)


def gives_items(fallback: Fallback) -> bool:
    """Whether it is a generator function, of either kind: written to go on where items ended."""
    return any(
        isgeneratorfunction(each) or isasyncgenfunction(each)
        for each in (fallback, getattr(type(fallback), "__call__", None))  # noqa: B004 - of what kind
    )


NO_CODE: Final = Code()
