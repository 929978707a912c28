"""From values to path data: gaps, steps, thinning, stacks and heat maps."""

import itertools
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakwater.render import THEMES, HeatmapStyle, PlotAxis, PlotLine
from breakwater.render.chart import Values
from breakwater.render.plot.axes import AxisScale, axis_scale, extent_of
from breakwater.render.plot.frame import Frame, Intervals, intervals
from breakwater.render.plot.heatmap import Heatmap, heatmap
from breakwater.render.plot.scales import ValueScale
from breakwater.render.plot.stacks import bands
from breakwater.render.plot.strokes import Pen

NAN = float("nan")


def pen_of(count: int, *, is_stepped: bool = False, lines: int = 1) -> tuple[Pen, Frame]:
    """A pen on an area of 100 x 10 pixels with `count` datapoints."""
    frame = Frame(
        left=0, right=100, top=0, bottom=10, start_ms=0, end_ms=count, is_stepped=is_stepped
    )
    return Pen(frame, _across(count, frame), lines=lines), frame


def _across(count: int, frame: Frame) -> Intervals:
    return intervals(np.arange(1, count + 1), 1, frame)


def points_of(path: str) -> list[tuple[float, float]]:
    """The corners of a path of absolute commands."""
    x = y = 0.0
    found = []
    for command, first, second in re.findall(r"([MLHV])(-?[0-9.]+)(?: (-?[0-9.]+))?", path):
        if command == "H":
            x = float(first)
        elif command == "V":
            y = float(first)
        else:
            x, y = float(first), float(second)
        found.append((x, y))
    return found


def test_gaps_break_the_line() -> None:
    """A missing value is never bridged, and a lonely value covers its interval."""
    pen, _ = pen_of(10)
    shares = np.array([0.1, 0.2, NAN, 0.5, NAN, 0.6, 0.7, NAN, NAN, 1.0])
    stroke = pen.stroke(shares)
    assert stroke.line == "M10 9L20 8M30 5H40M60 4L70 3M90 0H100"


def test_steps_cover_their_intervals() -> None:
    """A datapoint stamped t is drawn over (t - step, t]; equal neighbours are one step."""
    pen, _ = pen_of(4, is_stepped=True)
    stroke = pen.stroke(np.array([0.1, 0.1, 0.5, NAN]), floor=10)
    assert stroke.line == "M0 9H50V5H75"
    assert stroke.fill == "M0 9H50V5H75V10H0Z"


def test_moments_are_dots() -> None:
    """A lonely datapoint without an extent is still there."""
    frame = Frame(left=0, right=100, top=0, bottom=10, start_ms=0, end_ms=2, is_stepped=False)
    pen = Pen(frame, intervals(np.array([1, 2]), 0, frame), lines=1)
    assert pen.stroke(np.array([0.5, NAN])).line == "M50 5H50h0.01"


def test_lines_bend_only_where_values_do() -> None:
    """Points within a level stretch are left out; the shape is the same."""
    pen, _ = pen_of(6)
    stroke = pen.stroke(np.array([0.5, 0.5, 0.5, 0.5, 0.2, 0.2]))
    assert stroke.line == "M16.7 5L66.7 5L83.3 8L100 8"


@pytest.mark.slow
@given(st.integers(250, 5_000), st.integers(1, 400), st.randoms(use_true_random=False))
def test_thinning_keeps_every_spike(count: int, lines: int, random: object) -> None:
    """Whatever the length, highest and lowest survive, and no more points than pixels allow."""
    rng = np.random.default_rng(random.randrange(2**32))  # type: ignore[attr-defined]  # a Random
    shares = rng.uniform(0.3, 0.6, count)
    shares[rng.integers(count)] = 1.0
    pen, _ = pen_of(count, lines=lines)
    points = points_of(pen.stroke(shares).line)
    assert min(y for _, y in points) == 0
    assert max(y for _, y in points) == pytest.approx(10 * (1 - shares.min()), abs=0.051)
    assert len(points) <= 202
    assert all(a[0] <= b[0] for a, b in itertools.pairwise(points))


def test_thinning_keeps_gaps() -> None:
    """A long hole in a long line is still a hole."""
    shares = np.full(10_000, 0.5)
    shares[4_000:6_000] = NAN
    pen, _ = pen_of(10_000)
    assert pen.stroke(shares).line.count("M") == 2


def test_values_far_outside_stay_near() -> None:
    """Coordinates are bounded, so that no picture holds astronomic numbers."""
    pen, _ = pen_of(3)
    points = points_of(pen.stroke(np.array([1e200, 0.5, -1e200])).line)
    assert all(abs(y) < 100 for _, y in points)


