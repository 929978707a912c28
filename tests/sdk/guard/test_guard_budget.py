"""Retry budgets: three arithmetics, exact to their sources, shared by dependency."""

import gc
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breakwater.sdk.guard.config import BudgetConfig
from breakwater.sdk.guard.retrying.budget import Budget, Budgets, Cause, aws_2026, aws_standard


class Caller:
    """Something with calls under way."""

    def __init__(self, count: int) -> None:
        self.count = count

    def in_flight(self) -> int:
        return self.count


def level(budget: Budget) -> float:
    """Tokens left."""
    return budget.stats().level


def test_grpc_allows_retries_only_above_half() -> None:
    """Of 10 tokens four failures leave 6 and retries, the fifth leaves 5 and none (A6)."""
    budget = Budget("d", BudgetConfig(mode="grpc", tokens=10, ratio=0.1))
    for _ in range(4):
        budget.on_failure()
        assert budget.try_spend() is not None
    budget.on_failure()
    assert budget.try_spend() is None
    budget.on_successes()
    assert level(budget) == pytest.approx(5.1)
    assert budget.try_spend() is not None


def test_grpc_counts_in_thousandths_within_zero_and_full() -> None:
    """A ratio of 0.0015 rounds to 0.002; tokens never leave 0 to the maximum."""
    budget = Budget("d", BudgetConfig(mode="grpc", tokens=3, ratio=0.0015))
    for _ in range(7):
        budget.on_failure()
    assert level(budget) == 0
    budget.on_successes(3)
    assert level(budget) == pytest.approx(0.006)
    budget.on_successes(10_000)
    assert level(budget) == 3


@settings(max_examples=40)
@given(
    st.lists(st.one_of(st.none(), st.integers(0, 40)), max_size=60),
    st.floats(1, 50),
    st.floats(0.001, 1),
)
def test_successes_may_be_credited_late(
    steps: list[int | None], tokens: float, ratio: float
) -> None:
    """N successes at once are n successes one by one, if told before the next failure."""
    config = BudgetConfig(mode="grpc", tokens=tokens, ratio=ratio)
    eager, lazy = Budget("d", config), Budget("d", config)
    for step in steps:
        if step is None:
            eager.on_failure()
            lazy.on_failure()
        else:
            for _ in range(step):
                eager.on_successes()
            lazy.on_successes(step)
        assert level(eager) == level(lazy)


def test_envoy_allows_a_share_of_the_calls_under_way() -> None:
    """At most max(3, 20 %) retries at once, over all callers of the dependency."""
    budget = Budget("d", BudgetConfig(mode="envoy", minimum=3, percent=20))
    first, second = Caller(0), Caller(0)
    budget.add_source(first)
    budget.add_source(second)
    tokens = [budget.try_spend() for _ in range(4)]
    assert [token is not None for token in tokens] == [True, True, True, False]
    first.count, second.count = 15, 9  # 20 % of 24 is 4.8: four
    fourth = budget.try_spend()
    assert fourth is not None
    assert budget.try_spend() is None
    budget.settle(fourth, succeeded=False)
    assert budget.try_spend() is not None


def test_envoy_forgets_callers_that_are_gone() -> None:
    """The calls of a command that was dropped count no longer."""
    budget = Budget("d", BudgetConfig(mode="envoy", minimum=0, percent=100))
    caller = Caller(5)
    budget.add_source(caller)
    assert budget.try_spend() is not None
    del caller
    gc.collect()
    assert budget.try_spend() is None


@pytest.mark.parametrize(
    ("config", "cause", "left"),
    [
        (aws_standard(), "transient", 495),
        (aws_standard(), "timeout", 490),
        (aws_standard(), "throttled", 495),
        (aws_2026(), "transient", 486),
        (aws_2026(), "timeout", 486),
        (aws_2026(), "throttled", 495),
    ],
)
def test_aws_prices_a_retry_by_its_cause(config: BudgetConfig, cause: Cause, left: float) -> None:
    """Both sets of numbers, from a bucket of 500; a retry that succeeds gets its cost back."""
    budget = Budget("d", config)
    token = budget.try_spend(cause)
    assert token is not None
    assert level(budget) == left
    budget.settle(token, succeeded=True)
    assert level(budget) == 500


def test_aws_refills_by_first_successes_only() -> None:
    """A success at the first attempt brings 1, one after a retry its refund alone."""
    budget = Budget("d", BudgetConfig(mode="aws", tokens=20, cost=5))
    tokens = [budget.try_spend() for _ in range(4)]
    assert None not in tokens
    assert budget.try_spend() is None
    budget.on_successes(3, first_tries=2)
    assert level(budget) == 2
    budget.on_successes(3)
    assert level(budget) == 5


@pytest.mark.parametrize("mode", ["grpc", "envoy", "aws", "none"])
def test_a_retry_that_is_not_made_costs_nothing(mode: str) -> None:
    """A token given back, or settled twice, leaves the budget as it was."""
    config = BudgetConfig(mode=mode)  # type: ignore[arg-type] # parametrized
    budget = Budget("d", config)
    before = level(budget)
    token = budget.try_spend()
    assert token is not None
    budget.give_back(token)
    budget.give_back(token)
    budget.settle(token, succeeded=False)
    assert level(budget) == before
    assert budget.stats().given_back == 1


def test_one_dependency_has_one_budget_while_somebody_holds_it() -> None:
    """All commands of a dependency spend from the same; unused names are forgotten."""
    budgets = Budgets()
    one = budgets.of("account", BudgetConfig())
    assert budgets.of("account", BudgetConfig()) is one
    assert budgets.of("catalogue", BudgetConfig()) is not one
    gc.collect()
    assert [stats.dependency for stats in budgets.stats().budgets] == ["account"]


def test_other_numbers_keep_the_share_that_is_left() -> None:
    """A budget that is 60 % full stays so when it grows; retries under way stay known."""
    budget = Budget("d", BudgetConfig(mode="grpc", tokens=10))
    for _ in range(4):
        budget.on_failure()
    budget.configure(BudgetConfig(mode="grpc", tokens=100))
    assert level(budget) == 60
    budget.configure(BudgetConfig(mode="envoy", minimum=1))
    token = budget.try_spend()
    budget.configure(BudgetConfig(mode="envoy", minimum=2))
    assert token is not None
    assert level(budget) == 1
    budget.settle(token, succeeded=True)
    assert level(budget) == 0


def test_threads_spend_no_token_twice() -> None:
    """Of 100 tokens at cost 5, eight threads get 20 retries together."""
    budget = Budget("d", BudgetConfig(mode="aws", tokens=100, cost=5))
    won: list[object] = []

    def spend() -> None:
        won.extend(token for token in (budget.try_spend() for _ in range(10)) if token)

    threads = [threading.Thread(target=spend) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 20
    assert budget.stats().spent == 20
    assert budget.stats().refused == 60
