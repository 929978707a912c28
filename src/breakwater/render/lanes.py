"""Labels of marked times above a plotting area: in rows, so that no two touch."""

import math
from collections.abc import Sequence
from typing import Final

import msgspec

from breakwater.render.heading import SMALL_SIZE
from breakwater.render.svg import Canvas
from breakwater.render.text import elide, width

LANE: Final = 17.0
MOST_LANES: Final = 4
_GAP: Final = 12.0
_WIDEST: Final = 280.0


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of pixels to be marked; equal ends are a moment."""

    left: float
    right: float
    label: str
    colour: str
    opacity: float = 0.12


class Lane(msgspec.Struct, frozen=True, kw_only=True):
    """Where a mark's label stands; `row` counts from the area upwards, no label no row."""

    mark: Mark
    x: float
    label: str
    row: int


def place_labels(
    marks: Sequence[Mark],
    *,
    left: float,
    right: float,
    taken: tuple[float, float] = (-math.inf, math.inf),
    most: int = MOST_LANES,
) -> list[Lane]:
    """Give every label the lowest row in which it touches no other text.

    left, right: edges of the area. taken: the lowest row is free between these two. A label
    for which no row is left is not written; its mark is there all the same.
    """
    begins = [taken[0], *[-math.inf] * (most - 1)]
    stops = [taken[1], *[math.inf] * (most - 1)]
    lanes = []
    for mark in sorted(marks, key=lambda mark: (mark.left, mark.right)):
        label = elide(mark.label, min(_WIDEST, right - left), SMALL_SIZE, bold=True)
        across = width(label, SMALL_SIZE, bold=True)
        x = max(min(mark.left, right - across), left)
        fitting = (row for row in range(most) if begins[row] <= x and x + across <= stops[row])
        row = next(fitting, None) if label else None
        if row is None:
            lanes.append(Lane(mark=mark, x=x, label="", row=-1))
        else:
            begins[row] = x + across + _GAP
            lanes.append(Lane(mark=mark, x=x, label=label, row=row))
    return lanes


def draw_marks(canvas: Canvas, lanes: Sequence[Lane], *, top: float, bottom: float) -> None:
    """Fill what is marked, the widest first, with a bar on its upper edge."""
    for lane in sorted(lanes, key=lambda lane: lane.mark.left - lane.mark.right):
        mark = lane.mark
        across = mark.right - mark.left
        if across >= 1:
            canvas.rect(
                mark.left, top, across, bottom - top, fill=mark.colour, opacity=mark.opacity
            )
            canvas.rect(mark.left, top - 3, across, 3, fill=mark.colour)
        canvas.line(mark.left, top - 3, mark.left, bottom, stroke=mark.colour, dash="3 3")


def draw_labels(canvas: Canvas, lanes: Sequence[Lane], *, top: float) -> None:
    """Write the labels, each above the left edge of its mark where there is room."""
    for lane in lanes:
        canvas.text(
            lane.x,
            top - 12 - lane.row * LANE,
            lane.label,
            size=SMALL_SIZE,
            fill=lane.mark.colour,
            bold=True,
            whole=lane.mark.label,
        )
