"""Waiting for a seat: what the doors of all protocols do alike with a queue of a shedder."""

from collections.abc import Callable

import msgspec

from breakwater.sdk.calls import ServerStats
from breakwater.sdk.guard.gate import Ticket
from breakwater.sdk.guard.limiting.shedding import Shedder, Waiting
from breakwater.sdk.guard.travel.drivers import wait_async, wait_sync
from breakwater.sdk.guard.travel.pipeline import WaitFor


async def seated(waiting: Waiting, now_s: Callable[[], float]) -> Ticket:
    """The seat, once it is there; raises CallRefusedError. Cancelled, it leaves the queue."""
    import asyncio  # noqa: PLC0415 - a sync server never pays for it

    loop = asyncio.get_running_loop()
    while True:
        try:
            await wait_async(WaitFor(waiting, waiting.until_s), now_s, loop)
        except BaseException:  # the request was cancelled: leave the queue as it was
            waiting.abandon(now_s())
            raise
        seat = waiting.claim(now_s())
        if seat is not None:
            return seat


def seated_sync(waiting: Waiting, now_s: Callable[[], float]) -> Ticket:
    """As `seated`, on this thread."""
    while True:
        wait_sync(WaitFor(waiting, waiting.until_s), now_s)
        seat = waiting.claim(now_s())
        if seat is not None:
            return seat


def with_shedding(stats: ServerStats, shedder: Shedder, now_s: float) -> ServerStats:
    """`stats` with what the shedder counted."""
    shedding = shedder.stats(now_s)
    return msgspec.structs.replace(
        stats,
        rejected=sum(shedding.refused.values()),
        limit=shedding.limit,
        waiting=shedding.waiting,
        shed=shedding.refused,
    )
