"""A clock that ran far ahead and was set back: the present is taken, the past is still there."""

import asyncio
import math
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.metrics.keeping import contents, crash_image, points, wait_durable
from tests.metrics.rolling import MINUTES, TENS, answer

from breakwater.metrics import MetricsEngine, MetricsSettings
from breakwater.testing import FakeClock

T0 = 1_700_000_040_000
SMALL = MetricsSettings(
    block_slots=5, retention_s=20, raw_blocks=2, max_series=256, max_ahead_steps=3, classes=[]
)
HOUR = 3600.0

Tags = dict[str, str]


def tags_of(kind: str, name: str = "calls") -> Tags:
    """Tags of a series whose updates are normalised as those of a kind of meter."""
    return {"name": name, "atlas.dstype": kind}


def record(engine: MetricsEngine, tags: Tags, value: float) -> None:
    """One update at the present of the engine's clock."""
    handle = np.array([engine.resolve(tags)])
    engine.record(handle, np.array([engine.clock.now_ms()]), np.array([value]))


def write(engine: MetricsEngine, tags: Tags, value: float) -> None:
    """One datapoint at the present of the engine's clock."""
    engine.write_series(tags, engine.clock.now_ms(), value)


def values(engine: MetricsEngine, name: str, start_ms: int, end_ms: int) -> list[float]:
    """The one line of a metric, without its gaps."""
    found = engine.query(f"name,{name},:eq,:max", start_ms=start_ms, end_ms=end_ms)
    return [each for each in found.lines[0].values.tolist() if not math.isnan(each)]


class Kept:
    """An engine in a folder and its clock, which may end in several ways and start again."""

    def __init__(self, folder: Path, chosen: MetricsSettings = SMALL) -> None:
        self.clock = FakeClock(T0)
        self._folder, self._settings = folder, chosen
        self._crashes = 0
        self.engine = MetricsEngine(chosen, self.clock, folder=folder)

    def restart(self) -> None:
        """End cleanly, and start."""
        self.engine.close()
        self.engine = MetricsEngine(self._settings, self.clock, folder=self._folder)

    def crash(self) -> None:
        """Start with what is on the disk this moment."""
        self._crashes += 1
        copy = self._folder.with_name(f"crash-{self._crashes}")
        for each in self.engine._retention.classes:
            if each.durability is not None:
                asyncio.run(each.durability.wait())
        copied = crash_image(self.engine, self._folder, copy)
        self.engine.close()
        self._folder = copied
        self.engine = MetricsEngine(self._settings, self.clock, folder=self._folder)

    def snapshot(self) -> None:
        """Take a snapshot now."""
        durability = self.engine._durability
        assert durability is not None
        with durability._turn:
            durability._take_snapshot()


def nothing(kept: Kept) -> None:
    """Just go on."""


BETWEEN: list[Callable[[Kept], None]] = [
    nothing,
    Kept.restart,
    Kept.crash,
    Kept.snapshot,
    lambda kept: kept.engine.maintain(),
]
NAMES = ["nothing", "restart", "crash", "snapshot", "maintain"]


@pytest.mark.parametrize("between", BETWEEN, ids=NAMES)
@pytest.mark.parametrize("kind", ["gauge", "rate", "sum", "counter"])
@pytest.mark.parametrize("leap_s", [HOUR, 12.0], ids=["beyond-retention", "within-retention"])
def test_every_kind_of_update_is_taken_at_once(
    tmp_path: Path, kind: str, leap_s: float, between: Callable[[Kept], None]
) -> None:
    """What was before the leap is there, what was beyond is gone, and the present is stored."""
    kept = Kept(tmp_path / "metrics")
    tags = tags_of(kind)
    for step in range(8):
        kept.clock.advance(1)
        record(kept.engine, tags, 10.0 * (step + 1))
    before = points(contents(kept.engine))
    between(kept)
    kept.clock.leap(leap_s)
    for step in range(8):
        kept.clock.advance(1)
        record(kept.engine, tags, 1000.0 * (step + 1))
    between(kept)
    kept.clock.leap(-leap_s)
    between(kept)
    after: list[float] = []
    for step in range(4):
        kept.clock.advance(1)
        record(kept.engine, tags, 5.0 * (step + 1))
        after.append(5.0 if kind == "counter" else 5.0 * (step + 1))
    between(kept)
    held = points(contents(kept.engine))
    last = T0 // 1000 + 8
    assert {each for each in held if each[1] <= last} == before
    assert len(before) >= 7
    first = last + 8 + (kind == "counter")  # the first total tells no growth
    later = [value for _, slot, value in sorted(held) if slot > first]
    assert later == after[first - last - 8 :]
    kept.engine.close()


