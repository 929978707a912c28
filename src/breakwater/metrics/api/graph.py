"""From the answer of a query to a graph: which lines stand on which axis, in which order and look.

What a style word says of an expression goes first, then what a parameter says of its axis, then
what is said of the whole graph. Colours are handed to the lines that are shown, so that few lines
get colours that are easy to tell apart, but before they are sorted, so that another order changes
none: the lines of an expression by legend, expressions in their order, axes by number. An axis has
a palette of its own or shares the graph's; lines that were read at an offset take theirs from a
palette of their own.
"""

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Final, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from breakwater.metrics.api.axes import MOST_AXES, SORTS, AxisParameters, SortName
from breakwater.metrics.api.parameters import GraphParameters
from breakwater.metrics.api.statistics import statistics_of
from breakwater.metrics.errors import QueryValueError
from breakwater.metrics.language.variables import filled
from breakwater.metrics.results import Expression, Line, QueryResult
from breakwater.render import (
    ChartError,
    Colour,
    LineStatistics,
    LineStyle,
    Palette,
    find_palette,
    parse_colour,
)

_FEW: Final = 8
_MANY: Final = {"light": "dark24", "dark": "light24"}
_SHIFTED: Final = {"light": "bw", "dark": "lightgray"}
_STYLES: Final[dict[str, LineStyle]] = {
    "line": "line",
    "area": "area",
    "stack": "stack",
    "heatmap": "heatmap",
    "vspan": "vspan",
}
_NOTHING: Final = "0w"


class GraphLine(msgspec.Struct, kw_only=True, eq=False):
    """One line of a graph; `colour` is given to it by `Graph.paint`."""

    line: Line
    expression: Expression
    style: LineStyle
    colour: Colour | None = None
    statistics: LineStatistics | None = None

    @property
    def legend(self) -> str:
        """The text of its legend."""
        return self.line.legend

    @property
    def offset(self) -> str:
        """How much earlier its data were read."""
        return self.expression.offset

    @property
    def width(self) -> float | None:
        """Pixels, where a style word says so."""
        text = self.expression.settings.get("lw")
        return None if text is None else float(text)

    def numbers(self) -> LineStatistics:
        """Its statistics."""
        if self.statistics is None:
            self.statistics = statistics_of(self.line.values)
        return self.statistics

    def tags(self) -> dict[str, str]:
        """Its tags; a line of earlier data says how much earlier."""
        if self.offset == _NOTHING:
            return self.line.tags
        return {**self.line.tags, "atlas.offset": self.offset}


class GraphAxis(msgspec.Struct, kw_only=True, eq=False):
    """One value axis with its lines in the order they are shown.

    painted: the lines in the order they take colours. messages: remarks on what is not shown.
    """

    number: int
    settings: AxisParameters
    lines: list[GraphLine]
    painted: list[GraphLine]
    messages: list[str]
    label: str = ""


