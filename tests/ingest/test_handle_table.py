"""The table from spellings to handles."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from breakwater.ingest.columns import columns_over
from breakwater.ingest.handles import LONGEST_BYTES, UNKNOWN, HandleTable


def hashes(table: HandleTable, raws: list[bytes], seed: bytes) -> NDArray[np.uint64]:
    """The hash of each."""
    made = columns_over(raws, np.zeros(len(raws), dtype=np.int64), np.zeros(len(raws)))
    return table.hashes(made.text, made.spans, table.seed_of(seed))


def found(table: HandleTable, raws: list[bytes], seed: bytes = b"") -> list[int]:
    """Their handles."""
    return [int(handle) for handle in table.find(hashes(table, raws, seed))]


def put(table: HandleTable, known: dict[bytes, int], seed: bytes = b"") -> None:
    """Make them known."""
    handles = np.array(list(known.values()), dtype=np.int64)
    table.put(hashes(table, list(known), seed), handles)


@settings(deadline=None)
@given(
    st.lists(
        st.dictionaries(
            st.one_of(st.binary(max_size=40), st.sampled_from([b"a", b"a\0", b"a" * 8])),
            st.integers(0, 2**60),
            min_size=1,
            max_size=30,
        ),
        max_size=8,
    ),
    st.lists(st.binary(max_size=40), max_size=10),
)
def test_it_holds_what_was_put_in_last(
    batches: list[dict[bytes, int]], others: list[bytes]
) -> None:
    """It answers as a dictionary would, whatever the lengths and however often one is replaced."""
    table, model = HandleTable(10_000), {}
    for batch in batches:
        put(table, batch)
        model.update(batch)
    asked = [*model, *others]
    assert found(table, asked) == [model.get(raw, UNKNOWN) for raw in asked]
    assert len(table) == len(model)


def test_it_grows_and_stays_small() -> None:
    """Many thousands of entries are all found, at some 30 bytes each."""
    table = HandleTable(1_000_000)
    raws = [b"series %d" % n for n in range(50_000)]
    for start in range(0, len(raws), 1_000):
        put(table, {raw: start + n for n, raw in enumerate(raws[start : start + 1_000])})
    assert found(table, raws) == list(range(50_000))
    assert table.size_bytes <= 50_000 * 24 / 0.4


def test_it_forgets_everything_rather_than_grow_beyond_its_bound() -> None:
    """One more than allowed empties the table first, and that is counted."""
    table = HandleTable(100)
    put(table, {b"old %d" % n: n for n in range(100)})
    put(table, {b"new": 7})
    assert (len(table), table.forgotten) == (1, 100)
    assert found(table, [b"old 1", b"new"]) == [UNKNOWN, 7]


def test_a_spelling_means_something_else_beside_another_text() -> None:
    """The same bytes under two seeds are two entries."""
    table = HandleTable(100)
    put(table, {b"x": 1}, seed=b"{}")
    put(table, {b"x": 2}, seed=b'{"zone":"a"}')
    assert found(table, [b"x"], seed=b"{}") == [1]
    assert found(table, [b"x"], seed=b'{"zone":"a"}') == [2]
    assert found(table, [b"x"]) == [UNKNOWN]


def test_handles_below_zero_are_not_remembered() -> None:
    """A series that could not be made is asked for again next time."""
    table = HandleTable(100)
    put(table, {b"x": -1, b"y": 5})
    assert found(table, [b"x", b"y"]) == [UNKNOWN, 5]


def test_a_very_long_spelling_is_never_found() -> None:
    """What has no hash is not confused with anything else that has none."""
    table = HandleTable(100)
    put(table, {b"y": 5})
    assert found(table, [b"x" * (LONGEST_BYTES + 1), b"y"]) == [UNKNOWN, 5]
