"""The store against a model of plain dicts: series come and go, datapoints join what is there."""

import math
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from breakwater.metrics import MetricsSettings
from breakwater.metrics.series.kinds import ADD, FILL, GAUGE, MAXIMUM, RATE, REPLACE
from breakwater.metrics.store.series_store import SeriesStore
from breakwater.testing import FakeClock

Tags = tuple[tuple[str, str], ...]

T0 = 1_700_000_000_000
SLOTS = 4
SETTINGS = MetricsSettings(
    block_slots=SLOTS, retention_s=12, raw_blocks=2, max_series=6, max_ahead_steps=3
)
TAGS = st.builds(
    lambda name, node, kind: {"name": name, **node, **kind},
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from([{}, {"node": "1"}, {"node": "2"}, {"zone": "a"}]),
    st.sampled_from([{}, {"atlas.dstype": "gauge"}]),
)
VALUES = st.sampled_from([0.0, -1.5, 2.0, 3.25, 1e300, math.nan, math.inf])
POINTS = st.lists(
    st.tuples(
        st.integers(0, 20),
        st.integers(-20, 4),
        VALUES,
        st.sampled_from([REPLACE, ADD, MAXIMUM, FILL]),
    ),
    min_size=1,
    max_size=12,
)


class _Model:
    """What a store is to hold, said as simply as can be."""

    def __init__(self) -> None:
        self.newest = -1
        self.last: dict[Tags, int] = {}
        self.values: dict[tuple[Tags, int], float] = {}

    def advance(self, number: int) -> None:
        """A block is the newest now; what is older than the ring is gone."""
        if number <= self.newest:
            return
        self.newest = number
        oldest = number - 3
        self.values = {at: v for at, v in self.values.items() if at[1] // SLOTS >= oldest}
        self.last = {tags: last for tags, last in self.last.items() if last >= oldest}

    def join(self, at: tuple[Tags, int], value: float, op: int) -> float | None:
        """What a slot holds after a datapoint, None when the datapoint is not taken."""
        held = self.values.get(at)
        if held is None or op == REPLACE:
            return value
        if op == ADD:
            return held + value if math.isfinite(held + value) else None
        return max(held, value) if op == MAXIMUM else None


class _Record:
    """Takes notes like a log: last wins, by serial."""

    def __init__(self) -> None:
        self.held: dict[tuple[int, int], float] = {}
        self.tags: dict[int, Tags] = {}

    def define(self, serial: int, last_slot: int, tags: Any) -> None:
        """Note the tags of a new series."""
        self.tags[serial] = tuple(sorted(tags.items()))

    def define_all(self, series: Any) -> None:
        """Note the tags of new series."""
        for place, line in enumerate(series.lines.tolist()):
            pairs = [series.pairs[i] for i in line if i >= 0]
            self.tags[series.first_serial + place] = tuple(sorted(pairs))

    def stand(self, standing: Any) -> None:
        """Nothing is normalised here."""
        raise AssertionError

    def rewind(self, last_slot: int) -> None:
        """The clock of this test is never set back."""
        raise AssertionError

    def put(self, serials: Any, slots: Any, values: Any) -> None:
        """Note values, the last of a slot wins."""
        slots = np.broadcast_to(slots, serials.shape)
        for serial, slot, value in zip(serials, slots, values, strict=True):
            self.held[int(serial), int(slot)] = float(value)


class StoreMachine(RuleBasedStateMachine):
    """Whatever is done to a store, it holds what the model holds."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock(T0)
        self.store = SeriesStore(SETTINGS, self.clock)
        self.store.recorder = self.record = _Record()
        self.model = _Model()
        self.handles: list[int] = []
        self.owners: dict[int, Tags] = {}

    @rule(batch=st.lists(TAGS, min_size=1, max_size=5))
    def resolve(self, batch: list[dict[str, str]]) -> None:
        """Known series keep their handle; new ones get one in order, while there is room."""
        room = self.store.rows.room
        known = {tags: handle for handle, tags in self.owners.items()}
        handles, error = self.store.resolve_all(batch)
        for each, handle in zip(batch, handles.tolist(), strict=True):
            tags = tuple(sorted(each.items()))
            if tags in known:
                assert handle == known[tags]
            elif room:
                room -= 1
                assert handle >= 0
                assert handle not in self.owners
                known[tags] = handle
                self.owners[handle] = tags
                self.model.last[tags] = self.clock.now_ms() // 1000 // SLOTS
            else:
                assert handle == -1
        assert (error is not None) == bool((handles < 0).any())
        self.handles += [handle for handle in handles.tolist() if handle >= 0]

    @precondition(lambda self: bool(self.handles))
    @rule(points=POINTS)
    def fold(self, points: list[tuple[int, int, float, int]]) -> None:
        """Datapoints join what is there in the order given; of retired series they are told."""
        now = self.clock.now_ms() // 1000
        handles = [self.handles[-1 - place % len(self.handles)] for place, *_ in points]
        slots = [now + back for _, back, *_ in points]
        stale = self.store.fold(
            np.array(handles),
            np.array(slots),
            np.array([value for *_, value, _ in points]),
            np.array([op for *_, op in points], dtype=np.uint8),
        )
        usable = [
            slot
            for handle, slot, (*_, value, _) in zip(handles, slots, points, strict=True)
            if handle in self.owners and math.isfinite(value) and slot <= now + 3
        ]
        self.model.advance(max(usable, default=-1) // SLOTS)
        self._forget_retired()
        for handle, slot, (*_, value, op) in zip(handles, slots, points, strict=True):
            tags = self.owners.get(handle)
            number = slot // SLOTS
            if tags is None or not math.isfinite(value) or slot > now + 3:
                continue
            if number < self.model.newest - 1:
                continue
            result = self.model.join((tags, slot), value, op)
            if result is not None:
                self.model.values[tags, slot] = result
                self.model.last[tags] = max(self.model.last[tags], number)
        expected = [i for i, handle in enumerate(handles) if handle not in self.owners]
        assert stale.tolist() == expected

    @rule(seconds=st.integers(1, 9))
    def wait(self, seconds: int) -> None:
        """Time passes."""
        self.clock.advance(seconds)

    @rule()
    def seal(self) -> None:
        """Blocks that take no more writes are packed."""
        while self.store.seal():
            pass

    @rule()
    def restart(self) -> None:
        """A store made of an image goes on where the first one was, with handles of its own."""
        image = self.store.image()
        restored = SeriesStore(SETTINGS, self.clock)
        restored.restore(image)
        restored.ring._is_time_known = True  # else time before it would be a leap
        restored.recorder = self.record
        tags = [dict(each) for each in self.owners.values()]
        rows = restored.index.rows_of_all(tags)
        assert (rows >= 0).all()
        handles = restored.rows.handles(rows).tolist()
        self.owners = dict(zip(handles, self.owners.values(), strict=True))
        self.handles = handles
        self.store = restored

    @invariant()
    def holds_the_same(self) -> None:
        """Series, their kinds and every value are those of the model, and of the record."""
        index, rows = self.store.index, self.store.rows
        found = np.array(index.rows_in_use.to_array(), dtype=np.int64)
        tags = [tuple(sorted(index.tags_of(row).items())) for row in found.tolist()]
        assert sorted(tags) == sorted(self.owners.values()) == sorted(self.model.last)
        for row, each in zip(found.tolist(), tags, strict=True):
            is_gauge = ("atlas.dstype", "gauge") in each
            assert rows.kind[row] == (GAUGE if is_gauge else RATE)
            assert self.record.tags[int(rows.serial[row])] == each
        assert rows.room + rows.in_use == SETTINGS.max_series
        newest = max(self.model.newest, 3)
        first, last = (newest - 3) * SLOTS, (newest + 1) * SLOTS - 1
        for each, row, line in zip(
            tags, found.tolist(), self.store.values(found, first, last), strict=True
        ):
            held = {first + i: v for i, v in enumerate(line.tolist()) if not math.isnan(v)}
            assert held == {slot: v for (t, slot), v in self.model.values.items() if t == each}
            serial = int(rows.serial[row])
            assert all(self.record.held[serial, slot] == value for slot, value in held.items())

    def _forget_retired(self) -> None:
        self.owners = {h: tags for h, tags in self.owners.items() if tags in self.model.last}


StoreMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestStoreMachine = StoreMachine.TestCase
