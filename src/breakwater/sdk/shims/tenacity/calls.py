"""One call that may be tried again: its state, the outcome of an attempt, and the errors."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, NoReturn, Self

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


class TryAgain(Exception):  # noqa: N818 - the library's name
    """Raised by the function to be tried again, whatever `retry` says."""


class RetryAction:
    """The decision to try again after `sleep` seconds."""

    NAME = "retry"

    def __init__(self, sleep: float) -> None:
        self.sleep = float(sleep)

    def __repr__(self) -> str:
        return f"RetryAction(sleep={self.sleep!r})"


class Future:
    """How one attempt ended; it is finished from the start of what others see of it.

    It has the methods of a concurrent future that make sense on a finished one, at a tenth of the
    cost; `isinstance(outcome, concurrent.futures.Future)` is the one thing it is not.
    """

    __slots__ = ("_error", "_is_done", "_result", "attempt_number")

    def __init__(self, attempt_number: int) -> None:
        self.attempt_number = attempt_number
        self._error: BaseException | None = None
        self._result: Any = None
        self._is_done = False

    @classmethod
    def construct(cls, attempt_number: int, value: Any, has_exception: bool) -> Self:  # noqa: FBT001 - the library's signature
        """An outcome made of its value."""
        made = cls(attempt_number)
        if has_exception:
            made.set_exception(value)
        else:
            made.set_result(value)
        return made

    def set_result(self, result: Any) -> None:
        """It answered."""
        self._result, self._error, self._is_done = result, None, True

    def set_exception(self, exception: BaseException | None) -> None:
        """It raised."""
        self._error, self._is_done = exception, True

    @property
    def failed(self) -> bool:
        """Whether it raised."""
        return self._error is not None

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What it raised, None if it answered."""
        del timeout
        return self._error

    def result(self, timeout: float | None = None) -> Any:
        """What it answered; raises what it raised."""
        del timeout
        if self._error is not None:
            raise self._error
        return self._result

    def done(self) -> bool:
        """Whether it ended."""
        return self._is_done

    def running(self) -> bool:
        """Whether it has not ended."""
        return not self._is_done

    def cancelled(self) -> bool:
        """Never: what is cancelled has no outcome."""
        return False

    def add_done_callback(self, fn: Callable[[Self], object]) -> None:
        """Call `fn` at once, since it is done."""
        fn(self)

    def __repr__(self) -> str:
        if not self._is_done:
            how = "pending"
        elif self._error is not None:
            how = f"finished raised {type(self._error).__name__}"
        else:
            how = f"finished returned {type(self._result).__name__}"
        return f"<Future at {id(self):#x} state={how}>"


class RetryError(Exception):
    """Given up; `last_attempt` is the outcome of the last attempt."""

    def __init__(self, last_attempt: Future) -> None:
        self.last_attempt = last_attempt
        super().__init__(last_attempt)

    def reraise(self) -> NoReturn:
        """Raise what the last attempt raised; this, if it answered.

        Of a TryAgain what lay behind it is raised, if anything did.
        """
        error = self.last_attempt.exception()
        if error is None:
            raise self
        if isinstance(error, TryAgain):
            behind = error.__cause__ or error.__context__
            if behind is not None:
                raise behind.with_traceback(behind.__traceback__) from None
        raise error

    def __str__(self) -> str:
        return f"{type(self).__name__}[{self.last_attempt}]"


class RetryCallState:
    """What strategies and callbacks are told of the call.

    attempt_number: of the attempt under way or just ended, from 1. outcome: how it ended, None
    while under way; outcome_timestamp: when. upcoming_sleep: seconds until the next attempt, known
    once `wait` was asked; idle_for: seconds slept so far. next_action: the decision to try again.
    """

    def __init__(
        self, retry_object: Any, fn: Callable[..., Any] | None, args: Any, kwargs: Any
    ) -> None:
        self._now_s = getattr(retry_object, "now_s", time.monotonic)
        self.start_time: float = self._now_s()
        self.retry_object = retry_object
        self.fn = fn
        self.args = args
        self.kwargs = kwargs
        self.attempt_number = 1
        self.outcome: Future | None = None
        self.outcome_timestamp: float | None = None
        self.idle_for = 0.0
        self.next_action: RetryAction | None = None
        self.upcoming_sleep = 0.0

    def get_fn_name(self) -> str:
        """The full name of the function; of a block, the name given to its retrying object."""
        return str(self.retry_object) if self.fn is None else name_of(self.fn)

    @property
    def seconds_since_start(self) -> float | None:
        """From the start to the end of the last attempt, None while one is under way."""
        if self.outcome_timestamp is None:
            return None
        return self.outcome_timestamp - self.start_time

    def prepare_for_next_attempt(self) -> None:
        """Forget the outcome and count on."""
        self.outcome = None
        self.outcome_timestamp = None
        self.attempt_number += 1
        self.next_action = None

    def set_result(self, val: Any) -> None:
        """The attempt answered."""
        outcome = Future(self.attempt_number)
        outcome.set_result(val)
        self.outcome, self.outcome_timestamp = outcome, self._now_s()

    def set_exception(self, exc_info: ExcInfo) -> None:
        """The attempt raised."""
        outcome = Future(self.attempt_number)
        outcome.set_exception(exc_info[1])
        self.outcome, self.outcome_timestamp = outcome, self._now_s()

    def __repr__(self) -> str:
        if self.outcome is None:
            result = "none yet"
        elif self.outcome.failed:
            error = self.outcome.exception()
            result = f"failed ({type(error).__name__} {error})"
        else:
            result = f"returned {self.outcome.result()}"
        slept = float(round(self.idle_for, 2))
        return (
            f"<{type(self).__name__} {id(self)}: attempt #{self.attempt_number}; "
            f"slept for {slept}; last result: {result}>"
        )


class AttemptManager:
    """`with attempt:`, one attempt of a block; an Exception ends it and not the loop.

    Cancellation, KeyboardInterrupt and their like are nobody's to retry and pass.
    """

    __slots__ = ("retry_state",)

    def __init__(self, retry_state: RetryCallState) -> None:
        self.retry_state = retry_state

    def __enter__(self) -> None:
        """The attempt begins."""

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        """The attempt ended; its answer is not known here, see `RetryCallState.set_result`."""
        if exc_type is None or exc_value is None:
            self.retry_state.set_result(None)
            return None
        if not isinstance(exc_value, Exception):
            return None
        self.retry_state.set_exception((exc_type, exc_value, traceback))
        return True

    async def __aenter__(self) -> None:
        """As `with`."""

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        """As `with`."""
        return self.__exit__(exc_type, exc_value, traceback)


def name_of(fn: Callable[..., Any]) -> str:
    """The module and qualified name of a function; its repr if it has none."""
    name = getattr(fn, "__qualname__", None) or getattr(fn, "__name__", None)
    if name is None:
        return repr(fn)
    module = getattr(fn, "__module__", None)
    return f"{module}.{name}" if module else str(name)
