"""The cache of a CDN appliance."""

import asyncio

import anyio.lowlevel
import pytest

from breakwater.reference.appliance import SegmentCache

pytestmark = pytest.mark.anyio


class Origin:
    """Gives ten bytes per name, when it is let."""

    def __init__(self) -> None:
        """Open for business."""
        self.asked: list[str] = []
        self.is_open = asyncio.Event()
        self.is_open.set()
        self.error: Exception | None = None

    async def fill(self, name: str) -> bytes:
        """The bytes of a name."""
        self.asked.append(name)
        await self.is_open.wait()
        if self.error is not None:
            raise self.error
        return name.encode().ljust(10)


async def _until_joined(cache: SegmentCache, count: int) -> None:
    """Let others run until so many callers wait for a fill somebody else began."""
    with anyio.fail_after(10):
        while cache.stats().joined < count:
            await anyio.lowlevel.checkpoint()


async def test_a_miss_fills_and_a_hit_does_not() -> None:
    """The origin is asked once; both answers are the same bytes."""
    origin = Origin()
    cache = SegmentCache(100, origin.fill)
    assert await cache.get("x") == (b"x".ljust(10), False)
    assert await cache.get("x") == (b"x".ljust(10), True)
    assert origin.asked == ["x"]
    stats = cache.stats()
    assert (stats.hits, stats.misses, stats.size_bytes, stats.filling) == (1, 1, 10, 0)


async def test_the_least_recently_used_goes_first() -> None:
    """The size never passes the limit, and a hit keeps an item alive."""
    origin = Origin()
    cache = SegmentCache(25, origin.fill)
    for name in ("x", "y", "x", "z"):
        await cache.get(name)
    assert [(await cache.get(name))[1] for name in ("x", "z", "y")] == [True, True, False]
    assert cache.stats().size_bytes <= 25
    assert cache.stats().evicted == 2


async def test_many_who_miss_share_one_fill() -> None:
    """Ten callers at once cause one request to the origin, and all get the bytes."""
    origin = Origin()
    origin.is_open.clear()
    cache = SegmentCache(100, origin.fill)
    waiting = [asyncio.ensure_future(cache.get("x")) for _ in range(10)]
    await _until_joined(cache, 9)
    origin.is_open.set()
    assert await asyncio.gather(*waiting) == [(b"x".ljust(10), False)] * 10
    assert origin.asked == ["x"]


async def test_a_failed_fill_fails_all_who_wait_and_is_forgotten() -> None:
    """The error reaches everybody who waited; the next caller tries again."""
    origin = Origin()
    origin.is_open.clear()
    origin.error = ConnectionError("origin is down")
    cache = SegmentCache(100, origin.fill)
    waiting = [asyncio.ensure_future(cache.get("x")) for _ in range(3)]
    await _until_joined(cache, 2)
    origin.is_open.set()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ConnectionError] * 3
    origin.error = None
    assert (await cache.get("x"))[1] is False
    assert (await cache.get("x"))[1] is True


async def test_one_who_gives_up_does_not_end_the_fill() -> None:
    """The first caller is cancelled while filling; the second still gets the bytes."""
    origin = Origin()
    origin.is_open.clear()
    cache = SegmentCache(100, origin.fill)
    first, second = (asyncio.ensure_future(cache.get("x")) for _ in range(2))
    await _until_joined(cache, 1)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    origin.is_open.set()
    assert await second == (b"x".ljust(10), False)
    assert origin.asked == ["x"]


async def test_what_is_larger_than_the_cache_passes_through() -> None:
    """An item over the limit is served but not kept, and evicts nothing."""
    origin = Origin()
    cache = SegmentCache(5, origin.fill)
    assert await cache.get("x") == (b"x".ljust(10), False)
    assert cache.stats().items == cache.stats().evicted == 0
