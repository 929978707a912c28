"""The first few of many by a number, kept while they come by."""

import math


class Leaders:
    """Keeps the `count` highest (or lowest) numbers in a heap whose root is the next to go.

    Numbers order as `Double.compare` does: NaN above all, -0.0 below 0.0. Of equals, one that is
    there stays. Which of several equal ones leaves for a better one, and the order of
    `positions`, are those of a binary heap in an array, so that answers agree with Atlas.
    """

    def __init__(self, count: int, *, is_top: bool) -> None:
        self._count = count
        self._sign = 1 if is_top else -1
        self._heap: list[tuple[tuple[int, float, float], int]] = []

    def offer(self, number: float, position: int) -> int | None:
        """Take a number; returns the position that has no place, if there is one."""
        entry = (self._worth(number), position)
        heap = self._heap
        if len(heap) < self._count:
            heap.append(entry)
            self._rise(len(heap) - 1)
            return None
        if entry[0] <= heap[0][0]:
            return position
        gone = heap[0][1]
        last = heap.pop()
        if heap:
            heap[0] = last
            self._sink()
        heap.append(entry)
        self._rise(len(heap) - 1)
        return gone

    def positions(self) -> list[int]:
        """The positions kept."""
        return [position for _, position in self._heap]

    def _worth(self, number: float) -> tuple[int, float, float]:
        sign = self._sign
        if math.isnan(number):
            return (sign, 0.0, 0.0)
        return (0, sign * number, sign * math.copysign(1.0, number))

    def _rise(self, place: int) -> None:
        heap = self._heap
        entry = heap[place]
        while place:
            parent = (place - 1) // 2
            if entry[0] >= heap[parent][0]:
                break
            heap[place] = heap[parent]
            place = parent
        heap[place] = entry

    def _sink(self) -> None:
        heap, place = self._heap, 0
        entry = heap[0]
        while 2 * place + 1 < len(heap):
            child = 2 * place + 1
            if child + 1 < len(heap) and heap[child + 1][0] < heap[child][0]:
                child += 1
            if entry[0] <= heap[child][0]:
                break
            heap[place] = heap[child]
            place = child
        heap[place] = entry
