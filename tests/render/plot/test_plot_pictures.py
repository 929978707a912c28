"""Whole plots: what is drawn, where, and that texts never overlap."""

import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.render.plot.plot_samples import (
    MINUTE,
    START,
    TAG,
    everything,
    heated,
    line,
    plot_of,
    size,
    skeleton,
    texts,
    wave,
)

from breakwater.render import (
    THEMES,
    ChartError,
    HeatmapStyle,
    Layout,
    LegendKind,
    LineStatistics,
    LineStyle,
    Plot,
    PlotAxis,
    PlotLevel,
    PlotLine,
    PlotSpan,
    ScaleName,
    TickLabels,
    Vision,
    error_svg,
    find_zone,
    plot_svg,
    png,
    statistics_of,
)
from breakwater.render.plot.vision import seen

GOLDEN = Path(__file__).parents[2] / "golden" / "plots"


@pytest.mark.parametrize("plot", [everything(), heated()], ids=["everything", "heated"])
def test_structure_is_as_agreed(plot: Plot, request: pytest.FixtureRequest) -> None:
    """Elements, places, colours and texts are those of the golden file.

    Where a change is wanted, run once with BREAKWATER_GOLDEN=write and look at the pictures.
    """
    name = request.node.callspec.id
    found = skeleton(plot_svg(plot))
    file = GOLDEN / f"{name}.txt"
    if os.environ.get("BREAKWATER_GOLDEN") == "write":
        file.write_text(found)
    assert found == file.read_text()


def test_pictures_are_the_same_every_time() -> None:
    """The same plot gives the same bytes."""
    assert plot_svg(everything()) == plot_svg(everything())


def test_only_safe_elements_are_drawn() -> None:
    """Markup in any text stays text, and there are no scripts, styles or links."""
    nasty = "<script>alert('x')</script>&\"\x00\x1b"
    plot = plot_of(
        axes=[
            PlotAxis(
                lines=[line(nasty, query=nasty)],
                label=nasty,
                levels=[PlotLevel(low=5, high=5, label=nasty)],
                heatmap=HeatmapStyle(label=nasty),
            )
        ],
        title=nasty,
        subtitle=nasty,
        footer=nasty,
        notices=[nasty],
        spans=[PlotSpan(start_ms=START, end_ms=START + MINUTE, label=nasty)],
    )
    for svg in (plot_svg(plot), error_svg(nasty)):
        assert "<script" not in svg
        tags = {element.tag.removeprefix(TAG) for element in ET.fromstring(svg).iter()}
        assert tags <= {"svg", "title", "rect", "line", "path", "text", "circle"}


def test_every_axis_has_its_side_and_colour() -> None:
    """Axes alternate from left to right, and their labels take their first line's colour."""
    axes = [
        PlotAxis(lines=[line(colour=colour, values=wave(height=height))])
        for colour, height in (("#aa0000", 3.0), ("#00aa00", 300.0), ("#0000aa", 30_000.0))
    ]
    root = ET.fromstring(plot_svg(plot_of(axes=axes, legend="none")))
    found = {element.text: element.attrib for element in root.iter(f"{TAG}text")}
    near, right, far = found["4"], found["400"], found["40k"]
    assert float(far["x"]) < float(near["x"]) < float(right["x"])
    assert (near["text-anchor"], far["text-anchor"]) == ("end", "end")
    assert "text-anchor" not in right
    assert len({near["fill"], right["fill"], far["fill"]}) == 3


def test_axes_without_room_are_named() -> None:
    """In a picture of a fixed width an axis that does not fit is said to be missing."""
    axes = [PlotAxis(lines=[line(values=wave(height=1e5 / 7))]) for _ in range(10)]
    svg = plot_svg(plot_of(axes=axes, layout="image", width=400, height=500))
    assert any(text.startswith("No room for the scale of axis") for text in texts(svg))
    assert "No room" not in plot_svg(plot_of(axes=axes))


def test_layouts_say_what_width_and_height_measure() -> None:
    """Of the area they leave room around it; of the picture they are its size."""
    fields: dict[str, Any] = {"title": "t", "width": 500, "height": 400}
    across, down = size(plot_svg(plot_of(line(), **fields)))
    assert across > 500
    assert down > 400
    assert size(plot_svg(plot_of(line(), layout="image", **fields))) == (500, 400)
    assert size(plot_svg(plot_of(line(), layout="iw", **fields))) == (500, down)
    high = size(plot_svg(plot_of(line(), layout="ih", **fields)))
    assert high[1] == 400
    assert high[0] > 500
    body = size(plot_svg(plot_of(line(), layout="body", **fields)))
    assert body[0] == 500
    assert 400 < body[1] < down


def test_only_graph_is_only_the_area() -> None:
    """Nothing is written, and the picture is as large as the area."""
    svg = plot_svg(plot_of(line(), title="t", only_graph=True, width=90, height=30))
    assert size(svg) == (90, 30)
    assert texts(svg) == []
    assert "<path" in svg


