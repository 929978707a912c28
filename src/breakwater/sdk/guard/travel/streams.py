"""Generators under guard: one attempt that lasts until the last item, and fallbacks that go on.

The permit is held until the generator is exhausted, closed, or collected. A consumer who stops
after at least one item has been served: that is a success; one who leaves before is a caller who
went away. The attempt timeout limits the wait for the first item, the total deadline the rest. The
generator's body does not see the narrowed deadline, which would leak to the consumer at each item.

A fallback gives items too. Before the first item any may be asked; after it only those that are
generator functions themselves, since only they are written to go on where others ended: what went
out stays, and their items follow it, as with Hystrix's observable commands. What the consumer
throws in is his own affair, and nothing stands in for it.
"""

from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Generator, Iterable
from contextlib import suppress
from functools import wraps
from inspect import isasyncgen, isawaitable, isgenerator
from typing import Any

from breakwater.sdk.errors import SettingsError
from breakwater.sdk.guard.events import EventType
from breakwater.sdk.guard.travel.blocks import Asked, AsyncBlock, SyncBlock
from breakwater.sdk.guard.travel.drivers import limited, recover_sync
from breakwater.sdk.guard.travel.pipeline import Recover, travel_streamed
from breakwater.sdk.guard.travel.ports import Whole


class _Counted:
    """A generator, and how many items it gave; goes by `yield from` like the generator itself.

    thrown: what the consumer threw in last, until an item followed.
    """

    __slots__ = ("_inner", "items", "thrown")

    def __init__(self, inner: Generator[Any, Any, Any]) -> None:
        self._inner = inner
        self.items = 0
        self.thrown: BaseException | None = None

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
        thrown = error[1] if len(error) > 1 and error[1] is not None else error[0]
        self.thrown = thrown if isinstance(thrown, BaseException) else None
        try:
            item = self._inner.throw(thrown)
        finally:
            del error, thrown  # an error does not hold the frame that holds it
        self.thrown = None
        self.items += 1
        return item

    def close(self) -> None:
        """To the generator."""
        self._inner.close()


class _Run:
    """One guarded stream: from the function to its last fallback."""

    __slots__ = ("_command", "_is_fallback", "items", "recover", "thrown")

    def __init__(self, command: Whole) -> None:
        self._command = command
        self._is_fallback = False
        self.items = 0  # that the present source gave
        self.recover: Recover | None = None
        self.thrown: BaseException | None = None

    def taken(self) -> Recover | None:
        """The fallback to be asked now, None if it is the function's turn."""
        recover, self.recover = self.recover, None
        self._is_fallback = recover is not None
        return recover

    def ended(self, block: SyncBlock | AsyncBlock) -> None:
        """The present source gave its last item."""
        self._count(block)
        block.end(None)

    def goes_on(self, block: SyncBlock | AsyncBlock, error: BaseException) -> bool:
        """Whether a fallback is to be asked; else the error is the consumer's."""
        items, thrown, self.thrown = self.items, self.thrown, None
        self._count(block)
        if items:
            block.note_items()
            if isinstance(error, GeneratorExit):
                if self._is_fallback:
                    block.end(None)
                    return False
                block.succeeded()
        if error is thrown:
            block.end_without_fallback()
        self.recover = block.end(error)
        return self.recover is not None

    def _count(self, block: SyncBlock | AsyncBlock) -> None:
        if not block.is_guarded:
            return
        event = EventType.FALLBACK_EMIT if self._is_fallback else EventType.EMIT
        items, self.items = self.items, 0
        self._command.statistics.count(event, self._command.now_s(), items)


