"""One chunk as a Parquet file; the only module that imports pyarrow, which is an extra.

A row is a series: `id` (16 bytes, a hash of its tags), `name`, `aggr` (what is kept of a target,
null at full resolution), `tags` (a map with all other tags and the name), `start_ms`, `step_ms`
and `values`, a list with one entry for each step, null where there is no value. Rows are ordered
by `aggr` and `name` and cut into row groups of about a million values.
"""

import os
import struct
import zlib
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from breakwater.metrics.archive.chunks import Chunk
from breakwater.metrics.archive.objects import told
from breakwater.metrics.classes.policy import AGGREGATE
from breakwater.metrics.errors import ArchiveUnavailableError

Array = NDArray[np.float64]
Tags = dict[str, str]

FORMAT: Final = b"1"
_FORMAT_KEY: Final = b"breakwater.archive"
_FULL_STEP_KEY: Final = b"breakwater.full_step_ms"
_CRC_KEY: Final = b"breakwater.footer_crc"
_NO_CRC: Final = b"00000000"
_CRC_FIELD: Final = _CRC_KEY + b"\x18\x08"
"""The key, then what Thrift puts before a string of eight bytes."""
_TRAILER: Final = struct.Struct("<I4s")
GROUP_VALUES: Final = 1_000_000
_ID_BYTES: Final = 16
_FAILURES: Final = (OSError, pa.ArrowException)

