"""The course of one call, in one generator for threads and event loops alike.

It yields what is to be done and is sent the outcome: `DoAttempt` (run the function and note the
outcome in the state), `Ask` (a strategy or callback of the program), `DoSleep` (wait). It returns
how to end: a function that gives the answer or raises.
"""

from collections.abc import Callable, Generator
from functools import partial
from typing import Any, Final, NamedTuple, NoReturn, Protocol

from breakwater.sdk.context import CallContext, attempted, current
from breakwater.sdk.guard.events import Event, Kind, RetryMade, RetryRefused
from breakwater.sdk.guard.guards import Guards
from breakwater.sdk.guard.retrying.budget import Token
from breakwater.sdk.shims.tenacity.allowance import Allowance
from breakwater.sdk.shims.tenacity.calls import (
    Future,
    RetryAction,
    RetryCallState,
    RetryError,
    TryAgain,
)
from breakwater.sdk.shims.tenacity.stop import stop_after_attempt, stop_never

Callback = Callable[[RetryCallState], Any]
"""A strategy or a callback; for async calls it may be async."""


class Settings(Protocol):
    """What a call goes by; see `BaseRetrying`."""

    stop: Callback
    wait: Callback
    retry: Callback
    before: Callback | None
    after: Callback | None
    before_sleep: Callback | None
    reraise: bool
    retry_error_cls: type[RetryError]
    retry_error_callback: Callback | None
    guards: Guards
    nested: bool

    @property
    def now_s(self) -> Callable[[], float]:
        """Gives the monotonic time."""
        ...


class DoAttempt:
    """Run the function once."""

    __slots__ = ()


class DoSleep(float):
    """Wait so many seconds."""

    __slots__ = ()


class Ask(NamedTuple):
    """Call what the program gave with the state."""

    what: Callback


Effect = DoAttempt | DoSleep | Ask
Course = Generator[Effect, Any, Callable[[], Any]]
ATTEMPT: Final = DoAttempt()


class Figures:
    """What `.statistics` shows: the numbers of the latest call begun, never a mixture of two."""

    __slots__ = ("_latest", "shown")

    def __init__(self) -> None:
        self.shown: dict[str, Any] = {}
        self._latest: RetryCallState | None = None

    def begin(self, state: RetryCallState) -> None:
        """Another call begins."""
        self._latest = state
        self.shown.clear()
        self.shown.update(
            start_time=state.start_time, attempt_number=1, idle_for=0, delay_since_first_attempt=0
        )

    def show(self, state: RetryCallState, **numbers: Any) -> None:
        """Show these of the call if it still is the latest."""
        if state is self._latest:
            self.shown.update(numbers)


