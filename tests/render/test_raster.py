"""PNG output."""

import struct

import numpy as np
import pytest

from breakwater.render import (
    Chart,
    GraphNode,
    PictureSizeError,
    RenderError,
    Series,
    graph,
    line_chart,
    png,
)


def size_of(data: bytes) -> tuple[int, int]:
    """Width and height from a PNG's header."""
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", data[16:24])
    return width, height


@pytest.mark.slow
def test_scale_multiplies_the_pixels() -> None:
    """Scale two makes a picture of twice the width and height."""
    times = 1_763_627_460_000 + np.arange(20, dtype=np.int64) * 5_000
    chart = Chart(title="t", times_ms=times, series=[Series(name="a", values=np.ones(20))])
    svg = line_chart(chart)
    one, two = size_of(png(svg, 1.0)), size_of(png(svg))
    assert (2 * one[0], 2 * one[1]) == two


def test_text_is_drawn_without_system_fonts() -> None:
    """Two graphs that differ in a name only differ as pictures: the fonts are really there."""
    named = png(graph([GraphNode(id="a", label="HHHH")], []), 1.0)
    other = png(graph([GraphNode(id="a", label="NNNN")], []), 1.0)
    assert named != other


def test_what_is_no_picture_is_refused() -> None:
    """Anything but our SVG is refused."""
    with pytest.raises(RenderError, match="no width"):
        png("<html></html>")
    with pytest.raises(RenderError, match="could not be drawn"):
        png('<svg width="10" height="10"')


def test_pixels_are_bounded() -> None:
    """A scale that would fill the memory is refused."""
    with pytest.raises(PictureSizeError, match="allowed"):
        png(graph([], []), 1_000.0)
