"""What is drawn into the plotting area: heat maps, marked spans, stacks, areas and lines."""

from collections.abc import Sequence

import numpy as np

from breakwater.render.palette import Theme
from breakwater.render.plot.axes import line_values
from breakwater.render.plot.frame import Frame, Intervals, intervals
from breakwater.render.plot.heatmap import Heatmap, draw_heatmap, heatmap
from breakwater.render.plot.layout import Arrangement
from breakwater.render.plot.looks import Look
from breakwater.render.plot.model import Plot, PlotAxis, PlotLine
from breakwater.render.plot.scales import ValueScale
from breakwater.render.plot.stacks import bands
from breakwater.render.plot.strokes import Pen, runs
from breakwater.render.svg import Canvas

_EDGE = 0.8


class Area:
    """The plotting area of one picture."""

    def __init__(
        self, plot: Plot, arrangement: Arrangement, looks: Sequence[Sequence[Look]], theme: Theme
    ) -> None:
        self._plot = plot
        self._frame: Frame = arrangement.frame
        self._scales = [place.scaled.scale for place in arrangement.places]
        self._looks = looks
        self._across: Intervals = intervals(plot.times_ms, plot.step_ms, arrangement.frame)
        lines = sum(len(axis.lines) for axis in plot.axes)
        self._pen = Pen(arrangement.frame, self._across, lines=lines)
        self.heatmaps: list[tuple[PlotAxis, Heatmap]] = []
        for axis, place in zip(plot.axes, arrangement.places, strict=True):
            heated = [line for line in axis.lines if line.style == "heatmap"]
            if heated and plot.times_ms.size:
                found = heatmap(
                    heated,
                    place.scaled,
                    axis.heatmap,
                    frame=arrangement.frame,
                    across=self._across,
                    theme=theme,
                )
                self.heatmaps.append((axis, found))

    def draw_heatmaps(self, canvas: Canvas) -> None:
        """Fill the cells of all heat maps."""
        for _, found in self.heatmaps:
            draw_heatmap(canvas, found, frame=self._frame, across=self._across)

    def draw_lines(self, canvas: Canvas) -> None:
        """Draw all lines: spans and fillings of every axis first, then what is only stroked."""
        if not self._plot.times_ms.size:
            return
        frame = self._frame
        if not any(_may_exceed(axis) for axis in self._plot.axes):
            self._draw_all(canvas)
            return
        with canvas.clipped(frame.left - 1, frame.top - 1, frame.width + 2, frame.height + 2):
            self._draw_all(canvas)

    def _draw_all(self, canvas: Canvas) -> None:
        styled = [
            (list(zip(axis.lines, looks, strict=True)), scale)
            for axis, looks, scale in zip(self._plot.axes, self._looks, self._scales, strict=True)
        ]
        for lines, scale in styled:
            self._draw_vspans(canvas, lines)
            self._draw_stacks(canvas, lines, scale)
            self._draw_areas(canvas, lines, scale)
        for lines, scale in styled:
            self._draw_strokes(canvas, lines, scale)

    def _draw_vspans(self, canvas: Canvas, styled: Sequence[tuple[PlotLine, Look]]) -> None:
        across, frame = self._across, self._frame
        for line, look in styled:
            if line.style != "vspan":
                continue
            values = line_values(line)
            for start, stop in runs(np.isfinite(values) & (values != 0)):
                left, right = float(across.begins[start]), float(across.ends[stop - 1])
                canvas.rect(
                    left,
                    frame.top,
                    max(right - left, 1.0),
                    frame.height,
                    fill=look.colour,
                    opacity=look.fill,
                )

    def _draw_stacks(
        self, canvas: Canvas, styled: Sequence[tuple[PlotLine, Look]], scale: ValueScale
    ) -> None:
        stacked = [pair for pair in styled if pair[0].style == "stack"]
        found = bands([line for line, _ in stacked], scale, self._pen)
        for (_, fill, edge), (_, look) in zip(found, stacked, strict=True):
            if fill:
                canvas.path(fill, fill=look.colour, opacity=look.fill)
                canvas.path(edge, stroke=look.colour, stroke_width=_EDGE, opacity=look.opacity)

    def _draw_areas(
        self, canvas: Canvas, styled: Sequence[tuple[PlotLine, Look]], scale: ValueScale
    ) -> None:
        zero = min(max(scale.share(0.0), 0.0), 1.0)
        floor = self._frame.bottom - zero * self._frame.height
        for line, look in styled:
            if line.style == "area":
                shares = scale.shares(line_values(line))
                stroke = self._pen.stroke(shares, floor=floor, is_stepped=line.is_stepped)
                if stroke.fill:
                    canvas.path(stroke.fill, fill=look.colour, opacity=look.fill)
                    self._draw_stroke(canvas, stroke.line, line, look)

    def _draw_strokes(
        self, canvas: Canvas, styled: Sequence[tuple[PlotLine, Look]], scale: ValueScale
    ) -> None:
        for line, look in styled:
            if line.style == "line" and line.width > 0:
                shares = scale.shares(line_values(line))
                stroke = self._pen.stroke(shares, is_stepped=line.is_stepped)
                self._draw_stroke(canvas, stroke.line, line, look)

    @staticmethod
    def _draw_stroke(canvas: Canvas, path: str, line: PlotLine, look: Look) -> None:
        if path:
            canvas.path(
                path,
                stroke=look.colour,
                stroke_width=look.width,
                dash=line.dash,
                opacity=look.opacity,
            )


def _may_exceed(axis: PlotAxis) -> bool:
    """Whether an end was given, so that values may lie beyond it."""
    return not (isinstance(axis.low, str) and isinstance(axis.high, str))


def is_empty(plot: Plot) -> bool:
    """Whether no line has a value to draw."""
    return not any(
        np.isfinite(line_values(line)).any() for axis in plot.axes for line in axis.lines
    )
