"""Segments: 1024 rows of a block as they are on disk, smaller than in memory.

Rows are sorted by the divisor their values fit (`packing`), since numbers of one unit are alike:
the first number of each row is one column, the steps from one number to the next another. pcodec
packs the columns. Drawn in docs/formats/metrics-log.md.
"""

import zlib
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from pcodec import ChunkConfig, DeltaSpec, standalone

from breakwater.metrics.store.blocks import SEGMENT_ROWS, Array, load_packing

_PLAIN: Final = ChunkConfig(compression_level=4)
_STEPS: Final = ChunkConfig(compression_level=4, delta_spec=DeltaSpec.no_op())


class DamagedSegmentError(ValueError):
    """A segment whose parts do not fit together; never leaves this room."""


class _Segment(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """sorts: of each row; mask: which slots of rows with values have one, empty when all have.

    columns: for each sort its number, its firsts and its steps; or its values, where the sort has
    no divisor.
    """

    sorts: bytes
    mask: bytes
    columns: list[tuple[int, bytes, bytes]]


_segment: Final = msgspec.msgpack.Decoder(_Segment)


def encode_segment(values: Array) -> bytes | None:
    """Rows [1024, slots] packed; None when they hold no value. About 50 ns a value."""
    packing = load_packing()
    values = np.ascontiguousarray(values)
    sorts = np.empty(SEGMENT_ROWS, dtype=np.uint16)
    numbers, counts = np.empty(values.shape, dtype=np.int64), np.empty(SEGMENT_ROWS, dtype=np.int64)
    packing.split_rows(values, sorts, numbers, counts)
    used = np.flatnonzero(counts)
    if not len(used):
        return None
    columns = []
    for sort in np.unique(sorts[used]).tolist():
        rows = np.flatnonzero(sorts == sort)
        if sort == packing.BY_BITS:
            chosen = values[rows]
            columns.append((sort, pack_column(chosen[~np.isnan(chosen)]), b""))
            continue
        firsts = np.empty(len(rows), dtype=np.int64)
        steps = np.empty(int(counts[rows].sum()) - len(rows), dtype=np.int64)
        packing.take_numbers(numbers, counts, rows, firsts, steps)
        columns.append((sort, pack_column(firsts, _STEPS), pack_column(steps, _STEPS)))
    mask = b""
    if int(counts.sum()) < len(used) * values.shape[1]:
        mask = zlib.compress(np.packbits(~np.isnan(values[used])).tobytes(), 1)
    return msgspec.msgpack.encode(_Segment(pack_column(sorts), mask, columns))


def decode_segment(packed: memoryview, slots: int) -> Array:
    """Rows [1024, slots] of a packed segment; raises DamagedSegmentError."""
    try:
        return _decoded(_segment.decode(packed), slots)
    except (msgspec.DecodeError, zlib.error, ValueError) as error:
        raise DamagedSegmentError(str(error)) from error


def _decoded(segment: _Segment, slots: int) -> Array:
    packing = load_packing()
    sorts = unpack_column(segment.sorts, np.uint16, SEGMENT_ROWS)
    there = _there(sorts != packing.EMPTY_SORT, segment.mask, slots)
    values = np.full(there.shape, np.nan)
    for sort, firsts, steps in segment.columns:
        rows = np.flatnonzero(sorts == sort)
        used = there[rows]
        count = int(np.count_nonzero(used))
        if sort == packing.BY_BITS:
            chosen = np.full(used.shape, np.nan)
            chosen[used] = unpack_column(firsts, np.float64, count)
            values[rows] = chosen
        elif sort < len(packing.DIVISORS):
            packing.put_numbers(
                rows,
                packing.DIVISORS[sort],
                unpack_column(firsts, np.int64, len(rows)),
                unpack_column(steps, np.int64, count - len(rows)),
                there,
                values,
            )
    return values


def _there(has_values: NDArray[np.bool_], mask: bytes, slots: int) -> NDArray[np.bool_]:
    """Which slots of all rows have a value."""
    there = np.zeros((len(has_values), slots), dtype=np.bool_)
    rows = int(has_values.sum())
    if not mask:
        there[has_values] = True
        return there
    bits = np.unpackbits(np.frombuffer(zlib.decompress(mask), dtype=np.uint8))
    if not rows * slots <= len(bits) < rows * slots + 8:
        raise ValueError(f"a mask of {len(bits)} bits for {rows} rows of {slots} slots")
    held = bits[: rows * slots].reshape(rows, slots).astype(np.bool_)
    if not held.any(axis=1).all():
        raise ValueError("a mask with a row of no values")
    there[has_values] = held
    return there


def pack_column(values: NDArray[Any], config: ChunkConfig = _PLAIN) -> bytes:
    """A column packed by pcodec; no values are no bytes."""
    packed: bytes = b""
    if values.size:
        packed = standalone.simple_compress(np.ascontiguousarray(values).reshape(-1), config)
    return packed


def unpack_column(packed: bytes | memoryview, kind: type[Any], size: int) -> NDArray[Any]:
    """The `size` values of a column; raises ValueError."""
    if not size:
        return np.empty(0, dtype=kind)
    try:
        values: NDArray[Any] | None = standalone.simple_decompress(bytes(packed))
    except RuntimeError as error:
        raise ValueError(str(error)) from error
    if values is None or values.dtype != kind or len(values) != size:
        raise ValueError(f"a column of {size} {np.dtype(kind)} was expected")
    return values
