"""What makes the description of a plot contradict itself."""

import math
from itertools import pairwise
from typing import Final, get_args

import numpy as np

from breakwater.render.chart import LATEST_MS
from breakwater.render.errors import ChartError, PictureSizeError
from breakwater.render.palette import THEMES, colour_of
from breakwater.render.plot.model import (
    MOST_AXES,
    MOST_LINES,
    MOST_ZONES,
    Layout,
    LegendKind,
    LineStyle,
    Plot,
    PlotAxis,
    PlotLine,
    ScaleName,
    TickLabels,
    Vision,
)

SMALLEST: Final = (32, 16)
LARGEST: Final = (8_000, 8_000)
_ZOOMS: Final = (0.1, 10.0)


def check_plot(plot: Plot) -> None:
    """Raise ChartError or PictureSizeError naming the first contradiction in `plot`."""
    _check_size(plot)
    _check_words(plot)
    _check_times(plot)
    if not 1 <= len(plot.axes) <= MOST_AXES:
        raise ChartError(f"a plot has 1 to {MOST_AXES} axes, not {len(plot.axes)}")
    lines = sum(len(axis.lines) for axis in plot.axes)
    if lines > MOST_LINES:
        raise ChartError(f"a plot has at most {MOST_LINES} lines, not {lines}")
    if not 1 <= len(plot.zones) <= MOST_ZONES:
        raise ChartError(f"a plot has 1 to {MOST_ZONES} time zones, not {len(plot.zones)}")
    for span in plot.spans:
        if span.end_ms < span.start_ms:
            raise ChartError(
                f"span '{span.label}' ends at {span.end_ms}, before its start {span.start_ms}"
            )
        colour_of(span.colour, THEMES[plot.theme])
        _check_opacity(span.opacity, f"span '{span.label}'")
    for number, axis in enumerate(plot.axes):
        _check_axis(plot, axis, number)


def _check_size(plot: Plot) -> None:
    if not (SMALLEST[0] <= plot.width <= LARGEST[0] and SMALLEST[1] <= plot.height <= LARGEST[1]):
        raise PictureSizeError(
            f"a plot of {plot.width} x {plot.height} pixels is not drawn; allowed: "
            f"{SMALLEST[0]} x {SMALLEST[1]} to {LARGEST[0]} x {LARGEST[1]}"
        )
    if not _ZOOMS[0] <= plot.zoom <= _ZOOMS[1]:
        raise PictureSizeError(f"zoom {plot.zoom:g} is not between {_ZOOMS[0]} and {_ZOOMS[1]:g}")


def _check_words(plot: Plot) -> None:
    for name, word, allowed in (
        ("theme", plot.theme, tuple(THEMES)),
        ("layout", plot.layout, get_args(Layout)),
        ("vision", plot.vision, get_args(Vision)),
        ("legend", plot.legend, get_args(LegendKind)),
    ):
        _check_word(name, word, allowed)


def _check_word(name: str, word: str, allowed: tuple[str, ...]) -> None:
    if word not in allowed:
        raise ChartError(f"{name} '{word}' is not one of {', '.join(allowed)}")


def _check_times(plot: Plot) -> None:
    times = plot.times_ms
    if times.ndim != 1 or times.dtype.kind not in "iu":
        raise ChartError(
            f"times_ms must be one row of integers, is {times.ndim}-dimensional {times.dtype}"
        )
    if plot.step_ms < 0:
        raise ChartError(f"step_ms must not be negative, is {plot.step_ms}")
    if times.size and (times[0] < 0 or times[-1] > LATEST_MS or np.any(np.diff(times) <= 0)):
        raise ChartError("times_ms must ascend within 1970 to 9999")


def _check_axis(plot: Plot, axis: PlotAxis, number: int) -> None:
    _check_word("scale", axis.scale, get_args(ScaleName))
    _check_word("scale", axis.heatmap.scale, get_args(ScaleName))
    _check_word("tick_labels", axis.tick_labels, get_args(TickLabels))
    for low, high in ((axis.low, axis.high), (axis.heatmap.low, axis.heatmap.high)):
        _check_bounds(low, high, f"axis {number}")
    for level in axis.levels:
        if not level.low <= level.high:
            raise ChartError(f"level '{level.label}' has no range: {level.low} to {level.high}")
        colour_of(level.colour, THEMES[plot.theme])
        _check_opacity(level.opacity, f"level '{level.label}'")
    for colour in (axis.colour, *axis.heatmap.colours):
        _check_hex(colour, f"axis {number}")
    for line in axis.lines:
        _check_line(plot, line)


def _check_bounds(low: object, high: object, what: str) -> None:
    for bound in (low, high):
        if isinstance(bound, str):
            _check_word("bound", bound, ("auto-style", "auto-data"))
        elif not (isinstance(bound, float | int) and math.isfinite(bound) and abs(bound) < 1e300):
            raise ChartError(f"{what}: a bound must be a finite number, is {bound}")
    if isinstance(low, float | int) and isinstance(high, float | int) and low >= high:
        raise ChartError(f"{what}: the lower bound {low:g} is not below the upper one {high:g}")


def _check_line(plot: Plot, line: PlotLine) -> None:
    if line.values.shape != plot.times_ms.shape:
        raise ChartError(
            f"line '{line.label}' has values of shape {line.values.shape} "
            f"for times of shape {plot.times_ms.shape}"
        )
    if line.values.dtype.kind not in "fiu":
        raise ChartError(f"line '{line.label}' holds {line.values.dtype}, expected real numbers")
    _check_word("line style", line.style, get_args(LineStyle))
    _check_hex(line.colour, f"line '{line.label}'")
    _check_opacity(line.opacity, f"line '{line.label}'")
    if not 0 <= line.width <= 100:
        raise ChartError(f"line '{line.label}' is {line.width} pixels wide; allowed: 0 to 100")
    if line.bucket is not None and not all(
        math.isfinite(low) and low <= high for low, high in pairwise(line.bucket)
    ):
        raise ChartError(f"line '{line.label}' has the bucket {line.bucket}, which is no range")
    if not set(line.dash) <= set("0123456789. "):
        raise ChartError(
            f"line '{line.label}' has the dash pattern '{line.dash}'; only numbers can be"
        )


def _check_hex(colour: str, what: str) -> None:
    if colour and (not colour.startswith("#") or colour_of(colour, THEMES["light"]) != colour):
        raise ChartError(f"{what}: colour '{colour}' is not #rgb or #rrggbb")


def _check_opacity(opacity: float, what: str) -> None:
    if not 0 <= opacity <= 1:
        raise ChartError(f"{what} has opacity {opacity:g}; allowed: 0 to 1")
