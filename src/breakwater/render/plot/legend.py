"""The table below a plot: which line is which, and its numbers in aligned columns.

Columns are as wide as what stands in them, numbers give way before names do, and what finds no
room is counted in the last row.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from breakwater.render.heading import MARGIN, SMALL_SIZE, TEXT_SIZE
from breakwater.render.palette import Theme
from breakwater.render.plot.axes import line_values
from breakwater.render.plot.model import LineStatistics, LineStyle, PlotLine, StatisticName
from breakwater.render.svg import Canvas
from breakwater.render.text import elide, width
from breakwater.render.units import UnitName, format_value

ROW: Final = 18.0
MOST_ROWS: Final = 24
_HEAD: Final = 18.0
_SWATCH: Final = 22.0
_GAP: Final = 16.0
_GUTTER: Final = 36.0
_LEAST_NAME: Final = 110.0
_LEAST_COLUMN: Final = 340.0
_LESS_TELLING: Final[tuple[StatisticName, ...]] = ("count", "total", "min", "last", "avg", "max")


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One row: a line, or with `is_title` the name of an axis above its lines."""

    name: str
    colour: str
    style: LineStyle = "line"
    opacity: float = 1.0
    dash: str = ""
    hint: str = ""
    numbers: tuple[str, ...] = ()
    is_title: bool = False


def statistics_of(line: PlotLine) -> LineStatistics:
    """The numbers of a line: those it brings along, else worked out from its values."""
    if line.statistics is not None:
        return line.statistics
    values = line_values(line)
    present = values[np.isfinite(values)]
    if not present.size:
        nan = float("nan")
        return LineStatistics(min=nan, max=nan, avg=nan, last=nan, total=nan, count=0)
    return LineStatistics(
        min=float(present.min()),
        max=float(present.max()),
        avg=float(present.mean()),
        last=float(present[-1]),
        total=float(present.sum()),
        count=int(present.size),
    )


def numbers_of(line: PlotLine, names: Sequence[StatisticName], unit: UnitName) -> tuple[str, ...]:
    """The named statistics of a line as they are written."""
    found = statistics_of(line)
    return tuple(
        str(found.count) if name == "count" else format_value(getattr(found, name), unit)
        for name in names
    )