def test_it_is_told_once_with_numbers(tmp_path: Path) -> None:
    """One warning says how many series and datapoints of which time were given up."""
    kept = Kept(tmp_path / "metrics")
    write(kept.engine, {"name": "calls"}, 1.0)
    kept.clock.leap(HOUR)
    first_ms = kept.clock.now_ms()
    for step in range(12):
        write(kept.engine, {"name": "calls"}, float(step))
        write(kept.engine, {"name": f"other{step % 2}"}, float(step))
        kept.engine.maintain()
        kept.clock.advance(1)
    passed = kept.engine.stats().future
    assert passed is not None
    assert (passed.times, passed.passed_over) == (0, 1)
    kept.clock.leap(-HOUR)
    with structlog.testing.capture_logs() as events:
        for _ in range(3):
            write(kept.engine, {"name": "calls"}, 2.0)
            kept.engine.maintain()
        kept.restart()
    told = [each for each in events if each["event"] == "metrics.future_discarded"]
    assert told == [
        {
            "event": "metrics.future_discarded",
            "log_level": "warning",
            "series": 3,
            "datapoints": 24,
            "from_ms": first_ms,
            "to_ms": first_ms + 11_000,
            "now_ms": T0 + 12_000,
        }
    ]
    kept.engine.close()


def test_it_is_counted() -> None:
    """Statistics say how often, how much, and of which time."""
    clock = FakeClock(T0)
    engine = MetricsEngine(SMALL, clock)
    clock.leap(HOUR)
    write(engine, {"name": "calls"}, 1.0)
    clock.leap(-HOUR)
    engine.maintain()
    stats = engine.stats().future
    assert stats is not None
    assert msgspec.structs.asdict(stats) == {
        "times": 1,
        "series": 1,
        "datapoints": 1,
        "from_ms": T0 + 3_600_000,
        "to_ms": T0 + 3_600_000,
        "passed_over": 0,
    }


def test_a_small_leap_changes_nothing() -> None:
    """What is no further ahead than is allowed stays, and nothing is counted."""
    clock = FakeClock(T0)
    engine = MetricsEngine(SMALL, clock)
    clock.leap(3)
    write(engine, {"name": "calls"}, 1.0)
    held = contents(engine)
    clock.leap(-3)
    engine.maintain()
    write(engine, {"name": "other"}, 1.0)
    stats = engine.stats().future
    assert stats is not None
    assert stats.times == 0
    assert contents(engine).items() >= held.items()


