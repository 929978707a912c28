"""Updates recorded through the engine: what is stored, what is counted, what is told."""

import operator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.metrics.keeping import T0, contents, crash_image, opened
from tests.metrics.updating import FOLDS, NAMES, Oracle, Update

from breakwater.metrics import MetricsEngine, MetricsSettings
from breakwater.metrics.store.normalizing import NormalizingStats
from breakwater.testing import FakeClock

STEP = 10_000


SETTINGS = MetricsSettings(step_ms=STEP, block_slots=180, retention_s=3600, classes=[])
"""Steps of ten seconds, writes taken for at least half an hour."""


def engine(clock: FakeClock) -> MetricsEngine:
    """An engine without a folder."""
    return MetricsEngine(SETTINGS, clock)


def handles(engine: MetricsEngine) -> np.ndarray:
    """A series of each kind."""
    return engine.resolve_all([{"name": kind, "atlas.dstype": kind} for kind in NAMES]).handles


def send(engine: MetricsEngine, given_updates: list[Update]) -> None:
    """Record updates of the series of each kind."""
    stamps = np.array([each.stamp_ms for each in given_updates], dtype=np.int64)
    values = np.array([each.value for each in given_updates], dtype=np.float64)
    series = np.array([each.series for each in given_updates], dtype=np.int64)
    assert not len(engine.record(handles(engine)[series], stamps, values))


def counts(engine: MetricsEngine) -> NormalizingStats:
    """What became of updates."""
    found = engine.stats().normalizing
    assert found is not None
    return found


def held(engine: MetricsEngine) -> list[dict[int, float]]:
    """What is stored, by kind."""
    found = {dict(tags)["name"]: line for tags, line in contents(engine).items()}
    return [found[kind] for kind in NAMES]


@settings(deadline=None, max_examples=50)
@given(
    given_updates=st.lists(
        st.builds(
            Update,
            st.integers(0, len(NAMES) - 1),
            st.integers(T0, T0 + 900_000),
            st.floats(-1e6, 1e6),
        ),
        max_size=80,
    ),
    cut=st.integers(0, 80),
)
def test_the_store_holds_what_the_model_says(given_updates: list[Update], cut: int) -> None:
    """However updates come, and in however many columns, a query reads the model's numbers."""
    clock = FakeClock(T0 + 900_000)
    kept, oracle = engine(clock), Oracle(NAMES, STEP)
    for part in (given_updates[:cut], given_updates[cut:]):
        send(kept, part)
    oracle.take(given_updates)
    assert held(kept) == oracle.slots


