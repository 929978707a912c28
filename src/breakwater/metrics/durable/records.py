"""Records: the one way bytes are laid down in the log, in snapshots and in block files.

A file is a header and then records, each `length, CRC-32, kind, payload`. The checksum covers
length, kind and payload, so a record that was cut, or of which any bit has changed, is not one.
Drawn in docs/formats/metrics-log.md.
"""

import struct
import zlib
from collections.abc import Iterator, Sequence
from enum import IntEnum
from types import ModuleType
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from breakwater.metrics.series.table import SeriesTable

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Part = bytes | memoryview

VERSION: Final = 2
_READABLE: Final = (1, 2)
_HEADER: Final = struct.Struct("<8sHHIQ")
_CRC: Final = struct.Struct("<I")
_FRAME: Final = struct.Struct("<IIB")
_LENGTH_AND_KIND: Final = struct.Struct("<IB")
_NO_PAIR_16: Final = (1 << 16) - 1
_COUNT: Final = struct.Struct("<I")
_SLOT: Final = struct.Struct("<q")
_PUT: Final = struct.Struct("<Iqq")
_PACKED: Final = struct.Struct("<III")
_TABLE: Final = struct.Struct("<IqqIHH")
_WIDEST: Final = 1 << 32


class Kind(IntEnum):
    """What a record holds."""

    DEFINE = 1
    PUT = 2
    PUT_SCATTERED = 3
    PUT_PACKED = 4
    DEFINE_TABLE = 8
    STANDING = 9
    REWIND = 10
    STATE = 16
    ROWS = 17
    SERIALS = 18
    LAST = 19
    PAIRS = 20
    TABLE = 21
    STAMPS = 22
    EXTRAS = 23
    BLOCK = 32
    SEGMENT = 33
    SORTED_SEGMENT = 34
    END = 63


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What a file is: its kind by `magic`, the grid of its datapoints, its number."""

    magic: bytes
    step_ms: int
    slots: int
    number: int


HEADER_BYTES: Final = _HEADER.size + _CRC.size


class Definition(NamedTuple):
    """A series as the log names it: `serial` is never given twice."""

    serial: int
    last_slot: int
    tags: dict[str, str]


class Put(NamedTuple):
    """Datapoints of one record: serials, slots of the step grid, values; equally long."""

    serials: Integers
    slots: Integers
    values: Floats


def encode_header(header: Header) -> bytes:
    """The first bytes of a file."""
    head = _HEADER.pack(header.magic, VERSION, header.slots, header.step_ms, header.number)
    return head + _CRC.pack(zlib.crc32(head))


def decode_header(data: Part, expected: Header) -> str:
    """Why `data` does not begin the file that is expected; empty when it does."""
    if len(data) < HEADER_BYTES:
        return "it has no whole header"
    head = bytes(data[: _HEADER.size])
    if _CRC.unpack_from(data, _HEADER.size)[0] != zlib.crc32(head):
        return "its header is damaged"
    magic, version, slots, step_ms, number = _HEADER.unpack(head)
    if magic != expected.magic or version not in _READABLE:
        return f"it is {magic!r} version {version}; {expected.magic!r} up to {VERSION} is read"
    if (slots, step_ms, number) != (expected.slots, expected.step_ms, expected.number):
        return f"it is number {number} of step {step_ms} ms and {slots} slots a block"
    return ""


def frame(kind: Kind, parts: Sequence[Part]) -> list[Part]:
    """The pieces of one record, to be written one after the other."""
    length = sum(map(len, parts))
    checksum = zlib.crc32(_LENGTH_AND_KIND.pack(length, kind))
    for part in parts:
        checksum = zlib.crc32(part, checksum)
    return [_FRAME.pack(length, checksum, kind), *parts]


class Frames:
    """The records of a file in order; ends at the first that is not whole and as it was written.

    `end` is where the last good record ends; afterwards `is_cut` says whether bytes were left.
    """

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self.end = HEADER_BYTES

    @property
    def is_cut(self) -> bool:
        """Whether something after the last good record is not a record."""
        return self.end != len(self._data)

    def __iter__(self) -> Iterator[tuple[Kind, memoryview]]:
        data, size = self._data, len(self._data)
        while self.end + _FRAME.size <= size:
            length, checksum, kind = _FRAME.unpack_from(data, self.end)
            start = self.end + _FRAME.size
            if start + length > size:
                return
            payload = data[start : start + length]
            found = zlib.crc32(payload, zlib.crc32(_LENGTH_AND_KIND.pack(length, kind)))
            if found != checksum or kind not in _KINDS:
                return
            yield Kind(kind), payload
            self.end = start + length


_KINDS: Final = frozenset(Kind)


def encode_definitions(definitions: Sequence[Definition]) -> list[Part]:
    """Payload of DEFINE: serials and last slots as columns, then the tag maps as MessagePack."""
    count = len(definitions)
    serials = np.array([each.serial for each in definitions], dtype="<i8")
    slots = np.array([each.last_slot for each in definitions], dtype="<i8")
    tags = msgspec.msgpack.encode([each.tags for each in definitions])
    return [_COUNT.pack(count), serials.tobytes(), slots.tobytes(), tags]


_tag_maps: Final = msgspec.msgpack.Decoder(list[dict[str, str]])


def decode_definitions(payload: memoryview) -> list[Definition]:
    """The series of a DEFINE record."""
    (count,) = _COUNT.unpack_from(payload)
    columns = np.frombuffer(payload, dtype="<i8", count=2 * count, offset=_COUNT.size)
    maps = _tag_maps.decode(payload[_COUNT.size + 16 * count :])
    serials, slots = columns[:count].tolist(), columns[count:].tolist()
    return list(map(Definition, serials, slots, maps))


def encode_table(series: SeriesTable) -> list[Part]:
    """Payload of DEFINE_TABLE: each pair once, then the lines, a few bytes a tag."""
    count, width = series.lines.shape
    place = 2 if len(series.pairs) < _NO_PAIR_16 else 4
    pairs = msgspec.msgpack.encode(series.pairs)
    head = _TABLE.pack(count, series.first_serial, series.last_slot, len(pairs), width, place)
    lines = np.ascontiguousarray(series.lines.T, dtype=f"<u{place}")  # -1 becomes all ones
    return [head, pairs, lines.tobytes()]


_pair_list: Final = msgspec.msgpack.Decoder(list[tuple[str, str]])


def decode_table(payload: memoryview) -> SeriesTable:
    """The series of a DEFINE_TABLE record; raises ValueError when its parts do not fit."""
    count, serial, slot, size, width, place = _TABLE.unpack_from(payload)
    if place not in (2, 4):
        raise ValueError(f"places of {place} bytes")
    at = _TABLE.size + size
    pairs = _pair_list.decode(payload[_TABLE.size : at])
    columns = np.frombuffer(payload, dtype=f"<i{place}", count=count * width, offset=at)
    lines = columns.reshape(width, count).T.astype(np.int32)
    if place == 2:
        lines = np.where(lines == -1, lines, lines & (_NO_PAIR_16))
    if lines.size and int(lines.max()) >= len(pairs):
        raise ValueError("a place without a pair")
    return SeriesTable(serial, slot, pairs, lines)


def encode_rewind(last_slot: int) -> list[Part]:
    """Payload of REWIND: the last slot that was not given up."""
    return [_SLOT.pack(last_slot)]


def decode_rewind(payload: memoryview) -> int:
    """The last slot that a REWIND record did not give up."""
    (last_slot,) = _SLOT.unpack(payload)
    return int(last_slot)


def encode_put(
    serials: Integers, slots: Integers | int, values: Floats
) -> Iterator[tuple[Kind, list[Part]]]:
    """Records of one column: 12 bytes a datapoint of one slot, 16 where slots differ.

    It is one record, unless serials are further apart than 32 bits reach.
    """
    base = int(serials.min())
    offsets = serials - base
    if int(offsets.max()) >= _WIDEST:
        is_far = offsets >= _WIDEST
        for chosen in (~is_far, is_far):
            yield from encode_put(
                serials[chosen], slots if isinstance(slots, int) else slots[chosen], values[chosen]
            )
        return
    columns: list[Part] = [
        offsets.astype("<u4").tobytes(),
        np.ascontiguousarray(values, dtype="<f8").tobytes(),
    ]
    slot = slots if isinstance(slots, int) else int(slots.min())
    head = _PUT.pack(len(serials), base, slot)
    if isinstance(slots, int) or slot == int(slots.max()):
        yield Kind.PUT, [head, *columns]
    else:
        yield Kind.PUT_SCATTERED, [head, *columns, (slots - slot).astype("<u4").tobytes()]


def encode_packed(put: Put) -> list[Part]:
    """Payload of PUT_PACKED: 2 to 4 bytes a datapoint where values are counts or decimals.

    About 25 ns a datapoint; numba is imported for it.
    """
    columns = load_columns()
    serials = columns.pack_numbers(put.serials)
    slots = columns.pack_numbers(put.slots)
    head = _PACKED.pack(len(put.serials), len(serials), len(slots))
    return [head, serials, slots, columns.pack_values(put.values)]


def _decode_packed(payload: memoryview) -> Put:
    columns = load_columns()
    count, *sizes = _PACKED.unpack_from(payload)
    ends = np.cumsum([_PACKED.size, *sizes]).tolist()
    if count > (len(payload) - _PACKED.size) * columns.MOST_NUMBERS_A_BYTE:
        raise ValueError(f"{count} datapoints in {len(payload)} bytes")
    return Put(
        columns.unpack_numbers(payload[ends[0] : ends[1]], count),
        columns.unpack_numbers(payload[ends[1] : ends[2]], count),
        columns.unpack_values(payload[ends[2] :], count),
    )


def load_columns() -> ModuleType:
    """The compiled packing of columns; numba is imported when it is first needed."""
    from breakwater.metrics.durable import columns  # noqa: PLC0415 - numba costs 0.6 s to import

    return columns


def decode_put(kind: Kind, payload: memoryview) -> Put:
    """The datapoints of a PUT, PUT_SCATTERED or PUT_PACKED record; ValueError when damaged."""
    if kind is Kind.PUT_PACKED:
        return _decode_packed(payload)
    count, base, slot = _PUT.unpack_from(payload)
    at = _PUT.size
    serials = np.frombuffer(payload, dtype="<u4", count=count, offset=at).astype(np.int64) + base
    values = np.frombuffer(payload, dtype="<f8", count=count, offset=at + 4 * count)
    if kind is Kind.PUT:
        return Put(serials, np.full(count, slot, dtype=np.int64), values)
    offsets = np.frombuffer(payload, dtype="<u4", count=count, offset=at + 12 * count)
    return Put(serials, offsets.astype(np.int64) + slot, values)
