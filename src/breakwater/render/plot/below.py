"""What stands below the time axes: heat map ramps, the legend, notices and the footer."""

from collections.abc import Sequence
from typing import Final

import msgspec

from breakwater.render.heading import MARGIN, SMALL_SIZE
from breakwater.render.palette import Theme
from breakwater.render.plot.legend import Entry, Legend
from breakwater.render.plot.model import StatisticName
from breakwater.render.plot.parts import Parts
from breakwater.render.plot.ramps import RAMP
from breakwater.render.svg import Canvas
from breakwater.render.text import elide, width, wrap

_LINE: Final = 15.0
_FOOTER: Final = 18.0
_INDENT: Final = 14.0


class Below(msgspec.Struct, frozen=True, kw_only=True):
    """The texts and tables below the plotting area.

    ramps: how many heat maps want one. left_out: lines without an entry.
    """

    ramps: int
    entries: list[Entry]
    heads: list[StatisticName]
    left_out: int
    notices: list[str]
    footer: str

    def height(self, parts: Parts, across: float) -> float:
        """Pixels it takes in a picture that wide."""
        ramps = RAMP * self.ramps if parts.has_ramps else 0.0
        notices = sum(len(lines) for lines in self._notices(parts, across))
        footer = _FOOTER if self._has_footer(parts) else 0.0
        return (
            ramps
            + self._legend(parts, across).height
            + (_LINE * notices + 6 if notices else 0.0)
            + footer
        )

    def draw(
        self, canvas: Canvas, theme: Theme, parts: Parts, *, top: float, across: float
    ) -> None:
        """Draw all but the ramps, from `top` downwards."""
        top += RAMP * self.ramps if parts.has_ramps else 0.0
        legend = self._legend(parts, across)
        legend.draw(canvas, theme, top)
        top += legend.height
        notices = self._notices(parts, across)
        for lines in notices:
            canvas.circle(MARGIN + 4, top + 7.5, 3, fill=theme.warning)
            for line in lines:
                at = MARGIN + _INDENT
                canvas.text(at, top + 11.5, line, size=SMALL_SIZE, fill=theme.text)
                top += _LINE
        top += 6 if notices else 0
        if self._has_footer(parts):
            footer = elide(self.footer, across - 2 * MARGIN, SMALL_SIZE)
            canvas.text(
                MARGIN, top + 12, footer, size=SMALL_SIZE, fill=theme.muted, whole=self.footer
            )

    def _legend(self, parts: Parts, across: float) -> Legend:
        entries: Sequence[Entry] = self.entries if parts.most_rows else ()
        left_out = self.left_out if parts.most_rows else 0
        return Legend(
            entries,
            self.heads,
            picture_width=across,
            most_rows=parts.most_rows,
            left_out=left_out,
        )

    def _has_footer(self, parts: Parts) -> bool:
        return parts.has_footer and bool(self.footer)

    def _notices(self, parts: Parts, across: float) -> list[list[str]]:
        room = across - 2 * MARGIN - _INDENT
        shown = self.notices[: parts.most_notices]
        more = len(self.notices) - len(shown)
        if more and shown:
            shown = [*shown[:-1], f"{shown[-1]} (and {more} more)"]
        if room < width("0000", SMALL_SIZE):
            return []
        return [lines for text in shown if (lines := wrap(text, room, SMALL_SIZE, most=2))]
