"""Consolidation of series and steps: the loops against what they stand for."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from breakwater.metrics.classes.kernels import roll_rows, snap
from breakwater.metrics.classes.policy import KINDS
from breakwater.metrics.classes.rollup import merged_rows
from breakwater.metrics.classes.rollup_rows import _distinct

Array = NDArray[np.float64]

_VALUES = st.one_of(
    st.just(float("nan")), st.integers(-(10**6), 10**6).map(lambda number: number / 100)
)


@st.composite
def tables(draw: st.DrawFn) -> tuple[Array, NDArray[np.int64], int, int]:
    """Values [rows, slots], where targets begin, and two multiples of which slots are a whole."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    first, second = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    slots = first * second * draw(st.integers(1, 3))
    values = draw(arrays(np.float64, (sum(sizes), slots), elements=_VALUES))
    return values, np.cumsum([0, *sizes]), first, second


def rolled(values: Array, starts: NDArray[np.int64], multiple: int) -> dict[str, Array]:
    """What the loop makes, by kind."""
    out = np.empty((len(starts) - 1, len(KINDS), values.shape[1] // multiple))
    roll_rows(values, starts, multiple, out)
    return {kind: out[:, place] for place, kind in enumerate(KINDS)}


def plainly(values: Array, starts: NDArray[np.int64], multiple: int) -> dict[str, Array]:
    """The same, one target and step at a time."""
    shape = (len(starts) - 1, values.shape[1] // multiple)
    found = {kind: np.full(shape, np.nan) for kind in KINDS}
    for target in range(shape[0]):
        for step in range(shape[1]):
            part = values[starts[target] : starts[target + 1]]
            part = part[:, step * multiple : (step + 1) * multiple]
            seen = part[~np.isnan(part)]
            if len(seen):
                has_value = ~np.isnan(part).all(axis=0)
                of_kind = (seen.sum(), len(seen), seen.min(), seen.max(), has_value.sum())
                for kind, value in zip(KINDS, of_kind, strict=True):
                    found[kind][target, step] = value
    return found


@given(tables())
@settings(deadline=None)
def test_rolling_up_is_what_it_is_called(table: tuple[Array, NDArray[np.int64], int, int]) -> None:
    """Sum, count, least, greatest and steps with a value, of each target and step."""
    values, starts, multiple, _ = table
    found, expected = rolled(values, starts, multiple), plainly(values, starts, multiple)
    for kind in KINDS:
        np.testing.assert_allclose(found[kind], expected[kind], rtol=1e-10, err_msg=kind)


@given(tables())
@settings(deadline=None)
def test_rolling_up_twice_is_rolling_up_once(
    table: tuple[Array, NDArray[np.int64], int, int],
) -> None:
    """A class fed from a class holds what it would hold if it were fed from full resolution."""
    values, starts, first, second = table
    once = rolled(values, starts, first * second)
    each = np.arange(len(values) + 1)
    former = rolled(values, each, first)
    for kind in ("sum", "count", "min", "max"):
        twice = merged_rows(kind, former[kind], starts, second)
        np.testing.assert_allclose(twice, once[kind], rtol=1e-10, err_msg=kind)


@given(tables())
@settings(deadline=None)
def test_steps_add_up_over_time_and_never_over_series(
    table: tuple[Array, NDArray[np.int64], int, int],
) -> None:
    """Merged steps are at least those of any series and at most those of all together."""
    values, starts, first, second = table
    exact = np.nan_to_num(rolled(values, starts, first * second)["steps"])
    former = rolled(values, np.arange(len(values) + 1), first)["steps"]
    found = np.nan_to_num(merged_rows("steps", former, starts, second))
    assert (found <= exact).all()
    own = np.nan_to_num(former).reshape(len(values), -1, second).sum(axis=2)
    assert (np.maximum.reduceat(own, starts[:-1], axis=0) <= found).all()


@given(st.lists(st.integers(-(10**7), 10**7), min_size=1, max_size=100), st.sampled_from((60, 100)))
def test_sums_of_fractions_are_fractions(numbers: list[int], unit: int) -> None:
    """Rounding errors of a sum are taken out, so that it is the nearest number to what it means."""
    total = np.array([np.sum(np.array(numbers) / unit)])
    snap(total)
    assert total[0] == sum(numbers) / unit


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_other_numbers_are_hardly_touched(value: float) -> None:
    """Nothing changes by more than one part in 10**11."""
    found = np.array([value])
    snap(found)
    assert abs(found[0] - value) <= 1e-11 * abs(value)


def test_what_is_no_value_stays_so() -> None:
    """NaN is not snapped to anything."""
    found = np.array([np.nan, 1e300, -0.0])
    snap(found)
    np.testing.assert_array_equal(found, [np.nan, 1e300, 0.0])


@given(
    arrays(np.int32, st.tuples(st.integers(1, 30), st.integers(1, 4)), elements=st.integers(-1, 3))
)
def test_lines_are_told_apart_by_what_is_in_them(lines: NDArray[np.int32]) -> None:
    """Lines with the same ids, in whatever order, are one; all others differ."""
    wanted = [tuple(sorted(line)) for line in lines.tolist()]
    first, inverse = _distinct(lines)
    assert len({wanted[place] for place in first}) == len(first) == len(set(wanted))
    assert [wanted[first[place]] for place in inverse] == wanted