def test_zoom_enlarges_the_whole_picture() -> None:
    """All is drawn at the same places, in a larger picture."""
    plain = plot_svg(plot_of(line()))
    large = plot_svg(plot_of(line(), zoom=2.0))
    assert size(large) == tuple(2 * side for side in size(plain))
    assert ET.fromstring(large).attrib["viewBox"] == ET.fromstring(plain).attrib["viewBox"]
    assert plain.partition("<title>")[2] == large.partition("<title>")[2]


def test_small_pictures_keep_what_matters_most() -> None:
    """With less room the legend goes first, then texts, and the area is there at any size."""
    lines = [line(f"line {n}", wave(phase=n)) for n in range(12)]
    shown = []
    for height in (600, 300, 200, 100, 30):
        svg = plot_svg(plot_of(*lines, title="title", layout="image", height=height))
        assert size(svg) == (700, height)
        found = texts(svg)
        shown.append(
            (sum(text.startswith("line ") for text in found), "title" in found, bool(found))
        )
    assert [count for count, _, _ in shown] == sorted((c for c, _, _ in shown), reverse=True)
    assert shown[0] == (12, True, True)
    assert shown[2][0] < 12
    assert shown[2][1]
    assert shown[-1] == (0, False, False)


def test_legends_count_what_they_leave_out() -> None:
    """However many lines there are, each is named or counted."""
    for count in (10, 60, 600):
        lines = [line(f"line {n}") for n in range(count)]
        found = texts(plot_svg(plot_of(*lines)))
        named = sum(text.startswith("line ") for text in found)
        more = [int(text.split()[1]) for text in found if text.startswith("and ")]
        assert named + sum(more) == count
        assert named <= 48


def test_legends_show_the_numbers_given_or_their_own() -> None:
    """Statistics that come along are shown; otherwise gaps are left out of them."""
    values = np.array([1.0, np.nan, 3.0, 2.0, np.nan])
    assert statistics_of(line(values=values)) == LineStatistics(
        min=1.0, max=3.0, avg=2.0, last=2.0, total=6.0, count=3
    )
    given_ones = LineStatistics(min=1, max=2, avg=3, last=4, total=5, count=77)
    found = texts(plot_svg(plot_of(line(statistics=given_ones))))
    assert found[-6:] == ["2", "1", "3", "4", "5", "77"]
    assert {"max", "min", "avg", "last", "total", "count"} <= set(found)
    assert "77" not in texts(plot_svg(plot_of(line(statistics=given_ones), legend="labels")))
    bare = texts(plot_svg(plot_of(line("name"), legend="none")))
    assert "name" not in bare


def test_numbers_stand_in_columns() -> None:
    """All numbers of one statistic end at the same pixel."""
    lines = [line(f"line {n}", wave(height=10.0**n)) for n in range(8)]
    root = ET.fromstring(plot_svg(plot_of(*lines)))
    ends = [
        element.attrib["x"]
        for element in root.iter(f"{TAG}text")
        if element.get("text-anchor") == "end" and float(element.attrib["y"]) > 360
    ]
    assert len(ends) == 9 * 6
    assert len(set(ends)) == 6


def test_zones_have_an_axis_each() -> None:
    """Each zone writes its own clock's times, in order, and says what its clocks are called."""
    found = texts(plot_svg(plot_of(line(), zones=("US/Pacific", "UTC", "Asia/Kolkata"))))
    names = [found.index(name) for name in ("PST", "UTC", "IST")]
    assert names == sorted(names)
    assert "01:00" in found
    assert "09:00" in found
    assert "14:30" in found


def test_unknown_zones_are_refused() -> None:
    """A zone nobody knows, or a path, is an error that names it."""
    for name in ("Mars/Olympus", "../../etc/passwd", "", "/etc/localtime"):
        with pytest.raises(ChartError, match="no time zone"):
            find_zone(name)


def test_vision_recolours_everything() -> None:
    """Every colour in the picture is one that those eyes see."""
    plot = everything()
    for vision in get_args(Vision):
        svg = plot_svg(_replaced(plot, vision=vision))
        colours = set(re.findall(r"#[0-9a-f]{6}", svg))
        if vision == "achromatopsia":
            assert all(len({c[1:3], c[3:5], c[5:7]}) == 1 for c in colours)
        assert seen("#aa00aa", vision) in colours


def _replaced(plot: Plot, **fields: Any) -> Plot:
    names = (name for name in plot.__struct_fields__ if name not in fields)
    return Plot(**{name: getattr(plot, name) for name in names}, **fields)


def test_marks_over_time_cover_their_intervals() -> None:
    """A line drawn as spans is filled wherever it is not zero, over (t - step, t]."""
    values = np.zeros(10)
    values[3:5] = 1.0
    plot = plot_of(line("x", values, style="vspan", colour="#d62728"), points=10, width=100)
    root = ET.fromstring(plot_svg(_replaced(plot, only_graph=True)))
    boxes = [r.attrib for r in root.iter(f"{TAG}rect") if r.attrib["fill"] == "#d62728"]
    assert [(box["x"], box["width"]) for box in boxes] == [("30", "20")]


