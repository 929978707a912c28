"""Where values stand on every kind of scale, and which are marked."""

import itertools
import math
import re
from typing import get_args

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from breakwater.render import PlotAxis, PlotLine, ScaleName, TickLabels
from breakwater.render.plot.axes import AxisScale, axis_scale, extent_of
from breakwater.render.plot.labels import tick_labels
from breakwater.render.plot.scales import ValueScale, knee_of
from breakwater.render.units import UnitName, scales_of

SCALES = get_args(ScaleName)
NUMBERS = st.floats(-1e15, 1e15, allow_nan=False)


def axis_of(*values: float, height: float = 300.0, **fields: object) -> AxisScale:
    """The axis of one line with these values."""
    line = PlotLine(label="a", values=np.array(values, dtype=np.float64))
    axis = PlotAxis(**{"lines": [line], **fields})  # type: ignore[arg-type]  # fields of many types
    return axis_scale(axis, extent_of(axis), height=height)


def read(label: str, unit: UnitName) -> float:
    """The value a label says."""
    if label == "0":
        return 0.0
    found = re.fullmatch(r"(-?[0-9.]+(?:e-?[0-9]+)?)(.*)", label)
    assert found is not None, label
    factor = next(scale.factor for scale in scales_of(unit) if scale.suffix == found[2])
    return float(found[1]) * factor


@pytest.mark.parametrize("kind", SCALES)
@given(low=NUMBERS, high=NUMBERS, share=st.floats(0, 1))
def test_scales_are_undone(kind: ScaleName, low: float, high: float, share: float) -> None:
    """The value at a share stands at that share."""
    low, high = min(low, high), max(low, high)
    assume(high - low > 1e-6 * max(abs(low), abs(high)))
    knee = knee_of(min(abs(value) for value in (low, high) if value), max(abs(low), abs(high)))
    scale = ValueScale(kind=kind, low=low, high=high, knee=knee)
    value = scale.values(np.array([share]))
    assert scale.shares(value)[0] == pytest.approx(share, abs=1e-5)


@pytest.mark.parametrize("kind", SCALES)
@given(st.lists(NUMBERS, min_size=2, max_size=30, unique=True))
def test_scales_keep_the_order(kind: ScaleName, values: list[float]) -> None:
    """A larger value never stands below a smaller one, across zero and powers of ten."""
    values.sort()
    scale = ValueScale(kind=kind, low=values[0], high=values[-1], knee=1e-3)
    assume(math.isfinite(scale.share(values[0])))
    shares = scale.shares(np.array(values))
    assert np.all(np.diff(shares) >= -1e-12)
    assert shares[0] == pytest.approx(0)
    assert shares[-1] == pytest.approx(1)


def test_log_linear_is_linear_within_a_power_of_ten() -> None:
    """Each power of ten has one height, and half way in value is half way up."""
    scale = ValueScale(kind="log-linear", low=1.0, high=100.0)
    found = scale.shares(np.array([1.0, 5.5, 10.0, 55.0, 100.0]))
    assert found == pytest.approx([0, 0.25, 0.5, 0.75, 1])


def test_zero_has_a_place_on_logarithmic_scales() -> None:
    """Values from zero to the knee take the height of one power of ten."""
    scale = ValueScale(kind="log", low=0.0, high=100.0, knee=1.0)
    assert scale.share(0.0) == 0
    assert scale.share(1.0) == pytest.approx(1 / 3)
    assert np.isnan(scale.shares(np.array([np.nan, np.inf, 1e308]))).all()


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.floats(-1e18, 1e18) | st.floats(-1, 1), min_size=1, max_size=5),
    st.sampled_from(SCALES),
    st.sampled_from(get_args(TickLabels)[:3]),
    st.floats(20, 2_000),
    st.sampled_from(["auto-style", "auto-data"]),
)
def test_ticks_hold(
    values: list[float], kind: ScaleName, labels: TickLabels, height: float, bound: str
) -> None:
    """Ends enclose the data; marks ascend within them, are few, and labels say them exactly."""
    values = [0.0 if abs(value) < 1e-30 else value for value in values]
    axis = axis_of(*values, height=height, scale=kind, tick_labels=labels, low=bound, high=bound)
    low, high = axis.scale.low, axis.scale.high
    assert low < high
    slack = 1e-9 * max(abs(low), abs(high))
    assert low - slack <= min(values)
    assert max(values) <= high + slack
    assert all(a < b for a, b in itertools.pairwise(axis.ticks))
    assert all(low <= tick <= high for tick in axis.ticks)
    assert len(axis.ticks) <= max(height / 12, 6)
    assert len(set(axis.labels)) == len(axis.labels) == len(axis.ticks)
    unit: UnitName = {"binary": "binary", "duration": "seconds"}.get(labels, "number")  # type: ignore[assignment]  # names of units
    for tick, label in zip(axis.ticks, axis.labels, strict=True):
        gap = min((abs(tick - other) for other in axis.ticks if other != tick), default=abs(tick))
        assert read(label, unit) == pytest.approx(tick, rel=1e-12, abs=1e-5 * gap)


