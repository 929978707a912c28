"""Dependency graphs: who calls whom, from left to right, with the culprit marked."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, Literal

import msgspec

from breakwater.render.chart import check_size
from breakwater.render.errors import ChartError
from breakwater.render.heading import MARGIN, draw_heading, heading_height
from breakwater.render.layers import Box, Placement, Route, place
from breakwater.render.palette import THEMES, Theme, ThemeName
from breakwater.render.svg import Canvas, number
from breakwater.render.text import elide, width

NodeState = Literal["ok", "culprit", "suspect", "affected", "idle"]
EdgeState = Literal["ok", "culprit", "affected", "idle"]

_NAME_SIZE: Final = 13.0
_DETAIL_SIZE: Final = 11.0
_LABEL_SIZE: Final = 10.5
_WIDEST_NODE: Final = 190.0
_WIDEST_LABEL: Final = 150.0
_BEND: Final = 28.0
_LONGEST_BEND: Final = 72.0
_COLOURS: Final = {"culprit": "danger", "suspect": "warning", "affected": "warning"}
_NOTHING: Final = Box(0.0, 0.0)


class GraphNode(msgspec.Struct, frozen=True, kw_only=True):
    """A service: its name, one line of detail, and what the diagnosis says about it.

    Every state but `ok` and `idle` is also written out, so that it does not rest on colour.
    """

    id: str
    label: str = ""
    detail: str = ""
    state: NodeState = "ok"


class GraphEdge(msgspec.Struct, frozen=True, kw_only=True):
    """Calls from `source` to `target` (ids); `weight` is relative traffic, drawn as thickness."""

    source: str
    target: str
    label: str = ""
    state: EdgeState = "ok"
    weight: float = 1.0


class _Drawing(msgspec.Struct, frozen=True, kw_only=True):
    """A placed graph in pixels.

    lefts, widths: of its layers. bends: room for edges to bend before each layer. down: pixels
    from the top of the picture to the top of the graph.
    """

    placement: Placement
    lefts: list[float]
    widths: list[float]
    bends: list[float]
    down: float

    def y(self, height: float) -> float:
        return height - self.placement.top + self.down


def graph(
    nodes: Sequence[GraphNode],
    edges: Sequence[GraphEdge],
    *,
    title: str = "",
    subtitle: str = "",
    remark: str = "",
    theme: ThemeName = "light",
) -> str:
    """The graph as an SVG document, as large as it needs to be.

    Raises ChartError for an edge to an unknown node or two nodes of one id, PictureSizeError
    when it does not fit 8000 pixels. A service that calls itself gets a small loop, unlabelled.
    """
    index_of = _indices(nodes, edges)
    look = THEMES[theme]
    boxes = [_node_box(node) for node in nodes]
    between = [edge for edge in edges if edge.source != edge.target]
    labels = [_label_box(edge) for edge in between]
    placement = place(
        boxes, [(index_of[edge.source], index_of[edge.target]) for edge in between], labels
    )
    down = heading_height(title=title, subtitle=subtitle, remark=remark) + 16
    drawing = _drawing(placement, boxes, labels, down)
    right = drawing.lefts[-1] + drawing.widths[-1] if drawing.lefts else 0.0
    heading = max(width(title, 16, bold=True) + width(remark, 11) + 16, width(subtitle, 12))
    size = (max(right, min(heading, 900.0) + MARGIN, 240.0) + MARGIN, _bottom(drawing))
    check_size(*size)
    canvas = Canvas(*size, title=title or "dependency graph", background=look.background)
    draw_heading(canvas, look, title=title, subtitle=subtitle, remark=remark, picture_width=size[0])
    _draw_edges(canvas, look, drawing, between, boxes, index_of)
    looping = {edge.source for edge in edges if edge.source == edge.target}
    for index, node in enumerate(nodes):
        _draw_node(canvas, look, drawing, node, index, boxes[index], loops=node.id in looping)
    return canvas.finish()


def _indices(nodes: Sequence[GraphNode], edges: Sequence[GraphEdge]) -> dict[str, int]:
    index_of = {node.id: index for index, node in enumerate(nodes)}
    if len(index_of) != len(nodes):
        raise ChartError("two nodes of the graph have the same id")
    for edge in edges:
        for end in (edge.source, edge.target):
            if end not in index_of:
                raise ChartError(f"edge {edge.source} -> {edge.target}: no node '{end}'")
    return index_of


def _node_box(node: GraphNode) -> Box:
    needed = max(
        width(node.label or node.id, _NAME_SIZE, bold=True),
        width(node.detail, _DETAIL_SIZE),
        width(node.state, _DETAIL_SIZE, bold=True) if node.state in _COLOURS else 0.0,
    )
    lines = bool(node.detail) + (node.state in _COLOURS)
    return Box(min(needed, _WIDEST_NODE) + 28, 32.0 + 15.0 * lines)


def _label_box(edge: GraphEdge) -> Box:
    if not edge.label:
        return _NOTHING
    return Box(min(width(edge.label, _LABEL_SIZE), _WIDEST_LABEL) + 8, 15.0)


def _drawing(
    placement: Placement, boxes: Sequence[Box], labels: Sequence[Box], down: float
) -> _Drawing:
    widths = [0.0] * (max(placement.layer_of, default=0) + 1)
    for layer, box in zip(placement.layer_of, boxes, strict=True):
        widths[layer] = max(widths[layer], box.width)
    for route, box in zip(placement.routes, labels, strict=True):
        layer = route.first_layer + route.label_step
        widths[layer] = max(widths[layer], box.width)
    bends = _bends(placement, len(widths))
    lefts, left = [], MARGIN
    for taken, bend in zip(widths, [0.0, *bends[1:]], strict=True):
        lefts.append(left + bend)
        left += bend + taken
    return _Drawing(placement=placement, lefts=lefts, widths=widths, bends=bends, down=down)


def _bends(placement: Placement, layers: int) -> list[float]:
    """Room before each layer, more where an edge climbs far, so that curves stay gentle."""
    climbs = [0.0] * layers
    for route in placement.routes:
        for step, (height, following) in enumerate(pairwise(route.heights), start=1):
            layer = route.first_layer + step
            climbs[layer] = max(climbs[layer], abs(following - height))
    return [min(max(0.2 * climb, _BEND), _LONGEST_BEND) for climb in climbs]


def _bottom(drawing: _Drawing) -> float:
    return max(drawing.y(drawing.placement.bottom) + MARGIN, 120.0)


def _draw_edges(  # noqa: PLR0917 - the parts of one placed graph
    canvas: Canvas,
    theme: Theme,
    drawing: _Drawing,
    edges: Sequence[GraphEdge],
    boxes: Sequence[Box],
    index_of: dict[str, int],
) -> None:
    """Quiet edges first, so that what matters lies on top; then every label."""
    heaviest = max((edge.weight for edge in edges), default=1.0)
    ports = _ports(drawing, edges, boxes, index_of)
    rank = {"idle": 0, "ok": 1, "affected": 2, "culprit": 3}
    for index in sorted(range(len(edges)), key=lambda index: rank[edges[index].state]):
        edge, route = edges[index], drawing.placement.routes[index]
        share = max(edge.weight, 0.0) / heaviest if heaviest > 0 else 0.0
        colour = _edge_colour(edge, theme)
        start, end = ports[index]
        canvas.path(
            _edge_path(drawing, route, start, end),
            stroke=colour,
            stroke_width=1.2 + 2.0 * share**0.5 + (0.6 if edge.state == "culprit" else 0.0),
            dash="4 4" if edge.state == "idle" else "",
        )
        canvas.path(_arrow(start if route.is_reversed else end, route), fill=colour)
    for index, edge in enumerate(edges):
        _draw_label(canvas, theme, drawing, edge, drawing.placement.routes[index])


def _edge_colour(edge: GraphEdge, theme: Theme) -> str:
    if edge.state in _COLOURS:
        return str(getattr(theme, _COLOURS[edge.state]))
    return theme.axis


_Point = tuple[float, float]


def _ports(
    drawing: _Drawing,
    edges: Sequence[GraphEdge],
    boxes: Sequence[Box],
    index_of: dict[str, int],
) -> list[tuple[_Point, _Point]]:
    """Both ends of every edge, spread along the sides of their nodes in the order they arrive."""
    placement = drawing.placement
    sides: dict[tuple[int, str], list[int]] = {}
    for index, (edge, route) in enumerate(zip(edges, placement.routes, strict=True)):
        left, right = index_of[edge.source], index_of[edge.target]
        if route.is_reversed:
            left, right = right, left
        sides.setdefault((left, "right"), []).append(index)
        sides.setdefault((right, "left"), []).append(index)
    starts: dict[int, _Point] = {}
    ends: dict[int, _Point] = {}
    for (node, side), members in sides.items():
        step = 1 if side == "right" else -2
        members.sort(key=lambda index: placement.routes[index].heights[step])
        layer = placement.layer_of[node]
        x = drawing.lefts[layer] + (boxes[node].width if side == "right" else 0.0)
        distance = min(9.0, (boxes[node].height - 14) / max(len(members) - 1, 1))
        middle = drawing.y(placement.height_of[node])
        for order, index in enumerate(members):
            y = middle + (order - (len(members) - 1) / 2) * distance
            (starts if side == "right" else ends)[index] = (x, y)
    return [(starts[index], ends[index]) for index in range(len(edges))]


def _edge_path(drawing: _Drawing, route: Route, start: _Point, end: _Point) -> str:
    """Straight through every layer, bent between them; it stops short of its arrow head."""
    arrow = 6.0
    x, y = start
    if route.is_reversed:
        x += arrow
    data = [f"M{number(x)} {number(y)}"]
    for step, height in enumerate(route.heights[1:-1], start=1):
        layer = route.first_layer + step
        left, next_y = drawing.lefts[layer], drawing.y(height)
        data.append(_bend(left - drawing.bends[layer], y, left, next_y))
        data.append(f"H{number(left + drawing.widths[layer])}")
        y = next_y
    stop = end[0] - (0.0 if route.is_reversed else arrow)
    last = drawing.bends[route.first_layer + len(route.heights) - 1]
    data.append(_bend(end[0] - last, y, stop, end[1]))
    return "".join(data)


def _bend(x: float, y: float, to_x: float, to_y: float) -> str:
    middle = (x + to_x) / 2
    return (
        f"L{number(x)} {number(y)}C{number(middle)} {number(y)} {number(middle)} {number(to_y)}"
        f" {number(to_x)} {number(to_y)}"
    )


def _arrow(tip: _Point, route: Route) -> str:
    back = 8.0 if route.is_reversed else -8.0
    return f"M{number(tip[0])} {number(tip[1])}l{back:g} -4v8Z"


def _draw_label(
    canvas: Canvas, theme: Theme, drawing: _Drawing, edge: GraphEdge, route: Route
) -> None:
    if not edge.label:
        return
    layer = route.first_layer + route.label_step
    middle = drawing.lefts[layer] + drawing.widths[layer] / 2
    y = drawing.y(route.heights[route.label_step])
    shown = elide(edge.label, _WIDEST_LABEL, _LABEL_SIZE)
    taken = width(shown, _LABEL_SIZE) + 8
    canvas.rect(middle - taken / 2, y - 7.5, taken, 15, fill=theme.background, radius=3)
    marked = edge.state in _COLOURS
    canvas.text(
        middle,
        y + 3.7,
        shown,
        size=_LABEL_SIZE,
        fill=_edge_colour(edge, theme) if marked else theme.muted,
        anchor="middle",
        whole=edge.label,
    )


def _draw_node(  # noqa: PLR0917 - one node of one placed graph
    canvas: Canvas,
    theme: Theme,
    drawing: _Drawing,
    node: GraphNode,
    index: int,
    box: Box,
    *,
    loops: bool,
) -> None:
    left = drawing.lefts[drawing.placement.layer_of[index]]
    top = drawing.y(drawing.placement.height_of[index]) - box.height / 2
    marked = node.state in _COLOURS
    accent = str(getattr(theme, _COLOURS[node.state])) if marked else theme.axis
    if loops:
        canvas.path(
            f"M{number(left + 18)} {number(top)}c-6 -14 26 -14 20 0",
            stroke=accent,
            stroke_width=1.4,
        )
    canvas.rect(left, top, box.width, box.height, fill=theme.panel, radius=7, stroke=accent)
    if node.state == "culprit":
        canvas.rect(
            left, top, box.width, box.height, fill=accent, radius=7, stroke=accent, opacity=0.12
        )
    if marked:
        canvas.rect(left, top + 7, 4, box.height - 14, fill=accent)
    fill = theme.muted if node.state == "idle" else theme.text
    name = node.label or node.id
    room = box.width - 26
    baseline = top + 20.5
    shown = elide(name, room, _NAME_SIZE, bold=True)
    canvas.text(left + 14, baseline, shown, size=_NAME_SIZE, fill=fill, bold=True, whole=name)
    if node.detail:
        baseline += 15
        shown = elide(node.detail, room, _DETAIL_SIZE)
        canvas.text(
            left + 14, baseline, shown, size=_DETAIL_SIZE, fill=theme.muted, whole=node.detail
        )
    if marked:
        canvas.text(left + 14, baseline + 15, node.state, size=_DETAIL_SIZE, fill=accent, bold=True)
