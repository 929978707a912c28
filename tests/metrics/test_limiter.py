"""Limits on the series of one name and of one application, and what lies beyond them."""

import itertools
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs
from tests.metrics.keeping import T0, crash_image, opened

from breakwater.metrics import MetricsEngine, MetricsSettings
from breakwater.metrics.errors import CardinalityLimitError
from breakwater.metrics.limits.limiter import ROLLED_UP, LimiterStats
from breakwater.testing import FakeClock


def engine(clock: FakeClock, **limits: int) -> MetricsEngine:
    """An engine with steps of one second and few series of a name and of an application."""
    chosen = {"max_series_per_name": 6, "max_series_per_app": 1000, **limits}
    return MetricsEngine(MetricsSettings(**chosen), clock)  # type: ignore[arg-type] # all are ints


def requests(paths: Iterable[int], kind: str = "rate") -> list[dict[str, str]]:
    """Series of one name: a path with many values, on two nodes."""
    return [
        {
            "name": "http.requests",
            "nf.app": "web",
            "path": f"p{path}",
            "nf.node": f"n{node}",
            "atlas.dstype": kind,
        }
        for path, node in itertools.product(paths, range(2))
    ]


def limits(engine: MetricsEngine) -> LimiterStats:
    """What the engine says about its limits."""
    found = engine.stats().limiter
    assert found is not None
    return found


def total(
    engine: MetricsEngine, end_ms: int, program: str = "name,http.requests,:eq,:sum"
) -> float:
    """The value of the step that ended at `end_ms`."""
    found = engine.query(program, start_ms=end_ms - 1000, end_ms=end_ms)
    return float(found.lines[0].values[0])


def nodes_of(engine: MetricsEngine, handles: np.ndarray) -> set[tuple[str, str]]:
    """Path and node of what handles stand for."""
    rows = {int(handle) & 0xFFFFFFFF for handle in engine._store.standings.targets(handles)}
    found = [engine._store.index.tags_of(row) for row in rows]
    return {(tags["path"], tags["nf.node"]) for tags in found}


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still."""
    return FakeClock(T0)


def test_up_to_the_limit_nothing_changes(clock: FakeClock) -> None:
    """As many series as allowed are series of their own, and known ones stay what they are."""
    kept = engine(clock)
    first = kept.resolve_all(requests(range(3)))
    assert first.error is None
    assert len(set(first.handles.tolist())) == 6
    kept.resolve_all(requests(range(10)))
    assert kept.resolve_all(requests(range(3))).handles.tolist() == first.handles.tolist()
    assert kept.resolve_all([{"name": "other", "path": "p9"}]).error is None


def test_the_key_with_most_values_goes_first(clock: FakeClock) -> None:
    """Beyond the limit a series loses the value of that key and joins others that lost theirs."""
    kept = engine(clock)
    kept.resolve_all(requests(range(3)))
    more = kept.resolve_all(requests(range(3, 50)))
    assert more.error is None
    assert nodes_of(kept, more.handles) == {(ROLLED_UP, "n0"), (ROLLED_UP, "n1")}
    assert kept.stats().series == 8
    assert kept.resolve(requests([77])[0]) == more.handles[0]


def test_what_many_write_is_added_up(clock: FakeClock) -> None:
    """No datapoint is lost: the sum over all series is what was sent, by both ways in."""
    kept = engine(clock)
    handles = kept.resolve_all(requests(range(40))).handles
    values = np.arange(1.0, 81.0)
    kept.write(handles, T0, values)
    kept.record(handles, np.full(80, T0 + 1000), values)
    clock.advance(1)
    assert total(kept, T0) == total(kept, T0 + 1000) == values.sum()


def test_of_gauges_the_greatest_counts(clock: FakeClock) -> None:
    """A gauge that stands for many is the greatest of them."""
    kept = engine(clock)
    handles = kept.resolve_all(requests(range(40), kind="gauge")).handles
    values = np.arange(1.0, 81.0)
    kept.write(handles, T0, values)
    kept.record(handles, np.full(80, T0 + 1000), values[::-1])
    clock.advance(1)
    for end_ms in (T0, T0 + 1000):
        assert total(kept, end_ms, "name,http.requests,:eq,:max") == 80.0


def test_totals_grow_each_on_its_own(clock: FakeClock) -> None:
    """Counters that are rolled up count by source: resets and pauses of one are not another's."""
    kept = engine(clock)
    handles = kept.resolve_all(requests(range(40), kind="counter")).handles
    assert len(set(handles.tolist())) == 80
    values = np.arange(1.0, 81.0)
    for second in range(3):
        kept.record(handles, np.full(80, T0 + second * 1000), 1000.0 + second * values)
        clock.advance(1)
    kept.record(handles, np.full(80, T0 + 3000), values * 0)
    assert [total(kept, T0 + second * 1000) for second in (1, 2, 3)] == [*[values.sum()] * 2, 0.0]


