"""Lines as rows of small bars."""

import math

import pytest

from breakwater.metrics.text.sparks import sparkline


@pytest.mark.parametrize(
    ("values", "bars"),
    [
        ([], ""),
        ([1.0], "▁"),
        ([0.0, 1.0], "▁█"),
        ([0.0, 1.0, 2.0, 4.0, 8.0], "▁▂▃▅█"),
        ([100.0, 101.0], "▁█"),
        ([50.0, 100.0], "▅█"),
        ([-1.0, 0.0, 1.0], "▁▅█"),
        ([1.0, math.nan, 2.0], "▅ █"),
        ([math.nan, math.nan], "  "),
        ([1.0, math.inf], "▁ "),
        ([3.0, 3.0, 3.0], "▁▁▁"),
    ],
)
def test_bars_follow_the_values(values: list[float], bars: str) -> None:
    """From zero where that is near, a blank where there is none."""
    assert sparkline(values) == bars


def test_long_lines_are_averaged() -> None:
    """Every bar stands for an equal part."""
    assert sparkline([0.0, 0.0, 4.0, 4.0, 8.0, 8.0], width=3) == "▁▅█"
    assert len(sparkline([1.0] * 1000, width=40)) == 40
