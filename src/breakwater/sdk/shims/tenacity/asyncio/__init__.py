"""Retries in an event loop: waits let others run, and what the program gives may be async."""

import sys
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any, NoReturn, Self

from breakwater.sdk.context import bind, unbind
from breakwater.sdk.shims.tenacity.allowance import Allowance
from breakwater.sdk.shims.tenacity.asyncio.retry import (
    retry_all,
    retry_any,
    retry_if_exception,
    retry_if_result,
)
from breakwater.sdk.shims.tenacity.calls import AttemptManager
from breakwater.sdk.shims.tenacity.controllers import BaseRetrying, is_async
from breakwater.sdk.shims.tenacity.course import Ask, Call, Course, DoSleep, Figures, course_of

__all__ = ["AsyncRetrying", "retry_all", "retry_any", "retry_if_exception", "retry_if_result"]


def sleep(seconds: float) -> Awaitable[None]:
    """Wait and let others run, in asyncio or in trio."""
    if "trio" in sys.modules and _is_in_trio():
        import trio  # type: ignore[import-not-found] # noqa: PLC0415 - it is loaded, and is optional

        waiting: Awaitable[None] = trio.sleep(seconds)  # noqa: ASYNC105 - the caller awaits it
        return waiting
    import asyncio  # noqa: PLC0415 - a sync program never pays for it

    return asyncio.sleep(seconds)


def _is_in_trio() -> bool:
    import sniffio  # type: ignore[import-not-found] # noqa: PLC0415 - comes with trio

    return bool(sniffio.current_async_library() == "trio")


class AsyncRetrying(BaseRetrying):
    """Retries in the caller's task."""

    def __init__(self, sleep: Callable[[float], Any] = sleep, *args: Any, **kwargs: Any) -> None:
        super().__init__(sleep, *args, **kwargs)

    async def __call__(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call `fn(*args, **kwargs)`, await it if it is async, and try again."""
        if not self.enabled:
            return await _resolved(fn(*args, **kwargs))
        return await self._run(self._call(fn, args, kwargs), fn, args, kwargs)

    def _wrapper(
        self, fn: Callable[..., Any], figures: Figures, allowance: Allowance | None
    ) -> Callable[..., Any]:
        async def wrapped(*args: Any, **kwargs: Any) -> Any:
            if not self.enabled:
                return await _resolved(fn(*args, **kwargs))
            self._local.figures = figures
            if type(self).__call__ is not AsyncRetrying.__call__:
                return await self(fn, *args, **kwargs)
            call = self._call(fn, args, kwargs, figures, allowance)
            return await self._run(call, fn, args, kwargs)

        return wrapped

    async def _run(self, call: Call, fn: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        course, state = course_of(call, self), call.state
        call.begin()
        try:
            effect = next(course)
            while True:
                outcome = None
                if isinstance(effect, Ask):
                    outcome = await _resolved(effect.what(state))
                elif isinstance(effect, DoSleep):
                    await _resolved(self.sleep(effect))
                else:
                    await _attempt(call, fn, args, kwargs)
                try:
                    effect = course.send(outcome)
                except StopIteration as end:
                    finish = end.value
                    break
        finally:
            call.end()
        return finish()

    def __iter__(self) -> NoReturn:
        """Attempts in an event loop need `async for`."""
        raise TypeError("AsyncRetrying object is not iterable")

    def __aiter__(self) -> "Attempts":
        """Attempts of a block: `async for attempt in ...: with attempt: ...`."""
        return Attempts(self, self._call(None, (), {}))


class Attempts:
    """The attempts of one `async for`; any number of them may share one retrying object."""

    def __init__(self, retrying: AsyncRetrying, call: Call) -> None:
        self._retrying = retrying
        self._call = call
        self._course: Course | None = None
        self._is_over = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AttemptManager:
        """The next attempt, after its wait; raises when the last error stands."""
        if not self._retrying.enabled:
            return self._single()
        effect: Any = None
        try:
            if self._course is None:
                self._call.begin()
                self._course = course_of(self._call, self._retrying)
            effect = self._course.send(None)
            while isinstance(effect, Ask | DoSleep):
                effect = self._course.send(await self._perform(effect))
        except StopIteration as end:
            finish = end.value
        else:
            return AttemptManager(self._call.state)
        self._call.end()
        finish()
        raise StopAsyncIteration

    async def _perform(self, effect: Ask | DoSleep) -> Any:
        if isinstance(effect, Ask):
            return await _resolved(effect.what(self._call.state))
        await _resolved(self._retrying.sleep(effect))
        return None

    def _single(self) -> AttemptManager:
        """The one attempt of a retrying object that is not enabled."""
        if not self._is_over:
            self._is_over = True
            return AttemptManager(self._call.state)
        if self._call.state.outcome is not None:
            self._call.state.outcome.result()
        raise StopAsyncIteration


async def _attempt(call: Call, fn: Callable[..., Any], args: Any, kwargs: Any) -> None:
    """Run the function once; cancellation and its like are for the caller at once."""
    token = bind(call.context())
    try:
        result = fn(*args, **kwargs)
        if is_async(fn):
            result = await result
    except Exception as error:  # noqa: BLE001 - whether to try again is for the strategies to say
        call.state.set_exception((type(error), error, error.__traceback__))
    else:
        call.state.set_result(result)
    finally:
        unbind(token)


async def _resolved(value: Any) -> Any:
    """What an awaitable gives; anything else is itself."""
    return await value if isawaitable(value) else value
