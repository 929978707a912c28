"""Boards of tiles: many things of one kind side by side, each with a disc that shows how it is.

The disc's area says how much goes on, its colour how well; the word beside it says the latter
again, so that nothing rests on colour. Below stand counted figures in two columns.
"""

from math import ceil, sqrt
from typing import Final

import msgspec

from breakwater.render.chart import check_size
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

_GAP: Final = 14.0
_PADDING: Final = 14.0
_NARROWEST: Final = 280.0
_LARGEST_DISC: Final = 30.0
_SMALLEST_DISC: Final = 4.0
_TOP: Final = 96.0
_LINE: Final = 18.0
_HEADLINE_SIZE: Final = 22.0
_SECTION: Final = 30.0


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One counted thing; a colour only where it means something."""

    label: str
    value: str
    colour: str | None = None


class Tile(msgspec.Struct, frozen=True, kw_only=True):
    """One thing: its name, the share of the largest disc (0 to 1), its state in a word.

    headline: the number to look at first, with a line below it.
    """

    title: str
    size: float
    colour: str
    state: str
    headline: str
    below: str = ""
    detail: str = ""
    figures: list[Figure] = []


class TileSection(msgspec.Struct, frozen=True, kw_only=True):
    """Tiles that belong together, under a title unless that is empty."""

    title: str
    tiles: list[Tile]


class TileBoard(msgspec.Struct, frozen=True, kw_only=True):
    """Sections in the order given; the height follows from them."""

    title: str
    sections: list[TileSection]
    subtitle: str = ""
    remark: str = ""
    width: int = 960
    theme: ThemeName = "light"


def tile_board(board: TileBoard) -> str:
    """The board as an SVG document; raises ChartError, PictureSizeError."""
    theme = THEMES[board.theme]
    room = board.width - 2 * MARGIN
    across = max(int((room + _GAP) / (_NARROWEST + _GAP)), 1)
    tile_width = (room - (across - 1) * _GAP) / across
    top = heading_height(title=board.title, subtitle=board.subtitle, remark=board.remark) + 10
    height = top + sum(_height(section, across) for section in board.sections) + 4
    if not any(section.tiles for section in board.sections):
        height += _SECTION
    check_size(board.width, max(height, 120))
    canvas = Canvas(board.width, height, title=board.title, background=theme.background)
    draw_heading(
        canvas,
        theme,
        title=board.title,
        subtitle=board.subtitle,
        remark=board.remark,
        picture_width=board.width,
    )
    down = top
    for section in board.sections:
        _draw_section(canvas, theme, section, down, across=across, tile_width=tile_width)
        down += _height(section, across)
    if not any(section.tiles for section in board.sections):
        canvas.text(MARGIN, down + 18, "nothing to show", size=TEXT_SIZE, fill=theme.muted)
    return canvas.finish()


def _height(section: TileSection, across: int) -> float:
    rows = ceil(len(section.tiles) / across)
    return (_SECTION if section.title else 0.0) + rows * (_tile_height(section) + _GAP)


def _tile_height(section: TileSection) -> float:
    """All tiles of a section are as high as the highest."""
    lines = max((ceil(len(tile.figures) / 2) for tile in section.tiles), default=0)
    return _TOP + lines * _LINE + _PADDING


def _draw_section(
    canvas: Canvas,
    theme: Theme,
    section: TileSection,
    top: float,
    *,
    across: int,
    tile_width: float,
) -> None:
    if section.title:
        room = across * (tile_width + _GAP) - _GAP
        shown = elide(section.title, room, TEXT_SIZE, bold=True)
        canvas.text(MARGIN, top + 18, shown, size=TEXT_SIZE, fill=theme.text, bold=True)
        top += _SECTION
    tile_height = _tile_height(section)
    for index, tile in enumerate(section.tiles):
        row, column = divmod(index, across)
        left = MARGIN + column * (tile_width + _GAP)
        _draw_tile(canvas, theme, tile, left, top + row * (tile_height + _GAP), tile_width)


def _draw_tile(  # noqa: PLR0917 - where, how large, what
    canvas: Canvas, theme: Theme, tile: Tile, left: float, top: float, tile_width: float
) -> None:
    colour = colour_of(tile.colour, theme)
    figure_lines = ceil(len(tile.figures) / 2)
    height = _TOP + figure_lines * _LINE + _PADDING
    canvas.rect(left, top, tile_width, height, fill=theme.panel, radius=6, stroke=theme.grid)
    inner = tile_width - 2 * _PADDING
    name = elide(tile.title, inner, TEXT_SIZE + 1, bold=True)
    canvas.text(
        left + _PADDING,
        top + 22,
        name,
        size=TEXT_SIZE + 1,
        fill=theme.text,
        bold=True,
        whole=tile.title,
    )
    share = min(max(tile.size, 0.0), 1.0)
    radius = max(_LARGEST_DISC * sqrt(share), _SMALLEST_DISC)
    middle = left + _PADDING + _LARGEST_DISC
    canvas.circle(middle, top + 62, radius, fill=colour)
    words = middle + _LARGEST_DISC + 14
    room = left + tile_width - _PADDING - words
    state_width = width(tile.state, SMALL_SIZE, bold=True)
    headline = elide(tile.headline, room, _HEADLINE_SIZE, bold=True)
    canvas.text(words, top + 52, headline, size=_HEADLINE_SIZE, fill=theme.text, bold=True)
    beside = room - width(headline, _HEADLINE_SIZE, bold=True) - 10
    if state_width <= beside:
        right = left + tile_width - _PADDING
        canvas.text(
            right, top + 52, tile.state, size=SMALL_SIZE, fill=colour, bold=True, anchor="end"
        )
    below = elide(tile.below, room, SMALL_SIZE)
    canvas.text(words, top + 70, below, size=SMALL_SIZE, fill=theme.muted, whole=tile.below)
    detail = elide(tile.detail, room, SMALL_SIZE)
    canvas.text(words, top + 86, detail, size=SMALL_SIZE, fill=theme.muted, whole=tile.detail)
    _draw_figures(canvas, theme, tile.figures, left + _PADDING, top + _TOP, inner)


def _draw_figures(  # noqa: PLR0917 - as above
    canvas: Canvas, theme: Theme, figures: list[Figure], left: float, top: float, inner: float
) -> None:
    column_width = (inner - 2 * _GAP) / 2
    for index, figure in enumerate(figures):
        row, column = divmod(index, 2)
        start = left + column * (column_width + 2 * _GAP)
        baseline = top + row * _LINE + 14
        value = elide(figure.value, column_width * 0.6, SMALL_SIZE, bold=True)
        value_width = width(value, SMALL_SIZE, bold=True)
        label = elide(figure.label, column_width - value_width - 8, SMALL_SIZE)
        colour = theme.text if figure.colour is None else colour_of(figure.colour, theme)
        canvas.text(start, baseline, label, size=SMALL_SIZE, fill=theme.muted, whole=figure.label)
        canvas.text(
            start + column_width,
            baseline,
            value,
            size=SMALL_SIZE,
            fill=colour,
            anchor="end",
            bold=True,
            whole=figure.value,
        )
