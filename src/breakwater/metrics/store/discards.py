"""What was given up because the clock was set back: counted after the fact, told once.

Datapoints are counted where nobody waits for it, as there may be an hour of them.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
import structlog

from breakwater.metrics.store.blocks import SEGMENT_ROWS, Array, PackedBlock, RawBlock

log = structlog.get_logger("breakwater.metrics")

_NEVER: Final = 1 << 62


class FutureStats(msgspec.Struct, frozen=True, kw_only=True):
    """What lay beyond the clock, by more than is allowed, and was given up since the start.

    times: how often that was found. datapoints: all of them; series, from_ms, to_ms: how many
    series lost some the last time, and the first and the last stamp of those; 0 for none.
    passed_over: blocks now that a clock far ahead has passed over, kept for when it is set right.
    """

    times: int
    series: int
    datapoints: int
    from_ms: int
    to_ms: int
    passed_over: int


class _Discard:
    """One set of datapoints that were given up, as they are counted."""

    def __init__(self) -> None:
        self.has_value = np.zeros(SEGMENT_ROWS, dtype=np.bool_)
        self.datapoints = 0
        self.first_slot, self.last_slot = _NEVER, -1

    def add(self, first_row: int, first_slot: int, values: Array) -> None:
        """Count values [rows, slots]."""
        is_value = ~np.isnan(values)
        last_row = first_row + len(values)
        if last_row > len(self.has_value):
            longer = np.zeros(max(last_row, 2 * len(self.has_value)), dtype=np.bool_)
            longer[: len(self.has_value)] = self.has_value
            self.has_value = longer
        self.has_value[first_row:last_row] |= is_value.any(axis=1)
        slots = np.flatnonzero(is_value.any(axis=0))
        if len(slots):
            self.datapoints += int(np.count_nonzero(is_value))
            self.first_slot = min(self.first_slot, first_slot + int(slots[0]))
            self.last_slot = max(self.last_slot, first_slot + int(slots[-1]))


class Discards:
    """Takes what a store gives up; `tell` counts it and says so."""

    def __init__(self, step_ms: int) -> None:
        self._step_ms = step_ms
        self._waiting: list[tuple[_Discard, Sequence[RawBlock | PackedBlock], int]] = []
        self.times = 0
        self._series = self._datapoints = self._from_ms = self._to_ms = 0

    def add(
        self, later: Sequence[RawBlock | PackedBlock], tail: Array, first_slot: int, now_ms: int
    ) -> None:
        """These blocks are gone, and so are values [rows, slots], which may change afterwards."""
        found = _Discard()
        found.add(0, first_slot, tail)
        self.times += 1
        self._waiting.append((found, later, now_ms))

    def tell(self) -> None:
        """Count what is new, and log it; takes about 10 ns a slot."""
        while self._waiting:
            found, blocks, now_ms = self._waiting[0]
            for block in blocks:
                for position in range(block.rows // SEGMENT_ROWS):
                    first_slot = block.number * block.slots
                    found.add(position * SEGMENT_ROWS, first_slot, block.segment(position))
            self._waiting.pop(0)
            self._series = int(found.has_value.sum())
            self._datapoints += found.datapoints
            self._from_ms = found.first_slot * self._step_ms if found.datapoints else 0
            self._to_ms = max(found.last_slot, 0) * self._step_ms
            log.warning(
                "metrics.future_discarded",
                series=self._series,
                datapoints=found.datapoints,
                from_ms=self._from_ms,
                to_ms=self._to_ms,
                now_ms=now_ms,
            )

    def stats(self, passed_over: int) -> FutureStats:
        """Counts since the start."""
        return FutureStats(
            times=self.times,
            series=self._series,
            datapoints=self._datapoints,
            from_ms=self._from_ms,
            to_ms=self._to_ms,
            passed_over=passed_over,
        )
