"""Snapshots: the whole store in a few files, so that the log before them can go.

A block that takes no more writes is written once, into a file of its own, packed by pcodec, which
makes it smaller than it is in memory. The snapshot file names those files and holds the rest:
series with their tags, and the two blocks that still take writes.
Format: docs/formats/metrics-log.md.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from breakwater.metrics.durable.files import (
    BLOCK_MAGIC,
    SNAPSHOT_MAGIC,
    block_name,
    snapshot_path,
    write_whole,
)
from breakwater.metrics.durable.records import (
    Frames,
    Header,
    Kind,
    Part,
    decode_header,
    encode_header,
    frame,
)
from breakwater.metrics.durable.segments import (
    decode_segment,
    encode_segment,
    pack_column,
    unpack_column,
)
from breakwater.metrics.normalize.standing import EXTRAS, Standing
from breakwater.metrics.series.index import IndexImage
from breakwater.metrics.store.blocks import SEGMENT_ROWS, Array, PackedBlock, RawBlock
from breakwater.metrics.store.ports import StoreImage

_BLOCK: Final = msgspec.msgpack.Decoder(tuple[int, int, int])
_PAIRS: Final = msgspec.msgpack.Decoder(list[tuple[str, str]])


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What a snapshot says of itself: `files` are the blocks kept in files, name by number."""

    newest: int
    next_serial: int
    series: int
    width: int
    files: dict[int, str]
    extras: int = 0


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot that was read: the store, its block files, and blocks that could not be read."""

    number: int
    image: StoreImage
    files: dict[int, str]
    damaged: list[str]


class DamagedFileError(Exception):
    """A file that is not whole; never leaves this room."""


class Grid(msgspec.Struct, frozen=True, kw_only=True):
    """Where files lie, and the grid their datapoints are on."""

    folder: Path
    step_ms: int
    slots: int

    def header(self, magic: bytes, number: int) -> Header:
        """The header of a file on this grid."""
        return Header(magic=magic, step_ms=self.step_ms, slots=self.slots, number=number)


def write_snapshot(
    grid: Grid,
    number: int,
    image: StoreImage,
    files: Mapping[int, str],
    *,
    may_go_on: Callable[[], bool] = lambda: True,
) -> dict[int, str] | None:
    """Write snapshot `number` and the block files it still lacks; returns all block files.

    files: blocks that are in files already. None when `may_go_on` ended it. Raises OSError.
    Takes about 50 ns for every value of a block that was not packed before.
    """
    names = {}
    for block in sorted(set(image.blocks) - open_blocks(image)):
        name = files.get(block, block_name(block, number))
        if block not in files:
            header = grid.header(BLOCK_MAGIC, block)
            closed = _block_parts(image.blocks[block], None)
            parts = _file(header, closed)
            if not write_whole(grid.folder / name, parts, may_go_on=may_go_on):
                return None
        names[block] = name
    parts = _file(grid.header(SNAPSHOT_MAGIC, number), _snapshot_parts(image, names))
    is_written = write_whole(snapshot_path(grid.folder, number), parts, may_go_on=may_go_on)
    return names if is_written else None


def open_blocks(image: StoreImage) -> frozenset[int]:
    """Numbers of the blocks that may still take writes."""
    return frozenset(number for number in image.blocks if number >= image.newest - 1)


def read_snapshot(grid: Grid, number: int) -> Snapshot:
    """Read snapshot `number` and its block files; a block that cannot be read is left out.

    Raises DamagedFileError when the snapshot itself is not whole.
    """
    frames = _read(grid, snapshot_path(grid.folder, number), SNAPSHOT_MAGIC, number)
    sections = {kind: payload for kind, payload in frames if kind < Kind.BLOCK}
    try:
        state = msgspec.msgpack.decode(sections[Kind.STATE], type=State)
        image = _image(state, sections, _blocks(frames, grid.slots))
    except (KeyError, ValueError, msgspec.DecodeError) as error:
        raise DamagedFileError(f"its contents do not fit together: {error}") from error
    damaged = []
    files = {}
    for block, name in state.files.items():
        try:
            found = _blocks(_read(grid, grid.folder / name, BLOCK_MAGIC, block), grid.slots)
            image.blocks[block] = found[block]
            files[block] = name
        except (DamagedFileError, KeyError) as error:
            damaged.append(f"{name}: {error}")
    return Snapshot(number=number, image=image, files=files, damaged=damaged)


def _file(header: Header, parts: Iterator[Part]) -> Iterator[Part]:
    yield encode_header(header)
    yield from parts
    yield from frame(Kind.END, [])


def _snapshot_parts(image: StoreImage, files: dict[int, str]) -> Iterator[Part]:
    tags, standing = image.tags, image.standing
    state = State(
        newest=image.newest,
        next_serial=image.next_serial,
        series=len(tags.rows),
        width=tags.table.shape[1],
        files=files,
        extras=0 if standing is None else int(standing.is_extra.sum()),
    )
    yield from frame(Kind.STATE, [msgspec.msgpack.encode(state)])
    yield from frame(Kind.ROWS, [pack_column(tags.rows)])
    yield from frame(Kind.SERIALS, [pack_column(image.serials)])
    yield from frame(Kind.LAST, [pack_column(image.last_slots)])
    yield from frame(Kind.PAIRS, [msgspec.msgpack.encode(tags.pairs)])
    yield from frame(Kind.TABLE, [pack_column(tags.table.T)])
    if standing is not None:
        yield from frame(Kind.STAMPS, [pack_column(standing.last_ms)])
        yield from frame(Kind.EXTRAS, _extras_parts(standing))
    for number in sorted(open_blocks(image)):
        yield from _block_parts(image.blocks[number], tags.rows)


def _block_parts(block: RawBlock | PackedBlock, rows: NDArray[np.int64] | None) -> Iterator[Part]:
    """One block; only `rows` of it when they are given, which then is still written to."""
    held = block.rows
    head = msgspec.msgpack.encode((block.number, held, block.slots))
    yield from frame(Kind.BLOCK, [head])
    for position in range(held // SEGMENT_ROWS):
        values = block.segment(position)
        packed = encode_segment(values if rows is None else _kept_rows(values, position, rows))
        if packed is not None:
            yield from frame(Kind.SORTED_SEGMENT, [position.to_bytes(4, "little"), packed])


def _kept_rows(values: Array, position: int, rows: NDArray[np.int64]) -> Array:
    first = position * SEGMENT_ROWS
    low, high = np.searchsorted(rows, (first, first + SEGMENT_ROWS))
    chosen = rows[low:high] - first
    kept = np.full_like(values, np.nan)
    kept[chosen] = values[chosen]
    return kept


def _segment_of(kind: Kind, packed: memoryview, slots: int) -> Array:
    """Rows [1024, slots]; raises DamagedFileError."""
    try:
        if kind is Kind.SORTED_SEGMENT:
            return decode_segment(packed, slots)
        values = unpack_column(packed, np.float64, SEGMENT_ROWS * slots)
    except ValueError as error:
        raise DamagedFileError(f"a segment is damaged: {error}") from error
    return values.reshape(SEGMENT_ROWS, slots)


def _extras_parts(standing: Standing) -> list[Part]:
    """Which series have more than a stamp, by place, and what: columns as they are."""
    places = np.flatnonzero(standing.is_extra).astype("<i8")
    return [places.tobytes(), standing.extras.T.astype("<f8").tobytes()]


def _standing(
    rows: NDArray[np.int64], state: State, sections: Mapping[Kind, memoryview]
) -> Standing | None:
    """Where series stand; None in a snapshot from before there was such a thing."""
    if Kind.STAMPS not in sections:
        return None
    last_ms = unpack_column(sections[Kind.STAMPS], np.int64, len(rows))
    columns, count = sections[Kind.EXTRAS], state.extras
    places = np.frombuffer(columns, dtype="<i8", count=count)
    found = np.frombuffer(columns, dtype="<f8", count=EXTRAS * count, offset=8 * count)
    if count and not 0 <= places.min() <= places.max() < len(rows):
        raise ValueError("a place without a series")
    is_extra = np.zeros(len(rows), dtype=np.bool_)
    is_extra[places] = True
    return Standing(rows, last_ms, is_extra, found.reshape(EXTRAS, count).T)


def _read(grid: Grid, path: Path, magic: bytes, number: int) -> list[tuple[Kind, memoryview]]:
    """Every record of a file; raises DamagedFileError unless all of it is as it was written."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DamagedFileError(error.strerror or str(error)) from error
    problem = decode_header(data, grid.header(magic, number))
    if problem:
        raise DamagedFileError(problem)
    frames = Frames(data)
    found = list(frames)
    if frames.is_cut or not found or found[-1][0] is not Kind.END:
        raise DamagedFileError(f"it is damaged at byte {frames.end}")
    return found