def test_spans_outside_the_time_are_left_out() -> None:
    """What ended before the plot leaves no trace; what began before it is cut at the edge."""
    early = PlotSpan(start_ms=0, end_ms=5, label="long ago")
    into = PlotSpan(start_ms=0, end_ms=START + MINUTE, label="since ever")
    found = texts(plot_svg(plot_of(line(), spans=[early, into])))
    assert "long ago" not in found
    assert "since ever" in found


def test_bounds_cut_lines_at_the_edge() -> None:
    """What exceeds a bound is cut off by the area's box; without bounds nothing needs a box."""
    root = ET.fromstring(plot_svg(plot_of(axes=[PlotAxis(lines=[line()], low=5.0, high=12.0)])))
    (box,) = root.iter(f"{TAG}clipPath")
    (group,) = root.iter(f"{TAG}g")
    assert group.attrib["clip-path"] == f"url(#{box.attrib['id']})"
    assert (box[0].attrib["width"], box[0].attrib["height"]) == ("702", "302")
    assert len(group) == 1
    assert "clipPath" not in plot_svg(plot_of(line()))


def test_a_plot_without_values_says_so() -> None:
    """No data is a sentence, not an empty frame."""
    empty = plot_of(points=0, axes=[PlotAxis(lines=[])])
    holes = plot_of(line(values=np.full(60, np.nan)))
    for plot in (empty, holes):
        assert "no values in this time" in texts(plot_svg(plot))


@pytest.mark.slow
def test_many_lines_make_a_picture_of_sane_size() -> None:
    """A thousand lines of a day are thinned; the document stays within a few megabytes."""
    rng = np.random.default_rng(1)
    lines = [line(f"n{n}", rng.uniform(size=1_440)) for n in range(1_000)]
    svg = plot_svg(plot_of(*lines, points=1_440))
    assert len(svg) < 4_000_000


def test_pictures_can_be_rasterised() -> None:
    """The SVG we write is one the rasteriser reads, with a clipped area and turned texts."""
    assert png(plot_svg(everything()), scale=0.5).startswith(b"\x89PNG")
    assert png(error_svg("wrong"), scale=1.0).startswith(b"\x89PNG")


TEXTS = st.text(max_size=60)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_texts_never_overlap(assert_legible: Callable[[str], None], data: st.DataObject) -> None:
    """Whatever is asked for, no text covers another or leaves the picture."""
    points = data.draw(st.integers(0, 200))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    axes = [
        PlotAxis(
            lines=[_any_line(data, rng, points) for _ in range(data.draw(st.integers(0, 9)))],
            label=data.draw(TEXTS),
            scale=data.draw(st.sampled_from(get_args(ScaleName))),
            tick_labels=data.draw(st.sampled_from(get_args(TickLabels))),
            levels=data.draw(
                st.lists(
                    st.builds(PlotLevel, low=st.floats(-9, 0), high=st.floats(0, 9), label=TEXTS),
                    max_size=3,
                )
            ),
        )
        for _ in range(data.draw(st.integers(1, 6)))
    ]
    offsets = st.integers(-50 * MINUTE, 250 * MINUTE)
    spans = [
        PlotSpan(start_ms=START + min(ends), end_ms=START + max(ends), label=data.draw(TEXTS))
        for ends in data.draw(st.lists(st.tuples(offsets, offsets), max_size=7))
    ]
    zones = st.sampled_from(["UTC", "US/Pacific", "Asia/Kolkata", "Europe/Berlin"])
    plot = plot_of(
        points=points,
        axes=axes,
        title=data.draw(TEXTS),
        subtitle=data.draw(TEXTS),
        spans=spans,
        zones=tuple(data.draw(st.lists(zones, min_size=1, max_size=3))),
        notices=data.draw(st.lists(st.text(max_size=300), max_size=4)),
        footer=data.draw(TEXTS),
        width=data.draw(st.integers(60, 1_400)),
        height=data.draw(st.integers(30, 600)),
        layout=data.draw(st.sampled_from(get_args(Layout))),
        legend=data.draw(st.sampled_from(get_args(LegendKind))),
        theme=data.draw(st.sampled_from(sorted(THEMES))),
    )
    assert_legible(plot_svg(plot))


def _any_line(data: st.DataObject, rng: np.random.Generator, points: int) -> PlotLine:
    values = rng.standard_normal(points) * 10.0 ** data.draw(st.integers(-9, 12))
    values[rng.uniform(size=points) < 0.2] = np.nan
    style = data.draw(st.sampled_from(get_args(LineStyle)))
    return PlotLine(label=data.draw(TEXTS), values=values, style=style)
