"""The tag index against a naive scan."""

from collections import UserDict
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from breakwater.metrics import QueryLimitError
from breakwater.metrics.selection.patterns import pattern
from breakwater.metrics.selection.query import (
    And,
    Compare,
    Equal,
    Everything,
    HasKey,
    In,
    Not,
    Nothing,
    Or,
    Query,
    Regex,
)
from breakwater.metrics.series.index import TagIndex
from breakwater.metrics.series.table import TagTable

KEYS = st.sampled_from(["name", "app", "zone", "node"])
BOOLEANS = st.booleans()
VALUES = st.sampled_from(["a", "ab", "abc", "b", "b.c", "10", "9", "Z"])
TAGS = st.dictionaries(KEYS, VALUES, min_size=1)
PATTERNS = st.sampled_from(["a", "ab?", "a.*", "b\\.", ".*c", "[0-9]+$", "a|b", "z", "", "abc*"])
LEAVES = st.one_of(
    st.just(Everything()),
    st.just(Nothing()),
    st.builds(HasKey, KEYS),
    st.builds(Equal, KEYS, VALUES),
    st.builds(Compare, KEYS, VALUES, st.sampled_from(["lt", "le", "gt", "ge"])),
    st.builds(In, KEYS, st.lists(VALUES, min_size=2, max_size=3).map(tuple)),
    st.builds(
        lambda key, source, icase: Regex(key, pattern(source, ignores_case=icase)),
        KEYS,
        PATTERNS,
        st.booleans(),
    ),
)
QUERIES = st.recursive(
    LEAVES,
    lambda inner: (
        st.builds(And, inner, inner) | st.builds(Or, inner, inner) | st.builds(Not, inner)
    ),
    max_leaves=6,
)


class IndexMachine(RuleBasedStateMachine):
    """Rows come and go; answers stay those of a scan over the rows that are there."""

    def __init__(self) -> None:
        super().__init__()
        self.index = TagIndex()
        self.rows: dict[int, dict[str, str]] = {}

    @rule(tags=TAGS)
    def add(self, tags: dict[str, str]) -> None:
        """A row that is not there yet is added under the smallest free number."""
        if self.index.row_of(tags) is None:
            row = next(i for i in range(len(self.rows) + 1) if i not in self.rows)
            self.index.add(row, tags)
            self.rows[row] = tags

    @rule(batch=st.lists(TAGS, min_size=1, max_size=6), room=st.integers(0, 6), as_table=BOOLEANS)
    def add_many(self, batch: list[dict[str, str]], room: int, as_table: bool) -> None:  # noqa: FBT001 - a choice
        """Of many, those without a row take the fresh rows in order until these are used up."""
        free = [i for i in range(len(self.rows) + 6) if i not in self.rows][:room]
        known = {tuple(sorted(tags.items())): row for row, tags in self.rows.items()}
        expected, left = [], list(free)
        for tags in batch:
            key = tuple(sorted(tags.items()))
            if key not in known and left:
                known[key] = left.pop(0)
                self.rows[known[key]] = tags
            expected.append(known.get(key, -1))
        fresh = np.array(free, dtype=np.int64)
        if as_table:
            pairs = sorted({pair for tags in batch for pair in tags.items()}, reverse=True)
            lines = np.full((len(batch), 4), -1, dtype=np.int32)
            for line, tags in zip(lines, batch, strict=True):
                line[: len(tags)] = [pairs.index(pair) for pair in tags.items()]
            found, added = self.index.add_table(TagTable(pairs, lines), fresh)
        else:
            found, added = self.index.add_all(batch, fresh)
        assert found.tolist() == expected
        assert added.tolist() == free[: len(free) - len(left)]

    @precondition(lambda self: bool(self.rows))
    @rule(data=st.data())
    def remove_many(self, data: st.DataObject) -> None:
        """Any rows may leave together; afterwards ids of pairs may be used again."""
        rows = data.draw(st.lists(st.sampled_from(sorted(self.rows)), min_size=1, unique=True))
        self.index.remove_all(np.array(rows))
        for row in rows:
            del self.rows[row]
        self.index.release()

    @precondition(lambda self: bool(self.rows))
    @rule(data=st.data())
    def table(self, data: st.DataObject) -> None:
        """A table of some rows holds their tags, and each pair once."""
        rows = data.draw(st.lists(st.sampled_from(sorted(self.rows)), min_size=1, unique=True))
        pairs, lines = self.index.tag_table(np.array(rows))
        assert len(pairs) == len(set(pairs))
        for row, line in zip(rows, lines.tolist(), strict=True):
            assert dict(pairs[place] for place in line if place >= 0) == self.rows[row]

    @precondition(lambda self: bool(self.rows))
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        """Any row may leave."""
        row = data.draw(st.sampled_from(sorted(self.rows)))
        self.index.remove(row)
        del self.rows[row]

    @rule(query=QUERIES)
    def matching(self, query: Query) -> None:
        """The rows of a query are those whose tags match."""
        expected = [row for row in sorted(self.rows) if query.matches(self.rows[row])]
        assert self.index.rows(query).tolist() == expected

    @rule(key=KEYS, query=QUERIES)
    def listing(self, key: str, query: Query) -> None:
        """Keys and values are those of the matching rows."""
        matching = [tags for tags in self.rows.values() if query.matches(tags)]
        assert self.index.keys(query) == sorted({key for tags in matching for key in tags})
        expected = sorted({tags[key] for tags in matching if key in tags})
        assert self.index.values(key, query) == expected

    @invariant()
    def both_ways_round(self) -> None:
        """Rows give back their tags, tags their rows, and the key codes their values."""
        assert len(self.index) == len(self.rows)
        for row, tags in self.rows.items():
            assert self.index.tags_of(row) == tags
            assert self.index.row_of(tags) == row
        rows = np.array(sorted(self.rows), dtype=np.int64)
        for code, row in zip(self.index.codes(rows, "app"), rows, strict=True):
            value = self.index.value_of(code) if code >= 0 else None
            assert value == self.rows[int(row)].get("app")
        distinct = {pair for tags in self.rows.values() for pair in tags.items()}
        assert self.index.pair_count == len(distinct)