def stacked(*values: Values, is_stepped: bool = False) -> list[tuple[str, str]]:
    """Bands and edges of stacked lines on a scale from -10 to 10."""
    pen, _ = pen_of(values[0].size, is_stepped=is_stepped)
    scale = ValueScale(kind="linear", low=-10, high=10)
    lines = [PlotLine(label="a", values=value, style="stack") for value in values]
    return [(fill, edge) for _, fill, edge in bands(lines, scale, pen)]


def test_stacks_stand_on_each_other() -> None:
    """A band reaches from the sum before it to the sum with it."""
    one, other = stacked(np.array([2.0, 4.0]), np.array([4.0, 2.0]), is_stepped=True)
    assert one == ("M0 4H50V3H100L100 5H0Z", "M0 4H50V3H100")
    assert other == ("M0 2H100L100 3H50V4H0Z", "M0 2H100")


def test_negative_stacks_hang_from_zero() -> None:
    """What is negative is stacked downwards, apart from what is positive."""
    up, down, _ = stacked(
        np.array([4.0, 4.0]), np.array([-2.0, -2.0]), np.array([-4.0, 4.0]), is_stepped=True
    )
    assert up[1] == "M0 3H100"
    assert down[1] == "M0 6H100"


def test_a_hole_in_a_stack_is_a_hole_in_its_band_only() -> None:
    """A missing value adds nothing to the bands above and is not drawn as zero."""
    one, other = stacked(np.array([2.0, NAN, 2.0]), np.array([2.0, 2.0, 2.0]), is_stepped=True)
    assert one[0].count("M") == 2
    assert other[1] == "M0 3H33.3V4H66.7V3H100"


def heat(lines: list[PlotLine], *, style: HeatmapStyle | None = None, **fields: object) -> Heatmap:
    """The counts of a heat map of ten rows on a scale from 0 to 10."""
    style = style or HeatmapStyle()
    axis = PlotAxis(lines=lines, low=0.0, high=10.0, **fields)  # type: ignore[arg-type]  # fields of many types
    count = lines[0].values.size
    frame = Frame(left=0, right=100, top=0, bottom=70, start_ms=0, end_ms=count, is_stepped=True)
    scaled: AxisScale = axis_scale(axis, extent_of(axis), height=70)
    return heatmap(
        lines, scaled, style, frame=frame, across=_across(count, frame), theme=THEMES["light"]
    )


def test_lines_are_counted_where_their_values_lie() -> None:
    """Each cell counts the lines in it; gaps and values off the axis count nowhere."""
    values = [[0.5, 3.5], [0.7, NAN], [10.0, 99.0], [-1.0, 3.9]]
    lines = [PlotLine(label="a", values=np.array(v), style="heatmap") for v in values]
    found = heat(lines).counts
    assert found.shape == (10, 2)
    assert found[:, 0].tolist() == [2, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    assert found[:, 1].tolist() == [0, 0, 0, 2, 0, 0, 0, 0, 0, 0]


@pytest.mark.slow
@given(st.lists(st.tuples(st.floats(0, 9), st.floats(0.1, 9), st.floats(0, 100)), min_size=1))
def test_buckets_are_spread_without_loss(buckets: list[tuple[float, float, float]]) -> None:
    """What a bucket counts is spread over the cells it overlaps and adds up to the same."""
    lines = [
        PlotLine(
            label="a",
            values=np.array([value]),
            style="heatmap",
            bucket=(low, min(low + size, 10.0)),
        )
        for low, size, value in buckets
    ]
    found = heat(lines)
    assert found.counts.sum() == pytest.approx(sum(value for _, _, value in buckets))


def test_many_intervals_share_a_column() -> None:
    """More intervals than columns are averaged, so that counts keep their meaning."""
    found = heat([PlotLine(label="a", values=np.full(1_000, 5.5), style="heatmap")])
    assert found.per > 1
    assert found.counts[5].tolist() == [1.0] * found.counts.shape[1]


def test_colours_follow_the_counts() -> None:
    """The highest count has the last colour; bounds that are given cut off."""
    values = np.array([1.0, 1.0, 3.0])
    lines = [PlotLine(label="a", values=values, style="heatmap", bucket=(2.0, 3.0))]
    few = HeatmapStyle(colours=["#111111", "#222222", "#333333"])
    assert heat(lines, style=few).colours.places(np.array([0.5, 1.5, 3.0])).tolist() == [0, 1, 2]
    cut = HeatmapStyle(colours=["#111111", "#222222"], low=0.0, high=1.0)
    assert heat(lines, style=cut).colours.places(np.array([0.4, 50.0])).tolist() == [0, 1]
    log = HeatmapStyle(colours=["#111111", "#222222"], scale="log", low=1.0, high=100.0)
    assert heat(lines, style=log).colours.places(np.array([9.0, 11.0])).tolist() == [0, 1]
