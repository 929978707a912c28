"""Reading back what was drawn."""

import xml.etree.ElementTree as ET
from collections.abc import Callable

import msgspec
import pytest

from breakwater.render.text import width

_SVG = "{http://www.w3.org/2000/svg}"


class TextBox(msgspec.Struct, frozen=True):
    """One drawn text and the pixels it covers; a little is taken off for rounding."""

    text: str
    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: "TextBox") -> bool:
        """Whether the two share a pixel."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )


def _read(svg: str) -> list[TextBox]:
    found = []
    for element in ET.fromstring(svg).iter(f"{_SVG}text"):
        text = element.text or ""
        size = float(element.attrib["font-size"])
        across = width(text, size, bold=element.get("font-weight") == "700")
        shift = {"start": 0.0, "middle": 0.5, "end": 1.0}[element.get("text-anchor", "start")]
        left = float(element.attrib["x"]) - shift * across
        base = float(element.attrib["y"])
        box = TextBox(text, left + 0.2, base - 0.72 * size, left + across - 0.2, base + 0.18 * size)
        found.append(_turned(box, element) if "transform" in element.attrib else box)
    return found


def _turned(box: TextBox, element: ET.Element) -> TextBox:
    """The box of a text that runs upwards, turned about its anchor."""
    x, y = float(element.attrib["x"]), float(element.attrib["y"])
    assert element.attrib["transform"].startswith("rotate(-90 ")
    return TextBox(
        box.text,
        x + box.top - y,
        y - (box.right - x),
        x + box.bottom - y,
        y - (box.left - x),
    )


@pytest.fixture(scope="session")
def text_boxes() -> Callable[[str], list[TextBox]]:
    """Every text of an SVG document with the box it covers."""
    return _read


@pytest.fixture(scope="session")
def assert_legible() -> Callable[[str], None]:
    """Fails when a text leaves the picture or overlaps another one."""

    def check(svg: str) -> None:
        root = ET.fromstring(svg)
        picture = float(root.attrib["width"]), float(root.attrib["height"])
        boxes = _read(svg)
        for index, box in enumerate(boxes):
            assert box.left >= -0.5, box
            assert box.right <= picture[0] + 0.5, box
            assert box.top >= 0, box
            assert box.bottom <= picture[1], box
            for other in boxes[index + 1 :]:
                assert not box.overlaps(other), (box, other)

    return check
