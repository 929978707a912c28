"""Plans are kept as long as they hold, and no longer."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakwater.metrics.reading.plan import Plan, Planner
from breakwater.metrics.selection.patterns import pattern
from breakwater.metrics.selection.query import Equal, HasKey, Regex
from breakwater.metrics.selection.selection import Selection
from breakwater.metrics.series.index import TagIndex

CALLS = Selection(query=Equal("name", "calls"), kind="sum", consolidated_by="avg")
BY_ZONE = msgspec.structs.replace(CALLS, keys=("zone",))


def filled() -> tuple[TagIndex, Planner]:
    """Ten series of two zones, one without a zone, and a planner."""
    index = TagIndex()
    for row in range(10):
        index.add(row, {"name": "calls", "zone": "ab"[row % 2], "node": str(row)})
    index.add(10, {"name": "calls", "node": "10"})
    return index, Planner(index, capacity=50, max_lines=100)


@pytest.mark.parametrize("count", [1, 20, 500, 5000])
def test_a_plan_outlives_series_that_are_not_its_own(count: int) -> None:
    """However many others come, a plan that does not read them is not made again."""
    index, planner = filled()
    plans = [planner.plan(part) for part in (CALLS, BY_ZONE)]
    rows = np.arange(100, 100 + count)
    for start in range(0, count, 1000):
        part = rows[start : start + 1000]
        index.add_all([{"name": "errors", "node": str(row)} for row in part], part)
    assert [planner.plan(part) for part in (CALLS, BY_ZONE)] == plans
    index.remove_all(rows)
    assert [planner.plan(part) for part in (CALLS, BY_ZONE)] == plans
    assert [planner.at_hand(part) for part in (CALLS, BY_ZONE)] == plans


@pytest.mark.parametrize("others", [0, 100, 5000])
def test_a_new_series_is_in_the_next_plan(others: int) -> None:
    """Also when it comes in a crowd of others, or with a value that is new."""
    index, planner = filled()
    planner.plan(BY_ZONE)
    tags = [{"name": "errors", "node": str(row)} for row in range(others)]
    tags.append({"name": "calls", "zone": "c", "node": "x"})
    index.add_all(tags, np.arange(100, 101 + others))
    plan = planner.plan(BY_ZONE)
    assert plan.rows.tolist() == [*range(10), 100 + others]
    assert plan.labels == ["(zone=a)", "(zone=b)", "(zone=c)"]
    assert plan.groups.tolist() == [0, 1] * 5 + [2]


def test_a_series_that_went_is_in_no_plan() -> None:
    """And one that got its row counts for what it is itself."""
    index, planner = filled()
    planner.plan(BY_ZONE)
    index.remove(3)
    index.add(3, {"name": "calls", "zone": "a", "node": "other"})
    assert planner.at_hand(BY_ZONE) is None
    assert planner.plan(BY_ZONE).groups.tolist() == [0, 1, 0, 0, 0, 1, 0, 1, 0, 1]
    index.remove(3)
    assert planner.plan(BY_ZONE).rows.tolist() == [0, 1, 2, *range(4, 10)]


def test_what_is_not_known_for_sure_is_looked_up() -> None:
    """A plan made too long ago is not at hand, and is made again."""
    index, planner = filled()
    plan = planner.plan(CALLS)
    for _ in range(5000):
        index.add(50, {"name": "other"})
        index.remove(50)
    assert planner.at_hand(CALLS) is None
    again = planner.plan(CALLS)
    assert again is not plan
    assert planner.plan(CALLS) is again


@given(
    st.lists(
        st.fixed_dictionaries(
            {"name": st.sampled_from(["calls", "calm", "x"])},
            optional={
                "zone": st.sampled_from("abc"),
                "node": st.sampled_from("123"),
                "atlas.dstype": st.sampled_from(["gauge", "rate"]),
            },
        ),
        unique_by=lambda tags: tuple(sorted(tags.items())),
        max_size=25,
    ),
    st.lists(st.sampled_from(["zone", "node", "name"]), unique=True, max_size=3),
)
def test_lines_are_the_groups_of_a_naive_grouping(
    series: list[dict[str, str]], keys: list[str]
) -> None:
    """Rows, lines, labels, tags and gauges are those that grouping one by one gives."""
    index = TagIndex()
    if series:
        index.add_all(series, np.arange(len(series)))
    planner = Planner(index, capacity=50, max_lines=100)
    query = Regex("name", pattern("cal"))
    grouped = Selection(query=query, kind="sum", consolidated_by="avg", keys=tuple(keys) or None)
    plan: Plan = planner.plan(grouped)
    read = [
        row
        for row, tags in enumerate(series)
        if tags["name"] != "x" and all(key in tags for key in keys)
    ]
    assert plan.rows.tolist() == read
    assert plan.is_gauge.tolist() == [series[row].get("atlas.dstype") == "gauge" for row in read]
    if keys:
        labels = ["(" + " ".join(f"{k}={series[row][k]}" for k in keys) + ")" for row in read]
        assert plan.labels == sorted(set(labels))
        assert [plan.labels[group] for group in plan.groups.tolist()] == labels
        for tags, label in zip(plan.tags, plan.labels, strict=True):
            assert label == "(" + " ".join(f"{k}={tags[k]}" for k in keys) + ")"


def test_all_series_are_lines_of_their_own() -> None:
    """In the order of their rows, with all their tags."""
    _, planner = filled()
    plan = planner.plan(Selection(query=HasKey("zone"), kind="all", consolidated_by="sum"))
    assert plan.rows.tolist() == list(range(10))
    assert plan.tags[1] == {"name": "calls", "zone": "b", "node": "1"}