class Legend:
    """The entries in columns across a picture `picture_width` wide, at most `most_rows` down."""

    def __init__(
        self,
        entries: Sequence[Entry],
        heads: Sequence[StatisticName],
        *,
        picture_width: float,
        most_rows: int = MOST_ROWS,
        left_out: int = 0,
    ) -> None:
        """left_out: lines for which no entry was made at all."""
        self._entries = list(entries)
        self._room = picture_width - 2 * MARGIN
        self._heads = list(heads)
        self._widths = [self._number_width(place) for place in range(len(heads))]
        self._columns = self._column_count()
        self._shown = self._fitting_numbers()
        self._rows = min(-(-len(self._entries) // self._columns), max(most_rows, 1))
        self._placed = self._placement()
        while len(self._placed) < len(self._entries) and self._rows < most_rows:
            self._rows += 1  # a title moved to the next column takes room
            self._placed = self._placement()
        beyond = self._entries[len(self._placed) :]
        self.hidden = sum(not entry.is_title for entry in beyond) + left_out
        self._name_width = self._names()

    @property
    def height(self) -> float:
        """Pixels the legend takes; zero without entries."""
        if not self._entries:
            return 0.0
        head = _HEAD if self._shown else 4.0
        rows = 1 + max((row for _, row in self._placed), default=-1)
        return head + ROW * (rows + (1 if self.hidden else 0)) + 6.0

    def draw(self, canvas: Canvas, theme: Theme, top: float) -> None:
        """Draw heads, entries and how many were left out."""
        if not self._entries:
            return
        first = top + (_HEAD if self._shown else 4.0)
        for column in range(self._columns):
            self._draw_heads(canvas, theme, self._left(column), top + 11)
        for index, (column, row) in enumerate(self._placed):
            entry, left = self._entries[index], self._left(column)
            self._draw_entry(canvas, theme, entry, left, first + row * ROW)
        if self.hidden:
            rows = 1 + max((row for _, row in self._placed), default=-1)
            below = first + rows * ROW + 12.5
            more = elide(f"and {self.hidden} more", self._room, TEXT_SIZE)
            canvas.text(MARGIN, below, more, size=TEXT_SIZE, fill=theme.muted)

    def _placement(self) -> list[tuple[int, int]]:
        """Column and row of each entry that is shown; a title is never last in a column."""
        placed: list[tuple[int, int]] = []
        at = 0
        for entry in self._entries:
            if entry.is_title and at % self._rows == self._rows - 1:
                at += 1
            if at >= self._rows * self._columns:
                break
            placed.append(divmod(at, self._rows))
            at += 1
        return placed

    def _number_width(self, place: int) -> float:
        texts = [entry.numbers[place] for entry in self._entries if entry.numbers]
        widest = max((width(text, TEXT_SIZE) for text in texts), default=0.0)
        return max(widest, width(self._heads[place], SMALL_SIZE), 34.0) + _GAP

    def _longest(self) -> float:
        return max((width(entry.name, TEXT_SIZE) for entry in self._entries), default=0.0)

    def _column_count(self) -> int:
        numbers = sum(self._widths)
        least = _LEAST_COLUMN if numbers else _SWATCH + min(self._longest() + 4, 260.0)
        needed = max(min(self._longest(), 180.0) + _SWATCH + numbers, least)
        fitting = max(int((self._room + _GUTTER) // (needed + _GUTTER)), 1)
        few = len(self._entries) if not numbers else -(-len(self._entries) // 8)
        return max(min(fitting, few), 1)

    def _column_width(self) -> float:
        return (self._room + _GUTTER) / self._columns - _GUTTER

    def _fitting_numbers(self) -> list[int]:
        """Places of the numbers that are shown: the less telling ones give way to the names."""
        shown = list(range(len(self._heads)))
        least = _SWATCH + min(self._longest(), _LEAST_NAME)
        for name in _LESS_TELLING:
            if least + sum(self._widths[place] for place in shown) <= self._column_width():
                break
            shown = [place for place in shown if self._heads[place] != name]
        return shown

    def _names(self) -> float:
        numbers = sum(self._widths[place] for place in self._shown)
        room = self._column_width() - _SWATCH - numbers
        return max(min(self._longest(), room), 0.0)

    def _left(self, column: int) -> float:
        return MARGIN + column * (self._column_width() + _GUTTER)

    def _rights(self, left: float) -> list[float]:
        at = left + _SWATCH + self._name_width
        return [at := at + self._widths[place] for place in self._shown]

    def _draw_heads(self, canvas: Canvas, theme: Theme, left: float, baseline: float) -> None:
        for place, right in zip(self._shown, self._rights(left), strict=True):
            head = self._heads[place]
            canvas.text(right, baseline, head, size=SMALL_SIZE, fill=theme.muted, anchor="end")

    def _draw_entry(
        self, canvas: Canvas, theme: Theme, entry: Entry, left: float, top: float
    ) -> None:
        baseline = top + 13.0
        if entry.is_title:
            name = elide(entry.name, self._column_width(), SMALL_SIZE, bold=True)
            canvas.text(left, baseline, name, size=SMALL_SIZE, fill=entry.colour, bold=True)
            return
        _draw_swatch(canvas, entry, left, top)
        name = elide(entry.name, self._name_width, TEXT_SIZE)
        whole = entry.hint or entry.name
        at = left + _SWATCH
        canvas.text(at, baseline, name, size=TEXT_SIZE, fill=theme.text, whole=whole)
        for place, right in zip(self._shown, self._rights(left), strict=True):
            text = entry.numbers[place]
            canvas.text(right, baseline, text, size=TEXT_SIZE, fill=theme.text, anchor="end")


def _draw_swatch(canvas: Canvas, entry: Entry, left: float, top: float) -> None:
    if entry.style in {"stack", "vspan", "heatmap"}:
        fill, opacity = entry.colour, entry.opacity
        canvas.rect(left + 1, top + 3.5, 14, 11, fill=fill, radius=2, opacity=opacity)
        return
    if entry.style == "area":
        canvas.rect(left + 1, top + 8, 14, 6.5, fill=entry.colour, opacity=entry.opacity)
        canvas.path(f"M{left + 1:.1f} {top + 8:.1f}h14", stroke=entry.colour, stroke_width=2)
        return
    swatch = f"M{left + 1.5:.1f} {top + 9:.1f}h13"
    canvas.path(swatch, stroke=entry.colour, stroke_width=3, dash=entry.dash)