@pytest.mark.parametrize(
    ("ticks", "unit", "written"),
    [
        ([0, 250, 500, 750, 1000, 1250], "number", "0|250|500|750|1k|1.25k"),
        ([0, 30, 60, 90, 120], "seconds", "0|30 s|1 min|1.5 min|2 min"),
        ([50, 60, 70], "seconds", "50 s|60 s|70 s"),
        ([0, 5e-4, 1e-3], "seconds", "0|500 \u00b5s|1 ms"),
        ([2.0**29, 2.0**30], "binary", "512Mi|1Gi"),
        ([1_000_001, 1_000_002], "number", "1000001|1000002"),
        ([1e-9, 2e-9], "number", "1e-9|2e-9"),
        ([-1500, 0, 1500], "number", "-1.5k|0|1.5k"),
        ([0.1, 0.2], "ratio", "10%|20%"),
    ],
)
def test_labels_are_short_and_exact(ticks: list[float], unit: UnitName, written: str) -> None:
    """Each mark is written in the largest unit that needs few digits, never a smaller one above."""
    assert "|".join(tick_labels(ticks, unit)) == written


def test_small_values_start_at_zero_and_far_ones_do_not() -> None:
    """A scale begins at zero unless the data lies far above it; areas always reach zero."""
    assert axis_of(10, 90).scale.low == 0
    assert axis_of(1000, 1010).scale.low > 900
    area = PlotAxis(lines=[PlotLine(label="a", values=np.array([1000.0, 1010.0]), style="area")])
    assert axis_scale(area, extent_of(area), height=300).scale.low == 0


def test_bounds_given_are_kept_to_the_number() -> None:
    """A bound that is given is an end, whatever the data; the other end stays sensible."""
    both = axis_of(0, 10, low=2.25, high=9.5).scale
    assert (both.low, both.high) == (2.25, 9.5)
    above = axis_of(0, 10, low=20.0).scale
    assert above.low == 20
    assert above.high > 20
    below = axis_of(0, 10, high=-3.0).scale
    assert below.high == -3
    assert below.low < -3
    data = axis_of(0.3, 10.2, low="auto-data", high="auto-data").scale
    assert (data.low, data.high) == (0.3, 10.2)


def test_stacks_are_measured_by_their_sums() -> None:
    """Positive stacks add up upwards, negative ones downwards."""
    values = [np.array([5.0, np.nan]), np.array([7.0, 1.0]), np.array([-2.0, -4.0])]
    lines = [PlotLine(label="a", values=value, style="stack") for value in values]
    extent = extent_of(PlotAxis(lines=lines))
    assert (extent.low, extent.high) == (-4, 12)


def test_spans_and_empty_lines_measure_nothing() -> None:
    """A line that is a mark over time, or has no value, does not move the scale."""
    lines = [
        PlotLine(label="a", values=np.array([500.0]), style="vspan"),
        PlotLine(label="b", values=np.array([np.nan])),
        PlotLine(label="c", values=np.array([np.inf])),
    ]
    axis = PlotAxis(lines=lines)
    extent = extent_of(axis)
    assert not extent.has_values
    scale = axis_scale(axis, extent, height=100).scale
    assert (scale.low, scale.high) == (0, 1)