class Call:
    """One call: its state, and what of the guard has a say in it."""

    __slots__ = ("_allowance", "_figures", "_retrying", "_token", "state")

    def __init__(
        self,
        retrying: Settings,
        state: RetryCallState,
        figures: Figures,
        allowance: Allowance | None,
    ) -> None:
        self._retrying = retrying
        self.state = state
        self._figures = figures
        self._allowance = allowance
        self._token: Token | None = None

    def begin(self) -> None:
        """To be followed by `end`, whatever happens."""
        self._figures.begin(self.state)
        if self._allowance is not None:
            self._allowance.enter()

    def end(self) -> None:
        """The call ended, or its caller left."""
        if self._allowance is not None:
            token, self._token = self._token, None
            if token is not None:
                self._allowance.give_back(token)
            self._allowance.leave()

    def context(self) -> CallContext:
        """What an attempt is run with: guarded calls within see that repetition has an owner."""
        stop, number = self._retrying.stop, self.state.attempt_number
        is_last = isinstance(stop, stop_after_attempt) and number >= stop.max_attempt_number
        return attempted(current(), number, may_follow=not is_last)

    def note_end_of_attempt(self) -> None:
        """Settle with the budget for an attempt that has an outcome."""
        outcome = self.state.outcome
        if self._allowance is not None and outcome is not None:
            token, self._token = self._token, None
            self._allowance.settle(
                token, succeeded=not outcome.failed, attempt=self.state.attempt_number
            )

    def note_delay(self) -> None:
        """Show how long it has taken so far."""
        self._figures.show(self.state, delay_since_first_attempt=self.state.seconds_since_start)

    def refusal(self, outcome: Future) -> str:
        """Why the guard is against another attempt, in a word; empty if it is not."""
        context, state = current(), self.state
        deadline_s = context.deadline_s
        if deadline_s is not None and self._retrying.now_s() + state.upcoming_sleep >= deadline_s:
            return "no_time"
        if context.attempts is not None and not self._retrying.nested:
            return "nested"
        error, allowance = outcome.exception(), self._allowance
        if allowance is None or error is None or isinstance(error, TryAgain):
            return ""
        if self._retrying.stop is stop_never or allowance.is_alone:
            return ""
        self._token = allowance.spend(error)
        return "budget" if self._token is None else ""

    def decide_to_retry(self) -> None:
        """Another attempt will follow."""
        state = self.state
        state.next_action = RetryAction(state.upcoming_sleep)
        state.idle_for += state.upcoming_sleep
        self._figures.show(state, idle_for=state.idle_for, attempt_number=state.attempt_number + 1)
        number, delay_s = state.attempt_number + 1, state.upcoming_sleep
        self._tell(Kind.RETRY, lambda stamp: RetryMade(**stamp, attempt=number, delay_s=delay_s))

    def tell_refused(self, reason: str, error: BaseException | None) -> None:
        """The guard is against another attempt."""
        number = self.state.attempt_number
        self._tell(
            Kind.RETRY_REFUSED,
            lambda stamp: RetryRefused(**stamp, attempt=number, reason=reason, error=error),
        )

    def _tell(self, kind: Kind, made: Callable[[dict[str, Any]], Event]) -> None:
        """Tell the registry's hooks, if any wants this kind."""
        shared = self._retrying.guards.shared
        if kind in shared.hooks.wanted:
            name = self.state.get_fn_name()
            stamp = {"command": name, "group": name, "at_ms": shared.clock.now_ms()}
            shared.hooks.tell(made(stamp))


def course_of(call: Call, retrying: Settings) -> Course:
    """The whole call, from its first attempt."""
    state = call.state
    while True:
        if retrying.before is not None:
            yield Ask(retrying.before)
        yield ATTEMPT
        outcome = state.outcome
        if outcome is None:  # a block without `with attempt:`; nothing is known of it
            continue
        call.note_end_of_attempt()
        is_explicit = isinstance(outcome.exception(), TryAgain)
        if not is_explicit and not (yield Ask(retrying.retry)):
            return outcome.result
        if retrying.after is not None:
            yield Ask(retrying.after)
        state.upcoming_sleep = yield Ask(retrying.wait)
        call.note_delay()
        is_over = yield Ask(retrying.stop)
        if is_over or _is_refused(call, outcome):
            if retrying.retry_error_callback is None:
                return partial(_give_up, retrying, outcome)
            answer = yield Ask(retrying.retry_error_callback)
            return lambda: answer
        call.decide_to_retry()
        if retrying.before_sleep is not None:
            yield Ask(retrying.before_sleep)
        pause_s = DoSleep(state.upcoming_sleep)
        state.prepare_for_next_attempt()
        yield pause_s


def _is_refused(call: Call, outcome: Future) -> bool:
    reason = call.refusal(outcome)
    if reason:
        error = outcome.exception()
        call.tell_refused(reason, error)
    return bool(reason)


def _give_up(retrying: Settings, outcome: Future) -> NoReturn:
    error = retrying.retry_error_cls(outcome)
    if retrying.reraise:
        error.reraise()
    raise error from outcome.exception()
