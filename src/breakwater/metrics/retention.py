"""All retention classes of an engine: made from the settings, fed one from the other, closed."""

from pathlib import Path
from typing import Final

import numpy as np
import structlog
from numpy.typing import NDArray

from breakwater.metrics.archive.archive import Archive
from breakwater.metrics.archive.setup import archive_of
from breakwater.metrics.classes.policy import FULL, ClassPolicy, checked, dropped_keys
from breakwater.metrics.classes.store import ClassStats, ClassStore
from breakwater.metrics.classes.tiers import CoarseTier
from breakwater.metrics.deadline import Deadline
from breakwater.metrics.errors import InvalidClassError, QueryError, QueryLimitError
from breakwater.metrics.grid.window import Window
from breakwater.metrics.language.program import parse_query
from breakwater.metrics.language.vocabulary import BARE
from breakwater.metrics.reading.plan import Plan
from breakwater.metrics.reading.reader import Reader
from breakwater.metrics.selection.query import Everything, Query
from breakwater.metrics.selection.selection import Selection
from breakwater.metrics.settings import MetricsSettings, RetentionClass
from breakwater.metrics.store.series_store import SeriesStore
from breakwater.model import Clock

log = structlog.get_logger("breakwater.metrics")

BUDGET_S: Final = 0.25
"""How long one call may roll up; with a call a second that is a quarter of a core at most."""
_CATCH_UP_S: Final = 10.0
"""How long a start may take to roll up what was not before a long stop."""


class FullResolution:
    """The store at full resolution as a tier."""

    def __init__(self, store: SeriesStore, reader: Reader) -> None:
        self._store = store
        self._reader = reader

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

    def unheld_points(self, window: Window) -> int:
        """How many points of a window end before all that is held; its last is never one."""
        held = self._store.held_slots()
        if held is None:
            return window.points - 1
        ended = -((window.first_ms - held[0] * self.step_ms) // window.step_ms)
        return max(min(ended, window.points - 1), 0)

    def read(
        self, selection: Selection, window: Window, deadline: Deadline
    ) -> tuple[Plan, NDArray[np.float64]]:
        """As `Reader.read`; what cannot be held is missing and costs nothing."""
        skipped = self.unheld_points(window.shifted(selection.offset_ms))
        if not skipped:
            return self._reader.read(selection, window, deadline)
        rest = window.stretch(skipped, window.points)
        plan, found = self._reader.read(selection, rest, deadline)
        asked, limit = len(found) * window.points, self._store.settings.max_input_points
        if asked > limit:
            raise QueryLimitError("datapoints", asked, limit)
        values = np.full((len(found), window.points), np.nan)
        values[:, skipped:] = found
        return plan, values

    def missing_keys(self, selection: Selection) -> list[str]:
        """None: everything that was ever sent is here."""
        del selection
        return []


class Retention:
    """The classes beside a store, coarser one after the other; raises InvalidClassError.

    folder: the folder of the engine, each class gets one in it; None keeps them in memory only.
    What was rolled up from another step stays in its own, for a start with that step.
    """

    def __init__(
        self, store: SeriesStore, settings: MetricsSettings, clock: Clock, *, folder: Path | None
    ) -> None:
        policies = _policies(settings)
        self._store, self._clock = store, clock
        self._is_ending = False
        self._told: set[str] = set()
        self._rewinds = 0
        self.classes: list[ClassStore] = []
        self.archive: Archive | None = None
        self.tiers: list[CoarseTier] = []
        try:
            for policy in policies:
                self._open(policy, store, settings, folder)
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
        policy: ClassPolicy,
        store: SeriesStore,
        settings: MetricsSettings,
        folder: Path | None,
    ) -> None:
        former = self.classes[-1] if self.classes else None
        self.classes.append(
            ClassStore(
                policy,
                store if former is None else former.store,
                settings=settings,
                ready=(lambda: store.settled_slots()[1]) if former is None else former.settled,
                clock=self._clock,
                folder=None
                if folder is None
                else folder / f"class-{policy.kept.name}-{settings.step_ms}ms",
            )
        )

    def heal(self) -> None:
        """Give up what lies beyond the clock, in the store and in what was made of it."""
        self._store.discard_future()
        step_ms, now_ms = self._store.settings.step_ms, self._clock.now_ms()
        furthest_ms = now_ms + self._store.settings.max_ahead_steps * step_ms
        is_ahead = any(each.is_ahead(furthest_ms) for each in self.classes)
        if self._rewinds == self._store.rewinds and not is_ahead:
            return
        self._rewinds = self._store.rewinds
        last = self._store.settled_slots()[1]
        if last < 0:
            last = now_ms // step_ms
        for each in self.classes:
            last = each.rewind(last)

    def catch_up(self) -> None:
        """Have the store, just filled from its files, forget what has left the retention by now.

        After a stop longer than that, this is the last moment to roll up the end of what it holds.
        """
        self.heal()
        now_ms = self._clock.now_ms()
        multiple = self.classes[0].rollup.multiple if self.classes else 0
        if multiple and self._store.settle(now_ms, multiple):
            end_s = self._clock.monotonic_s() + _CATCH_UP_S
            for each in self.classes:
                each.rollup.advance(lambda: self._clock.monotonic_s() > end_s)
                each.rollup.skip_stop()
        self._store.catch_up(now_ms)

    def maintain(self, *, budget_s: float = BUDGET_S) -> None:
        """Roll up what is final, for `budget_s` at most; pack; snapshot when due."""
        self.heal()
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


def _policies(settings: MetricsSettings) -> list[ClassPolicy]:
    """What each class keeps; raises InvalidClassError."""
    chosen = checked(settings.classes, step_ms=settings.step_ms, retention_s=settings.retention_s)
    return [
        ClassPolicy(
            kept=kept,
            where=_where(kept),
            dropped=dropped_keys(chosen[: position + 1]),
            is_rolled=position > 0,
        )
        for position, kept in enumerate(chosen)
    ]


def _where(kept: RetentionClass) -> Query:
    """Which series a class keeps; raises InvalidClassError where that cannot be read."""
    if not kept.where:
        return Everything()
    try:
        return parse_query(kept.where, BARE)
    except QueryError as error:
        raise InvalidClassError(f"retention class {kept.name!r}: where: {error}") from error
