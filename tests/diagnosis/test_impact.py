import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakwater.diagnosis import own_impact
from breakwater.diagnosis.errors import UnknownServiceError
from breakwater.diagnosis.impact import baseline_ratio, excess_time

_SERVICES = ("edge", "a", "b")
_EDGES = (("edge", "a"), ("a", "b"))


def test_a_caller_is_cleared_by_its_callee() -> None:
    """Ten lost request-seconds that were all spent waiting below leave nothing above."""
    excess = np.array([[10.0], [10.0], [10.0]])
    own = own_impact(excess, excess[1:], _EDGES, _SERVICES)
    assert own[:, 0].tolist() == [0, 0, 10]


def test_a_faster_callee_does_not_make_its_caller_guilty() -> None:
    """Negative excess below is not charged above."""
    own = own_impact(np.array([[0.0], [0.0], [-5.0]]), np.array([[0.0], [-5.0]]), _EDGES, _SERVICES)
    assert own[1, 0] == 0


def test_an_edge_without_rows_is_refused_by_name() -> None:
    """The error names the edge, the missing service and the rows there are."""
    with pytest.raises(UnknownServiceError, match=r"a->x.*'x' has no row"):
        own_impact(np.zeros((3, 1)), np.zeros((1, 1)), (("a", "x"),), _SERVICES)


@given(st.lists(st.floats(0, 100), min_size=2, max_size=2), st.integers(1, 5))
def test_rows_sum_to_the_excess_at_the_root(losses: list[float], steps: int) -> None:
    """When every edge is recorded on both sides nothing is lost or invented."""
    edges = np.array([losses] * steps).T
    excess = np.vstack([np.full((1, steps), losses[0]), edges])
    own = own_impact(excess, edges, _EDGES, _SERVICES)
    assert np.allclose(own.sum(axis=0), excess[0])


def test_time_beyond_the_baseline_mean_is_excess() -> None:
    """Four calls at 0.1 s before, then four calls at 0.5 s: 1.6 s too many."""
    time_s, calls = np.array([[0.4, 0.4, 2.0]]), np.array([[4.0, 4.0, 4.0]])
    before = np.array([True, True, False])
    assert np.allclose(excess_time(time_s, calls, before), [[0, 0, 1.6]])


def test_what_never_ran_before_cost_nothing_before() -> None:
    """A row without calls in the baseline is all excess, and its ratio is zero, not NaN."""
    before = np.array([True, False])
    assert baseline_ratio(np.array([[0.0, 3.0]]), np.array([[0.0, 2.0]]), before).tolist() == [0]
    assert excess_time(np.array([[0.0, 3.0]]), np.array([[0.0, 2.0]]), before).tolist() == [[0, 3]]
