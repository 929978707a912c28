"""Updates, and what the normalizers of the model make of them, for the tests of normalisation."""

import math
import operator
from collections.abc import Callable
from typing import Final, NamedTuple

from breakwater.model.normalization import NORMALIZERS

NAMES = ["rate", "counter", "gauge", "sum", "max"]
ORACLES = {**NORMALIZERS, "max": NORMALIZERS["gauge"]}
FOLDS: Final[dict[str, Callable[[float, float], float]]] = {
    "gauge": max,
    "sum": operator.add,
    "max": max,
}
"""How updates of one step become one value, where the kind of meter is one that folds."""

Slots = dict[int, float]


class Update(NamedTuple):
    """One update of a series."""

    series: int
    stamp_ms: int
    value: float


class Oracle:
    """What the normalizers of the model say, one for each series, and the rules added.

    Those are: a rate or total that is none leaves its series as it is; a rate that is late but on
    the grid fills its slot; a gauge or sum that is too late for the model joins its slot all the
    same.
    """

    def __init__(self, kinds: list[str], step_ms: int) -> None:
        self.kinds = kinds
        self.step_ms = step_ms
        self.normalizers = [ORACLES[kind](step_ms) for kind in kinds]
        self.newest = [0] * len(kinds)
        self.slots: list[Slots] = [{} for _ in kinds]

    def take(self, given: list[Update]) -> None:
        """Take updates."""
        for series, stamp_ms, value in given:
            is_rate = self.kinds[series] in ("rate", "counter")
            if is_rate and math.isnan(value):
                continue
            slots, slot = self.slots[series], -(-stamp_ms // self.step_ms)
            for end_ms, settled in self.normalizers[series].update(stamp_ms, value):
                slots[end_ms // self.step_ms] = settled
            is_late = stamp_ms < self.newest[series]
            if self.kinds[series] == "rate" and is_late and stamp_ms % self.step_ms == 0:
                slots.setdefault(stamp_ms // self.step_ms, value)
            fold = FOLDS.get(self.kinds[series])
            newest_slot = -(-self.newest[series] // self.step_ms)
            if fold is not None and slot < newest_slot - 1 and not math.isnan(value):
                slots[slot] = fold(slots[slot], value) if slot in slots else value
            self.newest[series] = max(self.newest[series], stamp_ms)
