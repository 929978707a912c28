"""Rows and the way from tags to them."""

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from breakwater.metrics.series.rows import ROW_BITS, RowTable
from breakwater.metrics.series.rowtags import RowTags

LINES = st.lists(st.integers(0, 12), unique=True, max_size=7)


class RowTagsMachine(RuleBasedStateMachine):
    """Lines of ids are entered and forgotten; each is found in its row as long as it is there."""

    def __init__(self) -> None:
        super().__init__()
        self.tags = RowTags()
        self.rows: dict[int, frozenset[int]] = {}

    @rule(batch=st.lists(LINES, min_size=1, max_size=8), room=st.integers(0, 8))
    def enter(self, batch: list[list[int]], room: int) -> None:
        """Lines without a row take fresh ones in order; equal lines share theirs."""
        fresh = [row for row in range(len(self.rows) + 8) if row not in self.rows][:room]
        width = max(map(len, batch))
        lines = np.full((len(batch), width), -1, dtype=np.int32)
        for line, idents in zip(lines, batch, strict=True):
            line[: len(idents)] = idents
        found, used = self.tags.enter(lines, np.array(fresh, dtype=np.int64))
        known = {idents: row for row, idents in self.rows.items()}
        left = list(fresh)
        expected = []
        for key in map(frozenset, batch):
            if key not in known and left:
                known[key] = left.pop(0)
                self.rows[known[key]] = key
            expected.append(known.get(key, -1))
        assert found.tolist() == expected
        assert used == len(fresh) - len(left)

    @precondition(lambda self: bool(self.rows))
    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        """Any rows may go."""
        rows = data.draw(st.lists(st.sampled_from(sorted(self.rows)), min_size=1, unique=True))
        self.tags.forget(np.array(rows))
        for row in rows:
            del self.rows[row]

    @invariant()
    def finds_all(self) -> None:
        """Every line is found, in its row, and is there in ascending order."""
        assert len(self.tags) == len(self.rows)
        for row, idents in self.rows.items():
            line = np.array([sorted(idents, reverse=True)], dtype=np.int32).reshape(1, -1)
            assert self.tags.find(line).tolist() == [row]
            held = self.tags.table[row]
            assert held[held >= 0].tolist() == sorted(idents)


RowTagsMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestRowTagsMachine = RowTagsMachine.TestCase


def test_many_lines_are_found_after_many_were_forgotten() -> None:
    """The table of places grows with the lines, and a gap in it never hides a line."""
    tags = RowTags()
    rng = np.random.default_rng(1)
    lines = rng.permutation(60_000).astype(np.int32).reshape(-1, 3)
    rows = np.arange(len(lines))
    tags.enter(lines, rows)
    gone = rng.permutation(len(lines))[:15_000]
    tags.forget(gone)
    expected = rows.copy()
    expected[gone] = -1
    assert (tags.find(lines) == expected).all()
    again = RowTags()
    kept = np.flatnonzero(expected >= 0)
    again.restore(kept, tags.table[kept])
    assert (again.find(lines) == expected).all()


def test_rows_rest_for_a_block_before_others_have_them() -> None:
    """A row is not offered while the block it was given back in, or an older one, is newest."""
    table = RowTable(3)
    rows = table.offered(5)
    assert rows.tolist() == [0, 1, 2]
    table.take(rows)
    table.rest(rows[1:], block=7)
    table.release(7)
    assert table.room == 0
    table.release(8)
    assert table.room == 2
    assert table.offered(1).tolist() == [1]
    assert table.in_use == 1


def test_a_handle_stands_for_one_owner_of_its_row() -> None:
    """A handle is fresh until its series is gone; one that was never given out is not."""
    table = RowTable(3)
    table.take(table.offered(2))
    handles = table.handles(np.array([0, 1, -1]))
    table.rest(np.array([1]), block=1)
    assert handles.tolist() == [0, 1, -1]
    far = [1 << 20, -1, -(1 << 40), (5 << ROW_BITS) | 1]
    assert table.is_fresh(np.array([*handles[:2], *far])).tolist() == [True, *[False] * 5]
    assert table.handles(np.array([1])).tolist() == [(1 << ROW_BITS) | 1]


def test_silent_rows_are_those_of_series_without_a_recent_value() -> None:
    """Free and resting rows are not silent: they are nobody's."""
    table = RowTable(5)
    table.take(table.offered(4))
    table.last[:4] = [3, 5, 4, 3]
    table.rest(np.array([3]), block=5)
    assert table.silent(5).tolist() == [0, 2]


def test_a_restored_table_has_the_gaps_of_the_first() -> None:
    """Rows between those that are taken over are free, and there is room for all of them."""
    table = RowTable(4)
    table.restore(np.array([1, 5]), np.array([10, 11]), np.array([3, 4]))
    assert (table.count, table.in_use, table.capacity) == (6, 2, 6)
    assert table.offered(9).tolist() == [0, 2, 3, 4]
    assert table.silent(4).tolist() == [1]
