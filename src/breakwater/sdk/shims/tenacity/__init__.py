"""The names of `tenacity`, run by this guard.

    from breakwater.sdk.shims.tenacity import retry, stop_after_attempt, wait_random_exponential

Decorators with and without arguments, async functions, blocks (`for attempt in Retrying(...)`),
strategies, callbacks, statistics and errors are those of tenacity 9, and so is the order in which
they are asked. What is different, and why:

- Cancellation, KeyboardInterrupt and all else that is no Exception ends a call at once. There,
  `retry_always` and `retry_if_not_exception_type` try again after a cancellation.
- A function's retries have a budget when several calls of it are under way (`allowance`), so an
  outage is not multiplied by them; `budget=None` for none.
- A call is not tried again when the wait would outlast the caller's deadline (`sdk.deadline`).
- Calls guarded by this SDK do not retry below a function that is retried: one layer does.
- `statistics` are those of the latest call, whole. There, concurrent calls share one dictionary,
  count into each other's numbers, and may end in a KeyError.
- One AsyncRetrying object may serve several `async for` at once; there they mix their attempts up.
- Random waits are drawn from the registry's randomness and times from its clock: `guards=`.
- An outcome is finished from the start and is no `concurrent.futures.Future`. Tornado coroutines
  are not known. `BaseRetrying.iter` and `begin`, the loop's inner steps, are not there.
"""

import warnings
from collections.abc import Callable
from typing import Any, overload

from breakwater.sdk.shims.tenacity.after import after_log, after_nothing
from breakwater.sdk.shims.tenacity.asyncio import AsyncRetrying
from breakwater.sdk.shims.tenacity.before import before_log, before_nothing
from breakwater.sdk.shims.tenacity.before_sleep import before_sleep_log, before_sleep_nothing
from breakwater.sdk.shims.tenacity.calls import (
    AttemptManager,
    Future,
    RetryAction,
    RetryCallState,
    RetryError,
    TryAgain,
)
from breakwater.sdk.shims.tenacity.controllers import (
    BaseRetrying,
    P,
    R,
    Retried,
    Retrying,
    is_async,
)
from breakwater.sdk.shims.tenacity.course import DoAttempt, DoSleep
from breakwater.sdk.shims.tenacity.nap import sleep, sleep_using_event
from breakwater.sdk.shims.tenacity.retry import (
    retry_all,
    retry_always,
    retry_any,
    retry_base,
    retry_if_exception,
    retry_if_exception_cause_type,
    retry_if_exception_message,
    retry_if_exception_type,
    retry_if_not_exception_message,
    retry_if_not_exception_type,
    retry_if_not_result,
    retry_if_result,
    retry_never,
    retry_unless_exception_type,
)
from breakwater.sdk.shims.tenacity.stop import (
    stop_after_attempt,
    stop_after_delay,
    stop_all,
    stop_any,
    stop_base,
    stop_before_delay,
    stop_never,
    stop_when_event_set,
)
from breakwater.sdk.shims.tenacity.wait import (
    wait_base,
    wait_chain,
    wait_combine,
    wait_exception,
    wait_exponential,
    wait_exponential_jitter,
    wait_fixed,
    wait_incrementing,
    wait_none,
    wait_random,
    wait_random_exponential,
)

wait_full_jitter = wait_random_exponential

__all__ = [
    "AsyncRetrying",
    "AttemptManager",
    "BaseRetrying",
    "DoAttempt",
    "DoSleep",
    "Future",
    "RetryAction",
    "RetryCallState",
    "RetryError",
    "Retrying",
    "TryAgain",
    "after_log",
    "after_nothing",
    "before_log",
    "before_nothing",
    "before_sleep_log",
    "before_sleep_nothing",
    "retry",
    "retry_all",
    "retry_always",
    "retry_any",
    "retry_base",
    "retry_if_exception",
    "retry_if_exception_cause_type",
    "retry_if_exception_message",
    "retry_if_exception_type",
    "retry_if_not_exception_message",
    "retry_if_not_exception_type",
    "retry_if_not_result",
    "retry_if_result",
    "retry_never",
    "retry_unless_exception_type",
    "sleep",
    "sleep_using_event",
    "stop_after_attempt",
    "stop_after_delay",
    "stop_all",
    "stop_any",
    "stop_base",
    "stop_before_delay",
    "stop_never",
    "stop_when_event_set",
    "wait_base",
    "wait_chain",
    "wait_combine",
    "wait_exception",
    "wait_exponential",
    "wait_exponential_jitter",
    "wait_fixed",
    "wait_full_jitter",
    "wait_incrementing",
    "wait_none",
    "wait_random",
    "wait_random_exponential",
]


@overload
def retry(fn: Callable[P, R], /) -> Retried[P, R]: ...


@overload
def retry(*args: Any, **kwargs: Any) -> Callable[[Callable[P, R]], Retried[P, R]]: ...


def retry(*args: Any, **kwargs: Any) -> Any:
    """Decorate a function, plain or async, to be tried again; arguments as for `Retrying`.

    `@retry` alone tries for ever and without a pause.
    """
    if len(args) == 1 and not kwargs and callable(args[0]):
        return retry()(args[0])

    def decorate(fn: Callable[P, R]) -> Retried[P, R]:
        if isinstance(fn, retry_base):
            warnings.warn(
                f"{type(fn).__name__} was given as the function to retry; "
                f"did you mean retry={type(fn).__name__}(...)?",
                stacklevel=2,
            )
        sleep_given = kwargs.get("sleep")
        is_awaited = is_async(fn) or (sleep_given is not None and is_async(sleep_given))
        retrying = AsyncRetrying if is_awaited else Retrying
        return retrying(*args, **kwargs).wraps(fn)

    return decorate
