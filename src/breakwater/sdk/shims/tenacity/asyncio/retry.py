"""Strategies whose predicates are coroutine functions."""
# ruff: noqa: N801, D102 - the library's names; what `__call__` does, the class says

from abc import abstractmethod
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any

from breakwater.sdk.shims.tenacity.calls import RetryCallState
from breakwater.sdk.shims.tenacity.retry import outcome_of, retry_base

Strategy = Callable[[RetryCallState], Any]
RetryBaseT = Strategy


class async_retry_base(retry_base):
    """What all of them have in common; combined with a plain strategy they stay async."""

    @abstractmethod
    async def __call__(self, retry_state: RetryCallState) -> bool:
        """Whether the outcome is worth another attempt."""

    def __and__(self, other: Strategy) -> "retry_all":
        return retry_all(self, other)

    def __rand__(self, other: Strategy) -> "retry_all":
        return retry_all(other, self)

    def __or__(self, other: Strategy) -> "retry_any":
        return retry_any(self, other)

    def __ror__(self, other: Strategy) -> "retry_any":
        return retry_any(other, self)


class retry_if_exception(async_retry_base):
    """Errors of which a predicate holds."""

    def __init__(self, predicate: Callable[[BaseException], Awaitable[bool]]) -> None:
        self.predicate = predicate

    async def __call__(self, retry_state: RetryCallState) -> bool:
        error = outcome_of(retry_state).exception()
        return error is not None and await self.predicate(error)


class retry_if_result(async_retry_base):
    """Answers of which a predicate holds."""

    def __init__(self, predicate: Callable[[Any], Awaitable[bool]]) -> None:
        self.predicate = predicate

    async def __call__(self, retry_state: RetryCallState) -> bool:
        outcome = outcome_of(retry_state)
        return not outcome.failed and await self.predicate(outcome.result())


class retry_any(async_retry_base):
    """Outcomes that one of them wants."""

    def __init__(self, *retries: Strategy) -> None:
        self.retries = retries

    async def __call__(self, retry_state: RetryCallState) -> bool:
        for strategy in self.retries:
            if await _asked(strategy, retry_state):
                return True
        return False


class retry_all(async_retry_base):
    """Outcomes that all of them want."""

    def __init__(self, *retries: Strategy) -> None:
        self.retries = retries

    async def __call__(self, retry_state: RetryCallState) -> bool:
        for strategy in self.retries:
            if not await _asked(strategy, retry_state):
                return False
        return True


async def _asked(strategy: Strategy, retry_state: RetryCallState) -> bool:
    wants = strategy(retry_state)
    return bool(await wants if isawaitable(wants) else wants)
