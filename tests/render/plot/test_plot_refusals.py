"""What is not drawn, and the pictures that say so."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.render.plot.plot_samples import line, plot_of, size, texts

from breakwater.render import (
    ChartError,
    HeatmapStyle,
    PictureSizeError,
    PlotAxis,
    PlotLevel,
    PlotSpan,
    error_svg,
    plot_svg,
)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"times_ms": np.array([2, 1])}, "ascend"),
        ({"times_ms": np.array([1.0, 2.0])}, "integers"),
        ({"times_ms": np.array([[1, 2]])}, "2-dimensional"),
        ({"step_ms": -1}, "negative"),
        ({"axes": []}, "1 to 10 axes"),
        ({"axes": [PlotAxis(lines=[])] * 11}, "1 to 10 axes"),
        ({"axes": [PlotAxis(lines=[line()] * 5_001)]}, "at most 5000 lines"),
        ({"axes": [PlotAxis(lines=[line(values=np.ones(3))])]}, "shape"),
        ({"axes": [PlotAxis(lines=[line(values=np.ones(60, dtype=complex))])]}, "complex"),
        ({"axes": [PlotAxis(lines=[line(colour="red")])]}, "#rrggbb"),
        ({"axes": [PlotAxis(lines=[line(colour='#1"')])]}, "#rrggbb"),
        ({"axes": [PlotAxis(lines=[line(opacity=2.0)])]}, "opacity"),
        ({"axes": [PlotAxis(lines=[line(width=float("nan"))])]}, "pixels wide"),
        ({"axes": [PlotAxis(lines=[line(dash='"/>')])]}, "dash"),
        ({"axes": [PlotAxis(lines=[line(bucket=(2.0, 1.0))])]}, "bucket"),
        ({"axes": [PlotAxis(lines=[line(style="dots")])]}, "line style"),
        ({"axes": [PlotAxis(lines=[], scale="cubic")]}, "scale"),  # type: ignore[arg-type]  # wrong
        ({"axes": [PlotAxis(lines=[], low=3.0, high=2.0)]}, "not below"),
        ({"axes": [PlotAxis(lines=[], low=float("nan"))]}, "finite"),
        ({"axes": [PlotAxis(lines=[], colour="blue")]}, "colour"),
        ({"axes": [PlotAxis(lines=[], levels=[PlotLevel(low=2, high=1)])]}, "range"),
        ({"axes": [PlotAxis(lines=[], heatmap=HeatmapStyle(colours=["x"]))]}, "colour"),
        ({"spans": [PlotSpan(start_ms=2, end_ms=1)]}, "before its start"),
        ({"spans": [PlotSpan(start_ms=1, end_ms=2, colour="url(x)")]}, "colour"),
        ({"zones": ()}, "time zones"),
        ({"zones": ("Mars/Olympus",)}, "no time zone"),
        ({"theme": "pink"}, "theme"),
        ({"layout": "round"}, "layout"),
        ({"vision": "x-ray"}, "vision"),
        ({"legend": "short"}, "legend"),
    ],
)
def test_contradictions_are_refused(fields: dict[str, Any], words: str) -> None:
    """A description that contradicts itself draws nothing and names the contradiction."""
    with pytest.raises(ChartError, match=re.escape(words)):
        plot_svg(plot_of(line(), **fields))


@pytest.mark.parametrize("fields", [{"width": 10}, {"height": 9_000}, {"zoom": 99.0}])
def test_sizes_are_bounded(fields: dict[str, Any]) -> None:
    """Too small and too large pictures are refused."""
    with pytest.raises(PictureSizeError):
        plot_svg(plot_of(line(), **fields))


@given(st.text(max_size=2_000), st.integers(-50, 9_999), st.integers(-50, 9_999))
def test_errors_can_always_be_drawn(message: str, width: int, height: int) -> None:
    """Whatever the message and the size are, there is a picture that says it in bounds."""
    svg = error_svg(message, width=width, height=height, theme="dark")
    across, down = size(svg)
    assert 32 <= across <= 8_000
    assert 16 <= down <= 8_000


def test_error_pictures_are_legible(assert_legible: Callable[[str], None]) -> None:
    """A long message is wrapped and cut off, never written over itself."""
    message = "expected 2 lines of the same grouping but found (nf.app) and (nf.node); " * 9
    for width, height in ((700, 300), (200, 100), (400, 60), (120, 400)):
        svg = error_svg(message, width=width, height=height)
        assert_legible(svg)
        assert texts(svg)
