"""A CDN appliance's cache: bytes by name, oldest use out first, one fill at a time per name."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable

import msgspec

Fill = Callable[[str], Awaitable[bytes]]


class CacheStats(msgspec.Struct, frozen=True, kw_only=True):
    """What the cache holds, and how it has answered since the process began."""

    items: int
    size_bytes: int
    limit_bytes: int
    hits: int
    misses: int
    joined: int
    evicted: int
    filling: int


class SegmentCache:
    """Least-recently-used bytes within `limit_bytes`, filled through `fill` on a miss.

    Callers that miss the same name while it is being filled share the one fill and its outcome,
    good or bad; a failed fill is not remembered. A caller that gives up does not end the fill for
    the others. An item larger than the limit passes through unstored.
    """

    def __init__(self, limit_bytes: int, fill: Fill) -> None:
        self._limit_bytes = limit_bytes
        self._fill = fill
        self._items: OrderedDict[str, bytes] = OrderedDict()
        self._filling: dict[str, asyncio.Task[bytes]] = {}
        self._size_bytes = 0
        self._hits = self._misses = self._joined = self._evicted = 0

    async def get(self, name: str) -> tuple[bytes, bool]:
        """The bytes of `name`, and whether they were here; raises what `fill` raises."""
        found = self._items.get(name)
        if found is not None:
            self._items.move_to_end(name)
            self._hits += 1
            return found, True
        task = self._filling.get(name)
        if task is None:
            self._misses += 1
            # Owned by the table, since everybody who waits may leave; bounded by the fill's limit.
            task = asyncio.create_task(self._fill_once(name), name=f"fill {name}")
            self._filling[name] = task
            task.add_done_callback(_observe)
        else:
            self._joined += 1
        return await asyncio.shield(task), False

    def stats(self) -> CacheStats:
        """Sizes and counts since the process began."""
        return CacheStats(
            items=len(self._items),
            size_bytes=self._size_bytes,
            limit_bytes=self._limit_bytes,
            hits=self._hits,
            misses=self._misses,
            joined=self._joined,
            evicted=self._evicted,
            filling=len(self._filling),
        )

    async def _fill_once(self, name: str) -> bytes:
        try:
            content = await self._fill(name)
            self._store(name, content)
        finally:
            del self._filling[name]
        return content

    def _store(self, name: str, content: bytes) -> None:
        if len(content) > self._limit_bytes:
            return
        self._items[name] = content
        self._size_bytes += len(content)
        while self._size_bytes > self._limit_bytes:
            _, old = self._items.popitem(last=False)
            self._size_bytes -= len(old)
            self._evicted += 1


def _observe(task: "asyncio.Task[bytes]") -> None:
    """Take note of a fill's error even when everybody who waited for it has gone."""
    if not task.cancelled():
        task.exception()
