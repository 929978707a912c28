"""Retries: whether a failed call is tried again, and when.

The base of the wait before attempt n+1 is b(n) = min(`max_s`, `initial_s` * `factor`^(n-1)), and
the wait itself, with U(a, b) a uniform random number:

    none            b(n)
    full            U(0, b(n))                                 also what gRPC does (A6)
    equal           b(n)/2 + U(0, b(n)/2)
    decorrelated    min(`max_s`, U(`initial_s`, 3 * the wait before)); the first before: `initial_s`

Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.

A push-back of the callee takes the place of the wait, and the next base begins anew (A6). Nobody
tries again what was cancelled, what has no time left, what this process refused itself (unless
asked to), and work for a caller who tries again himself (`nested`): three layers of three attempts
are 27 calls, and the layer on top cannot know.
"""

import threading
from collections.abc import Callable
from random import Random
from typing import Final

import msgspec

from breakwater.model import Status
from breakwater.sdk.context import CallContext, attempted
from breakwater.sdk.errors import CallRefusedError, DeadlineExceededError
from breakwater.sdk.guard.config import RetryConfig
from breakwater.sdk.guard.gate import CallInfo
from breakwater.sdk.guard.retrying.budget import Budget, Cause, Token
from breakwater.sdk.guard.retrying.budget import aws_2026 as budget_2026
from breakwater.sdk.guard.retrying.pushback import PushBack, push_back_of
from breakwater.sdk.guard.verdict import Verdict

RetryOn = Callable[[Exception], bool]
"""Whether an error is worth another attempt."""

_FAILED: Final = (Verdict.FAILURE, Verdict.TIMEOUT)
_FOR_GOOD: Final = frozenset((501, 505))
"""HTTP statuses of failures that another attempt meets again."""


def backoff_s(
    config: RetryConfig,
    attempt: int,
    before_s: float,
    random: Random,
    *,
    was_throttled: bool = False,
) -> float:
    """The wait after failed attempt number `attempt` (from 1); before_s: the wait before it.

    was_throttled: the callee refused for overload, so `throttled_initial_s` is the start.
    """
    initial_s = config.initial_s
    if was_throttled and config.throttled_initial_s is not None:
        initial_s = config.throttled_initial_s
    if config.jitter == "decorrelated":
        highest_s = 3.0 * max(before_s, initial_s)
        return min(config.max_s, random.uniform(initial_s, highest_s))
    base_s = min(initial_s, config.max_s)
    for _ in range(attempt - 1):
        base_s = min(base_s * config.factor, config.max_s)
    if config.jitter == "full":
        return random.uniform(0.0, base_s)
    if config.jitter == "equal":
        return base_s / 2.0 + random.uniform(0.0, base_s / 2.0)
    return base_s


def worth_retrying(error: Exception) -> bool:
    """The rule where the command gives none: all but answers that cannot change."""
    return getattr(error, "code", None) not in _FOR_GOOD


class RetryStats(msgspec.Struct, frozen=True, kw_only=True):
    """Retries made, and failed calls that got none, by reason.

    Reasons: `attempts` (used up), `nested` (a caller further up tries again), `budget`,
    `pushed_back` (the callee asked not to, or for too long), `no_time` (the wait would outlast
    the deadline), `not_worth_it` (the error's kind).
    """

    retries: int
    not_retried: dict[str, int]


class _Course:
    """What is remembered between the attempts of one call."""

    __slots__ = ("reason", "since_push_back", "token", "wait_s")

    def __init__(self) -> None:
        self.reason = ""
        self.token: Token | None = None
        self.wait_s = 0.0
        self.since_push_back = 0