def _blocks(frames: list[tuple[Kind, memoryview]], slots: int) -> dict[int, RawBlock | PackedBlock]:
    """The blocks in a file, packed as they are in memory."""
    found: dict[int, RawBlock | PackedBlock] = {}
    segments: dict[int, tuple[Kind, memoryview]] = {}
    heads: list[tuple[int, int, dict[int, tuple[Kind, memoryview]]]] = []
    for kind, payload in frames:
        if kind is Kind.BLOCK:
            number, rows, width = _BLOCK.decode(payload)
            if width != slots:
                raise DamagedFileError(f"block {number} has {width} slots")
            segments = {}
            heads.append((number, rows, segments))
        elif kind in (Kind.SEGMENT, Kind.SORTED_SEGMENT):
            segments[int.from_bytes(payload[:4], "little")] = kind, payload[4:]
    for number, rows, packed in heads:
        unpacked = (
            _segment_of(*packed[position], slots) if position in packed else None
            for position in range(-(-rows // SEGMENT_ROWS))
        )
        found[number] = PackedBlock.of_segments(number, unpacked, rows=rows, slots=slots)
    return found


def _image(
    state: State,
    sections: Mapping[Kind, memoryview],
    blocks: dict[int, RawBlock | PackedBlock],
) -> StoreImage:
    count, width = state.series, state.width
    table = unpack_column(sections[Kind.TABLE], np.int32, count * width).reshape(width, count).T
    rows = unpack_column(sections[Kind.ROWS], np.int64, count)
    return StoreImage(
        newest=state.newest,
        next_serial=state.next_serial,
        tags=IndexImage(
            rows=rows,
            table=table,
            pairs=_PAIRS.decode(sections[Kind.PAIRS]),
        ),
        serials=unpack_column(sections[Kind.SERIALS], np.int64, count),
        last_slots=unpack_column(sections[Kind.LAST], np.int64, count),
        blocks=blocks,
        standing=_standing(rows, state, sections),
    )
