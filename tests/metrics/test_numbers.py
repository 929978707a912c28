"""Doubles as text by the compiled kernel."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakwater.metrics.text.numbers import table_text


def written(values: list[float]) -> list[str]:
    """Each number as the kernel writes it."""
    return table_text(np.array([values]), names="bare", frame=" \n  ").decode().split("\n")


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=50))
def test_every_double_is_written_as_python_writes_it(values: list[float]) -> None:
    """Shortest digits that read back, with the point or the power of ten where repr has it."""
    assert written(values) == [repr(value) for value in values]


@given(st.integers(0, 2**64 - 1))
def test_every_pattern_of_bits_reads_back(bits: int) -> None:
    """Subnormal numbers and both zeros too."""
    value = float(np.uint64(bits).view(np.float64))
    if math.isfinite(value):
        assert written([value]) == [repr(value)]


@given(st.integers(1, 10**17), st.integers(-40, 20))
def test_decimals_people_write_come_back_as_they_wrote_them(digits: int, power: int) -> None:
    """What has few digits is written with few."""
    value = float(f"{digits}e{power}")
    assert written([value]) == [repr(value)]


def test_neighbours_of_every_power_are_told_apart() -> None:
    """Around powers of two the spacing changes, around powers of ten the length does."""
    powers = [2.0**k for k in range(-1074, 1024)] + [float(f"1e{k}") for k in range(-323, 309)]
    values = np.array(powers)
    around = np.concatenate([values, np.nextafter(values, 0), np.nextafter(values, np.inf)])
    around = around[np.isfinite(around)]
    assert written(around.tolist()) == [repr(value) for value in around.tolist()]


@pytest.mark.parametrize("by_column", [False, True])
def test_tables_are_lists_of_rows_or_of_columns(*, by_column: bool) -> None:
    """Missing values and infinities are strings, so that the text is JSON."""
    table = np.array([[1.0, float("nan"), -0.5], [1e22, float("inf"), float("-inf")]])
    text = table_text(table, by_column=by_column)
    cells = [[1.0, "NaN", -0.5], [1e22, "Infinity", "-Infinity"]]
    expected = [list(column) for column in zip(*cells, strict=True)] if by_column else cells
    assert json.loads(b"[" + text + b"]") == expected


def test_old_clients_get_bare_names() -> None:
    """Names without quotation marks are what clients of Atlas read."""
    table = np.array([[float("nan"), float("inf"), float("-inf")]])
    assert table_text(table, names="bare") == b"[NaN,Infinity,-Infinity]"


def test_an_empty_table_is_empty() -> None:
    """No list at all, and lists without a number."""
    assert table_text(np.empty((0, 3))) == b""
    assert table_text(np.empty((2, 0))) == b"[],[]"


@pytest.mark.parametrize("by_column", [False, True])
@pytest.mark.parametrize("shape", [(300, 101), (1, 40_000), (40_000, 1), (7, 9_001)])
def test_a_large_table_is_the_same_in_pieces(shape: tuple[int, int], *, by_column: bool) -> None:
    """However many threads write it, the text is that of its lists one after the other."""
    table = np.round(np.random.default_rng(1).normal(0, 1e5, shape), 2)
    lists = table.T if by_column else table
    expected = b",".join(table_text(each[np.newaxis]) for each in lists)
    assert table_text(table, by_column=by_column) == expected


@given(st.integers(0, 10**14), st.integers(0, 6))
def test_decimals_with_few_places_are_written_as_python_writes_them(
    digits: int, places: int
) -> None:
    """Most numbers of real metrics: whole, or with up to six decimals."""
    value = digits / 10**places
    around = [value, -value, math.nextafter(value, math.inf), math.nextafter(value, 0.0)]
    assert written(around) == [repr(each) for each in around]