def test_a_rate_off_the_grid_is_shared_between_its_steps(clock: FakeClock) -> None:
    """A source that reports once a step in its middle counts half in each of two steps."""
    kept = engine(clock)
    handles = kept.resolve_all(requests(range(40))).handles[-3:]
    for second in range(3):
        kept.record(handles, np.full(3, T0 + second * 1000 + 500), np.array([1.0, 2.0, 3.0]))
        clock.advance(1)
    assert [total(kept, T0 + second * 1000) for second in (0, 1, 2, 3)] == [3.0, 6.0, 6.0, 3.0]


def test_keys_go_one_after_the_other(clock: FakeClock) -> None:
    """When one key is not enough, the next one goes; what must stay, stays."""
    kept = engine(clock, max_series_per_name=300)
    many = [
        {
            "name": "m",
            "nf.app": "web",
            "id": f"i{n}",
            "nf.node": f"n{n % 250}",
            "statistic": "count",
        }
        for n in range(300)
    ]
    kept.resolve_all(many)
    more = [{**tags, "id": f"j{n}", "nf.node": f"k{n}"} for n, tags in enumerate(many * 3)]
    found = kept.resolve_all(more)
    assert found.error is None
    rows = set((found.handles & 0xFFFFFFFF).tolist())
    assert len(rows) == 101
    tags = [kept._store.index.tags_of(row) for row in rows]
    assert {each["statistic"] for each in tags} == {"count"}
    assert {each["nf.app"] for each in tags} == {"web"}
    assert {each["id"] for each in tags} == {ROLLED_UP}
    assert sum(each["nf.node"] == ROLLED_UP for each in tags) == 1


def test_an_application_has_a_limit_too(clock: FakeClock) -> None:
    """Names without end of one application are refused in the end, those of others are not."""
    kept = engine(clock, max_series_per_app=10)
    found = kept.resolve_all([{"name": f"name{n}", "nf.app": "web", "x1": "y"} for n in range(500)])
    assert isinstance(found.error, CardinalityLimitError)
    assert "max_series_per_app" in str(found.error)
    assert int((found.handles >= 0).sum()) == 10 + 200
    assert kept.resolve_all([{"name": "name499", "nf.app": "api", "x1": "y"}]).error is None
    with pytest.raises(CardinalityLimitError, match="too many series of app 'web': all 10 are in"):
        kept.resolve({"name": "name499", "nf.app": "web", "x1": "y"})
    assert limits(kept).refused == 291


def test_limits_are_never_silent(clock: FakeClock) -> None:
    """A roll-up is logged once, counted, told with the answer and listed."""
    kept = engine(clock)
    with capture_logs() as logs:
        kept.write(kept.resolve_all(requests(range(40))).handles, T0, np.ones(80))
        kept.resolve_all(requests(range(50)))
    told = [each for each in logs if each["event"] == "metrics.series_limited"]
    assert told == [
        {
            "event": "metrics.series_limited",
            "kind": "name",
            "value": "http.requests",
            "limit": 6,
            "log_level": "warning",
        }
    ]
    stats = limits(kept)
    assert (stats.rolled_up, stats.limited_names, stats.limited_apps) == (2, 1, 0)
    assert stats.sources == 74 + 94
    (use,) = kept.cardinality().limits
    assert (use.value, use.series, use.limit, use.rolled_up) == ("http.requests", 8, 6, 2)
    assert use.keys == ["path", "nf.node"]


def test_answers_tell_what_was_rolled_up(clock: FakeClock) -> None:
    """Whoever reads a series that stands for many is told so; others are not."""
    kept = engine(clock)
    kept.write(kept.resolve_all(requests(range(40))).handles, T0, np.ones(80))
    kept.write_series({"name": "other"}, T0, 1.0)
    told = kept.query("name,http.requests,:eq,:sum", start_ms=T0 - 1000, end_ms=T0)
    assert len(told.notices) == 1
    assert "2 of 8 series stand for many" in told.notices[0]
    assert "http.requests" in told.notices[0]
    assert kept.query("name,other,:eq,:sum", start_ms=T0 - 1000, end_ms=T0).notices == []


def test_room_comes_back(clock: FakeClock) -> None:
    """When series have retired, new ones are series of their own again."""
    kept = engine(clock)
    kept.write(kept.resolve_all(requests(range(40))).handles, T0, np.ones(80))
    other = np.array([kept.resolve({"name": "other"})])
    for _ in range(80):
        clock.advance(60)
        kept.write(other, clock.now_ms(), np.ones(1))
    assert kept.stats().series == 1
    assert limits(kept).rolled_up == 0
    again = kept.resolve_all(requests(range(3)))
    assert len(set(again.handles.tolist())) == 6
    more = kept.resolve_all(requests(range(3, 10)))
    assert nodes_of(kept, more.handles) == {(ROLLED_UP, "n0"), (ROLLED_UP, "n1")}


