"""Grid, value axes, time axes and levels: what makes numbers of the lines."""

import math
from collections.abc import Sequence
from typing import Final

from breakwater.render.heading import MARGIN, SMALL_SIZE
from breakwater.render.palette import Theme, colour_of
from breakwater.render.plot.frame import Frame
from breakwater.render.plot.layout import LABEL_GAP, ROW, Arrangement, Place
from breakwater.render.plot.model import Plot, PlotLevel
from breakwater.render.plot.scales import ValueScale
from breakwater.render.svg import Canvas
from breakwater.render.text import elide, width

_TICK: Final = 4.0
_LEAST_GAP: Final = 12.0


def draw_grid(canvas: Canvas, theme: Theme, arrangement: Arrangement) -> None:
    """Hair lines at the marks of the first value axis and of the first time axis."""
    frame = arrangement.frame
    if arrangement.times:
        for tick in arrangement.times[0].ticks:
            x = round(frame.x(tick.at_ms)) + 0.5
            canvas.line(x, frame.top, x, frame.bottom, stroke=theme.grid)
    scaled = arrangement.places[0].scaled
    for value in scaled.ticks:
        y = _level(frame, scaled.scale, value)
        canvas.line(frame.left, y, frame.right, y, stroke=theme.grid)


def draw_ground(canvas: Canvas, theme: Theme, arrangement: Arrangement) -> None:
    """The line at zero, or at the foot of the area when zero is not on the first axis."""
    frame = arrangement.frame
    scale = arrangement.places[0].scaled.scale
    foot = 0.0 if scale.low <= 0 <= scale.high else scale.low
    y = _level(frame, scale, foot)
    canvas.line(frame.left, y, frame.right, y, stroke=theme.axis)


def _level(frame: Frame, scale: ValueScale, value: float) -> float:
    return round(frame.bottom - scale.share(value) * frame.height) + 0.5


def draw_axes(
    canvas: Canvas, theme: Theme, arrangement: Arrangement, colours: Sequence[str]
) -> None:
    """Labels, and names, of every value axis that has room; colours: one for each."""
    for number, place in enumerate(arrangement.places):
        if place.is_shown:
            _draw_axis(canvas, theme, arrangement.frame, place, number, colours[number])
    frame = arrangement.frame
    left, right = arrangement.names
    colour = colours[0] if colours else theme.muted
    canvas.text(MARGIN, frame.top - 12, left, size=SMALL_SIZE, fill=colour)
    if right:
        edge = arrangement.width - MARGIN
        canvas.text(edge, frame.top - 12, right, size=SMALL_SIZE, fill=colours[1], anchor="end")


def _draw_axis(  # noqa: PLR0917 - an axis, its place and its look
    canvas: Canvas, theme: Theme, frame: Frame, place: Place, number: int, colour: str
) -> None:
    away = -1 if place.is_left else 1
    scaled = place.scaled
    if number > 0:
        canvas.line(place.edge, frame.top, place.edge, frame.bottom, stroke=theme.axis)
    taken = math.inf
    for tick, label in zip(scaled.ticks, scaled.labels, strict=False):
        y = _level(frame, scaled.scale, tick)
        if taken - y < _LEAST_GAP:
            continue
        taken = y
        if number > 0:
            canvas.line(place.edge, y, place.edge + away * _TICK, y, stroke=theme.axis)
        canvas.text(
            place.edge + away * LABEL_GAP,
            y + 3.5,
            label,
            size=SMALL_SIZE,
            fill=colour,
            anchor="end" if place.is_left else "start",
        )
    if place.name:
        x = place.edge + away * place.across + (10 if place.is_left else -3)
        middle = (frame.top + frame.bottom) / 2
        canvas.turned_text(x, middle, place.name, size=SMALL_SIZE, fill=colour)