@pytest.mark.slow
@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_late_within_the_window_is_as_good_as_in_time(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """In whatever order gauges and sums come, they are stored as in order, through a crash too."""
    series = st.sampled_from([NAMES.index(kind) for kind in sorted(FOLDS)])
    stamps, values = st.integers(T0 - 590_000, T0), st.integers(-(10**9), 10**9).map(float)
    in_order = data.draw(st.lists(st.builds(Update, series, stamps, values), max_size=60))
    in_order.sort(key=operator.attrgetter("stamp_ms"))
    shuffled, cut = data.draw(st.permutations(in_order)), data.draw(st.integers(0, 60))
    oracle, clock = Oracle(NAMES, STEP), FakeClock(T0)
    oracle.take(in_order)
    folder = tmp_path_factory.mktemp("late")
    kept = opened(folder / "0", clock, SETTINGS)
    send(kept, shuffled[:cut])
    image = crash_image(kept, folder / "0", folder / "1")
    kept.close()
    again = opened(image, clock, SETTINGS)
    send(again, shuffled[cut:])
    assert held(again) == oracle.slots
    assert again.stats().dropped == {}
    again.close()


@pytest.mark.parametrize(("kind", "joined"), [("gauge", 5.0), ("max", 5.0), ("sum", 8.0)])
def test_late_beyond_the_window_is_counted(clock: FakeClock, kind: str, joined: float) -> None:
    """What a store no longer takes changes nothing and is told; the oldest it takes is stored."""
    kept = engine(clock)
    oldest_ms, _ = kept.reach_ms(T0)
    first_end_ms = -(-oldest_ms // STEP) * STEP
    send(kept, [Update(NAMES.index(kind), stamp_ms, 5.0) for stamp_ms in (T0, oldest_ms)])
    send(kept, [Update(NAMES.index(kind), first_end_ms, 3.0)])
    send(kept, [Update(NAMES.index(kind), oldest_ms - 1, 9.0)])
    expected = {first_end_ms // STEP: joined, -(-T0 // STEP): 5.0}
    assert held(kept)[NAMES.index(kind)] == expected
    assert kept.stats().dropped == {"late": 1}
    assert (counts(kept).late, counts(kept).passed_over) == (3, 0)


def test_a_column_of_any_length_and_layout(clock: FakeClock) -> None:
    """More updates than one pass takes, read-only, strided or of whole numbers, are all taken."""
    kept = engine(clock)
    names = [{"name": f"m{n}"} for n in range(20_000)]
    known = kept.resolve_all(names).handles
    stamps = np.full((20_000, 2), T0)
    stamps.setflags(write=False)
    kept.record(known, stamps[:, 0], np.arange(20_000))  # type: ignore[arg-type] # as said above
    assert kept.stats().datapoints == 20_000
    assert counts(kept).updates == counts(kept).settled == 20_000
    assert not len(kept.record(known[:0], stamps[:0, 0], np.empty(0)))


def test_a_retired_series_is_told(clock: FakeClock) -> None:
    """Positions of handles that outlived their series come back, and the others are stored."""
    kept = engine(clock)
    old = handles(kept)
    kept.record(old, np.full(5, T0), np.ones(5))
    clock.advance(20_000)
    now_ms = clock.now_ms()
    kept.write_series({"name": "other"}, now_ms, 1.0)
    fresh = handles(kept)
    mixed = np.concatenate([old[:2], fresh[2:], old[4:]])
    assert kept.record(mixed, np.full(6, now_ms), np.ones(6)).tolist() == [0, 1, 5]
    assert kept.record(old[:1], np.full(1, now_ms), np.ones(1)).tolist() == [0]


def test_what_retires_its_own_series_says_so(clock: FakeClock) -> None:
    """An update after a silence of the whole retention is asked for again."""
    kept = engine(clock)
    old = handles(kept)
    kept.record(old, np.full(5, T0), np.ones(5))
    clock.advance(20_000)
    stamps = np.full(5, clock.now_ms())
    assert kept.record(old, stamps, np.ones(5)).tolist() == [0, 1, 2, 3, 4]
    assert kept.record(handles(kept), stamps, np.ones(5)).tolist() == []
    assert [len(line) for line in held(kept)] == [1, 0, 1, 1, 1]


def test_a_new_owner_of_a_row_begins_anew(clock: FakeClock) -> None:
    """Nothing of a retired series is left for the next one in its row."""
    kept = engine(clock)
    kept.record(handles(kept), np.full(5, T0 - 3000), np.full(5, 7.0))
    for _ in range(10):
        clock.advance(1800)
        kept.write_series({"name": "other"}, clock.now_ms(), 1.0)
    before = counts(kept).remembered
    again = kept.resolve_all([{"name": f"new.{kind}", "atlas.dstype": kind} for kind in NAMES])
    now_ms = clock.now_ms()
    kept.record(again.handles, np.full(5, now_ms - 3000), np.ones(5))
    kept.record(again.handles, np.full(5, now_ms + 7000), np.full(5, 3.0))
    found = {dict(tags)["name"]: line for tags, line in contents(kept).items()}
    oracle = Oracle(NAMES, STEP)
    oracle.take([Update(series, now_ms - 3000, 1.0) for series in range(5)])
    oracle.take([Update(series, now_ms + 7000, 3.0) for series in range(5)])
    assert [found[f"new.{kind}"] for kind in NAMES] == oracle.slots
    assert (before, counts(kept).remembered) == (0, 2)


def test_everything_is_counted(clock: FakeClock) -> None:
    """Every update that did not come to a datapoint is counted for a reason."""
    kept = engine(clock)
    rate, counter = handles(kept)[:2]
    ahead_ms = T0 + 10**9
    for handle, stamp_ms, value in [
        (rate, T0, 1.0),
        (rate, T0, 1.0),
        (rate, T0 - 20_000, 1.0),
        (rate, T0 - 15_000, 1.0),
        (rate, T0 + 10_000, np.nan),
        (rate, T0 + 10_000, np.inf),
        (rate, ahead_ms, 1.0),
        (rate, T0 + 50_000, 1.0),
        (counter, T0, 10.0),
        (counter, T0 + 10_000, 5.0),
    ]:
        kept.record(np.array([handle]), np.array([stamp_ms]), np.array([value]))
    found = counts(kept)
    assert (found.updates, found.settled) == (10, 4)
    assert (found.duplicate, found.late, found.passed_over) == (1, 1, 1)
    assert (found.no_value, found.pauses, found.resets) == (1, 1, 1)
    assert kept.stats().dropped == {"infinite": 1, "ahead_of_clock": 1}


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still."""
    return FakeClock(T0)
