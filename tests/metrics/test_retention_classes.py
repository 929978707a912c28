"""Retention classes: a query over what was rolled up answers as the datapoints themselves would."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs
from tests.metrics.rolling import MINUTES, T0, TENS, Fleet, answer, full, tiered

from breakwater.metrics import MetricsEngine
from breakwater.metrics.settings import RetentionClass
from breakwater.testing import FakeClock

STEPS = 700
EXACT = (
    ":true,:sum",
    ":true,:count",
    ":true,:min",
    ":true,:max",
    ":true,:avg",
    "name,calls,:eq,:sum,(,nf.app,),:by",
    "name,load,:eq,:sum,(,nf.app,),:by",
    "name,load,:eq,:avg,(,nf.app,),:by",
    "name,calls,:eq,:avg",
    "name,calls,:eq,:sum,:cf-sum",
    "name,load,:eq,:count,(,nf.app,kind,),:by",
    "nf.app,a,:eq,:max,(,name,),:by",
    "nf.app,a,:eq,kind,k1,:eq,:not,:and,:min,(,name,),:by",
    "name,calls,:eq,:sum,2m,:offset",
)


@pytest.fixture
def clock() -> FakeClock:
    """A clock that moves when it is told to."""
    return FakeClock(T0)


def same(left: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> None:
    """Both have the same lines and values."""
    assert left.keys() == right.keys()
    for key, values in left.items():
        np.testing.assert_allclose(values, right[key], rtol=1e-9, atol=1e-9, err_msg=key)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_coarse_answers_equal_those_of_the_datapoints(seed: int) -> None:
    """Whatever part of a window a class answers, the numbers are those of full resolution."""
    check_equal(seed, STEPS)


def test_a_class_answers_as_the_datapoints_would() -> None:
    """The same, in short: two minutes of which a class has one."""
    check_equal(9, 140)


def check_equal(seed: int, steps: int) -> None:
    """Feed both, then compare all programs at several steps."""
    clock = FakeClock(T0)
    fine, coarse = full(clock), tiered(clock, TENS)
    Fleet(seed, steps).feed(clock, fine, coarse, first=0, last=steps)
    for step_ms in (10_000, 30_000, 60_000, 120_000):
        check_programs(fine, coarse, clock, step_ms)


def check_programs(
    fine: MetricsEngine, coarse: MetricsEngine, clock: FakeClock, step_ms: int
) -> None:
    """All programs over all there is, and a minute before."""
    window: dict[str, Any] = {"start_ms": T0 - 60_000, "end_ms": clock.now_ms(), "step_ms": step_ms}
    for program in EXACT:
        same(answer(coarse, program, **window), answer(fine, program, **window))


@pytest.mark.slow
@pytest.mark.parametrize("step_ms", [60_000, 120_000, 300_000])
def test_classes_feed_each_other(step_ms: int) -> None:
    """A class fed from a class gives the numbers of full resolution too."""
    clock = FakeClock(T0)
    tens = RetentionClass(name="tens", step_ms=10_000, retention_s=200, drop_tags=["nf.node"])
    fine, coarse = full(clock), tiered(clock, tens, MINUTES)
    Fleet(7, STEPS).feed(clock, fine, coarse, first=0, last=STEPS)
    assert coarse.stats().classes["minutes"].rollup.steps > 5
    window: dict[str, Any] = {
        "start_ms": T0 - 300_000,
        "end_ms": clock.now_ms(),
        "step_ms": step_ms,
    }
    for program in EXACT:
        same(answer(coarse, program, **window), answer(fine, program, **window))


@pytest.mark.slow
def test_gauges_with_gaps_are_averaged_over_the_steps_they_had(clock: FakeClock) -> None:
    """A gauge that is missing at times has the average of the values it had, at any step."""
    fine, coarse = full(clock), tiered(clock, TENS, MINUTES)
    Fleet(3, STEPS, gauge_gaps=True).feed(clock, fine, coarse, first=0, last=STEPS)
    own = "name,load,:eq,kind,:has,:and,:{},(,nf.app,nf.zone,kind,),:by"
    for step_ms in (10_000, 20_000):
        # What begins at full resolution and ends in a class is left out: there are no weights.
        window: dict[str, Any] = {"start_ms": T0, "end_ms": T0 + 560_000, "step_ms": step_ms}
        for word in ("sum", "count", "min", "max", "avg"):
            program = own.format(word)
            same(answer(coarse, program, **window), answer(fine, program, **window))


@pytest.mark.slow
def test_every_series_is_a_line_of_its_target() -> None:
    """`:all` gives the targets, without the tag that tells what is kept of them apart."""
    clock = FakeClock(T0)
    fine = full(clock)
    coarse = tiered(clock, TENS)
    Fleet(5, STEPS).feed(clock, fine, coarse, first=0, last=STEPS)
    window: dict[str, Any] = {"start_ms": T0, "end_ms": T0 + 400_000, "step_ms": 20_000}
    for by in ("", ",:cf-min", ",:cf-max"):
        program = f"name,calls,:eq,kind,:has,:and,:all{by}"
        same(answer(coarse, program, **window), answer(fine, program, **window))
    found = coarse.query("name,calls,:eq,:all", **window)
    assert not any("atlas.aggr" in line.tags or "nf.node" in line.tags for line in found.lines)
    assert "atlas.aggr" not in "".join(line.label for line in found.lines)
    assert "atlas.aggr" not in coarse.tag_keys()


def test_a_query_for_a_dropped_tag_leaves_the_class_out(clock: FakeClock) -> None:
    """What asks for a tag the class has not kept gets no wrong numbers from it, and is told."""
    coarse, fleet = tiered(clock, TENS), Fleet(2, STEPS)
    fleet.feed(clock, coarse, first=0, last=STEPS)
    window: dict[str, Any] = {"start_ms": T0, "end_ms": clock.now_ms(), "step_ms": 10_000}
    for program in (
        "name,load,:eq,:sum,(,nf.node,),:by",
        "name,load,:eq,nf.node,a-x-1,:eq,:not,:and,:sum",
        "name,load,:eq,atlas.aggr,:has,:not,:and,:sum",
    ):
        found = coarse.query(program, **window)
        assert found.lines
        assert all(np.isnan(line.values[:60]).all() for line in found.lines)
        assert all(not np.isnan(line.values[-1]) for line in found.lines)
        assert "without" in found.notices[0]
        assert "(tens)" in found.notices[0]


def test_what_only_fine_steps_would_tell_is_noticed(clock: FakeClock) -> None:
    """The greatest sum within a step is not kept; an answer made of averages says so."""
    coarse, fleet = tiered(clock, TENS), Fleet(2, STEPS)
    fleet.feed(clock, coarse, first=0, last=STEPS)
    window: dict[str, Any] = {"start_ms": T0, "end_ms": clock.now_ms(), "step_ms": 20_000}
    assert coarse.query("name,calls,:eq,:sum", **window).notices == []
    noticed = coarse.query("name,calls,:eq,:sum,:cf-max", **window).notices
    assert "worked out from steps of 10s (tens)" in noticed[0]


def test_a_window_within_full_resolution_is_read_as_before(clock: FakeClock) -> None:
    """Recent windows have their own step, their own tags, and no notice."""
    coarse, fleet = tiered(clock, TENS), Fleet(2, STEPS)
    fleet.feed(clock, coarse, first=0, last=STEPS)
    end_ms = clock.now_ms()
    program = "name,load,:eq,nf.node,:has,:and,:sum,(,nf.node,),:by"
    found = coarse.query(program, start_ms=end_ms - 40_000, end_ms=end_ms)
    assert found.step_ms == 1000
    assert len(found.lines) > 4
    assert found.notices == []


@pytest.mark.slow
def test_the_step_is_rounded_up_where_a_class_is_reached(clock: FakeClock) -> None:
    """The step fits every class a window or an offset reaches into, and is left alone else."""
    coarse, fleet = tiered(clock, TENS, MINUTES), Fleet(2, 1400)
    fleet.feed(clock, coarse, first=0, last=1400)
    end_ms = clock.now_ms()

    def fitted(program: str, back_s: int, step_ms: int) -> tuple[int, list[str]]:
        return coarse.fitted_step(
            program, start_ms=end_ms - back_s * 1000, end_ms=end_ms, step_ms=step_ms
        )

    assert fitted(":true,:sum", 40, 1000) == (1000, [])
    assert fitted("1", 600, 1000) == (1000, [])
    assert fitted(":true,:sum", 600, 20_000) == (20_000, [])
    step_ms, notices = fitted(":true,:sum", 600, 3000)
    assert step_ms == 10_000
    assert notices[0].startswith("the step is 10s instead of 3s: what is older than 20")
    assert fitted(":true,:sum,5m,:offset", 40, 1000)[0] == 10_000
    assert fitted(":true,:sum", 1300, 1000)[0] == 60_000
    found = coarse.query(":true,:sum", start_ms=end_ms - 600_000, end_ms=end_ms, step_ms=3000)
    assert "ask with a step that is a multiple" in found.notices[0]


def test_a_class_is_not_asked_before_it_holds_more(clock: FakeClock, tmp_path: Path) -> None:
    """A window that begins before anything was sent keeps its step while nothing is forgotten."""
    minutes = RetentionClass(name="minutes", step_ms=60_000, retention_s=86_400)
    clock.advance(10)  # the first minute of the class begins before the first block
    coarse = tiered(clock, minutes, folder=tmp_path, retention_s=3600)
    Fleet(2, 200).feed(clock, coarse, first=0, last=200)
    end_ms = clock.now_ms()

    def fitted(engine: MetricsEngine) -> tuple[int, list[str]]:
        return engine.fitted_step(
            ":true,:sum", start_ms=end_ms - 3_600_000, end_ms=end_ms, step_ms=1000
        )

    assert fitted(coarse) == (1000, [])
    found = coarse.query(":true,:sum", start_ms=end_ms - 3_600_000, end_ms=end_ms)
    assert np.isfinite(found.lines[0].values).sum() > 190
    coarse.close()
    again = tiered(clock, minutes, folder=tmp_path, retention_s=3600)
    assert fitted(again) == (1000, [])
    again.close()


def test_an_estimate_counts_the_steps_of_the_class(clock: FakeClock) -> None:
    """A long window costs what is stored for it, not what full resolution would have been."""
    coarse, fleet = tiered(clock, TENS), Fleet(2, STEPS)
    fleet.feed(clock, coarse, first=0, last=STEPS)
    end_ms = clock.now_ms()
    window: dict[str, Any] = {"start_ms": end_ms - 600_000, "end_ms": end_ms, "step_ms": 10_000}
    estimate = coarse.estimate("name,load,:eq,:sum", **window)
    assert estimate.input_datapoints < estimate.series * 130


def test_percentiles_come_from_the_buckets_of_the_class(clock: FakeClock) -> None:
    """Bucket counts add up over nodes and steps, so percentiles are those of full resolution."""
    fine, coarse = full(clock), tiered(clock, TENS)
    random = np.random.default_rng(1)
    tags = [
        {"name": "t", "statistic": "percentile", "percentile": f"T{bucket:04X}", "nf.node": node}
        for bucket in range(100, 120)
        for node in ("i-1", "i-2")
    ]
    for _ in range(300):
        clock.advance(1)
        values = random.integers(0, 3, len(tags)).astype(np.float64)
        for engine in (fine, coarse):
            engine.write(engine.resolve_all(tags).handles, clock.now_ms(), values)
            engine.maintain()
    window: dict[str, Any] = {"start_ms": T0, "end_ms": clock.now_ms(), "step_ms": 20_000}
    program = "name,t,:eq,(,50,99,),:percentiles"
    same(answer(coarse, program, **window), answer(fine, program, **window))
    assert coarse.stats().classes["tens"].series == 20 + 1


def test_only_what_is_wanted_is_kept(clock: FakeClock) -> None:
    """`where` chooses the series of a class."""
    kept = RetentionClass(
        name="loads", step_ms=10_000, retention_s=900, where="name,load,:eq", drop_tags=[]
    )
    coarse = tiered(clock, kept)
    Fleet(4, 300).feed(clock, coarse, first=0, last=300)
    assert {tags["name"] for tags in stored_tags(coarse)} == {"load", "breakwater.rolled.up"}


def stored_tags(engine: MetricsEngine) -> list[dict[str, str]]:
    """The tags of every series of the first class."""
    index = engine._retention.classes[0].store.index
    return [index.tags_of(row) for row in index.rows_in_use]


def test_a_full_class_says_so(clock: FakeClock) -> None:
    """Targets there is no room for are counted and told once; the others are kept."""
    coarse = tiered(clock, TENS)
    rows = coarse._retention.classes[0].store.rows
    rows.limit = 9
    with capture_logs() as events:
        Fleet(4, 300).feed(clock, coarse, first=0, last=300)
    stats = coarse.stats().classes["tens"]
    assert stats.rollup.refused_series > 0
    assert stats.series == 9
    assert [each["event"] for each in events] == ["metrics.class_full"]


@pytest.mark.slow
def test_rolling_up_stops_when_its_time_is_over(clock: FakeClock) -> None:
    """One call does a bounded piece of the work; the next goes on where it ended."""
    fine, coarse = full(clock), tiered(clock, TENS, retention_s=900)
    Fleet(1, 600).feed(clock, fine, coarse, first=0, last=600, maintains=False)
    rollup = coarse._retention.classes[0].rollup
    calls = 0

    def one_piece() -> bool:
        nonlocal calls
        calls += 1
        return calls % 2 == 0

    pieces = 0
    while not rollup.advance(one_piece):
        pieces += 1
    assert pieces > 10
    window: dict[str, Any] = {"start_ms": T0, "end_ms": clock.now_ms(), "step_ms": 10_000}
    store = coarse._store
    for number in [each for each in store.ring.blocks if each < store.ring.newest - 3]:
        del store.ring.blocks[number]  # as if they had left the retention
    for program in EXACT[:5]:
        same(answer(coarse, program, **window), answer(fine, program, **window))


def test_steps_the_source_has_forgotten_are_counted(clock: FakeClock) -> None:
    """A class that was not fed in time has a gap there, never half of a sum."""
    coarse, fleet = tiered(clock, TENS), Fleet(1, 600)
    fleet.feed(clock, coarse, first=0, last=100)
    for step in range(100, 300):
        clock.advance(1)
        fleet._write(coarse, np.arange(3), clock.now_ms(), np.full(3, 1.0 + step))
    coarse.maintain()
    stats = coarse.stats().classes["tens"].rollup
    assert stats.missed_steps > 5
    window: dict[str, Any] = {"start_ms": T0, "end_ms": clock.now_ms(), "step_ms": 10_000}
    values = answer(coarse, ":true,:count", **window)["[]"]
    assert np.isnan(values[12:18]).all()
    assert set(np.unique(values[-5:])) == {3.0}
