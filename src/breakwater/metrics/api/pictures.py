"""Graphs as pictures: the lines of a query, what changed meanwhile, and what went wrong.

Changes of the journal are drawn over all axes: one that lasts as a span, others as a moment. A
person who opens a link sees an error only if it is a picture, so browsers get one.
"""

from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np
from starlette.datastructures import QueryParams

from breakwater.metrics.api.graph import Graph, GraphAxis, GraphLine
from breakwater.metrics.api.heatmaps import bucket_of_line, heat_colours
from breakwater.metrics.api.reading import whole_number
from breakwater.model import Change, ChangeKind
from breakwater.render import (
    THEMES,
    HeatmapStyle,
    Plot,
    PlotAxis,
    PlotLine,
    PlotSpan,
    error_svg,
    plot_svg,
    shared_rasteriser,
)

MOST_CHANGES: Final = 100
_LINE_WIDTH: Final = 1.5
_LASTING: Final = frozenset((ChangeKind.FAULT, ChangeKind.FAILOVER, ChangeKind.INCIDENT))
_MEANINGS: Final = {
    ChangeKind.FAULT: "danger",
    ChangeKind.INCIDENT: "warning",
    ChangeKind.FAILOVER: "warning",
}
_PALE: Final = frozenset((ChangeKind.INCIDENT,))
"""Kinds that often cover a whole picture."""


class ChangeSource(Protocol):
    """Where the changes drawn on pictures come from: the journal."""

    async def changes(
        self,
        start_ms: int | None = None,
        end_ms: int | None = None,
        *,
        kinds: Sequence[ChangeKind] = (),
        limit: int = 1_000,
    ) -> list[Change]:
        """The changes going on at any moment from `start_ms` to `end_ms`, newest first."""


def spans_of(changes: Sequence[Change], end_ms: int, theme: str) -> list[PlotSpan]:
    """Changes as marks over a graph that ends at `end_ms`; colours as `#rrggbb`."""
    look = THEMES["dark" if theme == "dark" else "light"]
    return [
        PlotSpan(
            start_ms=change.start_ms,
            end_ms=_end(change, end_ms),
            label=f"{change.kind.value} {change.target}",
            colour=str(getattr(look, _MEANINGS.get(change.kind, "neutral"))),
            opacity=0.05 if change.kind in _PALE else 0.12,
        )
        for change in sorted(changes, key=lambda change: change.start_ms)
    ]


def _end(change: Change, end_ms: int) -> int:
    if change.end_ms is not None:
        return change.end_ms
    return max(end_ms, change.start_ms) if change.kind in _LASTING else change.start_ms


def plot_of(graph: Graph, spans: Sequence[PlotSpan] = ()) -> Plot:
    """The graph, painted before, as what is drawn."""
    asked = graph.asked
    start, step = graph.result.start_ms, graph.result.step_ms
    times = start + step * np.arange(graph.points, dtype=np.int64)
    return Plot(
        times_ms=times,
        step_ms=step,
        axes=[_axis(axis, graph) for axis in graph.axes],
        title=graph.title,
        spans=list(spans),
        zones=asked.zones,
        width=asked.width,
        height=asked.height,
        layout=asked.layout,
        theme=asked.theme,
        vision=asked.vision,
        legend=asked.legend,
        only_graph=asked.is_only_graph,
        zoom=asked.zoom,
        notices=graph.notices,
    )


def svg_of(graph: Graph, spans: Sequence[PlotSpan] = ()) -> str:
    """The graph as SVG; raises RenderError when it cannot be drawn in the size asked for."""
    return plot_svg(plot_of(graph, spans))


def png_of(graph: Graph, spans: Sequence[PlotSpan] = ()) -> bytes:
    """The graph as PNG, one pixel for each of the width asked for."""
    return shared_rasteriser().png(svg_of(graph, spans))


def _axis(axis: GraphAxis, graph: Graph) -> PlotAxis:
    settings = axis.settings
    theme = graph.asked.theme
    is_plain = "ambiguous-multi-y" in graph.asked.hints
    has_heat = any(line.style == "heatmap" for line in axis.lines)
    return PlotAxis(
        lines=[_line(line) for line in axis.lines],
        label=axis.label,
        scale=settings.scale,
        low=settings.lower,
        high=settings.upper,
        tick_labels=settings.tick_labels,
        colour=THEMES[theme].text if is_plain else "",
        heatmap=HeatmapStyle(
            scale=settings.heatmap.scale,
            low=settings.heatmap.lower,
            high=settings.heatmap.upper,
            colours=heat_colours(axis, theme) if has_heat else [],
            label=settings.heatmap.label or _heat_label(axis),
        ),
    )


def _heat_label(axis: GraphAxis) -> str:
    """What is counted: samples of a histogram, or lines."""
    heated = [line for line in axis.lines if line.style == "heatmap"]
    has_buckets = any(bucket_of_line(line.line.tags) for line in heated)
    return "samples per second" if has_buckets else "lines"


def _line(line: GraphLine) -> PlotLine:
    colour = line.colour
    return PlotLine(
        label=line.legend,
        values=line.line.values,
        style=line.style,
        colour="" if colour is None else colour.hex,
        opacity=1.0 if colour is None else colour.opacity,
        width=_LINE_WIDTH if line.width is None else line.width,
        statistics=line.numbers(),
        query=line.expression.text,
        bucket=bucket_of_line(line.line.tags) if line.style == "heatmap" else None,
    )


def error_picture(message: str, form: str, given: QueryParams) -> bytes:
    """What is wrong, as a picture of the size and theme that were asked for where they can be."""
    svg = error_svg(
        message,
        width=_side(given.get("w"), 700),
        height=_side(given.get("h"), 300),
        theme="dark" if given.get("theme") == "dark" else "light",
    )
    return svg.encode() if form == "svg" else shared_rasteriser().png(svg)


def _side(text: str | None, usual: int) -> int:
    number = whole_number(text or "")
    return number if number is not None and 200 <= number <= 2000 else usual
