"""The ring: the blocks that are kept, which of them take writes, and what a clock that leaps does.

Blocks leave when others that are `retention_s` newer take writes, unless time did not really pass:
what a clock leaps over is passed over, hidden but kept, as long as all blocks together are no more
than a ring, so that it is there again when the clock is set right.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from breakwater.metrics.settings import MetricsSettings
from breakwater.metrics.store.blocks import Array, Directory, PackedBlock, RawBlock, join
from breakwater.model import Clock

Block = RawBlock | PackedBlock
Blocks = dict[int, Block]

_LEAP_BLOCKS: Final = 2
"""Blocks by which a clock may move on beyond the time that passed before that is a leap."""
_JOINED_SLOTS: Final = 40
"""Sealed blocks are joined up to so many slots: heads of packed rows weigh less in longer rows, and
a stretch of memory is only given back when the last of its blocks leaves the retention."""


class Ring:
    """Blocks by number; changed by the writer of the store, sealed by any thread, read by all.

    newest: it and the block before it take writes; -1 before any does. passed: blocks a leap has
    passed over, which nobody reads. oldest: the first block that is kept, passed over or not.
    """

    def __init__(self, settings: MetricsSettings, clock: Clock) -> None:
        self._clock = clock
        self._slots = settings.block_slots
        self._raw_blocks = max(settings.raw_blocks, 2)
        self._is_compressed = settings.is_compressed
        span_ms = settings.block_slots * settings.step_ms
        self._span_s = span_ms / 1000
        self.length = max(-(-settings.retention_s * 1000 // span_ms) + 1, 2)
        self.blocks: Blocks = {}
        self.passed: Blocks = {}
        self.newest = -1
        self.oldest = 0
        self._before_leap = self._lost = -1
        self._offset_s = self._offset_now_s()
        self._leapt_s = 0.0
        self._is_time_known = True
        self._seal_lock = threading.Lock()
        self._lock = threading.Lock()
        self._directory = Directory([])

    @property
    def _bottom(self) -> int:
        return self.newest - self.length + 1

    @property
    def first(self) -> int:
        """The first block of which everything is there that was ever written."""
        return max(self.newest - self.length + 1, self._lost + 1, 0)

    def all(self) -> Blocks:
        """Every block, passed over or not."""
        return {**self.passed, **self.blocks}

    def restore(self, newest: int, blocks: Blocks) -> None:
        """Take over blocks into a ring that is still empty."""
        self.newest = newest
        self.forget_time()
        self._sort(blocks)

    def forget_time(self) -> None:
        """Nobody knows how much time passed since the newest block began: there was a restart."""
        self._is_time_known = False

    def advance(self, number: int) -> None:
        """A later block is the newest now."""
        if self.newest >= 0 and self._is_leap(number):
            self._before_leap = self.newest
            self._leapt_s = 0.0
        self._is_time_known = True
        self.newest = number
        with self._lock:
            for passed in [each for each in list(self.blocks) if each < self._bottom]:
                block = self.blocks.pop(passed)
                if passed <= self._before_leap:
                    self.passed[passed] = block
            self._bound()

    def rewind(self, newest: int, opened: Callable[[Block], RawBlock]) -> list[Block]:
        """An earlier block is the newest again; returns the later ones, which are gone.

        What was passed over is back. opened: makes a block one that takes writes again.
        """
        with self._lock:
            kept = self.all()
            later = [kept.pop(number) for number in sorted(kept) if number > newest]
            self.newest = newest
            self._offset_s, self._leapt_s = self._offset_now_s(), 0.0
            for number in (newest - 1, newest):
                if number in kept:
                    kept[number] = opened(kept[number])
            self._sort(kept)
        return later

    def last_slot(self) -> int:
        """The last grid point with a value, if it is in a block that takes writes; else before."""
        for number in (self.newest, self.newest - 1):
            block = self.blocks.get(number)
            if isinstance(block, RawBlock):
                used = np.flatnonzero(~np.isnan(block.data[: block.rows]).all(axis=0))
                if len(used):
                    return number * self._slots + int(used[-1])
        return (self.newest - 1) * self._slots - 1

    def tail(self, last_slot: int) -> Array:
        """The newest block behind a grid point, float64 [rows, slots]; for who may write to it."""
        block = self.blocks.get(self.newest)
        at = last_slot + 1 - self.newest * self._slots
        return block.data[: block.rows, at:] if isinstance(block, RawBlock) else np.empty((0, 0))

    def directory(self) -> Directory:
        """Where the slots of all blocks lie now; for `kernels.fold_spans`."""
        blocks = list(self.blocks.values())
        found = self._directory
        if not found.is_of(blocks):
            found = self._directory = Directory(blocks)
        return found

    @property
    def is_unsealed(self) -> bool:
        """Whether there are more plain blocks than there should be."""
        raw = sum(isinstance(block, RawBlock) for block in list(self.blocks.values()))
        return raw > self._raw_blocks + 2

    def seal(self) -> bool:
        """Pack the oldest block that takes no more writes, or join packed ones; False for none."""
        if not self._is_compressed or not self._seal_lock.acquire(blocking=False):
            return False
        try:
            block = self._oldest_raw()
            if block is not None:
                self._exchange([block], [PackedBlock.of(block)])
                return True
            parts = self._joinable()
            if parts:
                self._exchange(parts, join(parts))
            return bool(parts)
        finally:
            self._seal_lock.release()

    def _is_leap(self, number: int) -> bool:
        """Whether blocks are passed over although the time for them did not pass."""
        former_s, self._offset_s = self._offset_s, self._offset_now_s()
        self._leapt_s = max(self._leapt_s + self._offset_s - former_s, 0.0)
        if number - self.newest <= _LEAP_BLOCKS:
            return False
        return not self._is_time_known or self._leapt_s > _LEAP_BLOCKS * self._span_s

    def _offset_now_s(self) -> float:
        return self._clock.now_ms() / 1000 - self._clock.monotonic_s()

    def _sort(self, blocks: Blocks) -> None:
        """These are the blocks there are; what is older than the retention is passed over."""
        bottom = self._bottom
        self.blocks = {number: each for number, each in blocks.items() if number >= bottom}
        self.passed = {number: each for number, each in blocks.items() if number < bottom}
        self._before_leap = max(self.passed, default=-1)
        self._lost = max(min(self._lost, self.newest - 2), min(self.passed, default=0) - 1)
        self._bound()

    def _bound(self) -> None:
        """Keep no more than a ring, the newest ones."""
        others = len(self.blocks) - (self.newest in self.blocks)
        while self.passed and len(self.passed) + others >= self.length:
            self._lost = min(self.passed)
            del self.passed[self._lost]
        self.oldest = min(self.passed, default=self._bottom)

    def _exchange(self, old: Sequence[Block], new: Sequence[Block]) -> None:
        """Put blocks in the place of others, but of those that left the ring or were reopened."""
        with self._lock:
            for before, after in zip(old, new, strict=True):
                is_closed = before.number < self.newest - 1
                if is_closed and self.blocks.get(before.number) is before:
                    self.blocks[before.number] = after

    def _joinable(self) -> list[PackedBlock]:
        """Sealed blocks that follow each other, fill their part of the ring, and lie apart."""
        size = _JOINED_SLOTS // self._slots
        held = dict(self.blocks)
        for first in sorted({number // size * size for number in held}) if size > 1 else []:
            found = [held.get(number) for number in range(first, first + size)]
            parts = [block for block in found if isinstance(block, PackedBlock)]
            is_apart = len({id(block.packed_rows) for block in parts}) > 1
            if is_apart and len(parts) == size:
                return parts
        return []

    def _oldest_raw(self) -> RawBlock | None:
        limit = self.newest - self._raw_blocks
        sealable = [
            block
            for block in list(self.blocks.values())
            if isinstance(block, RawBlock) and block.number <= limit
        ]
        return min(sealable, key=lambda block: block.number, default=None)
