"""The archive as the last tier: what is asked of it is read chunk by chunk, in bounded memory."""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from breakwater.metrics.archive.chunks import Chunk, chunk_at
from breakwater.metrics.archive.reading import ChunkReader
from breakwater.metrics.classes.policy import AGGREGATE
from breakwater.metrics.classes.reader import (
    ClassReader,
    joined,
    kinds_read,
    missing_keys,
)
from breakwater.metrics.deadline import Deadline
from breakwater.metrics.errors import QueryLimitError
from breakwater.metrics.grid.window import Window
from breakwater.metrics.reading.plan import Plan, Planner
from breakwater.metrics.reading.reach import Reach
from breakwater.metrics.reading.reader import Reader
from breakwater.metrics.selection.selection import Selection
from breakwater.metrics.series.index import Check, TagIndex
from breakwater.metrics.settings import MetricsSettings
from breakwater.metrics.store.blocks import Directory
from breakwater.metrics.store.ports import Watcher
from breakwater.metrics.store.spans import plain_span

Array = NDArray[np.float64]
Part = tuple[Plan, Array]

_MOST_VALUES: Final = 16_000_000
"""Values in memory at once, 128 MB: of one piece of a window."""
_CHUNKS_AT_ONCE: Final = 24
_ADDED_UP: Final = frozenset(("sum", "count", "steps"))


class ArchivedClass(msgspec.Struct, frozen=True, kw_only=True):
    """A class that is archived. dropped: keys its series lack. is_rolled: not full resolution."""

    name: str
    step_ms: int
    dropped: frozenset[str]
    is_rolled: bool


