"""A picture that says what went wrong, for those who can only show pictures."""

from typing import Final

from breakwater.render.heading import TEXT_SIZE, TITLE_SIZE
from breakwater.render.palette import THEMES, ThemeName
from breakwater.render.svg import Canvas
from breakwater.render.text import elide, wrap

_PAD: Final = 20.0
_LINE: Final = 18.0
_SMALLEST: Final = (32, 16)
_LARGEST: Final = 8_000


def error_svg(
    message: str, *, width: int = 700, height: int = 300, theme: ThemeName = "light"
) -> str:
    """An SVG document of that size (moved into 32 x 16 to 8000 x 8000) with the message in it.

    It never fails because of what it is given; a message without room ends in an ellipsis.
    """
    across = float(min(max(width, _SMALLEST[0]), _LARGEST))
    down = float(min(max(height, _SMALLEST[1]), _LARGEST))
    look = THEMES[theme]
    canvas = Canvas(across, down, title="error", background=look.background)
    canvas.rect(0, 0, 4, down, fill=look.danger)
    room = across - 2 * _PAD
    lines = wrap(message, room, TEXT_SIZE, most=max(int((down - 50) // _LINE), 1))
    if down < 66:
        text = elide(message, across - 16, TEXT_SIZE)
        canvas.text(10, down / 2 + 4, text, size=TEXT_SIZE, fill=look.text, whole=message)
        return canvas.finish()
    block = 26 + _LINE * len(lines)
    top = max((down - block) / 2, 8.0)
    head = elide("This could not be drawn", room, TITLE_SIZE, bold=True)
    canvas.text(_PAD, top + 14, head, size=TITLE_SIZE, fill=look.danger, bold=True)
    for number, line in enumerate(lines):
        baseline = top + 38 + number * _LINE
        canvas.text(_PAD, baseline, line, size=TEXT_SIZE, fill=look.text)
    return canvas.finish()
