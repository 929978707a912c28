"""Exporting: chunks of a class that can no longer change, written to the archive one by one."""

from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from breakwater.metrics.archive.chunks import Chunk, chunk_at
from breakwater.metrics.archive.objects import Objects
from breakwater.metrics.classes.policy import AGGREGATE
from breakwater.metrics.classes.rollup import MARK, gathered
from breakwater.metrics.selection.query import Equal, Not
from breakwater.metrics.series.index import TagIndex
from breakwater.metrics.series.rows import Rows
from breakwater.metrics.store.series_store import SeriesStore

if TYPE_CHECKING:
    from breakwater.metrics.archive.parquet import ChunkWriter

Array = NDArray[np.float64]
Tags = dict[str, str]


class Exportable(msgspec.Struct, frozen=True, eq=False):
    """A class to be archived; `settled` gives the last slot of its store that is final.

    full_step_ms: the step at full resolution.
    """

    name: str
    full_step_ms: int
    store: SeriesStore
    settled: Callable[[], int]

    @property
    def step_ms(self) -> int:
        """The distance of its datapoints."""
        return self.store.settings.step_ms

    def ready(self) -> list[Chunk]:
        """Chunks that have ended and of which something is still held, oldest first."""
        held = self.store.held_slots()
        if held is None:
            return []
        until_ms = self.settled() * self.step_ms
        chunk = chunk_at(self.name, self.step_ms, (held[0] - 1) * self.step_ms)
        found = []
        while chunk.end_ms <= until_ms:
            found.append(chunk)
            chunk = chunk_at(self.name, self.step_ms, chunk.end_ms)
        return found

    def is_cut(self, chunk: Chunk) -> bool:
        """Whether the beginning of a chunk has been forgotten already."""
        return chunk.first_slot < self.store.settled_slots()[0]


def export(source: Exportable, chunk: Chunk, objects: Objects) -> Generator[int, None, None]:
    """Write a chunk, yielding how many rows there are so far after each piece of the work.

    The file is there when this has run to its end, and not before; a chunk without a value has
    none. Memory is that of a row group.
    Raises ArchiveUnavailableError.
    """
    from breakwater.metrics.archive import parquet  # noqa: PLC0415 - pyarrow is an extra

    writer: ChunkWriter | None = None
    scratch: Path | None = None
    at_once = max(parquet.GROUP_VALUES // chunk.slots, 1)
    rows = ordered_rows(source.store.index)
    try:
        for start in range(0, len(rows), at_once):
            tags, values = _held(source.store, rows[start : start + at_once], chunk)
            if tags:
                scratch = scratch or objects.scratch(chunk.path)
                writer = writer or parquet.ChunkWriter(scratch, chunk, source.full_step_ms)
                writer.add(tags, values)
            yield 0 if writer is None else writer.rows
        if writer is not None and scratch is not None:
            writer.close()
            objects.keep(chunk.path, scratch)
    finally:
        if writer is not None:
            writer.close()
        if scratch is not None:
            scratch.unlink(missing_ok=True)


def ordered_rows(index: TagIndex) -> Rows:
    """Every row of users' series by what is kept of it and by name, so that groups are few."""
    rows = index.rows(Not(Equal(AGGREGATE, MARK[AGGREGATE])))
    order = np.lexsort((_ranks(index, rows, "name"), _ranks(index, rows, AGGREGATE)))
    ordered: Rows = rows[order]
    return ordered


def _ranks(index: TagIndex, rows: Rows, key: str) -> NDArray[np.intp]:
    """For each row the place of its value of `key` among all values; those without come first."""
    codes, places = np.unique(index.codes(rows, key), return_inverse=True)
    values = [index.value_of(code) if code >= 0 else "" for code in codes.tolist()]
    rank = np.empty(len(codes), dtype=np.intp)
    rank[sorted(range(len(codes)), key=values.__getitem__)] = np.arange(len(codes))
    ranks: NDArray[np.intp] = rank[places]
    return ranks


def _held(store: SeriesStore, rows: Rows, chunk: Chunk) -> tuple[list[Tags], Array]:
    """Tags and values of the rows that have any value in a chunk."""
    values = gathered(store, rows, chunk.first_slot, chunk.first_slot + chunk.slots - 1)
    tags = store.index.tags_of_lines(store.index.lines(rows))
    has_value = np.flatnonzero(~np.isnan(values).all(axis=1)).tolist()
    chosen = [position for position in has_value if "name" in tags[position]]
    return [tags[position] for position in chosen], values[chosen]
