"""Which kind of collapser a batch function gets."""

from collections.abc import Callable
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any

from breakwater.sdk.guard.travel.asyncbatches import AsyncCollapser
from breakwater.sdk.guard.travel.collapsers import ShardOf, Terms
from breakwater.sdk.guard.travel.ports import Whole
from breakwater.sdk.guard.travel.syncbatches import SyncCollapser


def collapser(
    command: Whole, fn: Callable[[list[Any]], Any], shard: ShardOf | None
) -> AsyncCollapser[Any, Any] | SyncCollapser[Any, Any]:
    """The collapser for `fn`, async or not, whose batches go through `command`."""
    if iscoroutinefunction(fn):

        @wraps(fn)
        async def send_async(arguments: tuple[Any, ...]) -> Any:
            return await fn(list(arguments))

        return AsyncCollapser(Terms(command), command(send_async), shard)

    @wraps(fn)
    def send(arguments: tuple[Any, ...]) -> Any:
        return fn(list(arguments))

    return SyncCollapser(Terms(command), command(send), shard)
