"""Line charts over time: a plot of one or two scales whose units are known."""

from typing import Final

import numpy as np

from breakwater.render.chart import Chart, Series, check_chart
from breakwater.render.palette import THEMES, Theme, colour_of, series_colour, series_dash
from breakwater.render.plot import Plot, PlotAxis, PlotLine, PlotSpan, plot_svg
from breakwater.render.ticks import time_range

_LINE: Final = 1.8


def line_chart(chart: Chart) -> str:
    """The chart as an SVG document.

    Raises ChartError when its parts do not fit each other, PictureSizeError for a size that is
    not drawn. Cost: linear in the points up to the picture's width, then about 2 ms a million.
    """
    check_chart(chart)
    theme = THEMES[chart.theme]
    lines = _lines(chart, theme)
    left = PlotAxis(
        lines=[line for line, series in lines if series.axis == "left"],
        label=chart.y_label,
        unit=chart.unit,
        reach=_reach(chart, "left"),
    )
    right = PlotAxis(
        lines=[line for line, series in lines if series.axis == "right"],
        label=chart.right_label,
        unit=chart.right_unit,
        reach=_reach(chart, "right"),
    )
    times = chart.times_ms
    return plot_svg(
        Plot(
            times_ms=times,
            step_ms=int(np.diff(times).max()) if times.size > 1 else 0,
            axes=[left, right] if right.lines or right.label else [left],
            title=chart.title,
            subtitle=chart.subtitle,
            remark=time_range(int(times[0]), int(times[-1])) if times.size else "",
            spans=[
                PlotSpan(
                    start_ms=span.start_ms,
                    end_ms=span.end_ms,
                    label=span.label,
                    colour=span.colour,
                )
                for span in chart.spans
            ],
            width=chart.width,
            height=chart.height,
            layout="body",
            theme=chart.theme,
            legend="full" if chart.legend else "none",
            statistics=("last", "avg", "max"),
        )
    )


def _reach(chart: Chart, side: str) -> tuple[float, ...]:
    """What a scale must cover besides its values: zero, unless a value is negative."""
    found = [series.values for series in chart.series if series.axis == side]
    is_mixed = any(bool((values < 0).any()) for values in found)
    ends = (chart.low, chart.high) if side == "left" else ()
    return (*(() if is_mixed else (0.0,)), *(end for end in ends if end is not None))


def _lines(chart: Chart, theme: Theme) -> list[tuple[PlotLine, Series]]:
    lines = []
    automatic = 0
    for series in chart.series:
        if series.colour is None:
            colour, dash = series_colour(automatic, theme), series_dash(automatic, theme)
            automatic += 1
        else:
            colour, dash = colour_of(series.colour, theme), ""
        line = PlotLine(
            label=series.name,
            values=series.values,
            style="area" if series.style == "area" else "line",
            colour=colour,
            width=_LINE,
            dash=dash,
            is_stepped=series.style == "step",
        )
        lines.append((line, series))
    return lines
