"""A circuit breaker with the library's methods, run by the guard's breaker.

The breaker is asked before a call and told after it. In between, while the program's code runs,
nothing is held: no lock, and of a trial call only a permit that its lease takes back.
"""

import functools
import inspect
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterable, Iterator
from contextlib import contextmanager
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any, Final, ParamSpec, TypeVar, cast, overload

from breakwater.sdk.guard.breaking.probes import Permit
from breakwater.sdk.guard.events import BreakerState
from breakwater.sdk.guard.guards import Guards, default_guards
from breakwater.sdk.guard.verdict import Verdict
from breakwater.sdk.shims.pybreaker.states import (
    KINDS,
    STATE_CLOSED,
    CircuitBreakerError,
    CircuitBreakerState,
    state_of,
)
from breakwater.sdk.shims.pybreaker.storage import (
    CircuitBreakerStorage,
    CircuitMemoryStorage,
    Trials,
    refuse_storage,
)

P = ParamSpec("P")
R = TypeVar("R")
Exclusion = type[BaseException] | Callable[[Any], bool]
"""An exception class, or a predicate, of errors that are no sign of trouble."""

_log: Final = logging.getLogger(__name__)
_UNFINISHED: Final = frozenset((CoroutineType, GeneratorType, AsyncGeneratorType))
_REFUSALS: Final = {
    "breaker_open": "Timeout not elapsed yet, circuit breaker still open",
    "breaker_half_open": "Trial call under way, circuit breaker still half-open",
}


