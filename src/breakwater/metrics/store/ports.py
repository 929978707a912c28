"""What a store asks of those who keep its record or watch it, and what it hands out."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from breakwater.metrics.errors import SeriesLimitError
from breakwater.metrics.normalize.standing import Standing
from breakwater.metrics.series.index import IndexImage
from breakwater.metrics.series.rows import Handles, Rows
from breakwater.metrics.series.table import SeriesTable
from breakwater.metrics.store.blocks import Array, PackedBlock, RawBlock


class Recorder(Protocol):
    """Who keeps a record of what a store takes; called by the writer, so it must not block."""

    def define(self, serial: int, last_slot: int, tags: Mapping[str, str]) -> None:
        """There is a new series, to be called `serial` from now on."""
        ...

    def define_all(self, series: SeriesTable) -> None:
        """There are new series."""
        ...

    def put(self, serials: Handles, slots: Handles | int, values: Array) -> None:
        """These values were stored in these slots of the step grid."""
        ...

    def stand(self, standing: Standing) -> None:
        """The normalisation of series, `keys` being serials, stands here by now."""
        ...

    def rewind(self, last_slot: int) -> None:
        """Everything after this slot of the step grid was given up."""
        ...


class Watcher(Protocol):
    """Who wants to know which series leave, and has something to say about those that are read."""

    def retire(self, rows: Rows) -> None:
        """The series of these rows are about to go; their tags are still there."""
        ...

    def notice(self, rows: Rows) -> str:
        """What whoever reads these rows should know; empty when there is nothing."""
        ...


class Resolved(NamedTuple):
    """Handles of series, int64 [n], -1 where there was no room; and why, if there are such."""

    handles: Handles
    error: SeriesLimitError | None


class StoreImage(NamedTuple):
    """A store as it was at one moment; `serials` and `last_slots` belong to `tags.rows`.

    Blocks from `newest - 1` on still take writes while the image is in use: what is in them for
    rows of the image is as new as its reader, other rows of theirs mean nothing.
    """

    newest: int
    next_serial: int
    tags: IndexImage
    serials: Handles
    last_slots: Handles
    blocks: dict[int, RawBlock | PackedBlock]
    standing: Standing | None = None
