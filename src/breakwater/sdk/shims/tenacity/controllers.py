"""Retrying objects: what a decorator or a loop over attempts is made of; this one for threads."""

import functools
import inspect
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, Final, ParamSpec, Protocol, Self, TypeVar, cast, overload

from breakwater.sdk.context import bind, unbind
from breakwater.sdk.guard.config import BudgetConfig
from breakwater.sdk.guard.guards import Guards, default_guards
from breakwater.sdk.shims.tenacity.after import after_nothing
from breakwater.sdk.shims.tenacity.allowance import USUAL, Allowance, allowance_of
from breakwater.sdk.shims.tenacity.before import before_nothing
from breakwater.sdk.shims.tenacity.calls import (
    AttemptManager,
    RetryCallState,
    RetryError,
    name_of,
)
from breakwater.sdk.shims.tenacity.course import (
    Ask,
    Call,
    Callback,
    DoSleep,
    Figures,
    course_of,
)
from breakwater.sdk.shims.tenacity.nap import sleep as nap
from breakwater.sdk.shims.tenacity.retry import retry_if_exception_type
from breakwater.sdk.shims.tenacity.stop import stop_never
from breakwater.sdk.shims.tenacity.wait import wait_none

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
_UNSET: Final[Any] = object()
_COPIED: Final = (
    "sleep", "stop", "wait", "retry", "before", "after", "before_sleep", "reraise",
    "retry_error_cls", "retry_error_callback", "name", "enabled",
)  # fmt: skip
_WRAPPED: Final = (*functools.WRAPPER_ASSIGNMENTS, "__defaults__", "__kwdefaults__")


class Retried(Protocol[P, R_co]):
    """A decorated function: called like the original, with handles on its retries."""

    retry: "BaseRetrying"
    statistics: dict[str, Any]

    @property
    def __wrapped__(self) -> Callable[..., Any]:
        """The function itself."""
        ...

    def retry_with(self, *args: Any, **kwargs: Any) -> "Retried[P, R_co]":
        """The function decorated with some settings changed."""
        ...

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call it, and try again."""
        ...

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> "Retried[P, R_co]": ...

    @overload
    def __get__(self, instance: object, owner: type | None = None) -> "Retried[..., R_co]": ...


class BaseRetrying(ABC):
    """Settings of retries, by the library's names, and three of the guard's.

    guards: whose clock, randomness, waits and hooks are used (None: the default registry and the
    machine's waits). budget: of the function's retries, None for none. nested: try again also when
    whoever called this process or this function tries again too.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - the library's signature
        self,
        sleep: Callable[[float], Any] = nap,
        stop: Callback = stop_never,
        wait: Callback | float | None = None,
        retry: Callback = retry_if_exception_type(),  # noqa: B008 - it has no state
        before: Callback | None = before_nothing,
        after: Callback | None = after_nothing,
        before_sleep: Callback | None = None,
        reraise: bool = False,  # noqa: FBT001, FBT002 - the library's signature
        retry_error_cls: type[RetryError] = RetryError,
        retry_error_callback: Callback | None = None,
        name: str | None = None,
        enabled: bool = True,  # noqa: FBT001, FBT002 - the library's signature
        *,
        guards: Guards | None = None,
        budget: BudgetConfig | None = USUAL,
        nested: bool = True,
    ) -> None:
        self.sleep = sleep
        self.stop = stop
        self.wait: Callback = wait if callable(wait) else wait_none()
        self.retry = retry
        self.before = before
        self.after = after
        self.before_sleep = before_sleep
        self.reraise = reraise
        self.retry_error_cls = retry_error_cls
        self.retry_error_callback = retry_error_callback
        self.name = name
        self.enabled = enabled
        self._local = threading.local()
        self._take(guards, budget, nested=nested)

    def _take(self, guards: Guards | None, budget: BudgetConfig | None, *, nested: bool) -> None:
        self._given = guards
        self.guards = default_guards() if guards is None else guards
        self.now_s = self.guards.shared.now_s
        self.random = self.guards.shared.random
        self.budget = budget
        self.nested = nested

    def copy(self, *args: Any, **changed: Any) -> Self:
        """Another one with some settings changed."""
        changed.update(zip(_COPIED, args, strict=False))
        guards = changed.pop("guards", self._given)
        budget = changed.pop("budget", self.budget)
        nested = changed.pop("nested", self.nested)
        kept = {name: getattr(self, name) for name in _COPIED}
        made = type(self)(**{**kept, **{k: v for k, v in changed.items() if v is not _UNSET}})
        made._take(guards, budget, nested=nested)  # noqa: SLF001 - its own kind
        return made

    @property
    def statistics(self) -> dict[str, Any]:
        """Numbers of the latest call on this thread; empty before the first."""
        return self._figures().shown

    def _figures(self) -> Figures:
        try:
            found: Figures = self._local.figures
        except AttributeError:
            found = self._local.figures = Figures()
        return found

    def _call(
        self,
        fn: Callable[..., Any] | None,
        args: Any,
        kwargs: Any,
        figures: Figures | None = None,
        allowance: Allowance | None = None,
    ) -> Call:
        """A call about to begin."""
        state = RetryCallState(self, fn, args, kwargs)
        if allowance is None and fn is not None:
            allowance = self._allowance(fn)
        return Call(self, state, figures or self._figures(), allowance)

    def _allowance(self, fn: Callable[..., Any]) -> Allowance | None:
        if self.budget is None:
            return None
        return allowance_of(name_of(fn), self.guards, self.budget)

    def wraps(self, f: Callable[P, R]) -> Retried[P, R]:
        """Decorate `f`."""
        figures, allowance = Figures(), self._allowance(f)
        wrapped = self._wrapper(f, figures, allowance)

        def retry_with(*args: Any, **kwargs: Any) -> Retried[P, R]:
            return self.copy(*args, **kwargs).wraps(f)

        made: Any = functools.wraps(f, _WRAPPED)(wrapped)
        made.retry = self
        made.retry_with = retry_with
        made.statistics = figures.shown
        return cast("Retried[P, R]", made)

    def _wrapper(
        self,
        fn: Callable[..., Any],
        figures: Figures,
        allowance: Allowance | None,  # noqa: ARG002 - the program's own `__call__` has its own
    ) -> Callable[..., Any]:
        """A function that calls `fn`, and tries again; this one by `__call__`."""

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            self._local.figures = figures
            return self(fn, *args, **kwargs)

        return wrapped

    @abstractmethod
    def __call__(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call `fn`, and try again."""

    def __iter__(self) -> Iterator[AttemptManager]:
        """Attempts of a block: `for attempt in ...: with attempt: ...`."""
        if not self.enabled:
            yield from _once(self)
            return
        call = self._call(None, (), {})
        call.begin()
        course = course_of(call, self)
        try:
            effect = next(course)
            while True:
                if isinstance(effect, Ask):
                    outcome = effect.what(call.state)
                elif isinstance(effect, DoSleep):
                    outcome = self._wait(effect)
                else:
                    outcome = yield AttemptManager(call.state)
                try:
                    effect = course.send(outcome)
                except StopIteration as end:
                    finish = end.value
                    break
        finally:
            call.end()
        finish()

    def _wait(self, seconds: float) -> Any:
        """Wait in the way given, or in the registry's if that was given."""
        if self._given is not None and self.sleep is nap:
            return self._given.shared.sleep(seconds)
        return self.sleep(seconds)

    def __getstate__(self) -> dict[str, Any]:
        """All but what belongs to this process."""
        local = ("_local", "_given", "guards", "now_s", "random")
        return {name: value for name, value in self.__dict__.items() if name not in local}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """In another process: with its default registry."""
        self.__dict__.update(state)
        self._local = threading.local()
        self._take(None, self.budget, nested=self.nested)

    def __str__(self) -> str:
        return self.name if self.name is not None else "<unknown>"

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} object at {id(self):#x} (stop={self.stop}, wait={self.wait}, "
            f"sleep={self.sleep}, retry={self.retry}, before={self.before}, after={self.after}, "
            f"name={self.name!r})>"
        )


