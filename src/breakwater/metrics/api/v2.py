"""Graphs as `v2.json`: everything a browser needs to draw one by itself.

An array of objects told apart by `type`: a rendered image, unless hints say `no-image`; what holds
for the whole graph; each axis, and its heat map where it has one; then every line and every mark.
Stamps are ends of intervals; `endTime` is the stamp after the last.
"""

import base64
import hashlib
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from breakwater.metrics.api.formats import end_ms, written
from breakwater.metrics.api.graph import Graph, GraphAxis, GraphLine
from breakwater.metrics.api.heatmaps import cells_of
from breakwater.render import Bound, Colour, PlotSpan, Vision, seen

_LAYOUTS: Final = {
    "canvas": "CANVAS",
    "image": "IMAGE",
    "iw": "IMAGE_WIDTH",
    "ih": "IMAGE_HEIGHT",
}
_LEGENDS: Final = {"full": "LABELS_WITH_STATS", "labels": "LABELS_ONLY", "none": "OFF"}
_SCALES: Final = {
    "linear": "LINEAR",
    "log": "LOGARITHMIC",
    "log-linear": "LOG_LINEAR",
    "pow2": "POWER_2",
    "sqrt": "SQRT",
}

Entry = dict[str, Any]  # Any: an object of JSON


def v2_json(graph: Graph, *, image: bytes | None = None, spans: Sequence[PlotSpan] = ()) -> bytes:
    """The graph, painted before; `image` is a PNG of it, `spans` what happened meanwhile."""
    entries: list[Entry] = []
    if image is not None:
        data = base64.b64encode(image).decode()
        entries.append({"type": "graph-image", "data": f"data:image/png;base64,{data}"})
    window = (graph.result.start_ms, end_ms(graph))
    entries += heading(graph, start_ms=window[0], end_ms=window[1], has_heatmaps=True)
    entries += series(graph)
    for place, axis in enumerate(graph.axes):
        entries += [_message(place, text) for text in axis.messages]
    entries += [_span(span, graph.asked.vision) for span in spans]
    return msgspec.json.encode(entries)


def heading(graph: Graph, *, start_ms: int, end_ms: int, has_heatmaps: bool = False) -> list[Entry]:
    """What holds for the whole graph, then each axis, perhaps with its heat map.

    start_ms, end_ms: the first stamp, and the one after the last.
    """
    entries = [_metadata(graph, start_ms, end_ms)]
    for place, axis in enumerate(graph.axes):
        entries.append(_axis(place, axis, graph.asked.vision, is_one_of_many=len(graph.axes) > 1))
        if has_heatmaps:
            entries += _heatmap(place, axis, graph)
    return entries


def series(graph: Graph, *, only_with_values: bool = False) -> list[Entry]:
    """Every line, axis by axis; perhaps without those that are missing throughout."""
    return [
        _line(place, line, graph.asked.vision)
        for place, axis in enumerate(graph.axes)
        for line in axis.lines
        if not only_with_values or line.numbers().count
    ]


def _metadata(graph: Graph, start_ms: int, end_ms: int) -> Entry:
    asked = graph.asked
    entry: Entry = {
        "type": "graph-metadata",
        "startTime": start_ms,
        "endTime": end_ms,
        "timezones": list(asked.zones),
        "step": graph.result.step_ms,
        "width": asked.width,
        "height": asked.height,
        "layout": _LAYOUTS[asked.layout],
        "zoom": asked.zoom,
        "legendType": _LEGENDS[asked.legend],
        "onlyGraph": asked.is_only_graph,
        "theme": asked.theme,
        "warnings": graph.notices,
    }
    if graph.title:
        entry["title"] = graph.title
    if graph.explanation is not None:
        entry["loadTime"] = round(graph.explanation.data_fetch_time)
        entry["stats"] = {
            "inputLines": graph.explanation.input_lines,
            "inputDatapoints": graph.explanation.input_datapoints,
            "outputLines": graph.explanation.intermediate_lines,
            "outputDatapoints": graph.explanation.intermediate_datapoints,
        }
    if asked.hints:
        entry["renderingHints"] = sorted(asked.hints)
    return entry


def _axis(place: int, axis: GraphAxis, vision: Vision, *, is_one_of_many: bool) -> Entry:
    settings = axis.settings
    entry: Entry = {
        "type": "plot-metadata",
        "id": place,
        "scale": _SCALES[settings.scale],
        "upper": _bound(settings.upper),
        "lower": _bound(settings.lower),
        "tickLabelMode": settings.tick_labels.upper(),
    }
    if axis.label:
        entry["ylabel"] = axis.label
    if is_one_of_many and axis.lines:
        entry["axisColor"] = argb(axis.lines[0].colour, vision)
    return entry


def _line(place: int, line: GraphLine, vision: Vision) -> Entry:
    tags = {**line.line.tags, "atlas.offset": line.offset}
    entry: Entry = {
        "type": "timeseries",
        "id": _identity(tags, line.expression.text),
        "plot": place,
        "label": line.legend,
        "color": argb(line.colour, vision),
        "lineStyle": line.style.upper(),
        "lineWidth": 1.0 if line.width is None else line.width,
        "query": line.expression.text,
    }
    if line.expression.grouping:
        entry["groupByKeys"] = line.expression.grouping
    entry["tags"] = tags
    entry["data"] = {"type": "array", "values": _numbers(line)}
    return entry


def _numbers(line: GraphLine) -> msgspec.Raw:
    from breakwater.metrics.text.numbers import table_text  # noqa: PLC0415 - numba takes a while

    return msgspec.Raw(table_text(line.line.values.reshape(1, -1)))


def _heatmap(place: int, axis: GraphAxis, graph: Graph) -> list[Entry]:
    cells = cells_of(axis, graph.asked.theme)
    if cells is None:
        return []
    settings = axis.settings.heatmap
    label = {"label": settings.label} if settings.label else {}
    return [
        {
            "type": "heatmap",
            "plot": place,
            "colorScale": _SCALES[settings.scale],
            "upper": _bound(settings.upper),
            "lower": _bound(settings.lower),
            **label,
            "yTicks": [{"min": low, "max": high, "label": text} for low, high, text in cells.rows],
            "colorTicks": [
                {"color": argb(colour, graph.asked.vision), "min": low, "max": high, "label": text}
                for colour, low, high, text in cells.colours
            ],
            "data": {"type": "heatmap", "values": cells.counts.tolist()},
        }
    ]


def _message(place: int, text: str) -> Entry:
    return {"type": "message", "plot": place, "label": f"... {text} ...", "color": "ff808080"}


def _span(span: PlotSpan, vision: Vision) -> Entry:
    return {
        "type": "vspan",
        "plot": 0,
        "label": span.label,
        "color": argb(Colour(span.colour, span.opacity), vision),
        "t1": span.start_ms,
        "t2": span.end_ms,
    }


def argb(colour: Colour | None, vision: Vision = "normal") -> str:
    """Eight hex digits, opacity first, as the eyes of that kind see it."""
    if colour is None:
        return "ff000000"
    return f"{round(colour.opacity * 255):02x}{seen(colour.hex, vision).removeprefix('#')}"


def _identity(tags: dict[str, str], query: str) -> str:
    """A name for the line that stays the same while its tags and its program do."""
    pairs = sorted({**tags, "atlas.query": query}.items())
    text = ",".join(f"{key}={value}" for key, value in pairs)
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def _bound(bound: Bound) -> str:
    return bound if isinstance(bound, str) else str(written(bound))
