"""What a query answers with, and what the engine says about itself."""

import msgspec
import numpy as np
from numpy.typing import NDArray

from breakwater.metrics.archive.archive import ArchiveStats
from breakwater.metrics.classes.store import ClassStats
from breakwater.metrics.durable.durability import DurabilityStats
from breakwater.metrics.limits.limiter import LimiterStats
from breakwater.metrics.store.discards import FutureStats
from breakwater.metrics.store.normalizing import NormalizingStats

Values = NDArray[np.float64]


class Line(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One line: its tags, its label and its values, float64 [n], NaN = no value.

    The tags are shared with the engine's caches; copy them before changing them. `legend` is the
    label after the style words; `values` may be a view of an array shared by all lines.
    """

    tags: dict[str, str]
    label: str
    values: Values
    legend: str = ""


class Expression(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The answer to one expression of a program, in the order of the program.

    `offset` is how much earlier all its data were read, `0w` for not at all.
    """

    text: str
    settings: dict[str, str]
    lines: list[Line]
    grouping: list[str]
    offset: str = "0w"


class QueryResult(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """All lines of a program over (start, end].

    start_ms is the first stamp, which is the END of the first interval; every line has n values,
    stamped start_ms, start_ms + step_ms, ... `lines` is all expressions' lines in order.
    `notices` are remarks for whoever asked.
    """

    start_ms: int
    step_ms: int
    lines: list[Line]
    expressions: list[Expression]
    notices: list[str] = []


class MetricsStats(msgspec.Struct, frozen=True, kw_only=True):
    """The engine about itself; counts are since the start. durability: None when in memory only.

    Numbers are those of full resolution; `classes` are the coarser ones.
    """

    series: int
    rows: int
    blocks: int
    packed_blocks: int
    size_bytes: int
    writes: int
    datapoints: int
    dropped: dict[str, int]
    new_series: int
    retired_series: int
    keys: int
    tag_pairs: int
    queries: int
    failed_queries: int
    latest_complete_ms: int
    durability: DurabilityStats | None = None
    normalizing: NormalizingStats | None = None
    limiter: LimiterStats | None = None
    classes: dict[str, ClassStats] = {}
    archive: ArchiveStats | None = None
    future: FutureStats | None = None