TestIndexMachine = pytest.mark.slow(IndexMachine.TestCase)
TestIndexMachine.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)


def test_a_pattern_is_tried_on_a_bounded_number_of_values() -> None:
    """Beyond the bound a pattern is refused with the numbers; its literal start narrows."""
    index = TagIndex(max_values_per_regex=5)
    for row in range(10):
        index.add(row, {"name": f"{'ab'[row % 2]}{row}"})
    with pytest.raises(QueryLimitError, match=r"values of 'name'.*: 10 > 5"):
        index.rows(Regex("name", pattern("[ab]1")))
    assert index.rows(Regex("name", pattern("b[13]"))).tolist() == [1, 3]


class _Meddling(str):
    """A value that, when it is compared, lets another thread's work happen in between."""

    __slots__ = ()
    meddle: ClassVar[Callable[[], None]]

    def __lt__(self, other: str) -> bool:
        type(self).meddle()
        return str.__lt__(self, other)


def test_a_value_that_comes_while_a_reader_sorts_is_seen_by_the_next() -> None:
    """What a reader sorted before the writer went on is not kept as the present set."""
    index = TagIndex()
    for row, value in enumerate(("b", "a")):
        index.add(row, {"name": _Meddling(value)})
    still_to_come = [2]

    def write() -> None:
        while still_to_come:
            index.add(still_to_come.pop(), {"name": "c"})

    _Meddling.meddle = write
    index.values("name")
    assert index.values("name") == ["a", "b", "c"]


def test_a_row_that_is_found_has_its_place_in_the_table() -> None:
    """A reader between two steps of an addition never finds a row that has no codes yet."""
    index = TagIndex()

    class Watched(UserDict[str, str]):
        """Tags that let a reader look after each of them was entered."""

        def __getitem__(self, key: str) -> str:
            """The value, with a reader in between."""
            found = index.rows(Equal("name", "a"))
            assert (index.codes(found, "name") >= 0).all()
            return self.data[key]

    for row in (0, 1_000_000):  # the second is far beyond the table as it is
        index.add(row, Watched({"name": "a", "nf.zone": "b", "node": str(row)}))
    assert index.rows(Equal("name", "a")).tolist() == [0, 1_000_000]


@given(st.lists(TAGS, max_size=20, unique_by=lambda tags: tuple(sorted(tags.items()))), QUERIES)
def test_could_match_never_rules_out_what_matches(tags: list[dict[str, str]], query: Query) -> None:
    """A query that matches a tag map could match every part of that map."""
    for each in tags:
        if query.matches(each):
            for key in each:
                assert query.could_match({k: v for k, v in each.items() if k != key})


