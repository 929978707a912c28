from hypothesis import given
from hypothesis import strategies as st

from breakwater.model.percentiles import UPPER_BOUNDS, bucket_of, distribution_tag, timer_tag

_VALUES = st.integers(min_value=0, max_value=(1 << 63) - 1)


def test_there_are_276_buckets_with_ascending_bounds() -> None:
    """The layout is fixed, or counts of different programs could not be added."""
    assert len(UPPER_BOUNDS) == 276
    assert list(UPPER_BOUNDS) == sorted(set(UPPER_BOUNDS))


@given(_VALUES, _VALUES)
def test_buckets_are_monotone(one: int, other: int) -> None:
    """A larger value never falls into a lower bucket."""
    low, high = sorted((one, other))
    assert bucket_of(low) <= bucket_of(high)


@given(_VALUES)
def test_a_bucket_knows_its_value_to_a_third(value: int) -> None:
    """The upper bound of a value's bucket is at most about 1.5 times the value."""
    bound = UPPER_BOUNDS[bucket_of(value)]
    assert bound >= value or bound == UPPER_BOUNDS[-1]
    if 4 < value < 1 << 61:
        assert bound <= 1.6 * value


def test_tags_are_hexadecimal_and_count_nanoseconds() -> None:
    """A second is a billion nanoseconds: bucket 131, hexadecimal 83."""
    assert timer_tag(1.0) == "T0083"
    assert distribution_tag(8) == "D0008"
    assert timer_tag(-1.0) == "T0000"
