"""The table below a chart: which line is which, and its last, average and highest value."""

from typing import Final

import msgspec
import numpy as np

from breakwater.render.chart import Values
from breakwater.render.heading import MARGIN, SMALL_SIZE, TEXT_SIZE
from breakwater.render.palette import Theme
from breakwater.render.svg import Canvas
from breakwater.render.text import elide, width
from breakwater.render.units import NO_VALUE, UnitName, format_value

_ROW: Final = 19.0
_NUMBER: Final = 74.0
_NAME: Final = 130.0
_GUTTER: Final = 32.0
_MOST_ROWS: Final = 24
_HEADS: Final = ("last", "avg", "max")


class Entry(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One line of the legend."""

    name: str
    colour: str
    dash: str
    unit: UnitName
    values: Values


class Legend:
    """Where the entries stand in a picture `picture_width` wide: filled column by column."""

    def __init__(self, entries: list[Entry], picture_width: float) -> None:
        self._entries = entries
        room = picture_width - 2 * MARGIN
        fitting = max(int((room + _GUTTER) // (_NAME + 3 * _NUMBER + _GUTTER)), 1)
        self._columns = min(fitting, max(-(-len(entries) // 3), 1))
        self._rows = min(-(-len(entries) // self._columns), _MOST_ROWS)
        longest = max((width(entry.name, TEXT_SIZE) for entry in entries), default=0.0)
        self._column_width = min(
            (room + _GUTTER) / self._columns - _GUTTER,
            max(longest, _NAME - 24) + 24 + 3 * _NUMBER,
        )
        self._numbers = 3 if self._column_width >= _NAME + 3 * _NUMBER else 1
        self.hidden = max(len(entries) - self._rows * self._columns, 0)

    @property
    def height(self) -> float:
        """Pixels the legend takes; zero without entries."""
        if not self._entries:
            return 0.0
        return 20.0 + _ROW * (self._rows + (1 if self.hidden else 0)) + 10.0

    def draw(self, canvas: Canvas, theme: Theme, top: float) -> None:
        """Draw heads, entries and how many were left out."""
        if not self._entries:
            return
        for column in range(self._columns):
            self._draw_heads(canvas, theme, self._left(column), top + 12)
        for index, entry in enumerate(self._entries[: self._rows * self._columns]):
            column, row = divmod(index, self._rows)
            self._draw_entry(canvas, theme, entry, self._left(column), top + 20 + row * _ROW)
        if self.hidden:
            below = top + 20 + self._rows * _ROW + 13
            more = f"and {self.hidden} more"
            canvas.text(MARGIN, below, more, size=SMALL_SIZE, fill=theme.muted)

    def _left(self, column: int) -> float:
        return MARGIN + column * (self._column_width + _GUTTER)

    def _draw_heads(self, canvas: Canvas, theme: Theme, left: float, baseline: float) -> None:
        for place, head in enumerate(_HEADS[: self._numbers]):
            right = self._right_of(left, place)
            canvas.text(right, baseline, head, size=SMALL_SIZE, fill=theme.muted, anchor="end")

    def _right_of(self, left: float, place: int) -> float:
        return left + self._column_width - (self._numbers - 1 - place) * _NUMBER

    def _draw_entry(
        self, canvas: Canvas, theme: Theme, entry: Entry, left: float, top: float
    ) -> None:
        baseline = top + 13.5
        swatch = f"M{left + 1:.1f} {top + 9:.1f}h15"
        canvas.path(swatch, stroke=entry.colour, stroke_width=3, dash=entry.dash)
        room = self._column_width - 24 - self._numbers * _NUMBER
        name = elide(entry.name, room, TEXT_SIZE)
        canvas.text(left + 24, baseline, name, size=TEXT_SIZE, fill=theme.text, whole=entry.name)
        for place, text in enumerate(summary(entry.values, entry.unit)[: self._numbers]):
            shown = elide(text, _NUMBER - 6, TEXT_SIZE)
            right = self._right_of(left, place)
            canvas.text(right, baseline, shown, size=TEXT_SIZE, fill=theme.text, anchor="end")


def summary(values: Values, unit: UnitName) -> tuple[str, str, str]:
    """Last, average and highest of the values that are there, as text."""
    present = values[np.isfinite(values)]
    if not present.size:
        return NO_VALUE, NO_VALUE, NO_VALUE
    numbers = (float(present[-1]), float(np.mean(present)), float(np.max(present)))
    last, average, highest = (format_value(number, unit) for number in numbers)
    return last, average, highest
