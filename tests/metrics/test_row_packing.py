"""Packed rows: what comes out is bit for bit what went in, and small where values allow it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from breakwater.metrics.store import kernels, packing
from breakwater.metrics.store.blocks import (
    SEGMENT_ROWS,
    Directory,
    PackedBlock,
    RawBlock,
    join,
)
from breakwater.metrics.store.spans import ADD, COPY, COUNT, FOLDS, GREATEST, LEAST, plain_span

Array = NDArray[np.float64]

_HARD = [0.0, -0.0, 5e-324, -5e-324, 2.2e-308, 1.8e308, -1.8e308, 2.0**52, 2.0**53, 2.0**63, 0.1]
numbers = st.one_of(
    st.floats(allow_nan=False),
    st.sampled_from(_HARD),
    st.integers(-(2**60), 2**60).map(float),
    st.integers(0, 5000).map(lambda count: count / 60.0),
    st.integers(-(10**6), 10**6).map(lambda cents: cents / 100.0),
    st.floats(width=32, allow_nan=False),
)


@st.composite
def rows(draw: st.DrawFn, *, least: int = 1) -> Array:
    """A row: values of one sort or of any, with as many gaps as drawn."""
    slots = draw(st.integers(least, 240))
    sort = draw(
        st.sampled_from(
            [
                numbers,
                st.integers(0, 300).map(lambda count: count / 60.0),
                st.integers(10**9, 10**9 + 900).map(float),
                st.floats(width=32, allow_nan=False, allow_infinity=False),
                st.just(0.25),
            ]
        )
    )
    row = draw(arrays.arrays(np.float64, slots, elements=sort, fill=sort))
    if draw(st.booleans()):
        row = np.cumsum(np.nan_to_num(row, posinf=1.0, neginf=1.0) % 1000)
    share = draw(st.sampled_from([0.0, 0.0, 0.1, 0.9, 1.0]))
    gaps = np.random.default_rng(draw(st.integers(0, 9))).random(slots) < share
    nans = draw(st.sampled_from([0x7FF8000000000000, 0x7FF0000000000001, 0xFFFFFFFFFFFFFFFF]))
    row[gaps] = np.array([nans], dtype=np.uint64).view(np.float64)[0]
    return row


def segment(lines: Array) -> Array:
    """Lines and empty rows up to a whole segment, the lines scattered."""
    values = np.full((SEGMENT_ROWS, lines.shape[1]), np.nan)
    values[: 3 * len(lines) : 3] = lines
    return values


def packed(values: Array, number: int = 0) -> PackedBlock:
    """A block of one segment."""
    return PackedBlock.of_segments(number, iter([values]), rows=len(values), slots=values.shape[1])


def same(left: Array, right: Array) -> bool:
    """Whether the same values are there, bit for bit, and the same are missing."""
    there = ~np.isnan(left)
    bits = [np.ascontiguousarray(each).view(np.int64)[there] for each in (left, right)]
    return bool((there == ~np.isnan(right)).all() and (bits[0] == bits[1]).all())


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(rows())
def test_a_row_comes_back_bit_for_bit(row: Array) -> None:
    """Whatever finite or infinite values and gaps a row has; any NaN means no value."""
    values = segment(row[np.newaxis])
    assert same(values, packed(values).segment(0))


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(rows(least=2), st.data())
def test_any_part_of_a_row_can_be_read(row: Array, data: st.DataObject) -> None:
    """A window that begins or ends inside of a row gives those slots alone."""
    first = data.draw(st.integers(0, len(row) - 1))
    last = data.draw(st.integers(first, len(row) - 1))
    directory = Directory([packed(segment(row[np.newaxis]), number=5)])
    out = np.full((1, last - first + 1), np.nan)
    chosen = np.zeros(1, dtype=np.int64)
    origin = 5 * len(row)
    window = (origin + first, origin + last, origin + first)
    kernels.fold_spans(COPY, directory.spans, chosen, chosen, *window, out)
    assert same(row[np.newaxis, first : last + 1], out)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(st.integers(1, 240), st.integers(0, 2**32 - 1), st.sampled_from(sorted(FOLDS.values())))
def test_folds_of_packed_rows_are_those_of_plain_ones(slots: int, seed: int, how: int) -> None:
    """To the last bit, for every fold, for lines of many rows, with and without gaps."""
    random = np.random.default_rng(seed)
    values = np.round(random.normal(50, 20, (SEGMENT_ROWS, slots)), 2)
    values[::3] = random.poisson(9, values[::3].shape) / 60
    values[random.random(values.shape) < random.choice([0, 0.3])] = np.nan
    values[random.random(SEGMENT_ROWS) < 0.2] = np.nan
    chosen = np.flatnonzero(random.random(SEGMENT_ROWS) < random.choice([0.02, 1.0]))
    lines = random.integers(0, 3, len(chosen))
    found = []
    directory = Directory([packed(values)])
    for spans in (directory.spans, np.array([plain_span(values)])):
        out = np.full((3, slots), np.nan)
        kernels.fold_spans(how, spans, chosen, lines, 0, slots - 1, 0, out)
        found.append(out)
    assert same(*found)


def test_folds_do_what_their_names_say() -> None:
    """Sums and counts pass over gaps; a slot nobody has a value in stays empty."""
    values = np.array([[1.0, np.nan, np.nan, 4.0], [-3.0, 2.0, np.nan, np.nan]])
    spans, both = np.array([plain_span(values)]), np.array([0, 1])
    lines = np.zeros(2, dtype=np.int64)
    found = {}
    for how in (ADD, COUNT, LEAST, GREATEST):
        out = np.full((1, 4), np.nan)
        kernels.fold_spans(how, spans, both, lines, 0, 3, 0, out)
        found[how] = [None if np.isnan(value) else value for value in out[0].tolist()]
    assert found == {
        ADD: [-2.0, 2.0, None, 4.0],
        COUNT: [2.0, 1.0, None, 1.0],
        LEAST: [-3.0, 2.0, None, 4.0],
        GREATEST: [1.0, 2.0, None, 4.0],
    }


@pytest.mark.parametrize("slots", [1, 7, 60, 240, 1000, pytest.param(3600, marks=pytest.mark.slow)])
def test_the_longest_rows_fit_their_offsets(slots: int) -> None:
    """Rows no divisor fits and of which every other slot is empty, at every length allowed."""
    values = np.random.default_rng(1).standard_cauchy((SEGMENT_ROWS, slots)) * 1e300
    values[:, ::2] *= -1e-300
    assert same(values, packed(values).segment(0))
    values[:, 1::2] = np.nan
    assert same(values, packed(values).segment(0))


@pytest.mark.parametrize(
    ("values", "most"),
    [
        (np.zeros(60), 5),
        (np.full(60, 0.1), 6),
        (np.arange(60) * 1000.0 + 7, 10),
        (np.tile([3.0, 4.0], 30) / 60, 14),
        (np.tile([12.25, 12.99], 30), 60),
        ((np.arange(64, 124, dtype=np.float32) / np.float32(3)).astype(np.float64), 200),
        (np.random.default_rng(1).random(60), 440),
    ],
)
def test_rows_are_small_where_values_allow_it(values: Array, most: int) -> None:
    """Constants, steady growth, counts a step, decimals, single precision: bytes of one row."""
    block = packed(np.tile(values, (SEGMENT_ROWS, 1)))
    assert block.packed_rows.size_bytes / SEGMENT_ROWS <= most


def test_rows_without_values_take_only_their_place() -> None:
    """2.25 bytes of offsets each."""
    block = packed(np.full((SEGMENT_ROWS, 60), np.nan))
    assert block.packed_rows.size_bytes <= 2.25 * SEGMENT_ROWS + packing.SPARE_BYTES


def test_joined_blocks_hold_the_same() -> None:
    """Blocks of different numbers of rows, joined, are read as they were apart."""
    random = np.random.default_rng(3)
    parts = []
    for number, count in ((6, 1), (7, 2), (8, 2)):
        values = np.round(random.random((count * SEGMENT_ROWS, 10)), 2)
        pieces = iter(np.split(values, count))
        parts.append(PackedBlock.of_segments(number, pieces, rows=len(values), slots=10))
    joined = join(parts)
    assert [block.number for block in joined] == [6, 7, 8]
    assert len(Directory(joined).spans) == 1
    assert len(Directory([joined[2], joined[0]]).spans) == 2
    for part, whole in zip(parts, joined, strict=True):
        assert whole.rows == 2 * SEGMENT_ROWS
        for position in range(part.rows // SEGMENT_ROWS):
            assert same(part.segment(position), whole.segment(position))


def test_a_directory_knows_its_blocks() -> None:
    """It holds for the same blocks with the same rows, and for no other."""
    raw = RawBlock(3, max_rows=4 * SEGMENT_ROWS, slots=5)
    raw.fit(10)
    sealed = packed(np.ones((SEGMENT_ROWS, 5)), number=2)
    directory = Directory([raw, sealed])
    assert directory.spans[:, 0].tolist() == [10, 15]
    assert directory.is_of([raw, sealed])
    assert not directory.is_of([sealed])
    raw.fit(SEGMENT_ROWS + 1)
    assert not directory.is_of([raw, sealed])