def generator_road(
    command: Whole, fn: Callable[..., Generator[Any, Any, Any]]
) -> Callable[..., Generator[Any, Any, Any]]:
    """The generator function `fn` under the guard of `command`."""

    @wraps(fn)
    def guarded(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        block = SyncBlock(command, binds=False, asked=(args, kwargs), travel=travel_streamed)
        run = _Run(command)
        run.recover = block.begin()
        while True:
            source = None
            try:
                recover = run.taken()
                if recover is None:
                    source = _Counted(fn(*args, **kwargs))
                else:
                    source, recover = _Counted(_items_of(recover)), None
                answer = yield from source
            except BaseException as error:
                if source is not None:
                    run.items, run.thrown, source.thrown = source.items, source.thrown, None
                if not run.goes_on(block, error):
                    raise
            else:
                run.items = source.items
                run.ended(block)
                return answer

    return guarded


def _items_of(recover: Recover) -> Generator[Any, Any, Any]:
    """What a fallback gives, as a generator."""
    given = recover_sync(recover)
    if isgenerator(given):
        return given
    if not isinstance(given, Iterable):
        raise _no_items(given)
    return _each(given)


def _each(items: Iterable[Any]) -> Generator[Any, None, None]:
    yield from items


def _no_items(given: object) -> SettingsError:
    return SettingsError(
        f"the fallback of a generator gave {type(given).__name__}, must give an iterable of items"
    )


def async_generator_road(
    command: Whole, fn: Callable[..., AsyncGenerator[Any, Any]]
) -> Callable[..., AsyncGenerator[Any, Any]]:
    """The async generator function `fn` under the guard of `command`."""

    @wraps(fn)
    async def guarded(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        run = _AsyncRun(command, (args, kwargs))
        await run.begin()
        while True:
            try:
                try:
                    with suppress(StopAsyncIteration):
                        item = await run.first(fn)
                        while True:
                            run.items += 1
                            try:
                                sent = yield item
                            except BaseException as error:  # noqa: BLE001 - the consumer's
                                item = await run.throw(error)
                            else:
                                item = await run.send(sent)
                finally:
                    await run.close()
            except BaseException as error:
                if not run.goes_on(run.block, error):
                    raise
            else:
                run.ended(run.block)
                return

    return guarded


class _AsyncRun(_Run):
    """As `_Run`, with the steps of an async generator, each within its limit of time."""

    __slots__ = ("_asked", "_source", "block")

    def __init__(self, command: Whole, asked: Asked) -> None:
        super().__init__(command)
        self._asked = asked
        self._source: AsyncGenerator[Any, Any] | None = None
        self.block = AsyncBlock(
            command, binds=False, limits=False, asked=asked, travel=travel_streamed
        )

    async def begin(self) -> None:
        """Through the gates."""
        self.recover = await self.block.begin()

    async def first(self, fn: Callable[..., AsyncGenerator[Any, Any]]) -> Any:
        """The first item of function or fallback; that of the function within an attempt's time."""
        recover = self.taken()
        if recover is not None:
            self._source = await _async_items_of(recover)
            return await anext(self._source)
        args, kwargs = self._asked
        self._source = source = fn(*args, **kwargs)
        invoke = self.block.invoke
        assert invoke is not None, "it is the function's turn"
        if invoke.stop_s is None:
            return await anext(source)
        return await limited(
            lambda: source.asend(None),
            invoke.stop_s - invoke.began_s,
            command=invoke.info.command,
            was_cut_short=invoke.was_cut_short,
        )

    async def send(self, value: Any) -> Any:
        """The next item."""
        assert self._source is not None, "it gave an item"
        return await self._step(self._source.asend, value)

    async def throw(self, error: BaseException) -> Any:
        """The next item, after an error of the consumer; none if he leaves."""
        if isinstance(error, GeneratorExit):
            raise error
        assert self._source is not None, "it gave an item"
        self.thrown = error
        item = await self._step(self._source.athrow, error)
        self.thrown = None
        return item

    async def _step(self, step: Callable[[Any], Awaitable[Any]], value: Any) -> Any:
        """A later item: that of the function within the time of the whole call."""
        left_s = None if self._is_fallback else self.block.left_s()
        if left_s is None:
            return await step(value)
        return await limited(
            lambda: step(value), max(0.0, left_s), command=self.block.command, was_cut_short=True
        )

    async def close(self) -> None:
        """The present source gives no further item."""
        source, self._source = self._source, None
        if source is not None:
            await source.aclose()


async def _async_items_of(recover: Recover) -> AsyncGenerator[Any, Any]:
    """What a fallback gives, as an async generator."""
    given = recover.fallback(recover.error)
    if isawaitable(given):
        given = await given
    if isasyncgen(given):
        return given
    if isinstance(given, AsyncIterable):
        return _each_awaited(given)
    if not isinstance(given, Iterable):
        raise _no_items(given)
    return _each_async(given)


async def _each_awaited(items: AsyncIterable[Any]) -> AsyncGenerator[Any, None]:
    async for item in items:
        yield item


async def _each_async(items: Iterable[Any]) -> AsyncGenerator[Any, None]:
    for item in items:
        yield item
