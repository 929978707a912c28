"""Blocks: one stretch of time of every series, series-major, float64, NaN where there is no value.

A block that still takes writes is plain memory; reserved for the largest number of series but
only touched as rows come into use, so it never moves while a query reads it. A sealed block is
cut into segments of 1024 rows that are packed one by one; a query unpacks only what it reads.
"""

import mmap
import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pcodec import ChunkConfig, standalone

Array = NDArray[np.float64]

SEGMENT_ROWS: Final = 1024
_MAP_NORESERVE: Final = getattr(mmap, "MAP_NORESERVE", 0x4000)
_CONFIG: Final = ChunkConfig(compression_level=4)


class RawBlock:
    """Slots [number * slots, (number + 1) * slots) of the grid, uncompressed."""

    __slots__ = ("_map", "data", "number", "packed", "rows")

    def __init__(self, number: int, *, max_rows: int, slots: int) -> None:
        self.number = number
        self.rows = 0
        self.packed: PackedBlock | None = None
        capacity = -(-max_rows // SEGMENT_ROWS) * SEGMENT_ROWS
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
        self._map = mmap.mmap(-1, capacity * slots * 8, flags=flags)
        self.data: Array = np.frombuffer(self._map, dtype=np.float64).reshape(capacity, slots)

    @property
    def size_bytes(self) -> int:
        """Memory that is really in use."""
        return int(self.rows * self.data.shape[1] * 8)

    def fit(self, rows: int) -> None:
        """Make room for `rows` rows; new ones hold no value."""
        if rows > self.rows:
            wanted = -(-rows // SEGMENT_ROWS) * SEGMENT_ROWS
            self.data[self.rows : wanted] = np.nan
            self.rows = wanted


class PackedBlock:
    """A sealed block; a segment that never held a value takes no memory at all."""

    __slots__ = ("number", "rows", "segments", "size_bytes", "slots")

    def __init__(self, *, number: int, rows: int, slots: int, segments: list[bytes | None]) -> None:
        self.number = number
        self.rows = rows
        self.slots = slots
        self.segments = segments
        self.size_bytes = sum(len(packed) for packed in self.segments if packed)

    @classmethod
    def of(cls, block: RawBlock) -> "PackedBlock":
        """A block that takes no more writes, packed; what was packed before is not packed again."""
        if block.packed is None:
            segments = [pack_rows(part) for part in row_segments(block)]
            slots = block.data.shape[1]
            block.packed = cls(
                number=block.number,
                rows=len(segments) * SEGMENT_ROWS,
                slots=slots,
                segments=segments,
            )
        return block.packed

    def unpack(self, segment: int) -> Array | None:
        """Rows [segment * 1024, ...) as float64 [1024, slots]; None when they hold no value."""
        packed = self.segments[segment]
        if packed is None:
            return None
        values = np.empty(SEGMENT_ROWS * self.slots)
        standalone.simple_decompress_into(packed, values)
        return values.reshape(SEGMENT_ROWS, self.slots)


def row_segments(block: RawBlock) -> Iterator[Array]:
    """The rows of a block in the pieces that are packed one by one."""
    for start in range(0, block.rows, SEGMENT_ROWS):
        yield block.data[start : start + SEGMENT_ROWS]


def pack_rows(values: Array) -> bytes | None:
    """Rows [1024, slots] packed; None when they hold no value."""
    if np.isnan(values).all():
        return None
    packed: bytes = standalone.simple_compress(np.ascontiguousarray(values).reshape(-1), _CONFIG)
    return packed


class SegmentCache:
    """Recently unpacked segments, bounded in bytes; safe to use from several threads."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._segments: OrderedDict[tuple[int, int], Array] = OrderedDict()
        self.size_bytes = 0

    def get(self, block: PackedBlock, segment: int) -> Array | None:
        """The unpacked segment, from the cache when it is there."""
        key = (block.number, segment)
        with self._lock:
            found = self._segments.get(key)
            if found is not None:
                self._segments.move_to_end(key)
                return found
        values = block.unpack(segment)
        if values is None:
            return None
        with self._lock:
            if key not in self._segments:
                self._segments[key] = values
                self.size_bytes += values.nbytes
            while self.size_bytes > self._max_bytes and self._segments:
                _, dropped = self._segments.popitem(last=False)
                self.size_bytes -= dropped.nbytes
        return values
