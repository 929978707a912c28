"""Bar tables: one row a thing, with a bar for the number that matters and columns beside it."""

from typing import Final

import msgspec

from breakwater.render.chart import check_size
from breakwater.render.errors import ChartError
from breakwater.render.heading import (
    MARGIN,
    SMALL_SIZE,
    TEXT_SIZE,
    draw_heading,
    heading_height,
)
from breakwater.render.palette import THEMES, Theme, ThemeName, colour_of
from breakwater.render.svg import Canvas
from breakwater.render.text import elide, width
from breakwater.render.units import UnitName, format_value

_ROW: Final = 27.0
_HEAD: Final = 24.0
_GAP: Final = 18.0
_SMALLEST_BAR: Final = 80.0
_WIDEST_CELL: Final = 170.0


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """One row: what it is, its number, its further cells, and whether it is the one to look at.

    A value that is not finite has no bar and shows a dash.
    """

    label: str
    value: float
    cells: list[str] = []
    colour: str | None = None
    is_marked: bool = False


class BarTable(msgspec.Struct, frozen=True, kw_only=True):
    """Rows in the order given; `columns` heads the cells; the height follows from the rows."""

    title: str
    bars: list[Bar]
    subtitle: str = ""
    remark: str = ""
    label_head: str = ""
    value_head: str = ""
    columns: list[str] = []
    unit: UnitName = "number"
    width: int = 960
    theme: ThemeName = "light"


class _Layout(msgspec.Struct, frozen=True, kw_only=True):
    """Where the columns stand: `cells` are the right edges of the further columns."""

    label_width: float
    value_right: float
    bar_left: float
    bar_right: float
    zero: float
    per_unit: float
    cells: list[float]
    cell_width: float


def bar_table(table: BarTable) -> str:
    """The table as an SVG document.

    Raises ChartError when a row has more cells than there are columns or a colour is unknown,
    PictureSizeError when it would be too wide or too high.
    """
    top = heading_height(title=table.title, subtitle=table.subtitle, remark=table.remark) + 4
    has_heads = any((table.label_head, table.value_head, *table.columns))
    first = top + (_HEAD if has_heads else 6)
    height = first + max(len(table.bars), 1) * _ROW + 14
    check_size(table.width, max(height, 120))
    _check(table)
    theme = THEMES[table.theme]
    layout = _layout(table)
    canvas = Canvas(table.width, height, title=table.title, background=theme.background)
    draw_heading(
        canvas,
        theme,
        title=table.title,
        subtitle=table.subtitle,
        remark=table.remark,
        picture_width=table.width,
    )
    if has_heads:
        _draw_heads(canvas, theme, table, layout, top + 14)
    for index, bar in enumerate(table.bars):
        _draw_bar(canvas, theme, table, bar, layout, first + index * _ROW)
    if table.bars:
        bottom = first + len(table.bars) * _ROW
        canvas.line(layout.zero, first, layout.zero, bottom, stroke=theme.axis)
    else:
        canvas.text(MARGIN, first + 18, "no rows", size=TEXT_SIZE, fill=theme.muted)
    return canvas.finish()


def _check(table: BarTable) -> None:
    for bar in table.bars:
        if len(bar.cells) > len(table.columns):
            raise ChartError(
                f"row '{bar.label}' has {len(bar.cells)} cells for {len(table.columns)} columns"
            )
        if bar.colour is not None:
            colour_of(bar.colour, THEMES[table.theme])