SCHEMA: Final = pa.schema(
    [
        pa.field("id", pa.binary(_ID_BYTES), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("aggr", pa.string()),
        pa.field("tags", pa.map_(pa.string(), pa.string()), nullable=False),
        pa.field("start_ms", pa.int64(), nullable=False),
        pa.field("step_ms", pa.int64(), nullable=False),
        pa.field("values", pa.list_(pa.field("element", pa.float64())), nullable=False),
    ],
)


class ChunkWriter:
    """Writes the file of a chunk, row group by row group; the caller gives it its name.

    full_step_ms: the step at full resolution, by which sums and counts of targets count.
    """

    def __init__(self, path: Path, chunk: Chunk, full_step_ms: int) -> None:
        self._chunk = chunk
        self.rows = 0
        with told(f"{path} cannot be written", _FAILURES):
            self._writer = pq.ParquetWriter(
                path,
                SCHEMA.with_metadata(
                    {
                        _FORMAT_KEY: FORMAT,
                        _FULL_STEP_KEY: str(full_step_ms).encode(),
                        _CRC_KEY: _NO_CRC,
                    }
                ),
                compression="zstd",
                write_statistics=["name", "aggr"],
                write_page_checksum=True,
            )
        self._path = path
        self._is_open = True

    def add(self, tags: Sequence[Tags], values: Array) -> None:
        """Append a row group: the tags of each row, and values [rows, slots], NaN for none."""
        count = len(tags)
        own = [{k: v for k, v in each.items() if k != AGGREGATE} for each in tags]
        lists = pa.ListArray.from_arrays(
            pa.array(np.arange(count + 1) * self._chunk.slots, pa.int32()),
            pa.array(np.ascontiguousarray(values).reshape(-1), pa.float64(), from_pandas=True),
            type=SCHEMA.field("values").type,
        )
        columns = [
            pa.array([series_id(each) for each in tags], pa.binary(_ID_BYTES)),
            pa.array([each.get("name", "") for each in tags], pa.string()),
            pa.array([each.get(AGGREGATE) for each in tags], pa.string()),
            pa.array([sorted(each.items()) for each in own], SCHEMA.field("tags").type),
            pa.array(np.full(count, self._chunk.start_ms), pa.int64()),
            pa.array(np.full(count, self._chunk.step_ms), pa.int64()),
            lists,
        ]
        with told(f"{self._path} cannot be written", _FAILURES):
            self._writer.write_table(pa.Table.from_arrays(columns, schema=self._writer.schema))
        self.rows += count

    def close(self) -> None:
        """Write the footer; once is enough."""
        with told(f"{self._path} cannot be written", _FAILURES):
            self._writer.close()
            if self._is_open:
                self._is_open = False
                _sign(self._path)


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """What the footer says of one row group: its rows, and the least and greatest of two columns.

    An empty range of `aggr` is one of nulls only; without statistics a range is None.
    """

    rows: int
    names: tuple[str, str] | None
    aggregates: tuple[str, str] | None


class Footer(msgspec.Struct, frozen=True):
    """The footer of a file, kept so that the file can be opened again without reading it.

    full_step_ms: the step at full resolution when it was written.
    """

    metadata: pq.FileMetaData
    full_step_ms: int
    groups: tuple[Group, ...]


def read_footer(file: BinaryIO, chunk: Chunk) -> Footer:
    """The footer of the file of a chunk; raises ArchiveUnavailableError when it is not one."""
    with told(f"{chunk.path} of the archive cannot be read", _FAILURES):
        _check_footer(file)
        metadata = pq.ParquetFile(file).metadata
    about = metadata.metadata or {}
    found, full_step = about.get(_FORMAT_KEY), about.get(_FULL_STEP_KEY, b"")
    if found != FORMAT or not full_step.isdigit():
        raise ArchiveUnavailableError(
            f"{chunk.path} of the archive was not written by this version: its format is "
            f"{found!r}, not {FORMAT!r}"
        )
    names = {metadata.schema.column(i).path: i for i in range(len(metadata.schema))}
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    return Footer(
        metadata,
        int(full_step),
        tuple(
            Group(
                rows=group.num_rows,
                names=_range(group.column(names["name"])),
                aggregates=_range(group.column(names["aggr"])),
            )
            for group in groups
        ),
    )


def _sign(path: Path) -> None:
    """Write the checksum of a footer into it, in the place of zeros."""
    with path.open("r+b") as file:
        begin, footer = _raw_footer(file)
        at = footer.index(_CRC_FIELD) + len(_CRC_FIELD)
        file.seek(begin + at)
        file.write(b"%08x" % zlib.crc32(footer))


def _check_footer(file: BinaryIO) -> None:
    """Raise OSError for a damaged footer, which might end the process if it was read.

    Files from before there was a checksum pass.
    """
    _, footer = _raw_footer(file)
    at = footer.find(_CRC_FIELD) + len(_CRC_FIELD)
    if at < len(_CRC_FIELD):
        return
    told_crc, end = footer[at : at + len(_NO_CRC)], at + len(_NO_CRC)
    if told_crc != b"%08x" % zlib.crc32(footer[:at] + _NO_CRC + footer[end:]):
        raise OSError("its footer is damaged")


def _raw_footer(file: BinaryIO) -> tuple[int, bytes]:
    """Where the footer of a file begins, and its bytes; raises OSError."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - _TRAILER.size, 0))
    trailer = file.read(_TRAILER.size)
    length, magic = _TRAILER.unpack(trailer) if len(trailer) == _TRAILER.size else (0, b"")
    begin = size - _TRAILER.size - length
    if magic != b"PAR1" or begin < 0:
        raise OSError("it does not end like a Parquet file")
    file.seek(begin)
    footer = file.read(length)
    file.seek(0)
    return begin, footer


def read_series(
    file: BinaryIO, footer: Footer, group: int, chunk: Chunk
) -> list[tuple[bytes, Tags]]:
    """Id and tags of each row of a row group, what is kept of a target among the tags."""
    names = ["id", "aggr", "tags"]
    table = _columns(file, footer, group, chunk, names)
    with told(f"{chunk.path} of the archive cannot be read", (UnicodeDecodeError,)):
        rows = zip(*(table.column(name).to_pylist() for name in names), strict=True)
    return [
        (each, dict(tags) if aggregate is None else {**dict(tags), AGGREGATE: aggregate})
        for each, aggregate, tags in rows
    ]


def read_values(file: BinaryIO, footer: Footer, group: int, chunk: Chunk) -> Array:
    """Values of a row group, float64 [rows, slots], NaN for none."""
    table = _columns(file, footer, group, chunk, ["values"])
    lists = table.column("values").combine_chunks()
    flat = lists.flatten().to_numpy(zero_copy_only=False)
    if len(flat) != len(lists) * chunk.slots:
        raise ArchiveUnavailableError(
            f"{chunk.path} of the archive cannot be read: a row does not have {chunk.slots} values"
        )
    values: Array = np.asarray(flat, dtype=np.float64).reshape(len(lists), chunk.slots)
    return values


def series_id(tags: Tags) -> bytes:
    """What a series is known by in every chunk: 16 bytes of BLAKE2b of its sorted tags."""
    text = "\n".join(f"{key}={tags[key]}" for key in sorted(tags))
    return blake2b(text.encode(), digest_size=_ID_BYTES).digest()


def _columns(
    file: BinaryIO, footer: Footer, group: int, chunk: Chunk, names: list[str]
) -> pa.Table:
    with told(f"{chunk.path} of the archive cannot be read", _FAILURES):
        opened = pq.ParquetFile(
            file, metadata=footer.metadata, pre_buffer=True, page_checksum_verification=True
        )
        return opened.read_row_group(group, columns=names, use_threads=False)


def _range(column: pq.ColumnChunkMetaData) -> tuple[str, str] | None:
    statistics = column.statistics
    if statistics is None or not statistics.has_min_max:
        return None
    return str(statistics.min), str(statistics.max)
