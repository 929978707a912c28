"""Heat maps as numbers: counts in cells of time and value, for whoever draws them elsewhere.

A plain line counts one in the cell its value lies in. A line of a percentile bucket (its tag
`percentile` is `T002A` or `D002A`) adds its value to the cells the bucket overlaps, in proportion.
"""

import math
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from breakwater.metrics.api.axes import HeatmapParameters
from breakwater.metrics.api.graph import GraphAxis, GraphLine
from breakwater.metrics.text.units import decimal_text
from breakwater.model.percentiles import UPPER_BOUNDS
from breakwater.render import THEMES, Bound, Colour, ThemeName, ramp

Values = NDArray[np.float64]

_ROWS: Final = 12
_ROUND: Final = (1.0, 2.0, 5.0, 10.0)
_LOGARITHMIC: Final = frozenset(("log", "log-linear"))
_MOST_DECADES: Final = 18
_LARGEST: Final = 1e300
"""Values beyond are counted nowhere; sums and differences would leave the numbers."""


class Cells(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A heat map: rows from below and colours from few, each with its range and label.

    counts: float64 [points, rows].
    """

    rows: list[tuple[float, float, str]]
    colours: list[tuple[Colour, float, float, str]]
    counts: Values


def bucket_of_line(tags: dict[str, str]) -> tuple[float, float] | None:
    """The range (low, high] a bucket counter counts, in seconds for timers; None for others."""
    text = tags.get("percentile", "")
    if len(text) != 5 or text[0] not in "TD":
        return None
    try:
        place = int(text[1:], 16)
    except ValueError:
        return None
    if not 0 <= place < len(UPPER_BOUNDS):
        return None
    scale = 1e-9 if text[0] == "T" else 1.0
    low = UPPER_BOUNDS[place - 1] if place else 0
    return low * scale, UPPER_BOUNDS[place] * scale


def heat_colours(axis: GraphAxis, theme: ThemeName) -> list[str]:
    """The colours of an axis's heat map, from few to many, each as `#rrggbb`."""
    palette = axis.settings.heatmap.palette
    if palette is not None:
        return [colour.hex for colour in palette.colours]
    first = next((line for line in axis.lines if line.style == "heatmap"), None)
    if first is None or first.colour is None:
        return ramp(THEMES[theme])
    is_chosen = not {"color", "palette"}.isdisjoint(first.expression.settings)
    return ramp(THEMES[theme], first.colour.hex if is_chosen else "")


def cells_of(axis: GraphAxis, theme: ThemeName) -> Cells | None:
    """The heat map of an axis; None when no line is to be drawn as one."""
    lines = [line for line in axis.lines if line.style == "heatmap"]
    if not lines:
        return None
    edges = _edges(lines, axis)
    counts = _counts(lines, edges)
    rows = [
        (low, high, decimal_text(high))
        for low, high in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
    ]
    return Cells(
        rows=rows,
        colours=_colours(counts, axis.settings.heatmap, heat_colours(axis, theme)),
        counts=counts,
    )


def _edges(lines: list[GraphLine], axis: GraphAxis) -> Values:
    """Where the rows begin and end: round values, unless the ends were given."""
    low, high, least = _extent(lines)
    settings = axis.settings
    low = settings.lower if isinstance(settings.lower, float) else low
    high = settings.upper if isinstance(settings.upper, float) else high
    low, high = (min(max(end, -_LARGEST), _LARGEST) for end in (low, high))
    if high - low <= 1e-12 * max(abs(low), abs(high), 1e-280):
        high = low + (abs(low) or 1.0)
    inner = _powers(least, high) if settings.scale in _LOGARITHMIC else _steps(low, high)
    first = _below(inner, low) if settings.lower == "auto-style" else low
    last = _above(inner, high) if settings.upper == "auto-style" else high
    return np.array([first, *(edge for edge in inner if first < edge < last), last])


def _extent(lines: list[GraphLine]) -> tuple[float, float, float]:
    """The least and greatest value shown, and the least above zero."""
    lows: list[float] = []
    highs: list[float] = []
    for line in lines:
        values = line.line.values
        bucket = bucket_of_line(line.line.tags)
        if bucket is not None:
            if (values > 0).any():
                lows.append(bucket[0])
                highs.append(bucket[1])
        elif (np.abs(values) <= _LARGEST).any():
            there = values[np.abs(values) <= _LARGEST]
            lows.append(float(there.min()))
            highs.append(float(there.max()))
    if not lows:
        return 0.0, 1.0, 0.1
    positive = [value for value in (*lows, *highs) if value > 0]
    return min(lows), max(highs), min(positive, default=1.0)


def _steps(low: float, high: float) -> list[float]:
    rough = (high - low) / _ROWS
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(factor for factor in _ROUND if factor * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, last + 1)]


def _powers(least: float, high: float) -> list[float]:
    first = math.floor(math.log10(least))
    last = math.ceil(math.log10(max(high, least)))
    decades = range(max(first, last - _MOST_DECADES), last + 1)
    powers = {factor * 10.0**decade for decade in decades for factor in (1.0, 2.0, 5.0)}
    return sorted({0.0, *powers})


def _below(edges: list[float], low: float) -> float:
    return max((edge for edge in edges if edge <= low), default=low)


def _above(edges: list[float], high: float) -> float:
    return min((edge for edge in edges if edge >= high), default=high)


def _counts(lines: list[GraphLine], edges: Values) -> Values:
    points, rows = len(lines[0].line.values), len(edges) - 1
    counts = np.zeros((points, rows))
    for line in lines:
        values = line.line.values
        bucket = bucket_of_line(line.line.tags)
        if bucket is None:
            row = np.searchsorted(edges, values, side="right") - 1
            row[values == edges[-1]] = rows - 1
            inside = np.flatnonzero((values >= edges[0]) & (values <= edges[-1]))
            counts[inside, row[inside]] += 1.0
            continue
        low, high = bucket
        overlap = np.minimum(edges[1:], high) - np.maximum(edges[:-1], low)
        shares = np.maximum(overlap, 0.0) / (high - low)
        counts += np.maximum(np.nan_to_num(values), 0.0)[:, np.newaxis] * shares
    return counts


def _colours(
    counts: Values, settings: HeatmapParameters, colours: list[str]
) -> list[tuple[Colour, float, float, str]]:
    positive = counts[counts > 0]
    least, most = (float(positive.min()), float(positive.max())) if positive.size else (0.0, 1.0)
    low, high = _fixed(settings.lower, least), _fixed(settings.upper, most)
    if not low < high:
        high = low + 1.0
    shares = np.linspace(0.0, 1.0, len(colours) + 1)
    if settings.scale in _LOGARITHMIC and low > 0:
        ends = np.exp(math.log(low) + shares * (math.log(high) - math.log(low)))
    else:
        bent = {"sqrt": np.square(shares), "pow2": np.sqrt(shares)}.get(settings.scale, shares)
        ends = low + bent * (high - low)
    pairs = zip(colours, ends[:-1].tolist(), ends[1:].tolist(), strict=True)
    return [(Colour(colour), one, other, decimal_text(other)) for colour, one, other in pairs]


def _fixed(bound: Bound, found: float) -> float:
    return found if isinstance(bound, str) else float(bound)
