"""The restart decision, without processes."""

from hypothesis import given
from hypothesis import strategies as st

from breakwater.fleet import RestartBudget
from breakwater.fleet.restarts import wait_before_restart


def test_no_budget_means_no_restart() -> None:
    """Without a budget the dead stay dead."""
    assert wait_before_restart(None, [], 0) is None


@given(
    times=st.integers(0, 10),
    ages_ms=st.lists(st.integers(0, 200_000), max_size=20),
)
def test_never_more_restarts_than_the_budget_within_its_window(
    times: int, ages_ms: list[int]
) -> None:
    """A restart is granted exactly while fewer than `times` lie in the window, and waits grow."""
    budget = RestartBudget(times=times, window_s=60.0, first_wait_s=0.1, longest_wait_s=2.0)
    now_ms = 1_000_000
    wait_s = wait_before_restart(budget, [now_ms - age for age in ages_ms], now_ms)
    recent = sum(age < 60_000 for age in ages_ms)
    assert (wait_s is not None) == (recent < times)
    if wait_s is not None:
        assert 0.1 <= wait_s <= 2.0
