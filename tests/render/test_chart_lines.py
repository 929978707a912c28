"""Line charts: what is drawn, what is refused, and that texts never overlap."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breakwater.render import Chart, ChartError, PictureSizeError, Series, Span, line_chart
from breakwater.render.chart import Values

START = 1_763_627_460_000


def chart_of(*series: Series, points: int = 60, **fields: Any) -> Chart:
    """A chart with a five-second grid."""
    times = START + np.arange(points, dtype=np.int64) * 5_000
    return Chart(**{"title": "chart", "times_ms": times, "series": list(series), **fields})


def wave(points: int = 60, height: float = 10.0) -> Values:
    """A smooth series that is never negative."""
    return height * (1 + np.sin(np.arange(points) / 9))


def test_everything_from_outside_is_escaped() -> None:
    """Markup in any text stays text; what XML forbids is replaced."""
    nasty = "<script>alert('x')</script>&\"\x00\x1b"
    svg = line_chart(
        chart_of(
            Series(name=nasty, values=wave()),
            title=nasty,
            subtitle=nasty,
            y_label=nasty,
            right_label=nasty,
            spans=[Span(start_ms=START, end_ms=START + 60_000, label=nasty)],
        )
    )
    assert "<script" not in svg
    tags = {element.tag.rpartition("}")[2] for element in ET.fromstring(svg).iter()}
    assert tags <= {"svg", "title", "rect", "line", "path", "text", "circle"}


def test_infinite_values_are_gaps() -> None:
    """Infinity neither breaks the scale nor the path."""
    values = wave()
    values[10], values[20] = np.inf, -np.inf
    svg = line_chart(chart_of(Series(name="a", values=values)))
    assert "inf" not in svg
    assert "nan" not in svg


def test_a_chart_without_values_says_so() -> None:
    """No data is a sentence, not an empty frame."""
    empty = chart_of(points=0)
    holes = chart_of(Series(name="a", values=np.full(60, np.nan)))
    assert "no values in this time" in line_chart(empty)
    assert "no values in this time" in line_chart(holes)


def test_single_point() -> None:
    """One point is drawn in the middle of a second of its own."""
    assert "<path" in line_chart(chart_of(Series(name="a", values=np.ones(1)), points=1))


def test_spans_outside_the_time_are_left_out() -> None:
    """A span that ended before the first point leaves no trace."""
    svg = line_chart(
        chart_of(
            Series(name="a", values=wave()),
            spans=[Span(start_ms=0, end_ms=5, label="long ago", colour="danger")],
        )
    )
    assert "long ago" not in svg


def test_legend_names_last_average_and_maximum() -> None:
    """The legend's numbers leave gaps out."""
    values = np.array([1.0, np.nan, 3.0, 2.0, np.nan])
    svg = line_chart(chart_of(Series(name="a", values=values), points=5, unit="per_second"))
    for text in ("last", "avg", "max", ">2/s<", ">3/s<"):
        assert text in svg


def test_scales_reach_what_was_asked_for() -> None:
    """The left scale covers the values named, and zero unless a value is negative."""
    high = line_chart(chart_of(Series(name="a", values=wave()), high=80.0))
    assert ">80<" in high
    assert ">0<" in high
    below = line_chart(chart_of(Series(name="a", values=wave() - 90.0)))
    assert ">0<" not in below


def test_steps_hold_back_over_their_interval() -> None:
    """A step covers the time up to its stamp, as a datapoint does; a line joins stamps."""
    values = np.array([5.0, 7.0, 7.0])
    step = line_chart(chart_of(Series(name="a", values=values, style="step"), points=3))
    line = line_chart(chart_of(Series(name="a", values=values), points=3))
    assert re.search(r'd="M[0-9.]+ [0-9.]+H[0-9.]+V[0-9.]+H[0-9.]+"', step)
    assert re.search(r'd="M[0-9.]+ [0-9.]+L[0-9.]+ [0-9.]+L[0-9.]+ [0-9.]+"', line)


def test_a_crowded_legend_counts_what_it_hides() -> None:
    """Beyond its rows the legend says how many series it does not list."""
    series = [Series(name=f"s{n}", values=wave()) for n in range(60)]
    assert "and 12 more" in line_chart(chart_of(*series))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"times_ms": np.array([2, 1])}, "ascend"),
        ({"times_ms": np.array([1.0, 2.0])}, "integers"),
        ({"times_ms": np.array([[1, 2]])}, "2-dimensional"),
        ({"series": [Series(name="a", values=np.ones(3))]}, "shape (3,)"),
        ({"series": [Series(name="a", values=np.ones(60), colour="red")]}, "#rrggbb"),
        ({"series": [Series(name="a", values=np.ones(60, dtype=complex))]}, "complex"),
        ({"spans": [Span(start_ms=2, end_ms=1, label="x")]}, "before its start"),
        ({"spans": [Span(start_ms=1, end_ms=2, label="x", colour='#1"')]}, "colour"),
        ({"low": 3.0, "high": 2.0}, "not below"),
        ({"low": float("nan")}, "finite"),
    ],
)
def test_contradictions_are_refused(fields: dict[str, Any], words: str) -> None:
    """A description that contradicts itself draws nothing and names the contradiction."""
    with pytest.raises(ChartError, match=words.replace("(", r"\(").replace(")", r"\)")):
        line_chart(chart_of(**fields))


@pytest.mark.parametrize("size", [(10, 300), (900, 9_000)])
def test_sizes_are_bounded(size: tuple[int, int]) -> None:
    """Too small and too large pictures are refused with the allowed sizes."""
    with pytest.raises(PictureSizeError, match="allowed"):
        line_chart(chart_of(width=size[0], height=size[1]))


TEXTS = st.text(max_size=80)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_texts_never_overlap(assert_legible: Callable[[str], None], data: st.DataObject) -> None:
    """Whatever the names, sizes, units and spans are, no text covers another or leaves."""
    points = data.draw(st.integers(0, 40))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    scale = 10.0 ** data.draw(st.integers(-9, 12))
    series = [
        Series(
            name=data.draw(TEXTS),
            values=rng.standard_normal(points) * scale,
            axis=data.draw(st.sampled_from(["left", "right"])),
            style=data.draw(st.sampled_from(["line", "area", "step"])),
        )
        for _ in range(data.draw(st.integers(0, 12)))
    ]
    offsets = st.integers(-50_000, 250_000)
    spans = [
        Span(start_ms=START + min(ends), end_ms=START + max(ends), label=data.draw(TEXTS))
        for ends in data.draw(st.lists(st.tuples(offsets, offsets), max_size=7))
    ]
    units = st.sampled_from(["number", "per_second", "seconds", "ratio", "percent", "bytes"])
    svg = line_chart(
        chart_of(
            *series,
            points=points,
            title=data.draw(TEXTS),
            subtitle=data.draw(TEXTS),
            y_label=data.draw(TEXTS),
            right_label=data.draw(TEXTS),
            unit=data.draw(units),
            right_unit=data.draw(units),
            spans=spans,
            width=data.draw(st.integers(240, 1_400)),
            height=data.draw(st.integers(200, 600)),
        )
    )
    assert_legible(svg)