class Explanation(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What it took to answer: milliseconds in the engine, and what was read, kept and shown."""

    data_fetch_time: float
    input_lines: int
    intermediate_lines: int
    graph_lines: int
    input_datapoints: int
    intermediate_datapoints: int
    graph_datapoints: int


class Graph(msgspec.Struct, kw_only=True, eq=False, dict=True):
    """A query's answer laid out on axes, as `asked` says."""

    asked: GraphParameters
    result: QueryResult
    axes: list[GraphAxis]
    notices: list[str]
    explanation: Explanation | None = None

    @property
    def lines(self) -> list[GraphLine]:
        """Every line, axis by axis."""
        return [line for axis in self.axes for line in axis.lines]

    @property
    def points(self) -> int:
        """Datapoints of a line, also where there is none."""
        if self.result.lines:
            return len(self.result.lines[0].values)
        span_ms = self.asked.end_ms - self.result.start_ms
        return max(span_ms // self.result.step_ms, 0) + 1

    @property
    def title(self) -> str:
        """The title, with the tags filled in that all lines share."""
        return with_tags(self.asked.title, self.lines)

    @cached_property
    def values(self) -> NDArray[np.float64]:
        """The values of every line, [lines, points]."""
        lines = self.lines
        if not lines:
            return np.empty((0, self.points))
        if len(lines) == 1:
            return lines[0].line.values[np.newaxis]
        return np.concatenate([each.line.values for each in lines]).reshape(len(lines), -1)

    def paint(self) -> None:
        """Give every line its colour; raises QueryValueError for a palette that is not known."""
        count = sum(len(axis.painted) for axis in self.axes)
        theme = self.asked.theme
        shared = _Colours(self.asked.palette or suiting_palette(count, theme))
        shifted = _Colours(find_palette(_SHIFTED[theme], theme))
        for axis in self.axes:
            own = axis.settings.palette
            _paint(axis, shared if own is None else _Colours(own), shifted, theme)


def suiting_palette(lines: int, theme: str) -> Palette:
    """The palette for so many lines: few colours that anybody can tell apart, or many."""
    name = "default" if lines <= _FEW else _MANY[theme]
    return find_palette(name, "dark" if theme == "dark" else "light")


class _Colours:
    """Hands out the colours of one palette."""

    def __init__(self, palette: Palette) -> None:
        self._palette = palette
        self._next = 0

    def next(self, label: str) -> Colour:
        """The colour of the next line."""
        self._next += 1
        return self._palette.pick(self._next - 1, label)


def _paint(axis: GraphAxis, colours: _Colours, shifted: _Colours, theme: str) -> None:
    heat: Colour | None = None
    own: dict[int, _Colours] = {}
    for line in axis.painted:
        settings = line.expression.settings
        if "color" in settings:
            line.colour = _readable(settings["color"])
            continue
        source = colours if line.offset == _NOTHING else shifted
        if "palette" in settings:
            at = id(line.expression)
            if at not in own:
                own[at] = _Colours(_named(settings["palette"], theme))
            source = own[at]
        if line.style == "heatmap":
            # All heat maps of an axis are one, of one colour.
            heat = heat or source.next(f"heatmap{axis.number}")
            line.colour = heat
        else:
            line.colour = source.next(line.legend)
        if "alpha" in settings:
            line.colour = Colour(line.colour.hex, int(settings["alpha"], 16) / 255)


def _readable(text: str) -> Colour:
    try:
        return parse_colour(text)
    except ChartError as error:
        raise QueryValueError(f"word ':color': {error}") from error


def _named(text: str, theme: str) -> Palette:
    try:
        return find_palette(text, "dark" if theme == "dark" else "light")
    except ChartError as error:
        raise QueryValueError(f"word ':palette': {error}") from error


def arranged(result: QueryResult, asked: GraphParameters) -> Graph:
    """Put the lines of an answer on their axes and in their order; colours are left open."""
    notices = [*asked.notices, *result.notices]
    by_axis: dict[int, list[Expression]] = {}
    for expression in result.expressions:
        by_axis.setdefault(int(expression.settings.get("axis", "0")), []).append(expression)
    axes = [_axis(number, asked.axes[number], by_axis[number]) for number in sorted(by_axis)] or [
        _axis(0, asked.axes[0], [])
    ]
    if asked.is_axis_per_line:
        axes = _one_each(axes, asked, notices)
    for axis in axes:
        axis.label = with_tags(axis.settings.label, axis.lines)
    return Graph(asked=asked, result=result, axes=axes, notices=list(dict.fromkeys(notices)))


def _axis(number: int, settings: AxisParameters, expressions: Iterable[Expression]) -> GraphAxis:
    painted: list[GraphLine] = []
    shown: list[GraphLine] = []
    messages: list[str] = []
    usual: LineStyle = "stack" if settings.is_stacked else "line"
    for expression in expressions:
        style = _STYLES[expression.settings.get("ls", usual)]
        lines = [
            GraphLine(line=line, expression=expression, style=style)
            for line in sorted(expression.lines, key=lambda line: line.legend)
        ]
        chosen = _chosen(lines, expression.settings)
        shown += chosen
        if len(chosen) == len(lines):
            painted += lines
            continue
        messages.append(f"{len(chosen)} of {len(lines)} lines are shown")
        painted += sorted(chosen, key=lambda line: line.legend)
    shown = ordered(shown, settings.sort, is_descending=settings.is_descending)
    return GraphAxis(
        number=number, settings=settings, lines=shown, painted=painted, messages=messages
    )


def _chosen(lines: list[GraphLine], settings: dict[str, str]) -> list[GraphLine]:
    sort = SORTS.get(settings.get("sort", ""))
    lines = ordered(lines, sort, is_descending=settings.get("order") == "desc")
    limit = settings.get("limit")
    return lines if limit is None else lines[: max(int(limit), 0)]


def ordered(
    lines: list[GraphLine], sort: SortName | None, *, is_descending: bool
) -> list[GraphLine]:
    """Lines sorted by legend or by a statistic; those without a value come last either way."""
    if sort is None and not is_descending:
        return lines
    if sort in {None, "legend"}:
        return sorted(lines, key=lambda line: line.legend, reverse=is_descending)
    numbers = [float(getattr(line.numbers(), cast("str", sort))) for line in lines]
    signed = [-number if is_descending else number for number in numbers]
    order = sorted(range(len(lines)), key=lambda at: (signed[at] != signed[at], signed[at]))
    return [lines[at] for at in order]


def _one_each(axes: list[GraphAxis], asked: GraphParameters, notices: list[str]) -> list[GraphAxis]:
    """An axis for each line, where that can be."""
    if len(axes) > 1:
        notices.append("axis_per_line has no effect where expressions choose their axes")
        return axes
    only = axes[0]
    if len(only.lines) > MOST_AXES:
        notices.append(
            f"axis_per_line has no effect on {len(only.lines)} lines; at most {MOST_AXES} can be"
        )
        return axes
    if len(only.lines) < 2:
        return axes
    # Colours are those the lines would have on one axis.
    return [
        GraphAxis(
            number=number,
            settings=msgspec.structs.replace(asked.axes[number], palette=only.settings.palette),
            lines=[line],
            painted=[] if number else only.painted,
            messages=[] if number else only.messages,
        )
        for number, line in enumerate(only.lines)
    ]


def with_tags(template: str, lines: Iterable[GraphLine]) -> str:
    """The text with `$key` filled in where all lines have the same value of the key."""
    if "$" not in template:
        return template
    shared = _shared(line.tags() for line in lines)
    return filled(template, lambda name: shared.get(name, name))


def _shared(tags: Iterator[dict[str, str]]) -> dict[str, str]:
    common = set(next(tags, {}).items())
    for each in tags:
        common &= set(each.items())
    return dict(common)