class CircuitBreakerListener:
    """Told what happens to a breaker; to be overridden. Never called under a lock."""

    def before_call(
        self, cb: "CircuitBreaker", func: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> None:
        """A call was admitted and is about to be made."""

    def failure(self, cb: "CircuitBreaker", exc: BaseException) -> None:
        """A call failed."""

    def success(self, cb: "CircuitBreaker") -> None:
        """A call succeeded, or raised what is excluded."""

    def state_change(
        self,
        cb: "CircuitBreaker",
        old_state: CircuitBreakerState | None,
        new_state: CircuitBreakerState,
    ) -> None:
        """The state changed."""


class CircuitBreaker:
    """Opens after `fail_max` failures in a row, tries again after `reset_timeout` seconds.

    success_threshold: trial calls that must succeed for it to close, and that may be out at once.
    exclude: errors that count as successes. throw_new_error_on_trip: the failure that opens it is
    raised as a CircuitBreakerError. guards: whose clock and hooks are used (None: the default
    registry). Thread-safe, for sync and async functions and for generators.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - the library's signature
        self,
        fail_max: int = 5,
        reset_timeout: float = 60,
        success_threshold: int = 1,
        exclude: Iterable[Exclusion] | None = None,
        listeners: Iterable[CircuitBreakerListener] | None = None,
        state_storage: CircuitBreakerStorage | None = None,
        name: str | None = None,
        throw_new_error_on_trip: bool = True,  # noqa: FBT001, FBT002 - the library's signature
        *,
        guards: Guards | None = None,
    ) -> None:
        storage = state_storage or CircuitMemoryStorage(STATE_CLOSED)
        if not isinstance(storage, CircuitMemoryStorage):
            refuse_storage(storage)
        self.name = name
        self._excluded = tuple(exclude or ())
        self._listeners = tuple(listeners or ())
        self._throws = throw_new_error_on_trip
        self._trials = Trials(fail_max, reset_timeout, success_threshold)
        self._states = {state: kind(self) for state, kind in KINDS.items()}
        guards = default_guards() if guards is None else guards
        self._now_s = guards.shared.now_s
        self._storage = storage
        self._machine = storage.join(self, self._trials, guards)

    # Settings and figures

    @property
    def fail_counter(self) -> int:
        """Failures in a row."""
        return self._storage.counter

    @property
    def success_counter(self) -> int:
        """Trial calls that succeeded since it became half open."""
        return self._storage.success_counter

    @property
    def fail_max(self) -> int:
        """Failures in a row that open it."""
        return self._trials.fail_max

    @fail_max.setter
    def fail_max(self, number: int) -> None:
        self._trials.fail_max = number
        self._storage.configure(self._trials)

    @property
    def reset_timeout(self) -> float:
        """Seconds it stays open."""
        return self._trials.reset_timeout

    @reset_timeout.setter
    def reset_timeout(self, timeout: float) -> None:
        self._trials.reset_timeout = timeout
        self._storage.configure(self._trials)

    @property
    def success_threshold(self) -> int:
        """Trial calls that must succeed for it to close."""
        return self._trials.success_threshold

    @success_threshold.setter
    def success_threshold(self, threshold: int) -> None:
        self._trials.success_threshold = threshold
        self._storage.configure(self._trials)

    @property
    def current_state(self) -> str:
        """The name of the state: `closed`, `open` or `half-open`."""
        return self._storage.state

    @property
    def state(self) -> CircuitBreakerState:
        """The state; may be set by its name."""
        return self._states[self._machine.state]

    @state.setter
    def state(self, state: str) -> None:
        self._storage.order(state_of(state))

    # By order

    def open(self) -> bool:
        """Refuse calls for `reset_timeout` from now; gives `throw_new_error_on_trip`."""
        self._storage.order(BreakerState.OPEN)
        return self._throws

    def half_open(self) -> None:
        """Let the next calls decide."""
        self._storage.order(BreakerState.HALF_OPEN)

    def close(self) -> None:
        """Let calls through."""
        self._storage.order(BreakerState.CLOSED)

    # Who is told, and what does not count

    @property
    def excluded_exceptions(self) -> tuple[Exclusion, ...]:
        """Errors that count as successes."""
        return self._excluded

    def add_excluded_exception(self, exception: Exclusion) -> None:
        """Count this error as a success."""
        self._excluded = (*self._excluded, exception)

    def add_excluded_exceptions(self, *exceptions: Exclusion) -> None:
        """Count these errors as successes."""
        self._excluded = (*self._excluded, *exceptions)

    def remove_excluded_exception(self, exception: Exclusion) -> None:
        """Count it no more; ValueError if it was not excluded."""
        self._excluded = _without(self._excluded, exception)

    def is_system_error(self, exception: BaseException) -> bool:
        """Whether an error is a sign of trouble."""
        for exclusion in self._excluded:
            if isinstance(exclusion, type):
                if isinstance(exception, exclusion):
                    return False
            elif exclusion(exception):
                return False
        return True

    @property
    def listeners(self) -> tuple[CircuitBreakerListener, ...]:
        """Who is told."""
        return self._listeners

    def add_listener(self, listener: CircuitBreakerListener) -> None:
        """Tell this one too."""
        self._listeners = (*self._listeners, listener)

    def add_listeners(self, *listeners: CircuitBreakerListener) -> None:
        """Tell these too."""
        self._listeners = (*self._listeners, *listeners)

    def remove_listener(self, listener: CircuitBreakerListener) -> None:
        """Tell it no more; ValueError if it was not told."""
        self._listeners = _without(self._listeners, listener)

    def state_changed(self, old: BreakerState, new: BreakerState) -> None:
        """Told by the storage."""
        for listener in self._listeners:
            self._told(listener.state_change, self, self._states[old], self._states[new])

    def _told(self, tell: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        try:
            tell(*args, **kwargs)
        except Exception:  # noqa: BLE001 - a listener can never break the call it is told of
            _log.exception("listener failed; the call goes on", extra={"breaker": self.name})

    # Calls

    def call(self, func: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call `func`; what is unfinished when it returns (a coroutine, a generator) when it ends.

        Raises CircuitBreakerError when the call is refused or its failure opens the circuit.
        """
        permit = self._admit()
        if self._listeners:
            self._tell_before(func, args, kwargs)
        try:
            result = func(*args, **kwargs)
        except BaseException as error:
            self._failed(permit, error)
            raise
        if type(result) in _UNFINISHED:
            return cast("R", self._finishing(permit, result))
        self._succeeded(permit)
        return result

    async def call_async(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call `func` and await what it gives, if that can be awaited."""
        permit = self._admit()
        if self._listeners:
            self._tell_before(func, args, kwargs)
        try:
            result = func(*args, **kwargs)
            if inspect.isawaitable(result):
                result = await result
        except BaseException as error:
            self._failed(permit, error)
            raise
        self._succeeded(permit)
        return result

    @contextmanager
    def calling(self) -> Iterator[None]:
        """Guard a block: `with breaker.calling():`, in async code too."""
        permit = self._admit()
        if self._listeners:
            self._tell_before(self.calling, (), {})
        try:
            yield
        except BaseException as error:
            self._failed(permit, error)
            raise
        self._succeeded(permit)

    @overload
    def __call__(self, func: Callable[P, R], /) -> Callable[P, R]: ...

    @overload
    def __call__(self, **options: bool) -> Callable[[Callable[P, R]], Callable[P, R]]: ...

    def __call__(self, *args: Any, **options: bool) -> Any:
        """Decorate a function, plain, async or a generator: `@breaker` or `@breaker()`.

        `__pybreaker_call_async=True` makes the decorated function awaitable whatever it was.
        """
        awaits = options.get("__pybreaker_call_async", False)

        def decorate(func: Callable[..., Any]) -> Callable[..., Any]:
            return self._awaiting(func) if awaits else self._guarded(func)

        return decorate(*args) if args else decorate

    def _guarded(self, func: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(func):
            return self._awaiting(func)

        @functools.wraps(func)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            return self.call(func, *args, **kwargs)

        return wrapped

    def _awaiting(self, func: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(func)
        async def wrapped(*args: Any, **kwargs: Any) -> Any:
            return await self.call_async(func, *args, **kwargs)

        return wrapped

    # Before and after

    def _admit(self) -> Permit:
        machine = self._machine
        permit = machine.closed_permit
        if permit is not None:
            return permit
        now_s = self._now_s()
        permit = machine.admit(now_s)
        if permit is None:
            reason = machine.refusal(now_s).reason
            self._storage.refused(reason)
            raise CircuitBreakerError(_REFUSALS.get(reason, reason))
        return permit

    def _tell_before(self, func: Callable[..., Any], args: Any, kwargs: Any) -> None:
        for listener in self._listeners:
            self._told(listener.before_call, self, func, *args, **kwargs)

    def _succeeded(self, permit: Permit) -> None:
        machine, storage = self._machine, self._storage
        is_trial = permit is not machine.closed_permit
        if is_trial or storage.counter:  # else there is no run of failures to end
            is_trial = is_trial and machine.state is BreakerState.HALF_OPEN
            storage.count_success(is_trial=is_trial)
            machine.settle(permit, Verdict.SUCCESS, self._now_s())
        for listener in self._listeners:
            self._told(listener.success, self)

    def _failed(self, permit: Permit, error: BaseException) -> None:
        """Count it; raises CircuitBreakerError if that opened the circuit and it is to be told."""
        machine = self._machine
        if not isinstance(error, Exception):  # the caller left, or the process is ending
            machine.release(permit)
            return
        if not self.is_system_error(error):
            self._succeeded(permit)
            return
        self._storage.count_failure()
        for listener in self._listeners:
            self._told(listener.failure, self, error)
        before = machine.state
        machine.settle(permit, Verdict.FAILURE, self._now_s())
        if machine.closed_permit is permit:
            self._storage.note_run()
        if self._throws and before is not BreakerState.OPEN and _is_open(machine.state):
            what = "Trial call failed" if before is BreakerState.HALF_OPEN else _REACHED
            raise CircuitBreakerError(f"{what}, circuit breaker opened") from error

    # What goes on after the function has returned

    def _finishing(self, permit: Permit, result: Any) -> Any:
        if isinstance(result, CoroutineType):
            return self._awaited(permit, result)
        if isinstance(result, GeneratorType):
            return self._drawn(permit, result)
        return self._drawn_async(permit, result)

    async def _awaited(self, permit: Permit, work: Coroutine[Any, Any, R]) -> R:
        try:
            result = await work
        except BaseException as error:
            self._failed(permit, error)
            raise
        self._succeeded(permit)
        return result

    def _drawn(self, permit: Permit, stream: Generator[Any, Any, R]) -> Generator[Any, Any, R]:
        try:
            result = yield from stream
        except BaseException as error:
            self._failed(permit, error)
            raise
        self._succeeded(permit)
        return result

    async def _drawn_async(
        self, permit: Permit, stream: AsyncGenerator[Any, None]
    ) -> AsyncGenerator[Any, None]:
        try:
            async for item in stream:
                yield item
        except BaseException as error:
            self._failed(permit, error)
            raise
        finally:
            await stream.aclose()
        self._succeeded(permit)


_REACHED: Final = "Failures threshold reached"


def _is_open(state: BreakerState) -> bool:
    """Asked anew: a checker would remember the answer of before."""
    return state is BreakerState.OPEN


def _without(kept: tuple[R, ...], item: R) -> tuple[R, ...]:
    """All but the first that equals `item`."""
    left = list(kept)
    left.remove(item)
    return tuple(left)
