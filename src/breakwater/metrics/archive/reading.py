"""Reading chunks: the row groups a query may match, the columns it needs, and both kept a while."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from breakwater.metrics.archive.chunks import Chunk
from breakwater.metrics.archive.objects import Objects
from breakwater.metrics.classes.policy import AGGREGATE
from breakwater.metrics.errors import ArchiveUnavailableError
from breakwater.metrics.selection.query import Query

if TYPE_CHECKING:
    from breakwater.metrics.archive.parquet import Footer, Group

Array = NDArray[np.float64]
Tags = dict[str, str]
Series = list[tuple[bytes, Tags]]

_SERIES_BYTES: Final = 120
_FOOTERS: Final = 512
_MOST_TAGS: Final = 200_000

_T = TypeVar("_T")


class _Cache(Generic[_T]):
    """What was read last, bounded by weight; safe to use from several threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, tuple[_T, int]] = OrderedDict()
        self.weight = 0
        self.hits = self.misses = 0

    def get(self, key: Hashable, make: Callable[[], tuple[_T, int]]) -> _T:
        """What is kept under a key, else what `make` makes, with its weight."""
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
                self.hits += 1
                return found[0]
        made = make()
        with self._lock:
            self.misses += 1
            if key not in self._kept:
                self._kept[key] = made
                self.weight += made[1]
            while self.weight > self._most and len(self._kept) > 1:
                self.weight -= self._kept.popitem(last=False)[1][1]
        return made[0]


class ChunkReader:
    """Reads the files of an archive; raises ArchiveUnavailableError.

    cache_bytes: of values, and as much again of the tags of series.
    """

    def __init__(self, objects: Objects, cache_bytes: int) -> None:
        self._objects = objects
        self._footers: _Cache[Footer] = _Cache(_FOOTERS)
        self._series: _Cache[Series] = _Cache(cache_bytes)
        self._values: _Cache[Array] = _Cache(cache_bytes)
        self._known: dict[bytes, Tags] = {}

    @property
    def size_bytes(self) -> int:
        """About how much is kept."""
        return self._series.weight + self._values.weight

    @property
    def reads(self) -> int:
        """How many row groups were read for their values."""
        return self._values.misses

    def series(
        self,
        chunk: Chunk,
        query: Query,
        aggregates: frozenset[str],
        check: Callable[[], None],
    ) -> dict[int, list[tuple[int, bytes, Tags]]]:
        """Row, id and tags of the series that match, by row group.

        aggregates: what is needed of targets; empty for a class at full resolution. `check` is
        called before each read.
        """
        footer = self._footer(chunk)
        name = query.exact_tags().get("name")
        found = {}
        for number, group in enumerate(footer.groups):
            if not _may_hold(group, name, aggregates):
                continue
            check()
            matching = [
                (row, each, tags)
                for row, (each, tags) in enumerate(self._group_series(chunk, footer, number))
                if query.matches(tags) and (not aggregates or tags.get(AGGREGATE) in aggregates)
            ]
            if matching:
                found[number] = matching
        return found

    def full_step_ms(self, chunk: Chunk) -> int:
        """The step at full resolution when the chunk was written."""
        return self._footer(chunk).full_step_ms

    def values(self, chunk: Chunk, group: int) -> Array:
        """Values of a row group, float64 [rows, slots]; not to be changed."""

        def read() -> tuple[Array, int]:
            from breakwater.metrics.archive import parquet  # noqa: PLC0415 - an extra

            with self._objects.open(chunk.path) as file:
                values = parquet.read_values(file, footer, group, chunk)
            return values, values.nbytes

        footer = self._footer(chunk)
        return self._values.get((chunk, group), read)

    def _footer(self, chunk: Chunk) -> "Footer":
        def read() -> "tuple[Footer, int]":
            from breakwater.metrics.archive import parquet  # noqa: PLC0415 - an extra

            try:
                with self._objects.open(chunk.path) as file:
                    return parquet.read_footer(file, chunk), 1
            except FileNotFoundError as error:
                raise ArchiveUnavailableError(f"{chunk.path} has left the archive") from error

        return self._footers.get(chunk, read)

    def _group_series(self, chunk: Chunk, footer: "Footer", group: int) -> Series:
        def read() -> tuple[Series, int]:
            from breakwater.metrics.archive import parquet  # noqa: PLC0415 - an extra

            with self._objects.open(chunk.path) as file:
                series = parquet.read_series(file, footer, group, chunk)
            if len(self._known) > _MOST_TAGS:
                self._known.clear()
            # The same series is in every chunk: its tags are kept once.
            shared = [(each, self._known.setdefault(each, tags)) for each, tags in series]
            return shared, _SERIES_BYTES * len(shared)

        return self._series.get((chunk, group), read)


def _may_hold(group: "Group", name: str | None, aggregates: frozenset[str]) -> bool:
    """Whether a row group may hold series of a name and of any of the kinds."""
    if name is not None and group.names is not None:
        least, greatest = group.names
        if not least <= name <= greatest:
            return False
    if not aggregates or group.aggregates is None:
        return True
    least, greatest = group.aggregates
    return any(least <= each <= greatest for each in aggregates)
