"""Percentiles of counts in buckets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakwater.model.ranks import percentiles_of


def tens(place: int) -> tuple[float, float]:
    """Buckets of ten."""
    return 10.0 * place, 10.0 * place + 10.0


@pytest.mark.parametrize(
    ("counts", "percents", "found"),
    [
        ([], [50.0], [0.0]),
        ([0, 0], [50.0], [0.0]),
        ([4], [25.0, 50.0, 100.0], [2.5, 5.0, 10.0]),
        ([1, 0, 3], [25.0, 50.0, 100.0], [10.0, 70.0 / 3.0, 30.0]),
        ([0.5, 0.5], [50.0, 75.0], [10.0, 15.0]),
    ],
)
def test_a_percentile_lies_within_its_bucket(
    counts: list[float], percents: list[float], found: list[float]
) -> None:
    """As far into it as its share of the values there, of whole or weighted counts."""
    assert percentiles_of(counts, tens, percents) == pytest.approx(found)


@given(st.lists(st.integers(0, 50), max_size=20), st.lists(st.floats(0.1, 100.0), max_size=6))
def test_percentiles_ascend_and_lie_where_values_are(
    counts: list[int], percents: list[float]
) -> None:
    """Never in a bucket that is empty, never beyond the last one that is not."""
    ascending = sorted(percents)
    found = percentiles_of(counts, tens, ascending)
    assert found == sorted(found)
    if any(counts):
        for value in found:
            place = int(value // 10.0) - (value % 10.0 == 0.0 and value > 0.0)
            assert counts[place] > 0
    else:
        assert not any(found)
