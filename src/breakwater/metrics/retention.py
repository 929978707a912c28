"""All retention classes of an engine: made from the settings, fed one from the other, closed."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import structlog
from numpy.typing import NDArray

from breakwater.metrics.archive.archive import Archive
from breakwater.metrics.archive.setup import archive_of
from breakwater.metrics.classes.policy import FULL, checked, dropped_keys
from breakwater.metrics.classes.store import ClassStats, ClassStore
from breakwater.metrics.classes.tiers import CoarseTier
from breakwater.metrics.deadline import Deadline
from breakwater.metrics.grid.window import Window
from breakwater.metrics.language.expressions import DataExpression, GroupBy
from breakwater.metrics.reading.plan import Plan
from breakwater.metrics.reading.reader import Reader
from breakwater.metrics.settings import MetricsSettings, RetentionClass
from breakwater.metrics.store.series_store import SeriesStore
from breakwater.model import Clock

log = structlog.get_logger("breakwater.metrics")

BUDGET_S: Final = 0.25
"""How long one call may roll up; with a call a second that is a quarter of a core at most."""


class FullResolution:
    """The store at full resolution as a tier."""

    def __init__(self, store: SeriesStore, reader: Reader) -> None:
        self._store = store
        self.read: Callable[
            [DataExpression | GroupBy, Window, Deadline], tuple[Plan, NDArray[np.float64]]
        ] = reader.read

    @property
    def name(self) -> str:
        """The name of the class."""
        return FULL

    @property
    def step_ms(self) -> int:
        """The distance of its datapoints."""
        return self._store.settings.step_ms

    def covered_ms(self) -> tuple[int, int] | None:
        """What is held, less the block that is the next to be forgotten."""
        held = self._store.held_slots()
        if held is None:
            return None
        kept, _ = self._store.settled_slots()
        slots = self._store.settings.block_slots
        first = held[0] + (slots if kept and held[0] <= kept else 0)
        return (first - 1) * self.step_ms, held[1] * self.step_ms

    def missing_keys(self, expression: DataExpression | GroupBy) -> list[str]:
        """None: everything that was ever sent is here."""
        del expression
        return []


class Retention:
    """The classes beside a store, coarser one after the other; raises InvalidClassError.

    folder: the folder of the engine, each class gets one in it; None keeps them in memory only.
    What was rolled up from another step stays in its own, for a start with that step.
    """

    def __init__(
        self, store: SeriesStore, settings: MetricsSettings, clock: Clock, *, folder: Path | None
    ) -> None:
        chosen = checked(
            settings.classes, step_ms=settings.step_ms, retention_s=settings.retention_s
        )
        self._clock = clock
        self._is_ending = False
        self._told: set[str] = set()
        self.classes: list[ClassStore] = []
        self.archive: Archive | None = None
        self.tiers: list[CoarseTier] = []
        try:
            for position, kept in enumerate(chosen):
                self._open(kept, chosen[: position + 1], store, settings, folder)
            self.tiers.extend(self.classes)
            archived = archive_of(store, self.classes, settings, clock)
            if archived is not None:
                self.archive, tier = archived
                self.tiers.append(tier)
                self.archive.start()
        except BaseException:
            self.close()
            raise

    def _open(
        self,
        kept: RetentionClass,
        until: list[RetentionClass],
        store: SeriesStore,
        settings: MetricsSettings,
        folder: Path | None,
    ) -> None:
        former = self.classes[-1] if self.classes else None
        self.classes.append(
            ClassStore(
                kept,
                store if former is None else former.store,
                settings=settings,
                dropped=dropped_keys(until),
                ready=(lambda: store.settled_slots()[1]) if former is None else former.settled,
                is_rolled=former is not None,
                clock=self._clock,
                folder=None
                if folder is None
                else folder / f"class-{kept.name}-{settings.step_ms}ms",
            )
        )

    def maintain(self, *, budget_s: float = BUDGET_S) -> None:
        """Roll up what is final, for `budget_s` at most; pack; snapshot when due."""
        end_s = self._clock.monotonic_s() + budget_s
        for each in self.classes:
            began_s = self._clock.monotonic_s()
            each.rollup.advance(lambda: self._is_ending or self._clock.monotonic_s() > end_s)
            each.seal()
            each.rollup.busy_s += self._clock.monotonic_s() - began_s
            each.maintain()
            self._tell(each)

    def wind_up(self) -> None:
        """Begin nothing that takes long."""
        self._is_ending = True
        for each in self.classes:
            each.wind_up()

    def close(self) -> None:
        """Write what is left and give the folders back."""
        self._is_ending = True
        if self.archive is not None:
            self.archive.close()
        for each in self.classes:
            each.close()

    def stats(self) -> dict[str, ClassStats]:
        """The classes about themselves, by name."""
        return {each.name: each.stats() for each in self.classes}

    def _tell(self, each: ClassStore) -> None:
        """Say it once when a class cannot keep what it should."""
        stats = each.rollup.stats()
        if stats.refused_series and each.name not in self._told:
            self._told.add(each.name)
            log.warning("metrics.class_full", name=each.name, limit=each.store.settings.max_series)
