"""What a decorated function becomes: by its kind, and it stays of that kind."""

from collections.abc import Awaitable, Callable
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from typing import Any

from breakwater.sdk.guard.travel.fast import async_road, sync_road, timed_sync_road
from breakwater.sdk.guard.travel.ports import Subject, Whole


def decorated(command: Whole, fn: Callable[..., Any]) -> Callable[..., Any]:
    """`fn` under guard."""
    if iscoroutinefunction(fn) or iscoroutinefunction(getattr(type(fn), "__call__", None)):  # noqa: B004 - not whether there is one, but of what kind
        return fast_async(command, fn)
    if isgeneratorfunction(fn):
        from breakwater.sdk.guard.travel.streams import generator_road  # noqa: PLC0415 - where used

        return generator_road(command, fn)
    if isasyncgenfunction(fn):
        from breakwater.sdk.guard.travel.streams import async_generator_road  # noqa: PLC0415 - where used

        return async_generator_road(command, fn)
    return fast_sync(command, fn)


def fast_sync(command: Subject, fn: Callable[..., Any]) -> Callable[..., Any]:
    """`fn` on the fast road that the command has now."""
    return timed_sync_road(command, fn) if command.is_timed else sync_road(command, fn)


def fast_async(
    command: Subject, fn: Callable[..., Awaitable[Any]]
) -> Callable[..., Awaitable[Any]]:
    """The coroutine function `fn` on the fast road that the command has now."""
    if not command.is_timed:
        return async_road(command, fn)
    from breakwater.sdk.guard.travel.cancelling import timed_async_road  # noqa: PLC0415 - needs asyncio

    return timed_async_road(command, fn)
