"""Counts in cells of time and value, and the colours of the counts."""

import math
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from breakwater.render.chart import Values
from breakwater.render.palette import Theme
from breakwater.render.plot.axes import AxisScale, line_values
from breakwater.render.plot.frame import Frame, Intervals
from breakwater.render.plot.model import HeatmapStyle, PlotLine
from breakwater.render.plot.palettes import ramp
from breakwater.render.plot.scales import ValueScale, knee_of
from breakwater.render.svg import Canvas, number

_ROW: Final = 7.0
_COLUMN: Final = 3.0
_MOST_ROWS: Final = 96
_MOST_COLUMNS: Final = 480


class ColourScale(msgspec.Struct, frozen=True, kw_only=True):
    """Which count has which colour."""

    scale: ValueScale
    colours: list[str]

    def places(self, counts: Values) -> npt.NDArray[np.int64]:
        """The colour's place for each count."""
        steps = np.floor(self.scale.shares(counts) * len(self.colours))
        places: npt.NDArray[np.int64] = np.clip(steps, 0, len(self.colours) - 1).astype(np.int64)
        return places


class Heatmap(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Counts [rows from below, columns]; a column holds `per` datapoints and counts their mean."""

    counts: Values
    per: int
    colours: ColourScale


def heatmap(
    lines: list[PlotLine],
    axis: AxisScale,
    style: HeatmapStyle,
    *,
    frame: Frame,
    across: Intervals,
    theme: Theme,
) -> Heatmap:
    """Count the lines of a heat map into cells a few pixels wide and high.

    A plain line counts one where its value lies. A line with a bucket adds its value to the
    cells its bucket overlaps, in proportion to their heights. What lies outside the axis is not
    counted.
    """
    rows = min(max(round(frame.height / _ROW), 1), _MOST_ROWS)
    counts = np.zeros((rows, across.count))
    plain = [line for line in lines if line.bucket is None]
    if plain:
        counts += _counted(plain, axis.scale, rows)
    bucketed = [line for line in lines if line.bucket is not None]
    if bucketed:
        counts += _spread(bucketed, axis.scale, rows)
    columns = min(max(frame.width / _COLUMN, 1), _MOST_COLUMNS)
    per = max(math.ceil(across.count / columns), 1)
    counts = _merged(counts, per)
    return Heatmap(counts=counts, per=per, colours=_colours(counts, style, theme))


def _counted(lines: list[PlotLine], scale: ValueScale, rows: int) -> Values:
    values = np.stack([line_values(line) for line in lines])
    shares = scale.shares(values)
    inside = (shares >= -1e-12) & (shares <= 1 + 1e-12)
    row = np.clip(np.nan_to_num(shares) * rows, 0, rows - 1).astype(np.int64)
    column = np.broadcast_to(np.arange(values.shape[1]), values.shape)
    cells = (row * values.shape[1] + column)[inside]
    counts = np.bincount(cells, minlength=rows * values.shape[1])
    return counts.reshape(rows, values.shape[1]).astype(np.float64)


def _spread(lines: list[PlotLine], scale: ValueScale, rows: int) -> Values:
    edges = np.linspace(0.0, 1.0, rows + 1)
    buckets = scale.shares(np.array([line.bucket for line in lines], dtype=np.float64))
    low, high = buckets[:, 0], buckets[:, 1]
    overlap = np.minimum(edges[1:, np.newaxis], high) - np.maximum(edges[:-1, np.newaxis], low)
    size = np.where(high > low, high - low, 1.0)
    weights = np.maximum(overlap, 0.0) / size
    values = np.nan_to_num(np.stack([line_values(line) for line in lines]))
    spread: Values = weights @ np.maximum(values, 0.0)
    return spread


def _merged(counts: Values, per: int) -> Values:
    if per == 1:
        return counts
    columns = counts.shape[1]
    starts = np.arange(0, columns, per)
    sizes = np.diff(np.append(starts, columns))
    merged: Values = np.add.reduceat(counts, starts, axis=1) / sizes
    return merged


def _colours(counts: Values, style: HeatmapStyle, theme: Theme) -> ColourScale:
    positive = counts[counts > 0]
    least, most = (float(positive.min()), float(positive.max())) if positive.size else (0.0, 1.0)
    is_log = style.scale in {"log", "log-linear"}
    if style.low == "auto-style" and not is_log:
        least = 0.0
    low = least if isinstance(style.low, str) else float(style.low)
    high = most if isinstance(style.high, str) else float(style.high)
    if high <= low:
        low, high = (0.0, high) if high > 0 else (low, low + 1.0)
    knee = knee_of(min(value for value in (least, low, high) if value > 0), high) if is_log else 1.0
    return ColourScale(
        scale=ValueScale(kind=style.scale, low=low, high=high, knee=knee),
        colours=style.colours or ramp(theme),
    )


def draw_heatmap(canvas: Canvas, found: Heatmap, *, frame: Frame, across: Intervals) -> None:
    """Fill every cell that counts anything; cells of one colour are one path."""
    places = np.where(found.counts > 0, found.colours.places(found.counts), -1)
    rows, columns = places.shape
    down = np.linspace(frame.bottom, frame.top, rows + 1)
    edges = [number(value) for value in down.tolist()]
    starts = [number(value) for value in across.begins[:: found.per].tolist()]
    stops = [number(value) for value in across.ends[found.per - 1 :: found.per].tolist()]
    stops += [number(float(across.ends[-1]))] * (columns - len(stops))
    paths: dict[int, list[str]] = {}
    for row in range(rows):
        changes = np.flatnonzero(np.diff(places[row], prepend=-2, append=-2))
        for start, stop in zip(changes[:-1].tolist(), changes[1:].tolist(), strict=True):
            place = int(places[row, start])
            if place >= 0:
                left, right = starts[start], stops[stop - 1]
                box = f"M{left} {edges[row]}H{right}V{edges[row + 1]}H{left}Z"
                paths.setdefault(place, []).append(box)
    for place, boxes in sorted(paths.items()):
        colour = found.colours.colours[place]
        canvas.path("".join(boxes), fill=colour, is_crisp=True)
