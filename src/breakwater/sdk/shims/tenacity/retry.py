"""Which outcomes are worth another attempt: strategies combined by `|` and `&`."""
# ruff: noqa: N801, D102 - the library's names; what `__call__` does, the class says

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Final

from breakwater.sdk.shims.tenacity.calls import Future, RetryCallState

RetryBaseT = Callable[[RetryCallState], Any]
Errors = type[BaseException] | tuple[type[BaseException], ...]


def outcome_of(retry_state: RetryCallState) -> Future:
    """How the attempt ended; asked while one is under way, a RuntimeError."""
    if retry_state.outcome is None:
        raise RuntimeError("__call__() called before outcome was set")
    return retry_state.outcome


class retry_base(ABC):
    """What all strategies have in common."""

    @abstractmethod
    def __call__(self, retry_state: RetryCallState) -> Any:
        """Whether the outcome is worth another attempt; an async one gives an awaitable of it."""

    def __and__(self, other: RetryBaseT) -> "retry_base":
        if isinstance(other, retry_base):
            return other.__rand__(self)
        return retry_all(*_parts(self, retry_all), other)

    def __rand__(self, other: RetryBaseT) -> "retry_base":
        return retry_all(*_parts(other, retry_all), self)

    def __or__(self, other: RetryBaseT) -> "retry_base":
        if isinstance(other, retry_base):
            return other.__ror__(self)
        return retry_any(*_parts(self, retry_any), other)

    def __ror__(self, other: RetryBaseT) -> "retry_base":
        return retry_any(*_parts(other, retry_any), self)


class _retry_never(retry_base):
    def __call__(self, retry_state: RetryCallState) -> bool:  # noqa: ARG002 - asked like the others
        return False


class _retry_always(retry_base):
    def __call__(self, retry_state: RetryCallState) -> bool:  # noqa: ARG002 - asked like the others
        return True


retry_never: Final = _retry_never()
"""No outcome."""

retry_always: Final = _retry_always()
"""Every outcome, answers too."""


class retry_if_exception(retry_base):
    """Errors of which a predicate holds."""

    def __init__(self, predicate: Callable[[BaseException], bool]) -> None:
        self.predicate = predicate

    def __call__(self, retry_state: RetryCallState) -> bool:
        error = outcome_of(retry_state).exception()
        return error is not None and self.predicate(error)


class retry_if_exception_type(retry_if_exception):
    """Errors of these classes."""

    def __init__(self, exception_types: Errors = Exception) -> None:
        self.exception_types = exception_types
        super().__init__(self._check)

    def _check(self, error: BaseException) -> bool:
        return isinstance(error, self.exception_types)


class retry_if_not_exception_type(retry_if_exception):
    """Errors of other classes than these."""

    def __init__(self, exception_types: Errors = Exception) -> None:
        self.exception_types = exception_types
        super().__init__(self._check)

    def _check(self, error: BaseException) -> bool:
        return not isinstance(error, self.exception_types)


class retry_unless_exception_type(retry_if_not_exception_type):
    """Everything, answers too, until an error of these classes is raised."""

    def __call__(self, retry_state: RetryCallState) -> bool:
        return not outcome_of(retry_state).failed or super().__call__(retry_state)


class retry_if_exception_cause_type(retry_base):
    """Errors with one of these classes among their causes (`raise ... from ...`)."""

    def __init__(self, exception_types: Errors = Exception) -> None:
        self.exception_cause_types = exception_types

    def __call__(self, retry_state: RetryCallState) -> bool:
        error = outcome_of(retry_state).exception()
        seen: set[int] = set()  # an error may be its own cause
        while error is not None and id(error) not in seen:
            seen.add(id(error))
            error = error.__cause__
            if isinstance(error, self.exception_cause_types):
                return True
        return False


class retry_if_result(retry_base):
    """Answers of which a predicate holds."""

    def __init__(self, predicate: Callable[[Any], bool]) -> None:
        self.predicate = predicate

    def __call__(self, retry_state: RetryCallState) -> bool:
        outcome = outcome_of(retry_state)
        return not outcome.failed and self.predicate(outcome.result())


class retry_if_not_result(retry_base):
    """Answers of which a predicate does not hold."""

    def __init__(self, predicate: Callable[[Any], bool]) -> None:
        self.predicate = predicate

    def __call__(self, retry_state: RetryCallState) -> bool:
        outcome = outcome_of(retry_state)
        return not outcome.failed and not self.predicate(outcome.result())


class retry_if_exception_message(retry_if_exception):
    """Errors whose message is `message`, or begins as the pattern `match` says."""

    def __init__(
        self, message: str | None = None, match: str | re.Pattern[str] | None = None
    ) -> None:
        if (message is None) == (match is None):
            raise TypeError(f"{type(self).__name__}() takes 'message' or 'match', one of the two")
        self.message = message
        self.match = None if match is None else re.compile(match)
        super().__init__(self._check)

    def _check(self, error: BaseException) -> bool:
        if self.match is None:
            return self.message == str(error)
        return self.match.match(str(error)) is not None


class retry_if_not_exception_message(retry_if_exception_message):
    """Everything, answers too, until an error with such a message is raised."""

    def _check(self, error: BaseException) -> bool:
        return not super()._check(error)

    def __call__(self, retry_state: RetryCallState) -> bool:
        return not outcome_of(retry_state).failed or super().__call__(retry_state)


class retry_any(retry_base):
    """Outcomes that one of them wants."""

    def __init__(self, *retries: RetryBaseT) -> None:
        self.retries = retries

    def __call__(self, retry_state: RetryCallState) -> bool:
        return any(retry(retry_state) for retry in self.retries)

    def __ror__(self, other: RetryBaseT) -> "retry_base":
        return retry_any(*_parts(other, retry_any), *self.retries)


class retry_all(retry_base):
    """Outcomes that all of them want."""

    def __init__(self, *retries: RetryBaseT) -> None:
        self.retries = retries

    def __call__(self, retry_state: RetryCallState) -> bool:
        return all(retry(retry_state) for retry in self.retries)

    def __rand__(self, other: RetryBaseT) -> "retry_base":
        return retry_all(*_parts(other, retry_all), *self.retries)


def _parts(strategy: RetryBaseT, kind: type[retry_any] | type[retry_all]) -> tuple[RetryBaseT, ...]:
    """What a combination of this kind consists of; any other strategy is one part."""
    return strategy.retries if isinstance(strategy, kind) else (strategy,)
