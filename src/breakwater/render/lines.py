"""Line charts over time.

The frame is worked out first (how much room head, scales, marks and legend need), then
everything is drawn into it; every text is measured before it is placed.
"""

import math
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from breakwater.render.chart import Chart, Series, Span, Values, check_chart
from breakwater.render.curves import trace
from breakwater.render.heading import MARGIN, SMALL_SIZE, draw_heading, heading_height
from breakwater.render.legend import Entry, Legend
from breakwater.render.palette import THEMES, Theme, colour_of, series_colour, series_dash
from breakwater.render.svg import Canvas
from breakwater.render.text import elide, width
from breakwater.render.ticks import Axis, time_range, time_ticks, value_axis
from breakwater.render.units import UnitName

_LANE: Final = 17.0
_MOST_LANES: Final = 4
_TICK_GAP: Final = 26.0


class _Lane(msgspec.Struct, frozen=True, kw_only=True):
    """Where a span and its label stand; `number` counts rows of labels from the plot upwards."""

    left: float
    right: float
    label_x: float
    label: str
    whole: str
    colour: str
    number: int


class _Frame(msgspec.Struct, frozen=True, kw_only=True):
    """The plot's box in pixels, its time range and its two value scales."""

    left: float
    right: float
    top: float
    bottom: float
    start_ms: int
    end_ms: int
    left_axis: Axis
    right_axis: Axis | None

    def x(self, at_ms: float) -> float:
        share = (at_ms - self.start_ms) / (self.end_ms - self.start_ms)
        return self.left + share * (self.right - self.left)

    def y(self, value: float, axis: Axis) -> float:
        share = (value - axis.low) / (axis.high - axis.low)
        return self.bottom - share * (self.bottom - self.top)


def line_chart(chart: Chart) -> str:
    """The chart as an SVG document.

    Raises ChartError when its parts do not fit each other, PictureSizeError for a size that is
    not drawn. Cost: linear in the points up to the picture's width, then about 2 ms a million.
    """
    check_chart(chart)
    theme = THEMES[chart.theme]
    entries = _entries(chart, theme)
    legend = Legend(entries if chart.legend else [], chart.width)
    frame, lanes = _frame(chart, theme)
    canvas = Canvas(
        chart.width,
        chart.height + legend.height,
        title=chart.title,
        background=theme.background,
    )
    draw_heading(
        canvas,
        theme,
        title=chart.title,
        subtitle=chart.subtitle,
        remark=time_range(frame.start_ms, frame.end_ms) if chart.times_ms.size else "",
        picture_width=chart.width,
    )
    _draw_spans(canvas, frame, lanes)
    _draw_scales(canvas, theme, chart, frame)
    _draw_series(canvas, chart, frame, entries)
    if not any(np.isfinite(series.values).any() for series in chart.series):
        _draw_nothing(canvas, theme, frame)
    _draw_labels(canvas, lanes, frame)
    legend.draw(canvas, theme, chart.height)
    return canvas.finish()


def _entries(chart: Chart, theme: Theme) -> list[Entry]:
    entries = []
    automatic = 0
    for series in chart.series:
        if series.colour is None:
            colour, dash = series_colour(automatic, theme), series_dash(automatic, theme)
            automatic += 1
        else:
            colour, dash = colour_of(series.colour, theme), ""
        unit = chart.unit if series.axis == "left" else chart.right_unit
        entries.append(
            Entry(name=series.name, colour=colour, dash=dash, unit=unit, values=series.values)
        )
    return entries


