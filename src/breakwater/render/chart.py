"""What a line chart is made of, and what makes a description of one contradict itself."""

from typing import Final, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from breakwater.render.errors import ChartError, PictureSizeError
from breakwater.render.palette import THEMES, ThemeName, colour_of
from breakwater.render.units import UnitName

Times = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]

SMALLEST: Final = (240, 120)
LARGEST: Final = (8_000, 8_000)
LATEST_MS: Final = 253_402_300_799_000  # the end of the year 9999, where calendars stop


class Series(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One line. `values` are float64, one for each time of the chart; NaN is a gap.

    style: `line` joins points, `area` also fills down to zero, `step` holds each value from
    the time before, which is what a datapoint that covers (t - step, t] says.
    axis: which side's scale it is read on. colour: `#rrggbb`, a meaning (`danger`, `warning`,
    `good`, `neutral`) or None for the next of the palette.
    """

    name: str
    values: Values
    colour: str | None = None
    style: Literal["line", "area", "step"] = "line"
    axis: Literal["left", "right"] = "left"


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """A marked stretch of time, such as a fault; equal ends mark a moment.

    Both ends may lie outside the chart; what is outside is not drawn.
    """

    start_ms: int
    end_ms: int
    label: str
    colour: str = "neutral"


class Chart(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A chart over time.

    times_ms: int64, ascending, milliseconds UTC. width, height: pixels of the picture without
    its legend, which adds its rows below. low, high: values the left scale must reach;
    it covers the data in any case, and zero whenever no value is negative.
    right_label, right_unit: for series with axis `right`.
    """

    title: str
    times_ms: Times
    series: list[Series]
    subtitle: str = ""
    width: int = 960
    height: int = 320
    spans: list[Span] = []
    y_label: str = ""
    unit: UnitName = "number"
    right_label: str = ""
    right_unit: UnitName = "number"
    low: float | None = None
    high: float | None = None
    legend: bool = True
    theme: ThemeName = "light"


def check_size(width: float, height: float) -> None:
    """Raise PictureSizeError unless both sides lie within what is drawn."""
    if not (SMALLEST[0] <= width <= LARGEST[0] and SMALLEST[1] <= height <= LARGEST[1]):
        raise PictureSizeError(
            f"a picture of {width:g} x {height:g} pixels is not drawn; allowed: "
            f"{SMALLEST[0]} x {SMALLEST[1]} to {LARGEST[0]} x {LARGEST[1]}"
        )


def check_chart(chart: Chart) -> None:
    """Raise ChartError or PictureSizeError naming the first contradiction in `chart`."""
    check_size(chart.width, chart.height)
    times = chart.times_ms
    if times.ndim != 1 or times.dtype.kind not in "iu":
        raise ChartError(
            f"chart '{chart.title}': times_ms must be one row of integers, "
            f"is {times.ndim}-dimensional {times.dtype}"
        )
    if times.size and (times[0] < 0 or times[-1] > LATEST_MS or np.any(np.diff(times) <= 0)):
        raise ChartError(f"chart '{chart.title}': times_ms must ascend within 1970 to 9999")
    for series in chart.series:
        _check_series(chart, series)
    for span in chart.spans:
        if span.end_ms < span.start_ms:
            raise ChartError(
                f"span '{span.label}' ends at {span.end_ms}, before its start {span.start_ms}"
            )
        colour_of(span.colour, THEMES[chart.theme])
    _check_ends(chart)


def _check_series(chart: Chart, series: Series) -> None:
    if series.values.shape != chart.times_ms.shape:
        raise ChartError(
            f"series '{series.name}' has values of shape {series.values.shape} "
            f"for times of shape {chart.times_ms.shape}"
        )
    if series.values.dtype.kind not in "fiu":
        raise ChartError(
            f"series '{series.name}' holds {series.values.dtype}, expected real numbers"
        )
    if series.colour is not None:
        colour_of(series.colour, THEMES[chart.theme])


def _check_ends(chart: Chart) -> None:
    for end in (chart.low, chart.high):
        if end is not None and not np.isfinite(end):
            raise ChartError(f"chart '{chart.title}': low and high must be finite, got {end}")
    if chart.low is not None and chart.high is not None and chart.low >= chart.high:
        raise ChartError(
            f"chart '{chart.title}': low {chart.low:g} is not below high {chart.high:g}"
        )
