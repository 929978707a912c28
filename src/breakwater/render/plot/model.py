"""What a plot is made of: axes with lines, spans over all of them, and how it is to look.

A plot is a finished description: who builds one has run the queries, chosen the labels and the
order of the lines. Colours may be left to the plot. Nothing here draws.
"""

from typing import Final, Literal

import msgspec

from breakwater.render.chart import Times, Values
from breakwater.render.palette import ThemeName
from breakwater.render.units import UnitName

LineStyle = Literal["line", "area", "stack", "heatmap", "vspan"]
"""`line`; `area`, filled to zero; `stack`, on top of the stacks before it; `heatmap`, counted
into cells; `vspan`, a mark over the whole height wherever the value is not zero."""

ScaleName = Literal["linear", "log", "log-linear", "pow2", "sqrt"]
"""`log-linear` gives every power of ten the same height and is linear within it."""

Bound = float | Literal["auto-style", "auto-data"]
"""An end of a scale: a value, exactly the end of the data, or round and fitting the styles."""

TickLabels = Literal["decimal", "binary", "duration", "off"]
"""`1.5k`, `1.5Ki`, `1.5 min` (values are seconds), or no labels."""

Layout = Literal["canvas", "image", "iw", "ih", "body"]
"""What width and height measure: the plotting area, the whole picture, `iw` the picture's width
with the area's height, `ih` the area's width with the picture's height, or `body` the picture
without what is written below the time axes."""

Vision = Literal[
    "normal",
    "protanopia",
    "protanomaly",
    "deuteranopia",
    "deuteranomaly",
    "tritanopia",
    "tritanomaly",
    "achromatopsia",
    "achromatomaly",
]

LegendKind = Literal["full", "labels", "none"]

StatisticName = Literal["max", "min", "avg", "last", "total", "count"]

MOST_AXES: Final = 10
MOST_LINES: Final = 5_000
MOST_ZONES: Final = 8
SCALES: Final[tuple[ScaleName, ...]] = ("linear", "log", "log-linear", "pow2", "sqrt")


class LineStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers beside a line's name; NaN where there is no value.

    total is the sum of the datapoints and count says how many have a value.
    """

    min: float
    max: float
    avg: float
    last: float
    total: float
    count: int


class PlotLine(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One line: float64 values, one for each time of the plot; NaN is a gap.

    colour: `#rrggbb` or `` for the next of the theme's. opacity: 0 to 1. width: pixels.
    statistics: shown in the legend; None: worked out from the values. query: shown on hovering
    over the name. bucket: for heat maps of histograms, the range (low, high] of the axis that
    the line counts; None: the line's own value is what is counted. dash: a dash pattern of SVG.
    is_stepped: each value is held over its interval; None: where intervals are wide enough.
    """

    label: str
    values: Values
    style: LineStyle = "line"
    colour: str = ""
    opacity: float = 1.0
    width: float = 1.5
    statistics: LineStatistics | None = None
    query: str = ""
    bucket: tuple[float, float] | None = None
    dash: str = ""
    is_stepped: bool | None = None


class PlotSpan(msgspec.Struct, frozen=True, kw_only=True):
    """A marked stretch of time over all axes; equal ends mark a moment.

    Ends may lie outside the plot. colour: `#rrggbb` or a meaning (`danger`, `warning`, `good`,
    `neutral`). opacity is that of the filling.
    """

    start_ms: int
    end_ms: int
    label: str = ""
    colour: str = "neutral"
    opacity: float = 0.12


class PlotLevel(msgspec.Struct, frozen=True, kw_only=True):
    """A marked range of values on one axis; equal ends mark one value, such as a threshold.

    An end may be infinite: everything above or below.
    """

    low: float
    high: float
    label: str = ""
    colour: str = "neutral"
    opacity: float = 0.12


class HeatmapStyle(msgspec.Struct, frozen=True, kw_only=True):
    """How counts become colours. colours: from few to many; empty: a ramp of the theme.

    low, high: counts of the first and the last colour; counts beyond take the nearest.
    """

    scale: ScaleName = "linear"
    low: Bound = "auto-style"
    high: Bound = "auto-style"
    colours: list[str] = []
    label: str = ""


class PlotAxis(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One value axis with its lines.

    low, high: `auto-style` ends on round values, and at zero where areas, stacks or small
    values ask for it; `auto-data` ends exactly where the data does. reach: values that count
    as data for both. colour: of its labels; empty: its first line's when there are several
    axes. unit: finer than `tick_labels`, for values whose unit is known.
    """

    lines: list[PlotLine]
    label: str = ""
    scale: ScaleName = "linear"
    low: Bound = "auto-style"
    high: Bound = "auto-style"
    reach: tuple[float, ...] = ()
    tick_labels: TickLabels = "decimal"
    unit: UnitName | None = None
    colour: str = ""
    heatmap: HeatmapStyle = HeatmapStyle()
    levels: list[PlotLevel] = []


class Plot(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A plot over time.

    times_ms: int64, ascending by `step_ms`, END stamps: a value stamped t covers
    (t - step_ms, t]. zones: IANA names, one time axis each. zoom: enlarges the whole picture.
    notices: what a reader must know about the data, written below. only_graph: nothing but
    the plotting area. legend: `full` has a table of statistics, `labels` names only.
    remark: at the right of the title; None: the time range and the step.
    """

    times_ms: Times
    step_ms: int
    axes: list[PlotAxis]
    title: str = ""
    subtitle: str = ""
    remark: str | None = None
    spans: list[PlotSpan] = []
    zones: tuple[str, ...] = ("UTC",)
    width: int = 700
    height: int = 300
    layout: Layout = "canvas"
    theme: ThemeName = "light"
    vision: Vision = "normal"
    legend: LegendKind = "full"
    statistics: tuple[StatisticName, ...] = ("max", "min", "avg", "last", "total", "count")
    only_graph: bool = False
    zoom: float = 1.0
    notices: list[str] = []
    footer: str = ""