def draw_times(canvas: Canvas, theme: Theme, arrangement: Arrangement, *, named: bool) -> None:
    """The time axes, one below the other; named: with what their clocks are called."""
    frame = arrangement.frame
    for number, row in enumerate(arrangement.times):
        baseline = frame.bottom + 18 + number * ROW
        name = elide(row.name, frame.left - MARGIN, SMALL_SIZE) if named else ""
        canvas.text(MARGIN, baseline, name, size=SMALL_SIZE, fill=theme.muted)
        taken = MARGIN + width(name, SMALL_SIZE) + 8 if name else -math.inf
        for tick in row.ticks:
            x = round(frame.x(tick.at_ms)) + 0.5
            if number == 0:
                canvas.line(x, frame.bottom, x, frame.bottom + _TICK, stroke=theme.axis)
            half = width(tick.label, SMALL_SIZE, bold=tick.is_day) / 2
            if x - half < max(taken, 1.0) or x + half > arrangement.width - 1:
                continue
            taken = x + half + 8
            canvas.text(
                x,
                baseline,
                tick.label,
                size=SMALL_SIZE,
                fill=theme.text if tick.is_day else theme.muted,
                anchor="middle",
                bold=tick.is_day,
            )


def draw_level_fills(canvas: Canvas, theme: Theme, plot: Plot, arrangement: Arrangement) -> None:
    """Fill the marked ranges of every axis, lightly."""
    frame = arrangement.frame
    for axis, place in zip(plot.axes, arrangement.places, strict=True):
        for level in axis.levels:
            edges = _edges(frame, place.scaled.scale, level)
            if edges is not None and edges[1] - edges[0] >= 1:
                canvas.rect(
                    frame.left,
                    edges[0],
                    frame.width,
                    edges[1] - edges[0],
                    fill=colour_of(level.colour, theme),
                    opacity=level.opacity,
                )


def draw_levels(canvas: Canvas, theme: Theme, plot: Plot, arrangement: Arrangement) -> None:
    """Dash the ends of marked ranges and label them, inside at the right.

    Where another level's label stands, a label is left out.
    """
    frame = arrangement.frame
    taken: list[float] = []
    for axis, place in zip(plot.axes, arrangement.places, strict=True):
        for level in axis.levels:
            _draw_level(canvas, theme, frame, place.scaled.scale, level)
            if not arrangement.is_bare:
                _draw_level_label(canvas, theme, frame, place.scaled.scale, level, taken)


def _edges(frame: Frame, scale: ValueScale, level: PlotLevel) -> tuple[float, float] | None:
    """Pixels of its upper and lower end within the area; None when it lies outside."""
    low = max(level.low, scale.low)
    high = min(level.high, scale.high)
    if low > high:
        return None
    ends = (frame.bottom - scale.share(value) * frame.height for value in (high, low))
    top, bottom = ends
    return top, bottom


def _draw_level(
    canvas: Canvas, theme: Theme, frame: Frame, scale: ValueScale, level: PlotLevel
) -> None:
    edges = _edges(frame, scale, level)
    if edges is None:
        return
    top, bottom = edges
    colour = colour_of(level.colour, theme)
    for value, y in ((level.high, top), (level.low, bottom)):
        if scale.low <= value <= scale.high:
            at = round(y) + 0.5
            canvas.line(frame.left, at, frame.right, at, stroke=colour, dash="5 3")


def _draw_level_label(  # noqa: PLR0917 - a level, its place and what stands there
    canvas: Canvas,
    theme: Theme,
    frame: Frame,
    scale: ValueScale,
    level: PlotLevel,
    taken: list[float],
) -> None:
    edges = _edges(frame, scale, level)
    label = elide(level.label, frame.width - 16, SMALL_SIZE, bold=True)
    if edges is None or not label:
        return
    places = (edges[0] - 5, edges[0] + 13)
    fitting = (
        y
        for y in places
        if frame.top + 10 <= y <= frame.bottom - 3 and all(abs(y - other) > 15 for other in taken)
    )
    baseline = next(fitting, None)
    if baseline is None:
        return
    taken.append(baseline)
    across = width(label, SMALL_SIZE, bold=True)
    right = frame.right - 6
    canvas.rect(
        right - across - 4, baseline - 10, across + 8, 13, fill=theme.background, opacity=0.75
    )
    colour = colour_of(level.colour, theme)
    canvas.text(
        right,
        baseline,
        label,
        size=SMALL_SIZE,
        fill=colour,
        anchor="end",
        bold=True,
        whole=level.label,
    )
