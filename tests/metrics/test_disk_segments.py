"""Segments on disk: bit for bit what they were made of, and an error where they are damaged."""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from breakwater.metrics.durable.segments import DamagedSegmentError, decode_segment, encode_segment
from breakwater.metrics.store.blocks import SEGMENT_ROWS

Array = NDArray[np.float64]


def sample(seed: int, slots: int) -> Array:
    """Rows of every kind: counts a minute, decimals, totals, any doubles, empty; some with gaps."""
    random = np.random.default_rng(seed)
    values = np.round(random.normal(50, 20, (SEGMENT_ROWS, slots)), 2)
    values[::4] = random.poisson(9, values[::4].shape) / 60
    values[1::4] = np.cumsum(random.poisson(100, values[1::4].shape), axis=1)
    values[2::4] = random.standard_cauchy(values[2::4].shape)
    values[2::16] = random.choice([0.0, -0.0, 5e-324, 1.7e308], values[2::16].shape)
    values[random.random(values.shape) < random.choice([0.0, 0.01, 0.5])] = np.nan
    values[random.random(SEGMENT_ROWS) < random.choice([0.0, 0.3])] = np.nan
    return values


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 70))
def test_a_segment_comes_back_bit_for_bit(seed: int, slots: int) -> None:
    """Whatever it holds; a gap stays a gap."""
    values = sample(seed, slots)
    packed = encode_segment(values)
    assert packed is not None
    found = decode_segment(memoryview(packed), slots)
    there = ~np.isnan(values)
    assert np.array_equal(np.isnan(found), ~there)
    assert np.array_equal(found[there].view(np.int64), values[there].view(np.int64))


def test_a_segment_without_values_is_nothing() -> None:
    """It takes no room at all."""
    assert encode_segment(np.full((SEGMENT_ROWS, 5), np.nan)) is None


def test_a_mixed_segment_is_smaller_than_its_numbers() -> None:
    """Rates and decimals side by side take about a byte a value."""
    random = np.random.default_rng(5)
    level = 50 + 1000 * random.random((SEGMENT_ROWS, 1))
    values = np.round(level + np.cumsum(random.standard_normal((SEGMENT_ROWS, 10)), axis=1), 2)
    values[::2] = np.round(level[::2] + 10 * random.standard_normal((SEGMENT_ROWS // 2, 10))) / 60
    packed = encode_segment(values)
    assert packed is not None
    assert len(packed) < 1.1 * values.size


@pytest.mark.parametrize(
    "damage",
    [
        lambda parts: [parts[0][:-1], parts[1], parts[2]],
        lambda parts: [parts[0], b"\x00", parts[2]],
        lambda parts: [parts[0], parts[1], [[sort, b, a] for sort, a, b in parts[2]]],
        lambda parts: [parts[0], parts[1], [[sort, a, b""] for sort, a, b in parts[2]]],
        lambda parts: parts[:2],
        lambda _: "nothing of the kind",
    ],
)
def test_a_damaged_segment_is_noticed(damage: Callable[[Any], Any]) -> None:
    """Parts that do not fit together are an error, not other values."""
    packed = encode_segment(sample(3, 7))
    assert packed is not None
    changed = msgspec.msgpack.encode(damage(msgspec.msgpack.decode(packed)))
    with pytest.raises(DamagedSegmentError):
        decode_segment(memoryview(changed), 7)
    with pytest.raises(DamagedSegmentError):
        decode_segment(memoryview(packed), 8)
