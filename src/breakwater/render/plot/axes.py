"""One value axis worked out: its ends, its scale, its marks and what is written at them."""

import math
from typing import Final

import msgspec
import numpy as np

from breakwater.render.chart import Values
from breakwater.render.plot.labels import tick_labels
from breakwater.render.plot.model import Bound, PlotAxis, PlotLine
from breakwater.render.plot.scales import LARGEST, ValueScale, knee_of
from breakwater.render.plot.ticks import bent_ticks, linear_ticks, spread, steps_from
from breakwater.render.units import UnitName

_TICK_GAP: Final = 50.0
_BENT_GAP: Final = 26.0
_HEADROOM: Final = 0.03
_UNITS: Final[dict[str, UnitName]] = {
    "decimal": "number",
    "binary": "binary",
    "duration": "seconds",
    "off": "number",
}


class Extent(msgspec.Struct, frozen=True, kw_only=True):
    """What the lines of an axis cover; `smallest` is the least size that is not zero."""

    low: float
    high: float
    smallest: float
    has_values: bool


class AxisScale(msgspec.Struct, frozen=True, kw_only=True):
    """A scale with its marks, ascending and within its ends, and their labels."""

    scale: ValueScale
    ticks: list[float]
    labels: list[str]


def unit_of(axis: PlotAxis) -> UnitName:
    """The unit the axis and the numbers of its lines are written in."""
    return axis.unit or _UNITS[axis.tick_labels]


def axis_scale(axis: PlotAxis, extent: Extent, *, height: float) -> AxisScale:
    """The scale of an axis that is `height` pixels high."""
    unit = unit_of(axis)
    low, high = _ends(axis, extent)
    if axis.scale == "linear":
        scale, ticks = _linear(axis, low, high, height=height, unit=unit)
    else:
        scale, ticks = _bent(axis, extent, low, high, height=height, unit=unit)
    labels = [] if axis.tick_labels == "off" else tick_labels(ticks, unit)
    return AxisScale(scale=scale, ticks=ticks, labels=labels)


def _ends(axis: PlotAxis, extent: Extent) -> tuple[float, float]:
    """The ends before they are made round: given, or the data's with what styles ask for."""
    low = _fixed(axis.low, extent.low)
    high = _fixed(axis.high, extent.high)
    has_area = any(line.style in {"area", "stack"} for line in axis.lines)
    if axis.low == "auto-style":
        low = _styled_low(low, high, has_area=has_area)
    if axis.high == "auto-style" and has_area:
        high = max(high, 0.0)
    if low < high:
        return low, high
    if isinstance(axis.low, float | int) and not isinstance(axis.high, float | int):
        return low, low + max(1.0, 0.1 * abs(low))
    if isinstance(axis.high, float | int):
        return high - max(1.0, 0.1 * abs(high)), high
    around = abs(low) or 1.0
    if axis.low == "auto-style" and low >= 0:
        return 0.0, 1.5 * low or 0.97
    return low - around / 2, high + around / 2


def _fixed(bound: Bound, found: float) -> float:
    return found if isinstance(bound, str) else float(bound)


def _styled_low(low: float, high: float, *, has_area: bool) -> float:
    # A scale that starts a little above zero exaggerates; one far above zero shows the shape.
    return 0.0 if low > 0 and (has_area or low <= 0.4 * high) else low


def _linear(
    axis: PlotAxis, low: float, high: float, *, height: float, unit: UnitName
) -> tuple[ValueScale, list[float]]:
    count = max(round(height / _TICK_GAP), 1)
    room = (high - low) * _HEADROOM
    wanted_low = low - room if axis.low == "auto-style" and low != 0 else low
    wanted_high = high + room if axis.high == "auto-style" and high != 0 else high
    round_low, round_high, step = spread(wanted_low, wanted_high, count=count, unit=unit)
    low = round_low if axis.low == "auto-style" else low
    high = round_high if axis.high == "auto-style" else high
    if (high - low) / step < 1:
        step = next(steps_from((high - low) / 3, unit))
    scale = ValueScale(kind="linear", low=low, high=high)
    return scale, linear_ticks(low, high, step=step)