def _frame(chart: Chart, theme: Theme) -> tuple[_Frame, list[_Lane]]:
    start_ms, end_ms = _time_ends(chart)
    top = heading_height(title=chart.title, subtitle=chart.subtitle, remark="time") + 10
    bottom = chart.height - 30.0
    count = max(int((bottom - top) // 48), 2)
    left_axis = _axis(chart, "left", chart.unit, count)
    has_right = any(series.axis == "right" for series in chart.series)
    right_axis = _axis(chart, "right", chart.right_unit, count) if has_right else None
    frame = _Frame(
        left=MARGIN + _widest(left_axis.labels) + 8,
        right=chart.width - MARGIN - (_widest(right_axis.labels) + 8 if right_axis else 4),
        top=top,
        bottom=bottom,
        start_ms=start_ms,
        end_ms=end_ms,
        left_axis=left_axis,
        right_axis=right_axis,
    )
    lanes = _lanes(chart, frame, theme)
    rows = 1 + max((lane.number for lane in lanes), default=-1)
    if chart.y_label or chart.right_label:
        rows = max(rows, 1)
    return msgspec.structs.replace(frame, top=frame.top + rows * _LANE + (7 if rows else 0)), lanes


def _time_ends(chart: Chart) -> tuple[int, int]:
    if not chart.times_ms.size:
        return 0, 1
    start, end = int(chart.times_ms[0]), int(chart.times_ms[-1])
    return (start, end) if end > start else (start - 500, end + 500)


def _axis(chart: Chart, side: str, unit: UnitName, count: int) -> Axis:
    found = [series.values for series in chart.series if series.axis == side]
    values = np.concatenate(found) if found else np.empty(0)
    values = values[np.isfinite(values) & (np.abs(values) < 1e300)]
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    low = min(low, 0.0) if low >= 0 else low
    if side == "left":
        low = low if chart.low is None else min(low, chart.low)
        high = high if chart.high is None else max(high, chart.high)
    return value_axis(low, high, count=count, unit=unit)


def _widest(labels: Sequence[str]) -> float:
    return max((width(label, SMALL_SIZE) for label in labels), default=0.0)


def _lanes(chart: Chart, frame: _Frame, theme: Theme) -> list[_Lane]:
    """Give every visible span's label the lowest row in which it touches no other text.

    The names of the scales stand in the lowest row, at its two ends. A label for which no row
    is left is not written; its span is drawn all the same.
    """
    names = _axis_names(chart)
    begins = [MARGIN + width(names[0], SMALL_SIZE) + 12 if names[0] else -math.inf]
    begins += [-math.inf] * (_MOST_LANES - 1)
    stops = [chart.width - MARGIN - width(names[1], SMALL_SIZE) - 12 if names[1] else math.inf]
    stops += [math.inf] * (_MOST_LANES - 1)
    lanes = []
    for span in sorted(chart.spans, key=lambda span: (span.start_ms, span.end_ms)):
        if span.end_ms < frame.start_ms or span.start_ms > frame.end_ms:
            continue
        lane = _lane(span, frame, theme)
        end = lane.label_x + width(lane.label, SMALL_SIZE, bold=True)
        free = (
            row for row in range(_MOST_LANES) if lane.label_x >= begins[row] and end <= stops[row]
        )
        row = next(free, None)
        if row is None:
            lanes.append(msgspec.structs.replace(lane, label=""))
        else:
            begins[row] = end + 12
            lanes.append(msgspec.structs.replace(lane, number=row))
    return lanes


def _lane(span: Span, frame: _Frame, theme: Theme) -> _Lane:
    left = frame.x(max(span.start_ms, frame.start_ms))
    right = frame.x(min(span.end_ms, frame.end_ms))
    label = elide(span.label, min(280.0, frame.right - frame.left), SMALL_SIZE, bold=True)
    last = frame.right - width(label, SMALL_SIZE, bold=True)
    return _Lane(
        left=left,
        right=right,
        label_x=max(min(left, last), frame.left),
        label=label,
        whole=span.label,
        colour=colour_of(span.colour, theme),
        number=0,
    )


def _axis_names(chart: Chart) -> tuple[str, str]:
    room = (chart.width - 2 * MARGIN) * (0.48 if chart.right_label and chart.y_label else 1.0)
    return elide(chart.y_label, room, SMALL_SIZE), elide(chart.right_label, room, SMALL_SIZE)


def _draw_spans(canvas: Canvas, frame: _Frame, lanes: Sequence[_Lane]) -> None:
    for lane in sorted(lanes, key=lambda lane: lane.left - lane.right):
        if lane.right - lane.left >= 1:
            canvas.rect(
                lane.left,
                frame.top,
                lane.right - lane.left,
                frame.bottom - frame.top,
                fill=lane.colour,
                opacity=0.1,
            )
            canvas.rect(lane.left, frame.top - 3, lane.right - lane.left, 3, fill=lane.colour)
        canvas.line(
            lane.left, frame.top - 3, lane.left, frame.bottom, stroke=lane.colour, dash="3 3"
        )


def _draw_labels(canvas: Canvas, lanes: Sequence[_Lane], frame: _Frame) -> None:
    for lane in lanes:
        baseline = frame.top - 10 - lane.number * _LANE
        canvas.text(
            lane.label_x,
            baseline,
            lane.label,
            size=SMALL_SIZE,
            fill=lane.colour,
            bold=True,
            whole=lane.whole,
        )


def _draw_scales(canvas: Canvas, theme: Theme, chart: Chart, frame: _Frame) -> None:
    axis = frame.left_axis
    for tick, label in zip(axis.ticks, axis.labels, strict=True):
        y = round(frame.y(tick, axis)) + 0.5
        stroke = theme.axis if tick in {0.0, axis.low} else theme.grid
        canvas.line(frame.left, y, frame.right, y, stroke=stroke)
        canvas.text(frame.left - 8, y + 4, label, size=SMALL_SIZE, fill=theme.muted, anchor="end")
    if frame.right_axis is not None:
        _draw_right_scale(canvas, theme, frame, frame.right_axis)
    _draw_axis_names(canvas, theme, chart, frame)
    if chart.times_ms.size:
        _draw_times(canvas, theme, frame)


def _draw_right_scale(canvas: Canvas, theme: Theme, frame: _Frame, axis: Axis) -> None:
    for tick, label in zip(axis.ticks, axis.labels, strict=True):
        y = round(frame.y(tick, axis)) + 0.5
        canvas.line(frame.right, y, frame.right + 4, y, stroke=theme.axis)
        canvas.text(frame.right + 8, y + 4, label, size=SMALL_SIZE, fill=theme.muted)


def _draw_axis_names(canvas: Canvas, theme: Theme, chart: Chart, frame: _Frame) -> None:
    baseline = frame.top - 10
    left, right = _axis_names(chart)
    colour = theme.muted
    canvas.text(MARGIN, baseline, left, size=SMALL_SIZE, fill=colour, whole=chart.y_label)
    canvas.text(
        chart.width - MARGIN,
        baseline,
        right,
        size=SMALL_SIZE,
        fill=colour,
        anchor="end",
        whole=chart.right_label,
    )


def _draw_times(canvas: Canvas, theme: Theme, frame: _Frame) -> None:
    count = max(int((frame.right - frame.left) / (width("00:00:00", SMALL_SIZE) + _TICK_GAP)), 1)
    taken = -math.inf
    for tick in time_ticks(frame.start_ms, frame.end_ms, count=min(count, 12)):
        x = round(frame.x(tick.at_ms)) + 0.5
        canvas.line(x, frame.bottom, x, frame.bottom + 4, stroke=theme.axis)
        half = width(tick.label, SMALL_SIZE, bold=tick.is_day) / 2
        if x - half < taken or x - half < MARGIN - 14 or x + half > frame.right + MARGIN:
            continue
        taken = x + half + 8
        fill = theme.text if tick.is_day else theme.muted
        canvas.text(
            x,
            frame.bottom + 18,
            tick.label,
            size=SMALL_SIZE,
            fill=fill,
            anchor="middle",
            bold=tick.is_day,
        )


def _draw_series(canvas: Canvas, chart: Chart, frame: _Frame, entries: Sequence[Entry]) -> None:
    if not chart.times_ms.size:
        return
    share = (chart.times_ms - frame.start_ms) / (frame.end_ms - frame.start_ms)
    x = frame.left + share * (frame.right - frame.left)
    drawn = sorted(
        zip(chart.series, entries, strict=True), key=lambda pair: pair[0].style != "area"
    )
    for series, entry in drawn:
        axis = frame.right_axis if series.axis == "right" else None
        y, floor = _heights(series, frame, axis or frame.left_axis)
        columns = int(frame.right - frame.left)
        curve = trace(x, y, style=series.style, floor=floor, columns=columns)
        if curve.fill:
            canvas.path(curve.fill, fill=entry.colour, opacity=0.18)
        if curve.line:
            canvas.path(curve.line, stroke=entry.colour, stroke_width=1.8, dash=entry.dash)


def _heights(series: Series, frame: _Frame, axis: Axis) -> tuple[Values, float]:
    """Pixels down of every value, kept within the plot, and of the value zero."""
    values = np.asarray(series.values, dtype=np.float64)
    share = (values - axis.low) / (axis.high - axis.low)
    share = np.where(np.isfinite(values), np.clip(share, 0.0, 1.0), np.nan)
    zero = min(max((0.0 - axis.low) / (axis.high - axis.low), 0.0), 1.0)
    height = frame.bottom - frame.top
    return frame.bottom - share * height, frame.bottom - zero * height


def _draw_nothing(canvas: Canvas, theme: Theme, frame: _Frame) -> None:
    middle, height = (frame.left + frame.right) / 2, (frame.top + frame.bottom) / 2
    words = "no values in this time"
    half = width(words, 13) / 2 + 8
    canvas.rect(middle - half, height - 11, 2 * half, 22, fill=theme.background)
    canvas.text(
        middle,
        height + 4,
        words,
        size=13,
        fill=theme.muted,
        anchor="middle",
    )
