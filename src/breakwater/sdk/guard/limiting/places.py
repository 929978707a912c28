"""A number of places that may change, with shares for classes of callers and a line to wait in.

The plain bulkhead is a pile of permits and costs next to nothing. This is the one that can do
more: adaptive limits, partitions and waiting are all made of it. Its lock is held for a few
steps of bookkeeping, never while user code, a wake-up or a hook runs.
"""

import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final, Literal

import msgspec

from breakwater.sdk.errors import CallRefusedError
from breakwater.sdk.guard.gate import CallInfo, Ticket
from breakwater.sdk.guard.limiting.partitions import Partition, Partitions, PartitionStats

Order = Literal["fifo", "lifo"]

MAX_DELAYED: Final = 100
"""Refusals held back at the same time; those beyond are told at once."""


class Place(Ticket):
    """Leave to go on; `inflight` calls were under way when it was given, itself among them."""

    __slots__ = ("inflight", "partition")

    def __init__(self, inflight: int, partition: Partition | None) -> None:
        self.inflight = inflight
        self.partition = partition


class PlacesStats(msgspec.Struct, frozen=True, kw_only=True):
    """Places in all and taken now, calls refused and why, and the line of those who wait.

    rejected counts every refusal; timed_out those of them that had waited first.
    """

    limit: int
    in_use: int
    rejected: int
    waiting: int
    waited: int
    timed_out: int
    abandoned: int
    delayed: int
    partitions: dict[str, PartitionStats]


class Places:
    """Gives out places, at most `limit` of them but for guaranteed shares.

    reason: the word of the refusal. max_wait_s: how long a call may wait for a place (0: not at
    all), in a line of at most max_waiting, in the order they came or the last one first.
    reject_delay_s: by partition, how long a refusal is held back, to slow down callers that try
    again at once.
    """

    def __init__(
        self,
        limit: int,
        *,
        reason: str = "bulkhead_full",
        shares: Mapping[str, float] | None = None,
        max_wait_s: float = 0.0,
        max_waiting: int = 100,
        order: Order = "fifo",
        reject_delay_s: Mapping[str, float] | None = None,
    ) -> None:
        self.limit = limit
        self.in_use = 0
        self._reason = reason
        self._partitions = Partitions(shares, limit) if shares else None
        self._max_wait_s = max_wait_s
        self._max_waiting = max_waiting
        self._is_lifo = order == "lifo"
        self._reject_delay_s = dict(reject_delay_s or {})
        self._line: deque[Waiter] = deque()
        self._lock = threading.RLock()
        self._rejected = self._waited = self._timed_out = self._abandoned = 0
        self._delayed = self._held_back = 0

    def enter(
        self, call: CallInfo, now_s: float, retry_after_s: float | None = None
    ) -> "Place | Waiter | HeldRefusal":
        """A place, at once or later; raises CallRefusedError with retry_after_s as its hint."""
        with self._lock:
            partition = None
            if self._partitions is not None:
                partition = self._partitions.find(call.partition)
            if self._has_room(partition):
                return self._take(partition)
            deadline_s = call.context.deadline_s
            until_s = now_s + self._max_wait_s
            if deadline_s is not None and deadline_s < until_s:
                until_s = deadline_s
            if until_s > now_s and len(self._line) < self._max_waiting:
                waiter = Waiter(self, call, partition, until_s)
                self._line.append(waiter)
                self._waited += 1
                return waiter
            refusal = self._refusal(call, partition, self._reason, retry_after_s)
            delay_s = self._reject_delay_s.get(call.partition, 0.0)
            if delay_s > 0 and self._held_back < MAX_DELAYED:
                self._held_back += 1
                self._delayed += 1
                return HeldRefusal(self, refusal, now_s + delay_s)
        raise refusal

    def leave(self, place: Place) -> None:
        """Take a place back and give it to the next in line; exactly once for each place."""
        with self._lock:
            self.in_use -= 1
            if place.partition is not None:
                place.partition.in_use -= 1
            wakes = self._serve_line()
        for wake in wakes:
            wake()

    def resize(self, limit: int) -> None:
        """From now on there are `limit` places; calls already under way are left alone."""
        with self._lock:
            if limit == self.limit:
                return
            self.limit = limit
            if self._partitions is not None:
                self._partitions.resize(limit)
            wakes = self._serve_line()
        for wake in wakes:
            wake()

    def _has_room(self, partition: Partition | None) -> bool:
        if self.in_use < self.limit:
            return True
        return partition is not None and partition.in_use < partition.limit

    def _take(self, partition: Partition | None) -> Place:
        self.in_use += 1
        if partition is not None:
            partition.in_use += 1
        return Place(self.in_use, partition)

    def _refusal(
        self, call: CallInfo, partition: Partition | None, reason: str, retry_after_s: float | None
    ) -> CallRefusedError:
        self._rejected += 1
        if partition is not None:
            partition.rejected += 1
        return CallRefusedError(reason, call.command, call.endpoint, self.limit, retry_after_s)

    def _serve_line(self) -> list[Callable[[], None]]:
        """Give free places to those in line; returns whom to wake, once the lock is open."""
        wakes: list[Callable[[], None]] = []
        while (waiter := self._pop_with_room()) is not None:
            waiter.place = self._take(waiter.partition)
            if waiter.wake is not None:
                wakes.append(waiter.wake)
        return wakes

    def _pop_with_room(self) -> "Waiter | None":
        line = self._line
        if self._partitions is None:
            if not line or self.in_use >= self.limit:
                return None
            return line.pop() if self._is_lifo else line.popleft()
        for waiter in tuple(reversed(line) if self._is_lifo else line):
            if self._has_room(waiter.partition):
                line.remove(waiter)
                return waiter
        return None

    def stats(self) -> PlacesStats:
        """How full it is, and what became of those who found no place."""
        with self._lock:
            return PlacesStats(
                limit=self.limit,
                in_use=self.in_use,
                rejected=self._rejected,
                waiting=len(self._line),
                waited=self._waited,
                timed_out=self._timed_out,
                abandoned=self._abandoned,
                delayed=self._delayed,
                partitions={} if self._partitions is None else self._partitions.stats(),
            )

    # What follows is called by waiters, which are the other half of this class.

    def claim(self, waiter: "Waiter", now_s: float) -> Place | None:
        """The place of a waiter that has one; raises CallRefusedError when its time is up."""
        with self._lock:
            if waiter.place is not None:
                place, waiter.place = waiter.place, None
                return place
            if now_s < waiter.until_s:
                return None
            self._line.remove(waiter)
            self._timed_out += 1
            refusal = self._refusal(waiter.call, waiter.partition, "queue_timeout", None)
        raise refusal

    def abandon(self, waiter: "Waiter") -> None:
        """A waiter's caller left; the place it may have been given goes to the next."""
        with self._lock:
            self._abandoned += 1
            place, waiter.place = waiter.place, None
            if place is None and waiter in self._line:
                self._line.remove(waiter)
        if place is not None:
            self.leave(place)

    def listen(self, waiter: "Waiter", wake: Callable[[], None]) -> None:
        """Wake the waiter when it has a place; at once if it has."""
        with self._lock:
            waiter.wake = wake
            is_served = waiter.place is not None
        if is_served:
            wake()

    def release_refusal(self) -> None:
        """A refusal that was held back has been told, or nobody waits for it any more."""
        with self._lock:
            self._held_back -= 1