def _layout(table: BarTable) -> _Layout:
    room = table.width - 2 * MARGIN
    cell_width = _cell_width(table, room)
    cells_width = len(table.columns) * (cell_width + _GAP)
    values = [format_value(bar.value, table.unit) for bar in table.bars]
    value_width = max(
        [width(table.value_head, SMALL_SIZE)]
        + [width(text, TEXT_SIZE, bold=True) for text in values]
    )
    value_width = min(value_width, room * 0.2)
    longest = max(
        [width(table.label_head, SMALL_SIZE)]
        + [width(bar.label, TEXT_SIZE, bold=True) for bar in table.bars]
    )
    label_width = min(longest, room - cells_width - value_width - 2 * _GAP - _SMALLEST_BAR)
    label_width = min(max(label_width, 60.0), room * 0.45)
    value_right = MARGIN + label_width + _GAP + value_width
    bar_left = value_right + 12
    bar_right = table.width - MARGIN - cells_width
    low, high = _ends(table)
    per_unit = (bar_right - bar_left) / (high - low)
    return _Layout(
        label_width=label_width,
        value_right=value_right,
        bar_left=bar_left,
        bar_right=bar_right,
        zero=bar_left - low * per_unit,
        per_unit=per_unit,
        cells=[
            bar_right + (index + 1) * (cell_width + _GAP) for index in range(len(table.columns))
        ],
        cell_width=cell_width,
    )


def _cell_width(table: BarTable, room: float) -> float:
    if not table.columns:
        return 0.0
    widest = max(
        [width(head, SMALL_SIZE) for head in table.columns]
        + [width(cell, TEXT_SIZE) for bar in table.bars for cell in bar.cells]
    )
    return min(widest, _WIDEST_CELL, max(room * 0.45 / len(table.columns) - _GAP, 8.0))


def _ends(table: BarTable) -> tuple[float, float]:
    values = [bar.value for bar in table.bars if abs(bar.value) < 1e300]
    low, high = min([0.0, *values]), max([0.0, *values])
    return (low, high) if high > low else (0.0, 1.0)


def _draw_heads(
    canvas: Canvas, theme: Theme, table: BarTable, layout: _Layout, baseline: float
) -> None:
    label = elide(table.label_head, layout.label_width, SMALL_SIZE)
    canvas.text(MARGIN, baseline, label, size=SMALL_SIZE, fill=theme.muted)
    room = layout.value_right - MARGIN - layout.label_width - _GAP
    value = elide(table.value_head, room, SMALL_SIZE)
    canvas.text(
        layout.value_right, baseline, value, size=SMALL_SIZE, fill=theme.muted, anchor="end"
    )
    for right, head in zip(layout.cells, table.columns, strict=True):
        shown = elide(head, layout.cell_width, SMALL_SIZE)
        canvas.text(
            right, baseline, shown, size=SMALL_SIZE, fill=theme.muted, anchor="end", whole=head
        )


def _draw_bar(  # noqa: PLR0917 - the row's place and look are all there is to a row
    canvas: Canvas, theme: Theme, table: BarTable, bar: Bar, layout: _Layout, top: float
) -> None:
    baseline = top + 18
    if bar.is_marked:
        canvas.rect(
            MARGIN - 8,
            top,
            table.width - 2 * MARGIN + 16,
            _ROW,
            fill=theme.danger,
            radius=4,
            opacity=0.08,
        )
    label = elide(bar.label, layout.label_width, TEXT_SIZE, bold=bar.is_marked)
    canvas.text(
        MARGIN,
        baseline,
        label,
        size=TEXT_SIZE,
        fill=theme.text,
        bold=bar.is_marked,
        whole=bar.label,
    )
    room = layout.value_right - MARGIN - layout.label_width - 8
    value = elide(format_value(bar.value, table.unit), room, TEXT_SIZE, bold=bar.is_marked)
    canvas.text(
        layout.value_right,
        baseline,
        value,
        size=TEXT_SIZE,
        fill=theme.text,
        anchor="end",
        bold=bar.is_marked,
    )
    if abs(bar.value) < 1e300:
        given = bar.colour or ("danger" if bar.is_marked else theme.series[0])
        length = bar.value * layout.per_unit
        left = layout.zero + min(length, 0.0)
        canvas.rect(left, top + 7, abs(length), _ROW - 14, fill=colour_of(given, theme), radius=2)
    for right, cell in zip(layout.cells, bar.cells, strict=False):
        shown = elide(cell, layout.cell_width, TEXT_SIZE)
        canvas.text(
            right, baseline, shown, size=TEXT_SIZE, fill=theme.muted, anchor="end", whole=cell
        )
