"""Writing SVG: a list of elements with everything escaped on the way in.

Only absolute coordinates and presentation attributes are used, no style sheets, no scripts, and
no transforms but a quarter turn of a text, so that a picture can be inlined in a page, saved, or
rasterised without surprises.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
    """One picture while it is drawn; `finish` returns the document.

    zoom enlarges the whole picture. recolour is applied to every colour on its way in.
    """

    def __init__(
        self,
        width: float,
        height: float,
        *,
        title: str,
        background: str,
        zoom: float = 1.0,
        recolour: Callable[[str], str] = str,
    ) -> None:
        self._size = (width, height)
        self._title = title
        self._zoom = zoom
        self._recolour = recolour
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
            extra += f' stroke="{self._recolour(stroke)}"'
        if opacity < 1:
            extra += f' fill-opacity="{opacity:.3g}"'
        self._parts.append(
            f'<rect x="{number(x)}" y="{number(y)}" width="{number(max(width, 0))}"'
            f' height="{number(max(height, 0))}" fill="{self._recolour(fill)}"{extra}/>'
        )

    def line(
        self, x1: float, y1: float, x2: float, y2: float, *, stroke: str, dash: str = ""
    ) -> None:
        """A straight line one pixel thick."""
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        self._parts.append(
            f'<line x1="{number(x1)}" y1="{number(y1)}" x2="{number(x2)}" y2="{number(y2)}"'
            f' stroke="{self._recolour(stroke)}"{dashed}/>'
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
        is_crisp: bool = False,
    ) -> None:
        """A path whose `data` is made of numbers and commands only, either stroked or filled.

        A crisp one has hard edges, so that areas side by side leave no seam.
        """
        extra = f' stroke-dasharray="{dash}"' if dash else ""
        if opacity < 1:
            extra += f' {"fill" if stroke == "none" else "stroke"}-opacity="{opacity:.3g}"'
        if is_crisp:
            extra += ' shape-rendering="crispEdges"'
        if stroke != "none":
            extra += (
                f' stroke="{self._recolour(stroke)}" stroke-width="{stroke_width:.3g}"'
                ' stroke-linejoin="round" stroke-linecap="round"'
            )
        self._parts.append(f'<path d="{data}" fill="{self._recolour(fill)}"{extra}/>')

    def circle(self, x: float, y: float, radius: float, *, fill: str) -> None:
        """A filled dot."""
        self._parts.append(
            f'<circle cx="{number(x)}" cy="{number(y)}" r="{number(radius)}"'
            f' fill="{self._recolour(fill)}"/>'
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
            f' fill="{self._recolour(fill)}"{extra}>{escape(text)}{hint}</text>'
        )

    def turned_text(self, x: float, y: float, text: str, *, size: float, fill: str) -> None:
        """One line of text that runs upwards along the vertical at `x`, its middle at `y`."""
        self._parts.append(
            f'<text x="{number(x)}" y="{number(y)}" font-size="{number(size)}"'
            f' fill="{self._recolour(fill)}" text-anchor="middle"'
            f' transform="rotate(-90 {number(x)} {number(y)})">{escape(text)}</text>'
        )

    @contextmanager
    def clipped(self, x: float, y: float, width: float, height: float) -> Iterator[None]:
        """What is drawn meanwhile is cut off at the edges of that box.

        The identifier this needs spells the box out, so that in a page with several pictures
        equal identifiers are equal boxes.
        """
        left, top, across, down = (number(value) for value in (x, y, width, height))
        name = f"box_{left}_{top}_{across}_{down}"
        self._parts.append(
            f'<clipPath id="{name}"><rect x="{left}" y="{top}" width="{across}"'
            f' height="{down}"/></clipPath><g clip-path="url(#{name})">'
        )
        yield
        self._parts.append("</g>")

    def finish(self) -> str:
        """The whole document, usable as a file and inline in HTML."""
        across, down = (number(side * self._zoom) for side in self._size)
        box = " ".join(number(side) for side in self._size)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{across}" height="{down}"'
            f' viewBox="0 0 {box}" font-family="{FAMILY}" role="img">'
            f"<title>{escape(self._title)}</title>{''.join(self._parts)}</svg>"
        )
