"""One window read from several places: recent points at full resolution, older ones from classes.

A point is read from the finest tier that still holds all of it. Where a class has not caught up
with the end of a point that begins before the finer tier does, the point is put together from
both. So a query may reach back as far as the last tier does; what it cannot get there, and a step
that had to be rounded up, are told in notices.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from breakwater.metrics.classes.reader import joined
from breakwater.metrics.deadline import Deadline
from breakwater.metrics.grid.durations import duration_text
from breakwater.metrics.grid.steps import round_step
from breakwater.metrics.grid.window import Window
from breakwater.metrics.reading.plan import Plan
from breakwater.metrics.reading.reach import Reach
from breakwater.metrics.reading.reader import consolidated
from breakwater.metrics.selection.selection import Selection
from breakwater.metrics.series.index import Check

Array = NDArray[np.float64]
Part = tuple[Plan, Array]


class Readable(Protocol):
    """What reads selections: plan of the lines, and values float64 [lines, points]."""

    def read(self, selection: Selection, window: Window, deadline: Deadline) -> Part:
        """Read one selection over one window, of which it takes off the offset."""
        ...


class Tier(Readable, Protocol):
    """A place where datapoints of one step are kept, for the times that `covered_ms` tells."""

    @property
    def name(self) -> str:
        """What it is called in notices."""
        ...

    @property
    def step_ms(self) -> int:
        """The distance of its datapoints."""
        ...

    def covered_ms(self) -> tuple[int, int] | None:
        """It holds intervals after the first time up to the second; None when it is empty."""
        ...

    def missing_keys(self, selection: Selection) -> list[str]:
        """Keys the selection asks for that its series do not have."""
        ...


class BaseTier(Tier, Protocol):
    """The tier at full resolution."""

    def unheld_points(self, window: Window) -> int:
        """How many points of a window are missing because they end before all that is held."""
        ...


class CoarseTier(Tier, Protocol):
    """A tier beside full resolution, which knows what reading it costs."""

    def reach(self, selection: Selection, window: Window, check: Check) -> Reach:
        """What reading a selection without an offset over a window would read."""
        ...


class TieredReader:
    """Reads from tiers, finest first; the first is the store at full resolution."""

    def __init__(self, base: BaseTier, coarser: Sequence[CoarseTier]) -> None:
        self._base = base
        self._coarser = list(coarser)
        self._tiers: list[Tier] = [base, *coarser]

    def read(self, selection: Selection, window: Window, deadline: Deadline) -> Part:
        """As `Reader.read`, from whatever tiers the window reaches into.

        A tier whose step does not divide that of the window gives no values, which is noticed.
        """
        shifted = window.shifted(selection.offset_ms)
        level = self._deepest(_begin(shifted))
        if not level:
            return self._base.read(selection, window, deadline)
        return self._read(selection.without_offset(), shifted, level, deadline)

    def fitted_step(
        self,
        selections: Sequence[Selection],
        start_ms: int,
        end_ms: int,
        step_ms: int,
    ) -> tuple[int, list[str]]:
        """The step to ask with so that every tier the selections reach into can answer.

        It is the one given where that will do; else the next longer one, with a notice of it.
        """
        if len(self._tiers) == 1:
            return step_ms, []
        offsets = [selection.offset_ms for selection in selections]
        fitted, tier = step_ms, self._tiers[0]
        for _ in self._tiers:  # a longer step begins earlier, and may reach into the next tier
            begin_ms = min(start_ms // fitted * fitted, end_ms // fitted * fitted - fitted)
            tier = self._tiers[self._deepest(begin_ms - max(offsets)) if offsets else 0]
            if fitted % tier.step_ms == 0:
                break
            fitted = round_step(tier.step_ms, fitted)
        if fitted == step_ms:
            return step_ms, []
        notice = (
            f"the step is {duration_text(fitted)} instead of {duration_text(step_ms)}: "
            f"what is older than {_moment(self._begins(tier))} is kept in steps of "
            f"{duration_text(tier.step_ms)} ({tier.name})"
        )
        return fitted, [notice]

    def is_recent(self, selection: Selection, window: Window) -> bool:
        """Whether full resolution alone is read."""
        return not self._deepest(_begin(window.shifted(selection.offset_ms)))

    def reach(self, selection: Selection, window: Window, plan: Plan, check: Check) -> Reach:
        """What `read` would read; `plan` is that of full resolution, `check` may end the search."""
        shifted = window.shifted(selection.offset_ms)
        plain = selection.without_offset()
        level = self._deepest(_begin(shifted))
        found = Reach(0, 0, 0)
        is_recent = not level
        while level:
            tier, covered = self._tiers[level], self._tiers[level].covered_ms()
            if covered is not None and shifted.step_ms % tier.step_ms == 0:
                count = _count_before(shifted, self._finer_from(level), covered[1])
                if count:
                    old = _part(shifted, 0, count, tier.step_ms)
                    found = _sum(found, self._coarser[level - 1].reach(plain, old, check))
                if count == shifted.points:
                    return found
                shifted = shifted.stretch(count, shifted.points)
            level -= 1
        held = shifted.points - self._base.unheld_points(shifted)
        steps = held * (shifted.step_ms // self._base.step_ms)
        own = Reach(len(plan.rows), len(plan.rows) * steps, steps)
        return own if is_recent else _sum(found, own)

    def _begins(self, tier: Tier) -> int:
        """The time before which a coarse tier is asked."""
        finer = self._tiers[self._tiers.index(tier) - 1].covered_ms()
        return 0 if finer is None else finer[0]

    def _deepest(self, begin_ms: int) -> int:
        """The coarsest tier needed for what comes after `begin_ms`; 0 is full resolution."""
        if not self._coarser:
            return 0
        level = 0
        held = self._base.covered_ms()
        for number, tier in enumerate(self._tiers[1:], 1):
            older = tier.covered_ms()
            if older is None:
                continue
            # One that was begun with the finer one has at most a part of a step before it.
            is_older = held is None or older[0] + tier.step_ms <= held[0]
            if is_older and (held is None or begin_ms < held[0]):
                level, held = number, older
        return level

    def _read(
        self,
        selection: Selection,
        window: Window,
        level: int,
        deadline: Deadline,
    ) -> Part:
        """Read from tiers up to `level`; the selection has no offset."""
        if not level:
            primary = Window(window.first_ms, window.step_ms, window.points, self._base.step_ms)
            return self._base.read(selection, primary, deadline)
        tier, covered = self._tiers[level], self._tiers[level].covered_ms()
        if covered is None or window.step_ms % tier.step_ms:
            self._refuse_step(tier, window, deadline)
            return self._read(selection, window, level - 1, deadline)
        border, until = self._finer_from(level), covered[1]
        count = _count_before(window, border, until)
        parts: list[Part] = []
        if count:
            old = _part(window, 0, count, tier.step_ms)
            parts.append(self._from_tier(tier, selection, old, deadline))
        begin = _begin(window) + count * window.step_ms
        if count < window.points and begin < min(border, until):
            parts.append(self._seam(selection, window.stretch(count, 1), level, deadline))
            count += 1
        if count < window.points:
            rest = window.stretch(count, window.points)
            parts.append(self._read(selection, rest, level - 1, deadline))
        return joined(parts)

    def _seam(self, selection: Selection, point: Window, level: int, deadline: Deadline) -> Part:
        """One point whose beginning only a coarse tier holds, and whose end only a finer one."""
        tier = self._tiers[level]
        covered = tier.covered_ms()
        assert covered is not None, "whoever calls has just seen it"
        step, begin = tier.step_ms, _begin(point)
        count = (covered[1] - begin) // step
        steps = Window(begin + step, step, point.step_ms // step, step)
        parts = [self._from_tier(tier, selection, _part(steps, 0, count, step), deadline)]
        rest = steps.stretch(count, steps.points)
        parts.append(self._read(selection, rest, level - 1, deadline))
        plan, values = joined(parts)
        by = selection.consolidated_by
        return plan, consolidated(values, steps.points, by, _gauge_lines(plan))

    def _from_tier(
        self, tier: Tier, selection: Selection, window: Window, deadline: Deadline
    ) -> Part:
        missing = tier.missing_keys(selection)
        until = _moment(window.last_ms)
        if missing:
            deadline.notice(
                f"values up to {until} are kept without {', '.join(missing)} ({tier.name}), which "
                f"'{selection.text()}' asks for: they are left out"
            )
        elif not _is_exact(selection):
            deadline.notice(
                f"values of '{selection.text()}' up to {until} are worked out from steps of "
                f"{duration_text(tier.step_ms)} ({tier.name})"
            )
        return tier.read(selection, window, deadline)

    def _refuse_step(self, tier: Tier, window: Window, deadline: Deadline) -> None:
        deadline.notice(
            f"what is older than {_moment(self._begins(tier))} is kept in steps of "
            f"{duration_text(tier.step_ms)} ({tier.name}) and left out: ask with a step that is a "
            f"multiple of that instead of {duration_text(window.step_ms)}"
        )

    def _finer_from(self, level: int) -> int:
        """The time after which a finer tier has everything."""
        held = [self._tiers[number].covered_ms() for number in range(level)]
        begins = [each[0] for each in held if each is not None]
        covered = self._tiers[level].covered_ms()
        assert covered is not None, "whoever calls has just seen it"
        return min(begins, default=covered[1])


def _count_before(window: Window, border_ms: int, until_ms: int) -> int:
    """How many points begin before a border and end in time, from the first on."""
    ended = (until_ms - window.first_ms) // window.step_ms + 1
    begun = -(-(border_ms - _begin(window)) // window.step_ms)
    return max(min(ended, begun, window.points), 0)


def _sum(left: Reach, right: Reach) -> Reach:
    return Reach(*(a + b for a, b in zip(left, right, strict=True)))


def _begin(window: Window) -> int:
    return window.first_ms - window.step_ms


def _part(window: Window, start: int, points: int, primary_ms: int) -> Window:
    first_ms = window.first_ms + start * window.step_ms
    return Window(first_ms, window.step_ms, points, primary_ms)


def _gauge_lines(plan: Plan) -> NDArray[np.bool_]:
    """Which lines are made of gauges alone."""
    has_rates = np.zeros(len(plan.tags), dtype=np.bool_)
    has_rates[plan.groups[~plan.is_gauge]] = True
    has_gauges = np.zeros(len(plan.tags), dtype=np.bool_)
    has_gauges[plan.groups[plan.is_gauge]] = True
    return has_gauges & ~has_rates


def _is_exact(selection: Selection) -> bool:
    """Whether coarse steps give the values that fine ones would have given."""
    kind, by = selection.kind, selection.consolidated_by
    if kind in ("sum", "count"):
        return by in ("sum", "avg")
    return kind in ("all", by)


def _moment(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
