"""The loop over updates gives what the normalizers of the model give, to the last bit."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.metrics.updating import FOLDS, NAMES, ORACLES, Oracle, Slots, Update

from breakwater.metrics.normalize import outcomes, updates
from breakwater.metrics.normalize.standings import Standings
from breakwater.metrics.series.kinds import ADD, FILL, KINDS, MAXIMUM
from breakwater.metrics.series.rows import ROW_BITS, ROW_MASK
from breakwater.model.normalization import counter_heartbeat_ms

STEP = 10_000
MOST = 125


class Loop:
    """Rows of all kinds, and slots that are folded into as a store does."""

    def __init__(self, kinds: list[str], step_ms: int = STEP) -> None:
        self.standings = Standings(len(kinds))
        self.standings.fit(len(kinds))
        self.kinds = np.array([KINDS[kind] for kind in kinds], dtype=np.uint8)
        self.generations = np.zeros(len(kinds), dtype=np.int32)
        self.step_ms = step_ms
        self.slots: list[Slots] = [{} for _ in kinds]
        self.counts = np.zeros(outcomes.COUNTS, dtype=np.int64)
        self.moved: list[int] = []
        self.furthest_ms = 1 << 50

    def take(self, given: list[Update], *, room: int = 0) -> None:
        """Take updates, in as many passes as the room asks for."""
        self.record(
            np.array([each.series for each in given], dtype=np.int64),
            np.array([each.stamp_ms for each in given], dtype=np.int64),
            np.array([each.value for each in given], dtype=np.float64),
            room=room,
        )

    def record(
        self, handles: np.ndarray, stamps: np.ndarray, values: np.ndarray, *, room: int = 0
    ) -> None:
        """As `take`, by column."""
        at = 0
        while at < len(handles):
            before, at = at, self._pass(at, handles, stamps, values, room or len(handles))
            if at == before:
                self.standings.fit_extras()

    def _pass(
        self, at: int, handles: np.ndarray, stamps: np.ndarray, values: np.ndarray, room: int
    ) -> int:
        counts = np.zeros(outcomes.COUNTS, dtype=np.int64)
        counts[outcomes.FREE] = self.standings.free_count
        out, settled = np.empty((3, room + MOST), dtype=np.int64), np.empty(room + MOST)
        moved = np.empty(len(handles), dtype=np.int64)
        standings = self.standings
        at = updates.settle(
            at,
            (handles, stamps, values),
            (self.generations, self.kinds, standings.last_ms, standings.places),
            (standings.extras, standings.free, standings.lent, standings.lent_for),
            (out, settled, moved),
            counts,
            (self.step_ms, counter_heartbeat_ms(self.step_ms), self.furthest_ms, MOST),
        )
        standings.free_count = int(counts[outcomes.FREE])
        self.moved += moved[: counts[outcomes.MOVED]].tolist()
        self.counts += counts
        named, slots, ops = out[:, : counts[outcomes.SETTLED]].tolist()
        self._fold(named, slots, ops, settled.tolist())
        return at

    def _fold(
        self, handles: list[int], slots: list[int], ops: list[int], values: list[float]
    ) -> None:
        for handle, slot, op, settled in zip(handles, slots, ops, values, strict=False):
            held, value = self.slots[handle & ROW_MASK].get(slot), settled
            if held is not None and op == FILL:
                continue
            if held is not None and op == ADD:
                value = held + value
            elif held is not None and op == MAXIMUM:
                value = max(held, value)
            self.slots[handle & ROW_MASK][slot] = value


def updates_of(series: int, longest: int = 60) -> st.SearchStrategy[list[Update]]:
    """Updates of some series: on the grid and off it, forwards and back, again, after pauses."""
    stamps = st.one_of(st.integers(1, 300_000), st.integers(1, 300).map(lambda n: n * 1000))
    one = st.builds(
        Update,
        st.integers(0, series - 1),
        stamps,
        st.one_of(st.floats(-1e6, 1e6), st.floats(0, 1e6), st.just(math.nan)),
    )
    return st.lists(one, max_size=longest)


def expect(loop: Loop, oracle: Oracle) -> None:
    """Both hold the same."""
    assert loop.slots == oracle.slots


@given(
    given_updates=updates_of(5),
    step_ms=st.sampled_from([1000, 10_000, 60_000]),
    room=st.integers(1, 60),
    cuts=st.lists(st.integers(0, 60), max_size=3),
)
def test_updates_come_to_what_the_model_says(
    given_updates: list[Update], step_ms: int, room: int, cuts: list[int]
) -> None:
    """Whatever comes in whatever order and in however many calls, each series has its numbers."""
    loop, oracle = Loop(NAMES, step_ms), Oracle(NAMES, step_ms)
    bounds = [0, *sorted(cuts), len(given_updates)]
    for first, last in pairwise(bounds):
        loop.take(given_updates[first:last], room=room)
    oracle.take(given_updates)
    expect(loop, oracle)
    assert loop.counts[outcomes.STALE] == 0


@given(
    kind=st.sampled_from(NAMES),
    gaps_ms=st.lists(st.sampled_from([0, 1, 999, 9_000, 10_000, 11_000, 35_000, 150_000])),
    values=st.lists(st.integers(-3, 100), min_size=1),
)
def test_one_series_through_time(kind: str, gaps_ms: list[int], values: list[int]) -> None:
    """Regular, jittering and paused sources, totals that fall, and the same stamp twice."""
    loop, oracle = Loop([kind]), Oracle([kind], STEP)
    stamp_ms, given_updates = 100_000, []
    for position, gap_ms in enumerate(gaps_ms):
        stamp_ms += gap_ms
        given_updates.append(Update(0, stamp_ms, float(values[position % len(values)])))
    loop.take(given_updates)
    oracle.take(given_updates)
    expect(loop, oracle)


def test_many_series_at_once() -> None:
    """A thousand series of all kinds, interleaved, share nothing."""
    count, random = 1000, np.random.default_rng(5)
    kinds = [NAMES[n % len(NAMES)] for n in range(count)]
    loop, oracle = Loop(kinds), Oracle(kinds, STEP)
    given_updates = [
        Update(int(series), int(100_000 + 7_000 * turn + random.integers(-4_000, 4_000)), value)
        for turn in range(5)
        for series, value in zip(random.permutation(count), random.random(count), strict=True)
    ]
    loop.take(given_updates)
    oracle.take(given_updates)
    expect(loop, oracle)


def test_a_late_whole_step_fills_its_slot() -> None:
    """What came out of order but on the grid is kept where nothing is, and said again is not."""
    loop = Loop(["rate"])
    loop.take([Update(0, 100_000, 1.0), Update(0, 130_000, 3.0)])
    loop.take([Update(0, 120_000, 2.0), Update(0, 120_000, 9.0), Update(0, 100_000, 9.0)])
    loop.take([Update(0, 130_000, 9.0), Update(0, 125_000, 9.0)])
    assert loop.slots == [{10: 1.0, 12: 2.0, 13: 3.0}]
    assert loop.counts[outcomes.LATE] == 3
    assert loop.counts[outcomes.DUPLICATE] == 1
    assert loop.counts[outcomes.PASSED_OVER] == 1


@given(data=st.data(), kind=st.sampled_from(sorted(FOLDS)), step_ms=st.sampled_from([1000, STEP]))
def test_late_gauges_and_sums_are_as_good_as_in_time(
    data: st.DataObject, kind: str, step_ms: int
) -> None:
    """However updates are shuffled, each step has what the model makes of them in order."""
    stamps = st.integers(1, 300_000)
    values = st.one_of(st.integers(-(10**9), 10**9).map(float), st.just(math.nan))
    in_order = sorted(
        data.draw(st.lists(st.builds(Update, st.just(0), stamps, values), max_size=30))
    )
    shuffled = data.draw(st.permutations(in_order))
    normalizer, expected = ORACLES[kind](step_ms), {}
    for _, stamp_ms, value in in_order:
        for end_ms, settled in normalizer.update(stamp_ms, value):
            expected[end_ms // step_ms] = settled
    loop = Loop([kind], step_ms)
    cut = data.draw(st.integers(0, len(shuffled)))
    loop.take(shuffled[:cut])
    loop.take(shuffled[cut:])
    assert loop.slots == [expected]
    assert loop.counts[outcomes.PASSED_OVER] == 0


@pytest.mark.parametrize(("kind", "joined"), [("gauge", 5.0), ("max", 5.0), ("sum", 7.0)])
def test_late_is_more_than_a_step_behind_the_newest(kind: str, joined: float) -> None:
    """What Atlas takes is no news; what it would not is taken, joins its slot and is counted."""
    loop = Loop([kind])
    loop.take([Update(0, 100_000, 5.0), Update(0, 130_000, 1.0), Update(0, 120_000, 3.0)])
    assert loop.counts[outcomes.LATE] == 0
    loop.take([Update(0, 95_000, 2.0), Update(0, 105_000, 4.0), Update(0, 104_000, math.nan)])
    assert loop.slots == [{10: joined, 11: 4.0, 12: 3.0, 13: 1.0}]
    assert loop.counts[outcomes.LATE] == 2
    assert loop.counts[outcomes.PASSED_OVER] == 0


def test_a_late_total_settles_nothing() -> None:
    """Its growth is in the rate around it; the next is measured from it, and it did not fall."""
    loop, oracle = Loop(["counter"]), Oracle(["counter"], STEP)
    given_updates = [Update(0, 100_000, 0.0), Update(0, 130_000, 30.0), Update(0, 110_000, 10.0)]
    loop.take(given_updates)
    assert loop.slots == [{13: 1.0}]
    assert loop.counts[outcomes.PASSED_OVER] == 1
    assert loop.counts[outcomes.RESET] == 0
    loop.take([Update(0, 140_000, 40.0)])
    oracle.take([*given_updates, Update(0, 140_000, 40.0)])
    expect(loop, oracle)


def test_what_is_no_value_moves_nothing() -> None:
    """NaN and infinite rates and totals leave their series as if they had not come."""
    loop, oracle = Loop(NAMES), Oracle(NAMES, STEP)
    for series in range(2):
        good = [Update(series, 105_000, 1.0), Update(series, 125_000, 5.0)]
        bad = [Update(series, 115_000, value) for value in (math.nan, math.inf, -math.inf)]
        loop.take([good[0], *bad, good[1]])
        oracle.take(good)
    expect(loop, oracle)
    assert loop.counts[outcomes.NO_VALUE] == 2
    assert loop.counts[outcomes.INFINITE] == 4


def test_what_becomes_infinite_is_left_out() -> None:
    """A total that grows by more than a number can say settles nothing infinite."""
    loop = Loop(["counter"])
    loop.take([Update(0, 100_000, -1e308), Update(0, 100_001, 1.7e308)])
    loop.take([Update(0, 110_000, 1.7e308), Update(0, 120_000, 1.7e308)])
    assert loop.slots == [{12: 0.0}]
    assert loop.counts[outcomes.INFINITE] == 2


def test_a_stamp_ahead_of_the_clock_moves_nothing() -> None:
    """One wrong clock does not make everything after it late."""
    loop = Loop(NAMES)
    loop.furthest_ms = 200_000
    for series in range(len(NAMES)):
        loop.take([Update(series, 100_000, 1.0), Update(series, 900_000, 1.0)])
        loop.take([Update(series, 110_000, 2.0), Update(series, -5, 1.0), Update(series, 0, 1.0)])
    assert [sorted(slots) for slots in loop.slots] == [[10, 11], [11], *[[10, 11]] * 3]
    assert loop.counts[outcomes.AHEAD] == len(NAMES)
    assert loop.counts[outcomes.PASSED_OVER] == 2 * len(NAMES)


@pytest.mark.parametrize("handle", [-1, 7, 1 << ROW_BITS, (1 << 61) | 3, 1 << 40, ROW_MASK])
def test_a_handle_of_nobody_is_counted(handle: int) -> None:
    """Handles that were given back, or never given out, reach no row."""
    loop = Loop(["rate"])
    loop.record(np.array([handle]), np.array([100_000]), np.array([1.0]))
    assert loop.slots == [{}]
    assert loop.counts[outcomes.STALE] == 1


def test_only_what_datapoints_do_not_tell_is_logged() -> None:
    """Rates on the grid, gauges and sums cost no record of their own; totals and others do."""
    loop = Loop(NAMES)
    for stamp_ms in (100_000, 110_000, 120_000):
        loop.take([Update(series, stamp_ms, 1.0) for series in (0, 2, 3, 4)])
    assert loop.moved == []
    loop.take([Update(0, 125_000, 1.0), Update(1, 130_000, 1.0), Update(2, 140_000, math.nan)])
    assert loop.moved == [0, 1]


@given(given_updates=updates_of(5), cut=st.integers(0, 60))
def test_a_restart_changes_nothing(given_updates: list[Update], cut: int) -> None:
    """From the standings of one process and the slots it stored another goes on as it would."""
    straight, oracle = Loop(NAMES), Oracle(NAMES, STEP)
    straight.take(given_updates[:cut])
    again = Loop(NAMES)
    again.slots = straight.slots
    again.standings.restore(straight.standings.of(np.arange(len(NAMES))))
    again.take(given_updates[cut:])
    oracle.take(given_updates)
    expect(again, oracle)


@given(given_updates=updates_of(5), cuts=st.lists(st.integers(0, 60), max_size=5))
def test_a_log_tells_where_series_stand(given_updates: list[Update], cuts: list[int]) -> None:
    """Datapoints, and the standing of the rows that moved beside them, are enough for a restart."""
    loop, again, oracle = Loop(NAMES), Loop(NAMES), Oracle(NAMES, STEP)
    bounds = [0, *sorted(cuts)]
    for first, last in pairwise(bounds):
        before = [dict(slots) for slots in loop.slots]
        loop.take(given_updates[first:last])
        for row, slots in enumerate(loop.slots):
            put = [slot for slot, value in slots.items() if before[row].get(slot) != value]
            again.standings.reach(np.full(len(put), row), np.array(put, dtype=np.int64) * STEP)
        again.standings.restore(loop.standings.of(np.array(loop.moved, dtype=np.int64)))
        loop.moved.clear()
        again.slots = [dict(slots) for slots in loop.slots]
    again.take(given_updates[bounds[-1] :])
    oracle.take(given_updates)
    expect(again, oracle)