def _bent(
    axis: PlotAxis, extent: Extent, low: float, high: float, *, height: float, unit: UnitName
) -> tuple[ValueScale, list[float]]:
    is_log = axis.scale in {"log", "log-linear"}
    if is_log and axis.low == "auto-style" and low >= 0:
        low = 0.0 if extent.low <= 0 else extent.low
    sizes = [extent.smallest, *(abs(end) for end in (low, high) if end != 0)]
    knee = knee_of(min(sizes), max(abs(low), abs(high))) if is_log else 1.0
    if axis.low == "auto-style":
        low = _rounder(low, is_log=is_log, down=True)
    if axis.high == "auto-style":
        high = _rounder(high, is_log=is_log, down=False)
    if low >= high:
        high = low + max(abs(low), 1.0)
    scale = ValueScale(kind=axis.scale, low=low, high=high, knee=knee)
    return scale, bent_ticks(scale, height=height, gap=_BENT_GAP, unit=unit)


def _rounder(value: float, *, is_log: bool, down: bool) -> float:
    """The next value of one digit (on logarithmic scales 1, 2 or 5) at or beyond `value`."""
    if value == 0:
        return 0.0
    away = down == (value < 0)
    power = math.floor(math.log10(abs(value)) + 1e-12)
    mantissa = abs(value) / 10.0**power
    choices = (1.0, 2.0, 5.0, 10.0) if is_log else tuple(0.5 * count for count in range(2, 21))
    near = [choice for choice in choices if abs(choice - mantissa) < 1e-9]
    if near:
        return value
    if away:
        chosen = min(choice for choice in choices if choice > mantissa)
    else:
        chosen = max(choice for choice in choices if choice < mantissa)
    return math.copysign(chosen * 10.0**power, value)


def extent_of(axis: PlotAxis) -> Extent:
    """What is to be seen on an axis; spans of its own lines count for nothing."""
    found = [line_values(line) for line in axis.lines if line.style in {"line", "area"}]
    found += stack_ends([line for line in axis.lines if line.style == "stack"])
    found += [_heat_values(line) for line in axis.lines if line.style == "heatmap"]
    has_values = any(np.isfinite(values).any() for values in found)
    found.append(np.array(axis.reach, dtype=np.float64))
    lows = [float(np.fmin.reduce(values)) for values in found if values.size]
    highs = [float(np.fmax.reduce(values)) for values in found if values.size]
    low = min((value for value in lows if not math.isnan(value)), default=0.0)
    high = max((value for value in highs if not math.isnan(value)), default=0.97)
    return Extent(
        low=low,
        high=high,
        smallest=_smallest(axis, found),
        has_values=has_values,
    )


def _smallest(axis: PlotAxis, found: list[Values]) -> float:
    if axis.scale not in {"log", "log-linear"}:
        return 1.0
    sizes = [np.abs(values) for values in found if values.size]
    least = [float(np.fmin.reduce(np.where(size > 0, size, np.nan))) for size in sizes]
    return min((value for value in least if not math.isnan(value)), default=1.0)


def line_values(line: PlotLine) -> Values:
    """The values of a line as float64, NaN where they cannot be drawn."""
    values = np.asarray(line.values, dtype=np.float64)
    return np.where(np.abs(values) < LARGEST, values, np.nan)


def stack_ends(lines: list[PlotLine]) -> list[Values]:
    """The upper end of what is stacked upwards and the lower end of what hangs down."""
    if not lines:
        return []
    up, down = (np.zeros(lines[0].values.size) for _ in range(2))
    for line in lines:
        values = np.nan_to_num(line_values(line))
        up += np.maximum(values, 0.0)
        down += np.minimum(values, 0.0)
    return [up, down] if down.any() else [up]


def _heat_values(line: PlotLine) -> Values:
    if line.bucket is None:
        return line_values(line)
    has_counts = bool(np.any(line_values(line) > 0))
    return np.array(line.bucket if has_counts else (), dtype=np.float64)
