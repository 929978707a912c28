from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakwater.drill import NO_FAULT, SURGE, draw_scenarios, scenario_for
from breakwater.drill.errors import UnknownScenarioError
from breakwater.drill.plan import EDGES, FAULTS, SERVICES


def test_a_seed_draws_the_same_drill_twice() -> None:
    """A drill can be replayed from its seed alone."""
    assert draw_scenarios(30, 7) == draw_scenarios(30, 7)
    assert draw_scenarios(30, 7) != draw_scenarios(30, 8)


@given(st.integers(0, 1000))
def test_thirty_rounds_hold_every_kind_and_both_quiet_ones(seed: int) -> None:
    """Every kind of fault comes at least three times; nothing and surge come too."""
    kinds = Counter(scenario.fault for scenario in draw_scenarios(30, seed))
    assert all(kinds[fault] >= 3 for fault in FAULTS)
    assert kinds[NO_FAULT] >= 2
    assert kinds[SURGE] >= 2


@given(st.integers(0, 1000))
def test_targets_exist(seed: int) -> None:
    """What is broken is a service, an instance of it, or an edge of the reference fleet."""
    for scenario in draw_scenarios(14, seed):
        if scenario.target is not None:
            assert scenario.target in SERVICES
        if scenario.edge is not None:
            assert tuple(scenario.edge.split("->")) in EDGES
        if scenario.instance is not None:
            assert scenario.instance.startswith(f"{scenario.target}-")


def test_what_does_not_exist_is_refused_with_what_does() -> None:
    """Unknown kinds and targets are answered by the lists of known ones."""
    with pytest.raises(UnknownScenarioError, match=r"latency, errors.*surge"):
        scenario_for("fire", None, 1)
    with pytest.raises(UnknownScenarioError, match=r"known: gateway, account"):
        scenario_for("latency", "nobody", 1)
    with pytest.raises(UnknownScenarioError, match="gateway->account"):
        scenario_for("slow_edge", "account->gateway", 1)


def test_an_edge_may_be_named_by_its_callee() -> None:
    """A slow edge is charged to the service that is slow to reach."""
    scenario = scenario_for("slow_edge", "ranker", 1)
    assert scenario.edge == "personalization->ranker"
    assert scenario.settings["caller"] == "personalization"