class Waiter:
    """One call in line for a place (`gate.Queued`)."""

    __slots__ = ("_places", "call", "partition", "place", "until_s", "wake")

    def __init__(
        self, places: Places, call: CallInfo, partition: Partition | None, until_s: float
    ) -> None:
        self._places = places
        self.call = call
        self.partition = partition
        self.until_s = until_s
        self.place: Place | None = None
        self.wake: Callable[[], None] | None = None

    def on_wake(self, wake: Callable[[], None]) -> None:
        """Call `wake` as soon as there is a place."""
        self._places.listen(self, wake)

    def claim(self, now_s: float) -> Place | None:
        """The place, or None to wait on; raises CallRefusedError when the time is up."""
        return self._places.claim(self, now_s)

    def abandon(self, now_s: float) -> None:  # noqa: ARG002 - the port says when
        """The caller left."""
        self._places.abandon(self)


class HeldRefusal:
    """A refusal that is told after a while (`gate.Queued`), to slow down eager callers."""

    __slots__ = ("_places", "_refusal", "until_s")

    def __init__(self, places: Places, refusal: CallRefusedError, until_s: float) -> None:
        self._places = places
        self._refusal = refusal
        self.until_s = until_s

    def on_wake(self, wake: Callable[[], None]) -> None:
        """Never woken: only time ends it."""

    def claim(self, now_s: float) -> Place | None:
        """None until the time is up, then raises the refusal."""
        if now_s < self.until_s:
            return None
        self._places.release_refusal()
        raise self._refusal

    def abandon(self, now_s: float) -> None:  # noqa: ARG002 - the port says when
        """The caller left before it was told."""
        self._places.release_refusal()