class Retry:
    """The retries of one command; its budget is shared with all commands of the dependency.

    retry_on: which errors are worth another attempt, exception classes or a predicate (never
    called under a lock; what it raises is raised to the caller). retries_refusals: try again also
    what this process's own breaker, bulkhead or limiter refused. now_ms: wall time, for HTTP dates.
    """

    name = "retry"

    def __init__(
        self,
        config: RetryConfig,
        *,
        budget: Budget,
        random: Random,
        now_ms: Callable[[], int],
        retry_on: RetryOn | tuple[type[BaseException], ...] = worth_retrying,
        retries_refusals: bool = False,
    ) -> None:
        self.config = config
        self.budget = budget
        self._lock = threading.RLock()
        self._random = random
        self._now_ms = now_ms
        self._retry_on = (
            (lambda error: isinstance(error, retry_on)) if isinstance(retry_on, tuple) else retry_on
        )
        self._retries_refusals = retries_refusals
        self._retries = 0
        self._not_retried: dict[str, int] = {}

    def most(self, context: CallContext) -> int:
        """Attempts in all that a call of this context may have."""
        if context.attempts is not None and not self.config.nested:
            return 1
        return self.config.max_attempts

    def context_for(self, context: CallContext, attempt: int) -> CallContext:
        """What the function is run with, so that those below see who tries again."""
        most = self.most(context)
        if most == 1:
            return context
        return attempted(context, attempt, may_follow=attempt < most)

    def began(self, call: CallInfo, now_s: float) -> None:
        """A call begins; nothing is made for it before it fails."""

    def after(
        self,
        call: CallInfo,
        error: BaseException,
        verdict: Verdict,
        *,
        now_s: float,
        left_s: float | None,
    ) -> float | None:
        """Seconds to wait before attempt `call.attempt + 1`; None: the error stands.

        left_s: until the deadline. Takes what the further attempt costs from the budget.
        """
        del now_s
        course = self._course(call)
        decided = self._decide(call, course, error, verdict, left_s)
        with self._lock:
            if isinstance(decided, float):
                self._retries += 1
                return decided
            self._not_retried[decided] = self._not_retried.get(decided, 0) + 1
        course.reason = decided
        return None

    def _decide(
        self,
        call: CallInfo,
        course: _Course,
        error: BaseException,
        verdict: Verdict,
        left_s: float | None,
    ) -> float | str:
        """Seconds to wait, or the reason why not."""
        self._close(course, verdict)
        if not self._is_worth_it(error, verdict):
            return "not_worth_it"
        pushed = push_back_of(error, self._now_ms()) if self.config.honour_retry_after else None
        cause = _cause(error, verdict, pushed)
        if verdict in _FAILED:
            self.budget.on_failure()
        if call.attempt >= self.most(call.context):
            is_nested = call.context.attempts is not None and not self.config.nested
            return "nested" if is_nested else "attempts"
        wait_s = self._wait_s(course, cause, pushed)
        if wait_s is None:
            return "pushed_back"
        if left_s is not None and wait_s >= left_s:
            return "no_time"
        course.token = self.budget.try_spend(cause)
        if course.token is None:
            return "budget"
        course.wait_s = wait_s
        return wait_s

    def why_not(self, call: CallInfo) -> str:
        """Why the last failed attempt of this call got no further one: a word of `RetryStats`."""
        return call.course.reason if isinstance(call.course, _Course) else ""

    def ended(self, call: CallInfo, verdict: Verdict, now_s: float) -> None:
        """The call ended with its attempt number `call.attempt`, in this way."""
        del now_s
        course = call.course
        if isinstance(course, _Course):
            self._close(course, verdict)
        if verdict is Verdict.SUCCESS:
            self.budget.on_successes(1, first_tries=1 if call.attempt == 1 else 0)

    def record_successes(self, count: int) -> None:
        """So many calls succeeded at the first attempt, told in batches."""
        self.budget.on_successes(count)

    def _course(self, call: CallInfo) -> _Course:
        course = call.course
        if not isinstance(course, _Course):
            course = call.course = _Course()
        return course

    def _is_worth_it(self, error: BaseException, verdict: Verdict) -> bool:
        if not isinstance(error, Exception) or isinstance(error, DeadlineExceededError):
            return False
        if verdict is Verdict.NOT_TRIED or isinstance(error, CallRefusedError):
            return self._retries_refusals and isinstance(error, CallRefusedError)
        return verdict in _FAILED and self._retry_on(error)

    def _wait_s(self, course: _Course, cause: Cause, pushed: PushBack | None) -> float | None:
        """None: the callee does not want us, or not for longer than we wait."""
        if pushed is not None:
            course.since_push_back = 0
            if pushed.seconds is None or pushed.seconds > self.config.max_retry_after_s:
                return None
            return pushed.seconds
        course.since_push_back += 1
        return backoff_s(
            self.config,
            course.since_push_back,
            course.wait_s,
            self._random,
            was_throttled=cause == "throttled",
        )

    def _close(self, course: _Course, verdict: Verdict) -> None:
        """Settle with the budget for the attempt that ended."""
        token, course.token = course.token, None
        if token is None:
            return
        if verdict is Verdict.NOT_TRIED:
            self.budget.give_back(token)
        else:
            self.budget.settle(token, succeeded=verdict is Verdict.SUCCESS)

    def stats(self) -> RetryStats:
        """Retries made, and failed calls that got none."""
        with self._lock:
            return RetryStats(retries=self._retries, not_retried=dict(self._not_retried))


def aws_2026() -> RetryConfig:
    """The AWS SDKs' retries of `AWS_NEW_RETRIES_2026`: from 50 ms, from 1 s where told to wait."""
    return RetryConfig(
        max_attempts=3,
        initial_s=0.05,
        throttled_initial_s=1.0,
        max_s=20.0,
        jitter="full",
        budget=budget_2026(),
    )


def _cause(error: BaseException, verdict: Verdict, pushed: PushBack | None) -> Cause:
    status = getattr(error, "status", None)
    if pushed is not None or status is Status.THROTTLED or getattr(error, "code", None) == 429:
        return "throttled"
    return "timeout" if verdict is Verdict.TIMEOUT else "transient"