class ArchiveTier:
    """Reads archived classes; it is asked with steps that the finest of them divides.

    A window is read from the coarsest class whose step divides that of the window. chunks: those
    there are of a class by name, ascending.
    """

    def __init__(
        self,
        classes: Sequence[ArchivedClass],
        reader: ChunkReader,
        chunks: Callable[[str], Sequence[Chunk]],
        settings: MetricsSettings,
    ) -> None:
        self._classes = sorted(classes, key=lambda each: each.step_ms)
        self._chunk_reader = reader
        self._chunks = chunks
        self._settings = settings

    @property
    def name(self) -> str:
        """What it is called in notices."""
        return f"archive of {', '.join(each.name for each in self._classes)}"

    @property
    def step_ms(self) -> int:
        """The finest step there is."""
        return self._classes[0].step_ms

    def covered_ms(self) -> tuple[int, int] | None:
        """From the first chunk of any class to the last one."""
        held = [chunks for each in self._classes if (chunks := self._chunks(each.name))]
        if not held:
            return None
        return min(each[0].start_ms for each in held), max(each[-1].end_ms for each in held)

    def missing_keys(self, selection: Selection) -> list[str]:
        """Keys the selection asks for that no archived class has."""
        finest = self._classes[0]
        return missing_keys(selection, finest.dropped)

    def read(self, selection: Selection, window: Window, deadline: Deadline) -> Part:
        """As `Reader.read`; raises QueryLimitError and ArchiveUnavailableError too."""
        shifted = window.shifted(selection.offset_ms)
        chosen = self._chosen(selection, shifted.step_ms)
        primary = Window(shifted.first_ms, shifted.step_ms, shifted.points, chosen.step_ms)
        reading = _Reading(self, chosen, selection.without_offset(), deadline)
        chunk_slots = chunk_at(chosen.name, chosen.step_ms, 0).slots
        at_once = max(_CHUNKS_AT_ONCE * chunk_slots // primary.multiple, 1)
        parts: list[Part] = []
        start = 0
        while start < primary.points:
            piece = primary.stretch(start, at_once)
            matched = reading.matched(piece)
            if len(matched.tags) * piece.points * piece.multiple > _MOST_VALUES:
                if piece.points == 1:
                    size = len(matched.tags) * piece.multiple
                    raise QueryLimitError("archived datapoints in one step", size, _MOST_VALUES)
                at_once = max(piece.points // 2, 1)
                continue
            parts.append(reading.read(matched, piece))
            start += piece.points
        return joined(parts)

    def reach(self, selection: Selection, window: Window, check: Check) -> Reach:
        """The files it would look into; how many series there are in them is not known before."""
        del check
        chosen = self._chosen(selection, window.step_ms)
        steps = window.points * (window.step_ms // chosen.step_ms)
        return Reach(0, 0, steps, len(self.between(chosen, window)))

    def _chosen(self, selection: Selection, step_ms: int) -> ArchivedClass:
        """The coarsest class that fits the step and has every key that is asked for."""
        fitting = [each for each in self._classes if step_ms % each.step_ms == 0]
        whole = [each for each in fitting if not missing_keys(selection, each.dropped)]
        return (whole or fitting)[-1]

    def between(self, chosen: ArchivedClass, window: Window) -> list[Chunk]:
        """The chunks of a class that hold any of a window."""
        begin_ms = window.first_ms - window.step_ms
        return [
            chunk
            for chunk in self._chunks(chosen.name)
            if chunk.end_ms > begin_ms and chunk.start_ms < window.last_ms
        ]

    @property
    def chunk_reader(self) -> ChunkReader:
        """What reads the files."""
        return self._chunk_reader

    @property
    def settings(self) -> MetricsSettings:
        """Limits of queries, and the step at full resolution."""
        return self._settings


class _Matched(msgspec.Struct, eq=False):
    """Series of a piece that match: their tags in the order of their rows, and where they lie."""

    tags: list[dict[str, str]]
    rows: dict[bytes, int]
    places: list[tuple[Chunk, int, list[tuple[int, int]]]]


class _Reading:
    """One selection over pieces of a window."""

    def __init__(
        self,
        tier: ArchiveTier,
        chosen: ArchivedClass,
        selection: Selection,
        deadline: Deadline,
    ) -> None:
        self._tier, self._chosen = tier, chosen
        self._selection, self._deadline = selection, deadline
        self._kinds = kinds_read(selection) if chosen.is_rolled else frozenset[str]()

    def matched(self, piece: Window) -> _Matched:
        """The series that match in any chunk of a piece."""
        found = _Matched([], {}, [])
        for chunk in self._tier.between(self._chosen, piece):
            groups = self._tier.chunk_reader.series(
                chunk, self._selection.query, self._kinds, self._deadline.check
            )
            for group, series in groups.items():
                places = []
                for row, each, tags in series:
                    place = found.rows.setdefault(each, len(found.tags))
                    if place == len(found.tags):
                        found.tags.append(tags)
                    places.append((row, place))
                found.places.append((chunk, group, places))
        return found

    def read(self, matched: _Matched, piece: Window) -> Part:
        """The lines of a piece."""
        first, last = piece.grid()
        values = np.full((len(matched.tags), last - first + 1), np.nan)
        for chunk, group, places in matched.places:
            self._deadline.check()
            source = self._tier.chunk_reader.values(chunk, group)
            low, high = max(first, chunk.first_slot), min(last + 1, chunk.first_slot + chunk.slots)
            rows, targets = (np.array(each) for each in zip(*places, strict=True))
            part = source[rows, low - chunk.first_slot : high - chunk.first_slot]
            values[targets, low - first : high - first] = self._in_full_steps(
                part, chunk, targets, matched
            )
        stored = _Stored(matched.tags, values, first, self._tier.settings)
        planner = Planner(stored.index, capacity=4, max_lines=stored.settings.max_lines)
        reader = Reader(stored, planner)
        if not self._chosen.is_rolled:
            return reader.read(self._selection, piece, self._deadline)
        rolled = ClassReader(
            reader,
            stored.index,
            dropped=self._chosen.dropped,
            base_ms=self._tier.settings.step_ms,
        )
        return rolled.read(self._selection, piece, self._deadline)

    def _in_full_steps(
        self, values: Array, chunk: Chunk, targets: NDArray[np.int64], matched: _Matched
    ) -> Array:
        """Sums and counts as if full resolution had always had the step it has now."""
        now_ms = self._tier.settings.step_ms
        then_ms = self._tier.chunk_reader.full_step_ms(chunk)
        if then_ms == now_ms or not self._chosen.is_rolled:
            return values
        adds_up = [matched.tags[place].get(AGGREGATE) in _ADDED_UP for place in targets.tolist()]
        return np.where(np.array(adds_up)[:, np.newaxis], values * (then_ms / now_ms), values)


class _Stored:
    """Series that were read, as a `Reader` expects them."""

    def __init__(
        self, tags: list[dict[str, str]], values: Array, first: int, settings: MetricsSettings
    ) -> None:
        self.settings = settings
        self.watcher: Watcher | None = None
        self.index = TagIndex(max_values_per_regex=settings.max_values_per_regex)
        if tags:
            self.index.add_all(tags, np.arange(len(tags)))
        self._directory = _Slots(values, first)

    def directory(self) -> Directory:
        """Where the values lie."""
        return self._directory


class _Slots(Directory):
    """One array of values as a directory of one span."""

    __slots__ = ("_values",)

    def __init__(self, values: Array, first: int) -> None:
        super().__init__([])
        self._values = values
        if values.size:
            self.spans = np.array([plain_span(values, first)], dtype=np.int64)
