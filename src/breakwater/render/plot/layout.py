"""Where everything stands: heading, labels, axes, plotting area, time axes, what is below.

Widths and heights depend on each other (labels on the height, the legend on the width), so the
picture is drafted once with a guessed height and then arranged with the real one.
"""

import math
from collections.abc import Sequence
from typing import Final

import msgspec

from breakwater.render.heading import MARGIN, SMALL_SIZE, heading_height
from breakwater.render.lanes import LANE, Lane, Mark, place_labels
from breakwater.render.palette import Theme, colour_of
from breakwater.render.plot.axes import AxisScale, Extent, axis_scale
from breakwater.render.plot.below import Below
from breakwater.render.plot.frame import Frame, are_steps, has_intervals, time_ends
from breakwater.render.plot.model import Plot
from breakwater.render.plot.parts import BARE, Parts, choices
from breakwater.render.plot.zones import TimeRow, clock_name, find_zone, time_row
from breakwater.render.text import elide, width

ROW: Final = 16.0
LABEL_GAP: Final = 8.0
_TURNED: Final = 17.0
_SPACE: Final = 12.0
_FIRST_ROW: Final = 24.0
_BOTTOM: Final = 8.0
_LEAST_SHARE: Final = 0.4
_SMALLEST: Final = (30.0, 20.0)
_MOST_GUTTER: Final = 0.55


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a value axis stands: its line at `edge`, labels away from the area.

    A place that is not shown takes no room; its lines are drawn all the same. name: what is
    written along it; empty when the name stands above the area.
    """

    scaled: AxisScale
    is_left: bool
    is_shown: bool = True
    edge: float = 0.0
    across: float = 0.0
    name: str = ""


class Arrangement(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The whole picture in pixels.

    names: what stands above the left and the right edge. below_top: where the time axes end.
    """

    width: float
    height: float
    is_bare: bool
    frame: Frame
    places: list[Place]
    parts: Parts
    remark: str
    names: tuple[str, str]
    lanes: list[Lane]
    times: list[TimeRow]
    below: Below
    below_top: float


def times_height(rows: int) -> float:
    """Pixels that so many time axes take."""
    return _FIRST_ROW + ROW * (rows - 1) + 6 if rows else 0.0


def arrange(
    plot: Plot, extents: Sequence[Extent], below: Below, *, theme: Theme, remark: str
) -> Arrangement:
    """Find room for everything; parts that have none are left out, the least needed first.

    In pictures too small for any text there is only the plotting area.
    """
    if not plot.only_graph:
        found = _arranged(plot, extents, below, theme, remark)
        if found.frame.width >= _SMALLEST[0] and found.frame.height >= _SMALLEST[1]:
            return found
        if plot.layout == "canvas":
            return found
    return _Draft(plot, extents, below, BARE, theme=theme, remark="").bare()


def _arranged(
    plot: Plot, extents: Sequence[Extent], below: Below, theme: Theme, remark: str
) -> Arrangement:
    if plot.layout in {"canvas", "iw"}:
        draft = _Draft(plot, extents, below, Parts(), theme=theme, remark=remark)
        return draft.arrangement(plot.height)
    if plot.layout == "body":
        draft = _Draft(plot, extents, below, Parts(), theme=theme, remark=remark)
        height = draft.height_left(plot.height) + draft.below_height()
        return draft.arrangement(max(height, 10.0))
    for parts in choices():
        draft = _Draft(plot, extents, below, parts, theme=theme, remark=remark)
        height = draft.height_left(0.6 * plot.height)
        if height >= min(_LEAST_SHARE * plot.height, plot.height - 40):
            break
    return draft.arrangement(max(height, 10.0), total=plot.height)


