"""A plot as an SVG document: settle looks, find room, draw from the back to the front."""

from collections.abc import Sequence
from functools import partial
from typing import Final

from breakwater.render.heading import MARGIN, SMALL_SIZE, TITLE_SIZE, draw_heading
from breakwater.render.lanes import draw_labels, draw_marks
from breakwater.render.palette import THEMES, Theme
from breakwater.render.plot.area import Area, is_empty
from breakwater.render.plot.axes import extent_of
from breakwater.render.plot.checks import check_plot
from breakwater.render.plot.frame import Frame, time_ends
from breakwater.render.plot.furniture import (
    draw_axes,
    draw_grid,
    draw_ground,
    draw_level_fills,
    draw_levels,
    draw_times,
)
from breakwater.render.plot.keys import axis_colour, below_of
from breakwater.render.plot.layout import Arrangement, arrange
from breakwater.render.plot.looks import Look, looks_of, toned
from breakwater.render.plot.model import Plot
from breakwater.render.plot.ramps import RAMP, Ramp, draw_ramp
from breakwater.render.plot.vision import seen
from breakwater.render.plot.zones import find_zone
from breakwater.render.svg import Canvas
from breakwater.render.text import width
from breakwater.render.ticks import time_range

_UNITS: Final = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms"))


def plot_svg(plot: Plot) -> str:
    """The plot as an SVG document.

    Raises ChartError when its parts do not fit each other, PictureSizeError for a size that is
    not drawn. Cost: about 5 ms, plus a microsecond a datapoint up to some 250,000 in all;
    longer or more lines are thinned to the lowest and highest values of columns of pixels.
    """
    check_plot(plot)
    theme = THEMES[plot.theme]
    looks = looks_of(plot)
    arrangement = _arranged(plot, looks, theme)
    canvas = Canvas(
        arrangement.width,
        arrangement.height,
        title=plot.title or "plot",
        background=theme.background,
        zoom=plot.zoom,
        recolour=partial(seen, vision=plot.vision),
    )
    _draw(canvas, theme, plot, arrangement, looks)
    return canvas.finish()


def _arranged(plot: Plot, looks: Sequence[Sequence[Look]], theme: Theme) -> Arrangement:
    extents = [extent_of(axis) for axis in plot.axes]
    remark = _remark(plot)
    below = below_of(plot, looks, theme)
    found = arrange(plot, extents, below, theme=theme, remark=remark)
    without = [str(place) for place, shown in enumerate(found.places) if not shown.is_shown]
    if not without or found.is_bare:
        return found
    notice = (
        f"No room for the scale of axis {', '.join(without)}; its lines are drawn all the same."
    )
    below = below_of(plot, looks, theme, notices=[notice])
    return arrange(plot, extents, below, theme=theme, remark=remark)


def _draw(
    canvas: Canvas,
    theme: Theme,
    plot: Plot,
    arrangement: Arrangement,
    looks: Sequence[Sequence[Look]],
) -> None:
    frame = arrangement.frame
    area = Area(plot, arrangement, looks, theme)
    draw_marks(canvas, arrangement.lanes, top=frame.top, bottom=frame.bottom)
    draw_grid(canvas, theme, arrangement)
    draw_level_fills(canvas, theme, plot, arrangement)
    area.draw_heatmaps(canvas)
    area.draw_lines(canvas)
    draw_ground(canvas, theme, arrangement)
    draw_levels(canvas, theme, plot, arrangement)
    if is_empty(plot) and not arrangement.is_bare:
        _draw_nothing(canvas, theme, frame)
    if arrangement.is_bare:
        return
    if arrangement.parts.has_heading:
        draw_heading(
            canvas,
            theme,
            title=plot.title,
            subtitle=plot.subtitle,
            remark=arrangement.remark,
            picture_width=arrangement.width,
        )
    draw_axes(canvas, theme, arrangement, _axis_colours(plot, looks, theme))
    draw_times(canvas, theme, arrangement, named=len(plot.zones) > 1)
    draw_labels(canvas, arrangement.lanes, top=frame.top)
    _draw_below(canvas, theme, arrangement, area)


def _axis_colours(plot: Plot, looks: Sequence[Sequence[Look]], theme: Theme) -> list[str]:
    if len(plot.axes) == 1:
        return [plot.axes[0].colour or theme.muted]
    pairs = zip(plot.axes, looks, strict=True)
    return [toned(axis_colour(axis, found, theme), theme) for axis, found in pairs]


def _draw_below(canvas: Canvas, theme: Theme, arrangement: Arrangement, area: Area) -> None:
    top, across = arrangement.below_top, arrangement.width
    if arrangement.parts.has_ramps and arrangement.below.ramps:
        for number, (axis, found) in enumerate(area.heatmaps):
            heated = sum(line.style == "heatmap" for line in axis.lines)
            label = axis.heatmap.label or f"lines (of {heated})"
            ramp = Ramp(label=label, colours=found.colours)
            draw_ramp(canvas, theme, ramp, top=top + 2 + RAMP * number, across=across)
    arrangement.below.draw(canvas, theme, arrangement.parts, top=top, across=across)


def _remark(plot: Plot) -> str:
    """What stands at the right of the title: the time range, in fewer words where room is short."""
    if plot.remark is not None or not plot.times_ms.size:
        return plot.remark or ""
    words = time_range(*time_ends(plot.times_ms, plot.step_ms), find_zone(plot.zones[0]))
    room = plot.width - 2 * MARGIN - width(plot.title, TITLE_SIZE, bold=True) - 16
    with_step = f"{words}, step {_duration(plot.step_ms)}" if plot.step_ms else words
    fitting = (text for text in (with_step, words) if width(text, SMALL_SIZE) <= room)
    return next(fitting, "" if plot.title else words)


def _duration(step_ms: int) -> str:
    size, name = next(unit for unit in _UNITS if step_ms % unit[0] == 0)
    return f"{step_ms // size}{name}"


def _draw_nothing(canvas: Canvas, theme: Theme, frame: Frame) -> None:
    middle, height = (frame.left + frame.right) / 2, (frame.top + frame.bottom) / 2
    words = "no values in this time"
    size = 13.0 if width(words, 13) + 16 <= frame.width else SMALL_SIZE
    half = width(words, size) / 2 + 8
    if 2 * half > frame.width or frame.height < 24:
        return
    canvas.rect(middle - half, height - 11, 2 * half, 22, fill=theme.background)
    canvas.text(middle, height + 4, words, size=size, fill=theme.muted, anchor="middle")
