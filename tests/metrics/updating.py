"""Updates, and what the normalizers of the model make of them, for the tests of normalisation."""

import math
from typing import NamedTuple

from breakwater.model.normalization import NORMALIZERS

NAMES = ["rate", "counter", "gauge", "sum", "max"]
ORACLES = {**NORMALIZERS, "max": NORMALIZERS["gauge"]}

Slots = dict[int, float]


class Update(NamedTuple):
    """One update of a series."""

    series: int
    stamp_ms: int
    value: float


class Oracle:
    """What the normalizers of the model say, one for each series, and the two rules added."""

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
            slots = self.slots[series]
            for end_ms, settled in self.normalizers[series].update(stamp_ms, value):
                slots[end_ms // self.step_ms] = settled
            is_late = stamp_ms < self.newest[series]
            if self.kinds[series] == "rate" and is_late and stamp_ms % self.step_ms == 0:
                slots.setdefault(stamp_ms // self.step_ms, value)
            self.newest[series] = max(self.newest[series], stamp_ms)
