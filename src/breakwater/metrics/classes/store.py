"""One retention class: its store, what feeds it, what keeps it across a restart, what reads it."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from breakwater.metrics.classes.policy import ClassPolicy
from breakwater.metrics.classes.reader import ClassReader
from breakwater.metrics.classes.rollup import Rollup, RollupStats
from breakwater.metrics.deadline import Deadline
from breakwater.metrics.durable.durability import Durability, DurabilityStats
from breakwater.metrics.grid.window import Window
from breakwater.metrics.reading.plan import Plan, Planner
from breakwater.metrics.reading.reach import Reach
from breakwater.metrics.reading.reader import Reader
from breakwater.metrics.selection.selection import Selection
from breakwater.metrics.series.index import Check
from breakwater.metrics.settings import MetricsSettings, RetentionClass
from breakwater.metrics.store.series_store import SeriesStore
from breakwater.model import Clock

_BLOCK_SLOTS: Final = 10
_KINDS_A_TARGET: Final = 5


class ClassStats(msgspec.Struct, frozen=True, kw_only=True):
    """A retention class about itself.

    series: kept ones, up to five for each target. oldest_ms: where it begins, 0 while it is empty.
    """

    step_ms: int
    retention_s: int
    series: int
    blocks: int
    packed_blocks: int
    size_bytes: int
    oldest_ms: int
    rollup: RollupStats
    durability: DurabilityStats | None


class ClassStore:
    """A class and its files; `advance`, `seal` and `maintain` belong to one thread.

    source: the store it is fed from. ready: the last slot of that whose values are final.
    folder: where it is kept across a restart, None for nowhere. Raises FolderInUseError and OSError
    when that cannot be used.
    """

    def __init__(
        self,
        policy: ClassPolicy,
        source: SeriesStore,
        *,
        settings: MetricsSettings,
        ready: Callable[[], int],
        clock: Clock,
        folder: Path | None,
    ) -> None:
        self.kept = policy.kept
        own = class_settings(self.kept, settings)
        self.store = SeriesStore(own, clock)
        self.durability: Durability | None = None
        if folder is not None:
            # It takes what its source still has, however late that comes after a restart.
            self.durability = Durability(self.store, folder, own, clock, forgets=False)
        self.rollup = Rollup(source, self.store, policy, ready=ready)
        planner = Planner(self.store.index, capacity=own.cache_entries, max_lines=own.max_lines)
        self._reader = ClassReader(
            Reader(self.store, planner),
            self.store.index,
            dropped=policy.dropped,
            base_ms=settings.step_ms,
        )

    @property
    def name(self) -> str:
        """The name of the class."""
        return self.kept.name

    @property
    def step_ms(self) -> int:
        """The distance of its datapoints."""
        return self.kept.step_ms

    def covered_ms(self) -> tuple[int, int] | None:
        """It holds intervals after the first time up to the second; None while it is empty."""
        held = self.store.held_slots()
        if held is None or self.rollup.done < held[0]:
            return None
        first = max(held[0], self.rollup.begun)
        return (first - 1) * self.step_ms, self.rollup.done * self.step_ms

    def missing_keys(self, selection: Selection) -> list[str]:
        """Keys the selection asks for that its series do not have."""
        return self._reader.missing_keys(selection)

    def read(
        self, selection: Selection, window: Window, deadline: Deadline
    ) -> tuple[Plan, NDArray[np.float64]]:
        """As `Reader.read`, from what is kept of series."""
        return self._reader.read(selection, window, deadline)

    def reach(self, selection: Selection, window: Window, check: Check) -> Reach:
        """What reading a selection without an offset over a window would read."""
        series = self._reader.count(selection, check)
        steps = window.points * window.multiple
        return Reach(series, series * steps, steps)

    def settled(self) -> int:
        """The last slot whose values are final."""
        return self.rollup.done

    def is_ahead(self, furthest_ms: int) -> bool:
        """Whether steps were rolled up that end after a time."""
        return self.rollup.done * self.step_ms > furthest_ms

    def rewind(self, last_slot: int) -> int:
        """Give up what was made of slots of the source after this one; the last step that stays."""
        last_step = last_slot // self.rollup.multiple
        self.store.rewind(last_step)
        if self.rollup.done > last_step:
            self.rollup.rewind()
        return last_step

    def seal(self) -> None:
        """Pack every block that takes no more writes."""
        while self.store.seal():
            pass

    def maintain(self) -> None:
        """Snapshot when due."""
        if self.durability is not None:
            self.durability.maintain()

    def wind_up(self) -> None:
        """Begin no snapshot, give up the one being written."""
        if self.durability is not None:
            self.durability.wind_up()

    def close(self) -> None:
        """Write what is left and give the folder back."""
        if self.durability is not None:
            self.durability.close()

    def stats(self) -> ClassStats:
        """The class about itself."""
        blocks, packed = self.store.block_counts
        covered = self.covered_ms()
        return ClassStats(
            step_ms=self.step_ms,
            retention_s=self.kept.retention_s,
            series=len(self.store.index),
            blocks=blocks,
            packed_blocks=packed,
            size_bytes=self.store.size_bytes + self.rollup.size_bytes,
            oldest_ms=0 if covered is None else covered[0],
            rollup=self.rollup.stats(),
            durability=None if self.durability is None else self.durability.stats(),
        )


def class_settings(kept: RetentionClass, settings: MetricsSettings) -> MetricsSettings:
    """The settings of a class's own store."""
    return msgspec.structs.replace(
        settings,
        step_ms=kept.step_ms,
        retention_s=kept.retention_s,
        block_slots=_BLOCK_SLOTS,
        raw_blocks=2,
        max_series=settings.max_series * _KINDS_A_TARGET,
    )