class _Draft:
    """One attempt with a choice of parts."""

    def __init__(
        self,
        plot: Plot,
        extents: Sequence[Extent],
        below: Below,
        parts: Parts,
        *,
        theme: Theme,
        remark: str,
    ) -> None:
        self._plot = plot
        self._extents = extents
        self._below = below
        self._parts = parts
        self._theme = theme
        self._remark = remark
        self._is_stepped = are_steps(plot)
        self._start_ms, self._end_ms = time_ends(
            plot.times_ms, plot.step_ms, from_begin=self._is_stepped or has_intervals(plot)
        )

    def bare(self) -> Arrangement:
        """Nothing but the plotting area."""
        plot = self._plot
        frame = self._frame(0.0, float(plot.width), 0.0, float(plot.height))
        places = [
            msgspec.structs.replace(place, is_shown=False) for place in self._scaled(frame.height)
        ]
        marks = [msgspec.structs.replace(mark, label="") for mark in self._marks(frame)]
        return Arrangement(
            width=frame.width,
            height=frame.height,
            is_bare=True,
            frame=frame,
            places=places,
            parts=self._parts,
            remark="",
            names=("", ""),
            lanes=place_labels(marks, left=frame.left, right=frame.right, most=0),
            times=[],
            below=self._below,
            below_top=frame.height,
        )

    def below_height(self) -> float:
        """Pixels that what stands below the time axes takes."""
        return self._below.height(self._parts, self._plot.width)

    def height_left(self, guess: float) -> float:
        """Pixels that a picture of a fixed height leaves for the plotting area."""
        return self._plot.height - (self.arrangement(guess).height - guess)

    def arrangement(self, height: float, *, total: float | None = None) -> Arrangement:
        """Everything in its place around an area `height` pixels high.

        total: height of the whole picture; the area takes what is left of it.
        """
        places, left, right = self._placed(height)
        plot = self._plot
        is_wide = plot.layout in {"image", "iw", "body"}
        across = float(plot.width) if is_wide else left + plot.width + right
        frame = self._frame(left, across - right, 0.0, height)
        names = self._names(places, across)
        lanes = self._lanes(frame, names, across)
        rows = max(1 + max((lane.row for lane in lanes), default=-1), 1 if any(names) else 0)
        top = self._top() + LANE * rows + (9 if rows else 0)
        below_area = self._below_area(across)
        bottom = top + height if total is None else max(total - below_area, top + 1)
        frame = self._frame(frame.left, frame.right, top, bottom)
        return Arrangement(
            width=across,
            height=bottom + below_area if total is None else total,
            is_bare=False,
            frame=frame,
            places=self._named(places, frame),
            parts=self._parts,
            remark=self._remark,
            names=names,
            lanes=lanes,
            times=self._times(frame),
            below=self._below,
            below_top=bottom + times_height(self._zones()),
        )

    def _frame(self, left: float, right: float, top: float, bottom: float) -> Frame:
        return Frame(
            left=left,
            right=max(right, left + 10),
            top=top,
            bottom=bottom,
            start_ms=self._start_ms,
            end_ms=self._end_ms,
            is_stepped=self._is_stepped,
        )

    def _top(self) -> float:
        plot = self._plot
        if not self._parts.has_heading:
            return 12.0
        return 10 + heading_height(title=plot.title, subtitle=plot.subtitle, remark=self._remark)

    def _below_area(self, across: float) -> float:
        below = self._below.height(self._parts, across)
        return times_height(self._zones()) + below + _BOTTOM

    def _zones(self) -> int:
        return min(len(self._plot.zones), self._parts.most_zones)

    def _scaled(self, height: float) -> list[Place]:
        pairs = zip(self._plot.axes, self._extents, strict=True)
        return [
            Place(scaled=axis_scale(axis, extent, height=height), is_left=number % 2 == 0)
            for number, (axis, extent) in enumerate(pairs)
        ]

    def _placed(self, height: float) -> tuple[list[Place], float, float]:
        """The axes from the area outwards, and the pixels left and right of the area."""
        places = self._scaled(height)
        is_wide = self._plot.layout in {"image", "iw", "body"}
        most = _MOST_GUTTER * self._plot.width if is_wide else math.inf
        gutters = {True: 0.0, False: 0.0}
        for number, place in enumerate(places):
            across = self._across(number, place, len(places))
            space = _SPACE if gutters[place.is_left] else 0.0
            if sum(gutters.values()) + space + across > most:
                places[number] = msgspec.structs.replace(place, is_shown=False)
                continue
            edge = gutters[place.is_left] + space
            places[number] = msgspec.structs.replace(place, edge=edge, across=across)
            gutters[place.is_left] = edge + across
        left = math.ceil(MARGIN + max(gutters[True], self._clock_names()))
        return places, left, math.ceil(MARGIN + (gutters[False] or 4.0))

    def _clock_names(self) -> float:
        """Pixels for what the clocks of several zones are called, before the time axes."""
        zones = self._plot.zones[: self._parts.most_zones]
        if len(self._plot.zones) < 2 or not zones:
            return 0.0
        ends = (self._start_ms, self._end_ms)
        names = (clock_name(find_zone(zone), *ends) for zone in zones)
        return min(max(width(name, SMALL_SIZE) for name in names), 80.0) + 14

    def _across(self, number: int, place: Place, count: int) -> float:
        labels = max((width(label, SMALL_SIZE) for label in place.scaled.labels), default=0.0)
        name = _TURNED if count > 2 and self._plot.axes[number].label else 0.0
        return LABEL_GAP + labels + name

    def _named(self, places: Sequence[Place], frame: Frame) -> list[Place]:
        named = []
        for place, axis in zip(places, self._plot.axes, strict=True):
            edge = frame.left - place.edge if place.is_left else frame.right + place.edge
            name = elide(axis.label, frame.height, SMALL_SIZE) if len(places) > 2 else ""
            named.append(msgspec.structs.replace(place, edge=edge, name=name))
        return named

    def _names(self, places: Sequence[Place], across: float) -> tuple[str, str]:
        """Names of at most two axes stand above their edges, where they read best."""
        if len(places) > 2 or not self._parts.has_names:
            return "", ""
        labels = [axis.label for axis in self._plot.axes] + ["", ""]
        room = (across - 2 * MARGIN) * (0.48 if labels[0] and labels[1] else 1.0)
        return elide(labels[0], room, SMALL_SIZE), elide(labels[1], room, SMALL_SIZE)

    def _lanes(self, frame: Frame, names: tuple[str, str], across: float) -> list[Lane]:
        begin = MARGIN + width(names[0], SMALL_SIZE) + 12 if names[0] else -math.inf
        end = across - MARGIN - width(names[1], SMALL_SIZE) - 12 if names[1] else math.inf
        return place_labels(
            self._marks(frame),
            left=frame.left,
            right=frame.right,
            taken=(begin, end),
            most=self._parts.most_lanes,
        )

    def _marks(self, frame: Frame) -> list[Mark]:
        first = time_ends(self._plot.times_ms, self._plot.step_ms)[0]
        return [
            Mark(
                left=frame.x(max(span.start_ms, self._start_ms)),
                right=frame.x(min(max(span.end_ms, self._start_ms), self._end_ms)),
                label=span.label,
                colour=colour_of(span.colour, self._theme),
                opacity=span.opacity,
            )
            for span in self._plot.spans
            if span.end_ms >= first and span.start_ms <= self._end_ms
        ]

    def _times(self, frame: Frame) -> list[TimeRow]:
        if not self._plot.times_ms.size:
            return []
        zones = self._plot.zones[: self._parts.most_zones]
        return [time_row(zone, self._start_ms, self._end_ms, across=frame.width) for zone in zones]
