"""Writing SVG: a list of elements with everything escaped on the way in.

Only absolute coordinates and presentation attributes are used, no style sheets, no scripts, no
transforms, so that a picture can be inlined in a page, saved, or rasterised without surprises.
"""

from typing import Final, Literal

from breakwater.render.fonts import FAMILY
from breakwater.render.text import drawable

Anchor = Literal["start", "middle", "end"]
_SPECIAL: Final = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"}
)


def escape(text: str) -> str:
    """The text as XML character data or attribute value; what XML 1.0 forbids becomes U+FFFD."""
    return drawable(text).translate(_SPECIAL)


def number(value: float) -> str:
    """A coordinate with at most one decimal, which is finer than any screen."""
    return f"{value:.1f}".removesuffix(".0")


class Canvas:
    """One picture while it is drawn; `finish` returns the document."""

    def __init__(self, width: float, height: float, *, title: str, background: str) -> None:
        self._size = (width, height)
        self._title = title
        self._parts: list[str] = []
        self.rect(0, 0, width, height, fill=background)

    def rect(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        *,
        fill: str,
        radius: float = 0,
        stroke: str = "none",
        opacity: float = 1,
    ) -> None:
        """A filled box with an outline one pixel thick; `opacity` is that of the filling."""
        extra = f' rx="{number(radius)}"' if radius else ""
        if stroke != "none":
            extra += f' stroke="{stroke}"'
        if opacity < 1:
            extra += f' fill-opacity="{opacity:.3g}"'
        self._parts.append(
            f'<rect x="{number(x)}" y="{number(y)}" width="{number(max(width, 0))}"'
            f' height="{number(max(height, 0))}" fill="{fill}"{extra}/>'
        )

    def line(
        self, x1: float, y1: float, x2: float, y2: float, *, stroke: str, dash: str = ""
    ) -> None:
        """A straight line one pixel thick."""
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        self._parts.append(
            f'<line x1="{number(x1)}" y1="{number(y1)}" x2="{number(x2)}" y2="{number(y2)}"'
            f' stroke="{stroke}"{dashed}/>'
        )

    def path(
        self,
        data: str,
        *,
        stroke: str = "none",
        stroke_width: float = 1,
        fill: str = "none",
        dash: str = "",
        opacity: float = 1,
    ) -> None:
        """A path whose `data` is made of numbers and commands only."""
        extra = f' stroke-dasharray="{dash}"' if dash else ""
        if opacity < 1:
            extra += f' opacity="{opacity:.3g}"'
        if stroke != "none":
            extra += (
                f' stroke="{stroke}" stroke-width="{stroke_width:.3g}"'
                ' stroke-linejoin="round" stroke-linecap="round"'
            )
        self._parts.append(f'<path d="{data}" fill="{fill}"{extra}/>')

    def circle(self, x: float, y: float, radius: float, *, fill: str) -> None:
        """A filled dot."""
        self._parts.append(
            f'<circle cx="{number(x)}" cy="{number(y)}" r="{number(radius)}" fill="{fill}"/>'
        )

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float,
        fill: str,
        anchor: Anchor = "start",
        bold: bool = False,
        whole: str | None = None,
    ) -> None:
        """One line of text on the baseline `y`; `whole` is shown on hovering when it was elided."""
        if not text:
            return
        extra = ' font-weight="700"' if bold else ""
        if anchor != "start":
            extra += f' text-anchor="{anchor}"'
        hint = f"<title>{escape(whole)}</title>" if whole is not None and whole != text else ""
        self._parts.append(
            f'<text x="{number(x)}" y="{number(y)}" font-size="{number(size)}"'
            f' fill="{fill}"{extra}>{escape(text)}{hint}</text>'
        )

    def finish(self) -> str:
        """The whole document, usable as a file and inline in HTML."""
        width, height = (number(side) for side in self._size)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
            f' viewBox="0 0 {width} {height}" font-family="{FAMILY}" role="img">'
            f"<title>{escape(self._title)}</title>{''.join(self._parts)}</svg>"
        )