def test_there_may_be_many_keys() -> None:
    """Series with keys of their own come and go, and leave no key behind."""
    index = TagIndex()
    tags = [{"name": "a", f"key{row % 90}": str(row)} for row in range(300)]
    found, _ = index.add_all(tags, np.arange(300))
    assert found.tolist() == list(range(300))
    assert index.rows(HasKey("key7")).tolist() == [7, 97, 187, 277]
    assert index.rows(Equal("key7", "97")).tolist() == [97]
    index.remove_all(np.arange(299, 6, -1))
    assert index.keys() == ["key0", "key1", "key2", "key3", "key4", "key5", "key6", "name"]
    assert index.rows(Equal("name", "a")).tolist() == list(range(7))


def test_the_id_of_a_pair_that_left_is_not_used_again_at_once() -> None:
    """Who has just looked up a pair finds nothing else in its place until two releases later."""
    index = TagIndex()
    index.add(0, {"name": "a", "node": "1"})
    code = int(index.codes(np.array([0]), "node")[0])
    index.remove(0)
    for row in (1, 2):
        index.release()
        index.add(row, {"name": "a", "node": str(10 * row)})
        if row == 1:
            assert index.value_of(code) == "1"
            assert int(index.codes(np.array([1]), "node")[0]) != code
    codes = [*index.codes(np.array([2]), "node"), *index.codes(np.array([2]), "name")]
    assert code in codes


def test_changes_are_told_by_position_as_long_as_they_are_known() -> None:
    """Rows that came and went since a position; None when that is too long ago."""
    index = TagIndex()
    start = index.position
    index.add_all([{"name": "a"}, {"name": "b"}], np.array([4, 5]))
    index.remove(4)
    changes = index.changed_since(start)
    assert changes is not None
    assert (changes.added.tolist(), changes.removed.tolist()) == ([4, 5], [4])
    changes = index.changed_since(index.position)
    assert changes is not None
    assert not len(changes.added)
    for _ in range(2500):
        index.add(4, {"name": "a"})
        index.remove(4)
    assert index.changed_since(start) is None
    assert index.changed_since(index.position - 100) is not None


def same(one: TagIndex, other: TagIndex) -> bool:
    """Whether rows, tags and every look-up of two indexes agree."""
    held = one.rows_in_use == other.rows_in_use and one.keys() == other.keys()
    held = held and one.pair_count == other.pair_count
    for key in one.keys():  # noqa: SIM118 - not a dict
        held = held and one.values(key) == other.values(key)
        for value in one.values(key):
            held = held and one.rows_of(Equal(key, value)) == other.rows_of(Equal(key, value))
    for row in one.rows_in_use:
        held = held and one.tags_of(row) == other.tags_of(row)
        held = held and other.row_of(one.tags_of(row)) == row
    return held


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30), st.integers(0, 3)), max_size=60))
def test_an_image_restores_the_same_index(changes: list[tuple[bool, int, int]]) -> None:
    """What is restored from an image is the same, and goes on like the original."""
    index = TagIndex()
    for is_added, row, kind in changes:
        if is_added and row not in index.rows_in_use:
            index.add(row, {"name": f"m{kind}", "row": f"r{row}", f"only{row}": "x"})
        elif not is_added and row in index.rows_in_use:
            index.remove(row)
    again = TagIndex()
    again.restore(index.image())
    assert same(index, again)
    for each in (index, again):
        each.add(1000, {"name": "m1", "new": "y"})
        for row in list(each.rows_in_use)[:3]:
            each.remove(row)
    assert same(index, again)


def test_a_few_rows_of_many_are_told_by_their_own_pairs() -> None:
    """Tables of one series mean its tags, however many pairs the index and the table have."""
    tags = [{"name": f"m{n % 7}", "node": f"i-{n}"} for n in range(500)]
    pairs = sorted({pair for each in tags for pair in each.items()})
    index = TagIndex()
    for n, each in enumerate(tags):
        line = np.array([[-1, *(pairs.index(pair) for pair in each.items())]], dtype=np.int32)
        rows, added = index.add_table(TagTable(pairs, line), np.array([n]))
        assert (rows.tolist(), added.tolist()) == ([n], [n])
    for n in range(0, 500, 99):
        assert index.tag_table(np.array([n])).tags() == [tags[n]]
        assert index.count("node", f"i-{n}") == 1
    assert index.count("name", "m3") == 71
    assert index.count("name", "m9") == index.count("zone", "a") == 0
