"""The head every picture has: title at the left, a remark at the right, subtitle below."""

from typing import Final

from breakwater.render.palette import Theme
from breakwater.render.svg import Canvas
from breakwater.render.text import elide, width

MARGIN: Final = 18.0
TITLE_SIZE: Final = 16.0
TEXT_SIZE: Final = 12.0
SMALL_SIZE: Final = 11.0


def heading_height(*, title: str, subtitle: str, remark: str = "") -> float:
    """Pixels from the top of the picture to the end of its head."""
    rows = bool(title) + bool(subtitle)
    return 14.0 + (22.0 if rows or remark else 0.0) + (18.0 if rows == 2 else 0.0)


def draw_heading(
    canvas: Canvas, theme: Theme, *, title: str, subtitle: str, remark: str, picture_width: float
) -> None:
    """Draw the head; the title gives way to the remark, the remark to the picture's width."""
    right = picture_width - MARGIN
    room = right - MARGIN
    shown_remark = elide(remark, room * 0.6, SMALL_SIZE)
    taken = width(shown_remark, SMALL_SIZE) + 16 if shown_remark else 0.0
    baseline = 30.0
    title_room, subtitle_room = (room - taken, room) if title else (room, room - taken)
    shown = elide(title, title_room, TITLE_SIZE, bold=True)
    canvas.text(MARGIN, baseline, shown, size=TITLE_SIZE, fill=theme.text, bold=True, whole=title)
    below = baseline + 19 if title else baseline - 1
    shown = elide(subtitle, subtitle_room, TEXT_SIZE)
    canvas.text(MARGIN, below, shown, size=TEXT_SIZE, fill=theme.muted, whole=subtitle)
    canvas.text(right, baseline - 1, shown_remark, size=SMALL_SIZE, fill=theme.muted, anchor="end")
