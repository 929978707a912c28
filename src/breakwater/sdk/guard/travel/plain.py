"""Plain functions of the right kind: a sync call has its answer at once, an async one awaits it.

A coroutine that a sync call returned would count as a success before a line of it has run, so it
is refused. Only the exact type is looked at: futures and tasks run by themselves and may be passed.
"""

from collections.abc import Callable
from inspect import isawaitable
from types import CoroutineType
from typing import Any

from breakwater.sdk.guard.travel.code import UnawaitedError


def apply(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What `Command.call_sync` guards: any function with any arguments."""
    return fn(*args, **kwargs)


def apply_async(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What `Command.call` guards: any function that gives something to await."""
    work = fn(*args, **kwargs)
    if type(work) is CoroutineType or isawaitable(work):
        return work
    raise UnawaitedError(
        f"{_name_of(fn)} gave {type(work).__name__}, which cannot be awaited; guard a plain "
        "function with `command.call_sync(...)`, or decorate it"
    )


def apply_sync(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`apply` for the general road, where nobody else looks at the kind of the answer."""
    result = fn(*args, **kwargs)
    if type(result) is CoroutineType:
        raise not_awaited(result, fn, args)
    return result


def not_awaited(
    work: "CoroutineType[Any, Any, Any]", fn: Callable[..., Any], args: tuple[Any, ...]
) -> UnawaitedError:
    """The error of a sync call that gave a coroutine, which is closed and never runs."""
    work.close()
    name = _name_of(args[0] if fn is apply else fn)
    return UnawaitedError(
        f"{name} gave a coroutine to a sync call, which nobody awaits; use "
        "`await command.call(...)`, or decorate an `async def`"
    )


def _name_of(fn: Callable[..., Any]) -> str:
    return getattr(fn, "__qualname__", None) or repr(fn)
