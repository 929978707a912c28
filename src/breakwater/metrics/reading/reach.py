"""How far a selection reaches: what reading it would read."""

from typing import NamedTuple


class Reach(NamedTuple):
    """What one selection reads: series, and datapoints of them all.

    steps: datapoints of each line before they are consolidated. files: of the archive, at most.
    """

    series: int
    datapoints: int
    steps: int
    files: int = 0