def test_the_rest_of_a_block_is_given_up_too() -> None:
    """Once there is more than is allowed nothing of the future stays, in no block."""
    clock = FakeClock(T0)
    engine = MetricsEngine(msgspec.structs.replace(SMALL, block_slots=60), clock)
    seen = []
    for ahead in (0, 3, 15):
        clock.leap(ahead)
        write(engine, {"name": "calls"}, float(ahead))
        clock.leap(-ahead)
        engine.maintain()
        seen.append({slot - T0 // 1000 for _, slot, _ in points(contents(engine))})
    assert seen == [{0}, {0, 3}, {0}]


def test_intake_is_told_the_reach_of_the_present() -> None:
    """Who asks first what would be stored is told the truth, before anything is written."""
    clock = FakeClock(T0)
    engine = MetricsEngine(SMALL, clock)
    clock.leap(HOUR)
    write(engine, {"name": "calls"}, 1.0)
    engine.complete(clock.now_ms())
    clock.leap(-HOUR)
    seen = [engine.takes_present]
    oldest, newest = engine.reach_ms(T0)
    assert oldest <= T0 <= newest == T0 + 3000
    seen.append(engine.takes_present)
    assert seen == [False, True]
    assert engine.latest_complete_ms() == T0 - 1000
    engine.complete(T0)
    assert engine.latest_complete_ms() == T0


def test_a_block_file_of_the_future_is_not_taken_for_the_present(tmp_path: Path) -> None:
    """A block that was in a file before it was given up is written anew when its time comes."""
    kept = Kept(tmp_path / "metrics")
    tags = {"name": "calls"}
    write(kept.engine, tags, 1.0)
    kept.clock.leap(10)
    for step in range(15):  # blocks of it are in files
        kept.clock.advance(1)
        write(kept.engine, tags, 1000.0 + step)
    kept.snapshot()
    kept.clock.leap(-10 - 14)
    expected = {T0 // 1000: 1.0}
    for step in range(18):
        kept.clock.advance(1)
        write(kept.engine, tags, float(step))
        expected[kept.clock.now_ms() // 1000] = float(step)
    kept.snapshot()
    kept.crash()
    held = {slot: value for _, slot, value in points(contents(kept.engine))}
    assert {slot: value for slot, value in expected.items() if slot in held} == held
    assert len(held) >= 15
    kept.engine.close()


@pytest.mark.parametrize("between", BETWEEN, ids=NAMES)
@pytest.mark.parametrize(("leap_s", "lasts"), [(HOUR, 40), (HOUR, 90), (600.0, 90), (95.0, 40)])
def test_classes_go_on_with_the_present(
    tmp_path: Path, leap_s: float, lasts: int, between: Callable[[Kept], None]
) -> None:
    """Classes are what they would be had the clock never been wrong, but for that time.

    When it was wrong for nearly the whole retention, a step may be missing; none is ever a part.
    """
    chosen = MetricsSettings(
        retention_s=120, block_slots=10, max_series=256, max_ahead_steps=5, classes=[TENS, MINUTES]
    )
    kept = Kept(tmp_path / "metrics", chosen)
    straight_clock = FakeClock(T0)
    straight = MetricsEngine(chosen, straight_clock)
    tags = [{"name": "calls", "nf.node": f"n{node}", "nf.zone": "z"} for node in range(3)]

    def live(engine: MetricsEngine, clock: FakeClock, steps: int, level: float) -> None:
        for step in range(steps):
            clock.advance(1)
            for node, each in enumerate(tags):
                write(engine, each, level + step % 7 + node)
            if step % 5 == 0:
                engine.maintain()

    live(kept.engine, kept.clock, 100, 1.0)
    live(straight, straight_clock, 100, 1.0)
    between(kept)
    kept.clock.leap(leap_s)
    between(kept)
    live(kept.engine, kept.clock, lasts, 1e6)
    straight_clock.advance(lasts)
    between(kept)
    kept.clock.leap(-leap_s)
    between(kept)
    for _ in range(4):
        live(kept.engine, kept.clock, 60, 5.0)
        live(straight, straight_clock, 60, 5.0)
        between(kept)
    for engine in (kept.engine, straight):
        for _ in range(20):
            engine.maintain()
    end_ms = kept.clock.now_ms() // 60_000 * 60_000
    for step_ms in (10_000, 60_000) if lasts == 40 else (10_000,):
        asked = {"start_ms": end_ms - 420_000, "end_ms": end_ms, "step_ms": step_ms}
        found = answer(kept.engine, "name,calls,:eq,:sum", **asked)
        expected = answer(straight, "name,calls,:eq,:sum", **asked)
        assert found.keys() == expected.keys()
        for line, numbers in expected.items():
            is_there = ~np.isnan(found[line])
            np.testing.assert_array_equal(found[line][is_there], numbers[is_there])
            is_missing = np.isnan(found[line]) & ~np.isnan(numbers)
            assert is_missing.sum() <= (lasts == 90)
    kept.engine.close()
    straight.close()


def test_a_start_far_ahead_forgets_nothing(tmp_path: Path) -> None:
    """Who starts with a clock far ahead, and again with the true one, has what there was."""
    kept = Kept(tmp_path / "metrics")
    for step in range(12):
        kept.clock.advance(1)
        write(kept.engine, {"name": "calls"}, float(step))
    held = contents(kept.engine)
    kept.clock.leap(1000 * HOUR)
    kept.restart()
    assert points(contents(kept.engine)) == set()
    kept.snapshot()
    kept.restart()
    write(kept.engine, {"name": "calls"}, 1.0)
    kept.snapshot()
    kept.crash()
    kept.clock.leap(-1000 * HOUR)
    kept.restart()
    assert contents(kept.engine) == held
    assert values(kept.engine, "calls", T0, T0 + 12_000) == [float(step) for step in range(12)]
    kept.engine.close()


def test_what_was_passed_over_makes_room() -> None:
    """Blocks that were passed over go one by one as others come: never more than a ring."""
    clock = FakeClock(T0)
    engine = MetricsEngine(SMALL, clock)
    for _ in range(30):
        clock.advance(1)
        write(engine, {"name": "calls"}, 1.0)
    clock.leap(HOUR)
    ring, seen = engine._store.ring, []
    for _ in range(40):
        clock.advance(1)
        write(engine, {"name": "later"}, 1.0)
        seen.append(len(ring.passed))
        assert len(ring.passed) + len(ring.blocks) <= ring.length
        tags = [dict(each) for each in contents(engine)]
        assert ({"name": "calls"} in tags) == bool(ring.passed)
    assert seen[0] == ring.length - 1
    assert seen[-1] == 0
    assert seen == sorted(seen, reverse=True)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("live"), st.integers(1, 12)),
        st.tuples(st.just("leap"), st.sampled_from([4, 9, 14, 23, 61, 7200])),
        st.tuples(st.just("back"), st.just(0)),
        st.tuples(st.just("between"), st.integers(0, len(BETWEEN) - 1)),
    ),
    min_size=3,
    max_size=14,
)


@pytest.mark.slow
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(steps=STEPS)
def test_whatever_the_clock_did(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    """Once the clock is right, all that was acknowledged for a time before is there, no more is.

    Less only what came, while the clock was wrong, in the place of older things.
    """
    kept = Kept(tmp_path_factory.mktemp("jumps") / "metrics")
    true, value, ahead_s = {}, 0.0, 0
    ring = kept.engine._store.ring
    span = kept.engine.settings.block_slots
    made_ahead = 0
    for action, number in [*steps, ("back", 0), ("live", 2)]:
        if action == "live":
            for _ in range(number):
                kept.clock.advance(1)
                value += 1.0
                slot = kept.clock.now_ms() // 1000
                write(kept.engine, {"name": f"s{slot % 3}"}, value)
                if ahead_s:
                    made_ahead += 1
                true[slot] = value
        elif action == "leap":
            kept.clock.leap(number)
            ahead_s += number
        elif action == "back":
            kept.clock.leap(-ahead_s)
            kept.engine.maintain()
            ahead_s = 0
            now = kept.clock.now_ms() // 1000
            if max(true, default=0) > now + 3:
                true = {slot: v for slot, v in true.items() if slot <= now}
        else:
            BETWEEN[number](kept)
    wait_durable(kept.engine)
    held = {slot: v for _, slot, v in points(contents(kept.engine))}
    assert held.items() <= true.items()
    now = kept.clock.now_ms() // 1000
    oldest = (now // span - ring.length + 1) * span + made_ahead + 3 * span
    assert {slot: v for slot, v in true.items() if slot >= oldest}.items() <= held.items()
    kept.engine.close()