@pytest.mark.parametrize("is_crash", [True, False])
def test_what_was_rolled_up_stays_so_after_a_restart(
    clock: FakeClock,
    tmp_path: Path,
    is_crash: bool,  # noqa: FBT001 - parametrized
) -> None:
    """After a restart the same sources write to the same series, which still adds them up."""
    settings = MetricsSettings(max_series_per_name=6, max_series_per_app=1000)
    first = opened(tmp_path / "live", clock, settings)
    first.record(first.resolve_all(requests(range(40))).handles, np.full(80, T0), np.ones(80))
    folder = tmp_path / "live"
    if is_crash:
        folder = crash_image(first, folder, tmp_path / "image")
    first.close()
    again = opened(folder, clock, settings)
    handles = again.resolve_all(requests(range(60))).handles
    assert again.stats().series == 8
    assert limits(again).rolled_up == 2
    assert [use.rolled_up for use in again.cardinality().limits] == [2]
    assert total(again, T0) == 80.0
    again.record(handles, np.full(120, T0 + 1000), np.ones(120))
    again.write(handles, T0 + 2000, np.ones(120))
    clock.advance(2)
    assert total(again, T0 + 1000) == total(again, T0 + 2000) == 120.0
    again.close()


def test_a_lent_handle_goes_stale_with_its_series(clock: FakeClock) -> None:
    """A source whose rolled-up series has retired is told to resolve again."""
    kept = engine(clock)
    counters = requests(range(40), kind="counter")
    handles = kept.resolve_all(counters).handles[-1:]
    other = np.array([kept.resolve({"name": "other"})])
    for _ in range(80):
        clock.advance(60)
        kept.write(other, clock.now_ms(), np.ones(1))
    now_ms = clock.now_ms()
    assert kept.record(handles, np.array([now_ms]), np.ones(1)).tolist() == [0]
    assert kept.write(handles, now_ms, np.ones(1)).tolist() == [0]


def test_no_handle_is_stale(clock: FakeClock) -> None:
    """What a series got that there was no room for is handed back, even after others retired."""
    kept = engine(clock)
    now_ms = clock.now_ms()
    kept.resolve_all(requests(range(40), kind="counter"))
    nothing, other = np.array([-1, -1]), np.array([kept.resolve({"name": "other"})])
    assert kept.record(nothing, np.full(2, now_ms), np.ones(2)).tolist() == [0, 1]
    assert kept.write(nothing, now_ms, np.ones(2)).tolist() == [0, 1]
    kept.write(other, now_ms, np.ones(1))


def test_duplicates_in_a_batch_count_once(clock: FakeClock) -> None:
    """The same new series twice in one batch takes one place."""
    kept = engine(clock)
    found = kept.resolve_all([each for each in requests(range(3)) for _ in range(3)])
    assert found.error is None
    assert kept.stats().series == 6
    assert limits(kept).rolled_up == 0


def test_churn_is_counted_by_name_and_application(clock: FakeClock) -> None:
    """Series that come and go show up in their minute, and with their name and application."""
    kept = engine(clock)
    kept.write(kept.resolve_all(requests(range(3))).handles, T0, np.ones(6))
    kept.resolve_all([*requests(range(3)), {"name": "late", "nf.app": "web"}])
    for _ in range(70):
        clock.advance(60)
        kept.write_series({"name": "other"}, clock.now_ms(), 1.0)
    seen = kept.cardinality()
    assert seen.series == 1
    assert sum(minute.retired for minute in seen.churn) == 7
    names = {each.value: (each.series, each.new, each.retired) for each in seen.names}
    assert names == {"other": (1, 0, 0), "http.requests": (0, 0, 6), "late": (0, 0, 1)}
    assert [(each.value, each.retired) for each in seen.apps] == [("web", 7)]


def test_the_view_is_cut_and_says_so(clock: FakeClock) -> None:
    """Lists are as long as asked for, and the counts beside them say how long they would be."""
    kept = engine(clock, max_series_per_name=1000)
    kept.resolve_all(requests(range(20)))
    kept.resolve_all([{"name": f"m{n}", "nf.app": f"a{n}"} for n in range(30)])
    seen = kept.cardinality(limit=3)
    assert (seen.series, seen.distinct_names, seen.distinct_apps, seen.distinct_keys) == (
        70,
        31,
        31,
        5,
    )
    assert [(each.key, each.values, each.series) for each in seen.keys] == [
        ("name", 31, 70),
        ("nf.app", 31, 70),
        ("path", 20, 40),
    ]
    assert [(each.value, each.series, each.new) for each in seen.names[:1]] == [
        ("http.requests", 40, 40)
    ]
    assert len(seen.apps) == 3


def test_limits_hold_for_tables_too(clock: FakeClock) -> None:
    """Series that come as a table are rolled up as others are; those that fit are not."""
    kept = engine(clock)
    tags = requests(range(50))
    pairs = sorted({pair for each in tags for pair in each.items()})
    lines = np.array([[pairs.index(pair) for pair in each.items()] for each in tags])
    found = kept.resolve_table(pairs, lines.astype(np.int32))
    assert found.error is None
    assert nodes_of(kept, found.handles[6:]) == {(ROLLED_UP, "n0"), (ROLLED_UP, "n1")}
    assert kept.resolve_all(tags).handles.tolist() == found.handles.tolist()
    assert limits(kept).sources == 2 * 94
