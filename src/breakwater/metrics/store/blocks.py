"""Blocks: one stretch of time of every series, series-major, NaN where there is no value.

A block that still takes writes is plain float64; reserved for the largest number of series but
only touched as rows come into use, so it never moves while a query reads it. A sealed block is
packed row by row (`packing`), so that a query reads the rows it wants where they lie. Sealed
blocks that follow each other are joined: they stay blocks of their own, but their rows lie in one
stretch of memory, which is smaller and read in fewer steps.
"""

import mmap
from collections.abc import Iterable, Iterator, Sequence
from types import ModuleType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from breakwater.metrics.store.spans import COPY, WIDTH, Spans, address_of

Array = NDArray[np.float64]

SEGMENT_ROWS: Final = 1024
_MAP_NORESERVE: Final = getattr(mmap, "MAP_NORESERVE", 0x4000)


class RawBlock:
    """Slots [number * slots, (number + 1) * slots) of the grid, uncompressed."""

    __slots__ = ("_map", "address", "data", "number", "rows")

    def __init__(self, number: int, *, max_rows: int, slots: int) -> None:
        self.number = number
        self.rows = 0
        capacity = -(-max_rows // SEGMENT_ROWS) * SEGMENT_ROWS
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
        self._map = mmap.mmap(-1, capacity * slots * 8, flags=flags)
        self.data: Array = np.frombuffer(self._map, dtype=np.float64).reshape(capacity, slots)
        self.address = address_of(self.data)

    @property
    def slots(self) -> int:
        """Slots of a row."""
        return int(self.data.shape[1])

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

    def segment(self, position: int) -> Array:
        """Rows [position * 1024, ...) as float64 [1024, slots], where they lie."""
        return self.data[position * SEGMENT_ROWS : (position + 1) * SEGMENT_ROWS]

    def span(self) -> list[int]:
        """The block as compiled loops read it."""
        slots = self.slots
        return [self.number * slots, slots, 0, self.rows, self.address, 0, 0, 0, slots]


class PackedRows:
    """Rows packed one after the other: their bytes, and where in them each row begins.

    Takes 2.25 bytes a row, and for each row that holds a value 2 to 10 and its numbers.
    """

    __slots__ = (
        "_addresses",
        "_bases",
        "_data",
        "_offsets",
        "rows",
        "shift",
        "size_bytes",
        "slots",
    )

    def __init__(self, segments: Iterable[Array], *, rows: int, slots: int) -> None:
        """Pack `rows` rows, a multiple of 1024, that come 1024 at a time; 20 ns a value."""
        packing = load_packing()
        self.rows, self.slots = rows, slots
        self.shift: int = packing.group_shift(slots)
        self._offsets = np.full(rows, packing.EMPTY, dtype=np.uint16)
        self._bases = np.zeros(rows >> self.shift, dtype=np.int64)
        room = np.empty(SEGMENT_ROWS * packing.longest_row(slots) + packing.SPARE_BYTES, np.uint8)
        pieces: list[bytes] = []
        used = 0
        for position, values in enumerate(segments):
            first = position * SEGMENT_ROWS
            size = packing.pack_rows(
                np.ascontiguousarray(values),
                address_of(room),
                used,
                self.shift,
                self._offsets[first : first + SEGMENT_ROWS],
                self._bases[first >> self.shift : (first + SEGMENT_ROWS) >> self.shift],
            )
            pieces.append(room[:size].tobytes())
            used += size
        pieces.append(bytes(packing.SPARE_BYTES))
        self._data = np.frombuffer(b"".join(pieces), dtype=np.uint8)
        self._addresses = [address_of(each) for each in (self._data, self._offsets, self._bases)]
        self.size_bytes = self._data.nbytes + self._offsets.nbytes + self._bases.nbytes

    def span(self, first: int, at: int, slots: int) -> list[int]:
        """Slots [at, at + slots) of every row as compiled loops read them."""
        return [first, slots, at, self.rows, *self._addresses, self.shift, self.slots]


class PackedBlock:
    """A sealed block: `slots` slots of packed rows, from slot `at` of them on."""

    __slots__ = ("at", "number", "packed_rows", "rows", "slots")

    def __init__(self, number: int, packed_rows: PackedRows, *, at: int, slots: int) -> None:
        self.number = number
        self.packed_rows = packed_rows
        self.rows = packed_rows.rows
        self.at = at
        self.slots = slots

    @classmethod
    def of(cls, block: RawBlock) -> "PackedBlock":
        """A block that takes no more writes, packed."""
        segments = map(block.segment, range(block.rows // SEGMENT_ROWS))
        rows = PackedRows(segments, rows=block.rows, slots=block.slots)
        return cls(block.number, rows, at=0, slots=block.slots)

    @classmethod
    def of_segments(
        cls, number: int, segments: Iterator[Array | None], *, rows: int, slots: int
    ) -> "PackedBlock":
        """A block from rows [1024, slots] at a time; None for rows without a value."""
        empty = np.full((SEGMENT_ROWS, slots), np.nan)
        given = (empty if values is None else values for values in segments)
        packed = PackedRows(given, rows=-(-rows // SEGMENT_ROWS) * SEGMENT_ROWS, slots=slots)
        return cls(number, packed, at=0, slots=slots)

    def segment(self, position: int) -> Array:
        """Rows [position * 1024, ...) as float64 [1024, slots], unpacked."""
        return unpacked(Directory([self]), position * SEGMENT_ROWS)

    def span(self) -> list[int]:
        """The block as compiled loops read it."""
        return self.packed_rows.span(self.number * self.slots, self.at, self.slots)


class Directory:
    """Where the slots of some blocks lie; keeps the blocks as long as it is in use itself.

    `spans` is the table described in `spans`, ascending in time.
    """

    __slots__ = ("_blocks", "_growing", "spans")

    def __init__(self, blocks: Sequence[RawBlock | PackedBlock]) -> None:
        self._blocks = list(blocks)
        self._growing = [(block, block.rows) for block in blocks if isinstance(block, RawBlock)]
        ordered = sorted(self._blocks, key=lambda block: block.number)
        self.spans: Spans = np.array(_joined_spans(ordered), dtype=np.int64).reshape(-1, WIDTH)

    def is_of(self, blocks: list[RawBlock | PackedBlock]) -> bool:
        """Whether these are the blocks it was made of, with as many rows as then."""
        return self._blocks == blocks and all(block.rows == rows for block, rows in self._growing)


def _joined_spans(blocks: Sequence[RawBlock | PackedBlock]) -> list[list[int]]:
    """The spans of blocks; those that lie in one stretch of memory are one span."""
    spans: list[list[int]] = []
    former: RawBlock | PackedBlock | None = None
    for block in blocks:
        if _continues(former, block):
            spans[-1][1] += block.slots
        else:
            spans.append(block.span())
        former = block
    return spans


def _continues(former: RawBlock | PackedBlock | None, block: RawBlock | PackedBlock) -> bool:
    return (
        isinstance(block, PackedBlock)
        and isinstance(former, PackedBlock)
        and former.packed_rows is block.packed_rows
        and former.number + 1 == block.number
        and former.at + former.slots == block.at
    )


def join(blocks: Sequence[PackedBlock]) -> list[PackedBlock]:
    """Blocks that follow each other, packed again so that their rows lie in one stretch."""
    rows = max(block.rows for block in blocks)
    slots = sum(block.slots for block in blocks)
    directory = Directory(blocks)
    segments = (unpacked(directory, first) for first in range(0, rows, SEGMENT_ROWS))
    packed = PackedRows(segments, rows=rows, slots=slots)
    first = blocks[0]
    return [
        PackedBlock(
            block.number, packed, at=(block.number - first.number) * block.slots, slots=block.slots
        )
        for block in blocks
    ]


def unpacked(directory: Directory, first_row: int) -> Array:
    """1024 rows of what a directory covers, float64 [1024, slots]."""
    spans = directory.spans
    first, last = int(spans[0, 0]), int(spans[-1, 0] + spans[-1, 1]) - 1
    values = np.full((SEGMENT_ROWS, last - first + 1), np.nan)
    rows = np.arange(first_row, first_row + SEGMENT_ROWS)
    places = np.arange(SEGMENT_ROWS)
    load_kernels().fold_spans(COPY, spans, rows, places, first, last, first, values)
    return values


def size_bytes(blocks: Sequence[RawBlock | PackedBlock]) -> int:
    """Memory of blocks, where several may lie in one stretch."""
    packed: dict[int, PackedRows] = {}
    total = 0
    for block in blocks:
        if isinstance(block, PackedBlock):
            packed[id(block.packed_rows)] = block.packed_rows
        else:
            total += block.size_bytes
    return total + sum(rows.size_bytes for rows in packed.values())


def load_packing() -> ModuleType:
    """The compiled packing; numba is imported when it is first needed."""
    from breakwater.metrics.store import packing  # noqa: PLC0415 - numba costs 0.6 s to import

    return packing


def load_kernels() -> ModuleType:
    """The compiled loops; numba is imported when they are first needed."""
    from breakwater.metrics.store import kernels  # noqa: PLC0415 - numba costs 0.6 s to import

    return kernels
