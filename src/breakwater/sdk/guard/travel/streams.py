"""Generators under guard: one attempt that lasts until the last item.

The permit is held until the generator is exhausted, closed, or collected. A consumer who stops
after at least one item has been served: that is a success; one who leaves before is a caller who
went away. The attempt timeout limits the wait for the first item, the total deadline the rest. The
generator's body does not see the narrowed deadline, which would leak to the consumer at each item.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from functools import wraps
from typing import Any

from breakwater.sdk.guard.events import EventType
from breakwater.sdk.guard.travel.blocks import AsyncBlock, SyncBlock
from breakwater.sdk.guard.travel.drivers import limited
from breakwater.sdk.guard.travel.ports import Whole


class _Counted:
    """A generator, and how many items it gave; goes by `yield from` like the generator itself."""

    __slots__ = ("_inner", "items")

    def __init__(self, inner: Generator[Any, Any, Any]) -> None:
        self._inner = inner
        self.items = 0

    def __iter__(self) -> "_Counted":
        return self

    def __next__(self) -> Any:
        item = next(self._inner)
        self.items += 1
        return item

    def send(self, value: Any) -> Any:
        """To the generator."""
        item = self._inner.send(value)
        self.items += 1
        return item

    def throw(self, *error: Any) -> Any:
        """To the generator; an error, or as contextlib says it: class, error and traceback."""
        item = self._inner.throw(error[1] if len(error) > 1 and error[1] is not None else error[0])
        self.items += 1
        return item

    def close(self) -> None:
        """To the generator."""
        self._inner.close()


def generator_road(
    command: Whole, fn: Callable[..., Generator[Any, Any, Any]]
) -> Callable[..., Generator[Any, Any, Any]]:
    """The generator function `fn` under the guard of `command`."""

    @wraps(fn)
    def guarded(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        with SyncBlock(command, binds=False, asked=(args, kwargs)) as block:
            counted = _Counted(fn(*args, **kwargs))
            try:
                return (yield from counted)
            except GeneratorExit:
                if counted.items:
                    block.succeeded()
                raise
            finally:
                command.statistics.count(EventType.EMIT, command.now_s(), counted.items)

    return guarded


def async_generator_road(
    command: Whole, fn: Callable[..., AsyncGenerator[Any, Any]]
) -> Callable[..., AsyncGenerator[Any, Any]]:
    """The async generator function `fn` under the guard of `command`."""

    @wraps(fn)
    async def guarded(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        asked = (args, kwargs)
        async with AsyncBlock(command, binds=False, limits=False, asked=asked) as block:
            source = fn(*args, **kwargs)
            items = 0
            try:
                item = await _first(block, source)
                while True:
                    items += 1
                    try:
                        sent = yield item
                    except GeneratorExit:
                        block.succeeded()
                        raise
                    except BaseException as error:  # noqa: BLE001 - thrown in by the consumer
                        item = await _next(block, source.athrow, error)
                    else:
                        item = await _next(block, source.asend, sent)
            except StopAsyncIteration:
                return
            finally:
                command.statistics.count(EventType.EMIT, command.now_s(), items)
                await source.aclose()

    return guarded


async def _first(block: AsyncBlock, source: AsyncGenerator[Any, Any]) -> Any:
    """The first item, within the time of an attempt."""
    invoke = block.invoke
    assert invoke is not None, "entered"
    if invoke.stop_s is None:
        return await anext(source)
    seconds = invoke.stop_s - invoke.began_s
    return await limited(
        lambda: source.asend(None),
        seconds,
        command=invoke.info.command,
        was_cut_short=invoke.was_cut_short,
    )


async def _next(block: AsyncBlock, step: Callable[[Any], Awaitable[Any]], value: Any) -> Any:
    """A later item, within the time of the whole call."""
    left_s = block.left_s()
    if left_s is None:
        return await step(value)
    return await limited(
        lambda: step(value), max(0.0, left_s), command=block.command, was_cut_short=True
    )