def _once(retrying: BaseRetrying) -> Iterator[AttemptManager]:
    """The single attempt of a retrying object that is not enabled."""
    state = RetryCallState(retrying, None, (), {})
    yield AttemptManager(state)
    if state.outcome is not None:
        state.outcome.result()


class Retrying(BaseRetrying):
    """Retries on the caller's thread."""

    def __call__(self, fn: Callable[..., R], *args: Any, **kwargs: Any) -> R:
        """Call `fn(*args, **kwargs)`, and try again."""
        if not self.enabled:
            return fn(*args, **kwargs)
        return cast("R", self._run(self._call(fn, args, kwargs), fn, args, kwargs))

    def _wrapper(
        self, fn: Callable[..., Any], figures: Figures, allowance: Allowance | None
    ) -> Callable[..., Any]:
        if type(self).__call__ is not Retrying.__call__:
            return super()._wrapper(fn, figures, allowance)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if not self.enabled:
                return fn(*args, **kwargs)
            self._local.figures = figures
            return self._run(self._call(fn, args, kwargs, figures, allowance), fn, args, kwargs)

        return wrapped

    def _run(self, call: Call, fn: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        course, state = course_of(call, self), call.state
        call.begin()
        try:
            effect = next(course)
            while True:
                outcome = None
                if isinstance(effect, Ask):
                    outcome = effect.what(state)
                elif isinstance(effect, DoSleep):
                    self._wait(effect)
                else:
                    _attempt(call, fn, args, kwargs)
                try:
                    effect = course.send(outcome)
                except StopIteration as end:
                    finish = end.value
                    break
        finally:
            call.end()
        return finish()


def _attempt(call: Call, fn: Callable[..., Any], args: Any, kwargs: Any) -> None:
    """Run the function once; what is no Exception is for the caller at once."""
    token = bind(call.context())
    try:
        result = fn(*args, **kwargs)
    except Exception as error:  # noqa: BLE001 - whether to try again is for the strategies to say
        call.state.set_exception((type(error), error, error.__traceback__))
    else:
        call.state.set_result(result)
    finally:
        unbind(token)


def is_async(fn: Callable[..., Any]) -> bool:
    """Whether calling it gives a coroutine."""
    if inspect.isclass(fn):
        return False
    if isinstance(fn, functools.partial):
        return is_async(fn.func)
    return inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(
        getattr(fn, "__call__", None)  # noqa: B004 - an object whose call is a coroutine function
    )
