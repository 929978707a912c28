"""Many series at once: first sight, limits, restarts, and leaving together."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.metrics.keeping import SMALL, contents, opened

from breakwater.metrics import MetricsEngine, MetricsSettings, SeriesLimitError
from breakwater.metrics.durable.records import decode_table, encode_table
from breakwater.metrics.series.table import SeriesTable
from breakwater.metrics.store.series_store import SeriesStore
from breakwater.testing import FakeClock

T0 = 1_700_000_040_000
MANY_PAIRS = [("key", str(place)) for place in range(70_001)]


def fleet(nodes: range, metrics: int = 20) -> list[dict[str, str]]:
    """Tags of so many metrics of some nodes, node by node."""
    return [
        {"name": f"m{metric}", "nf.app": f"app{node % 7}", "nf.node": f"i-{node}"}
        for node in nodes
        for metric in range(metrics)
    ]


def test_new_series_are_visible_to_the_next_query() -> None:
    """Also to a query that was asked before they came."""
    clock = FakeClock(T0)
    engine = MetricsEngine(MetricsSettings(), clock)
    for nodes in (range(5), range(5, 305)):
        handles, error = engine.resolve_all(fleet(nodes))
        assert error is None
        engine.write(handles, T0, np.ones(len(handles)))
        (line,) = engine.query("name,m3,:eq,:sum", start_ms=T0 - 5000, end_ms=T0).lines
        assert line.values[-1] == nodes.stop


def test_the_same_tags_share_a_handle() -> None:
    """Within a batch, between batches, and with series resolved one by one."""
    store = SeriesStore(MetricsSettings(), FakeClock(T0))
    tags = fleet(range(3), 2)
    first = store.resolve_all([*tags, *reversed(tags)]).handles
    assert first[:6].tolist() == first[:5:-1].tolist()
    assert [store.resolve(each) for each in tags] == first[:6].tolist()
    assert store.new_series == len(store.index) == 6


def test_beyond_the_limit_known_series_still_have_handles() -> None:
    """The refused ones leave nothing behind, and the error says the limit."""
    store = SeriesStore(MetricsSettings(max_series=10), FakeClock(T0))
    known = store.resolve_all(fleet(range(1), 8)).handles
    handles, error = store.resolve_all(fleet(range(3), 8))
    assert handles[:8].tolist() == known.tolist()
    assert (handles[8:10] >= 0).all()
    assert (handles[10:] == -1).all()
    assert isinstance(error, SeriesLimitError)
    assert "10 of 10" in str(error)
    assert store.index.values("nf.node") == ["i-0", "i-1"]
    with pytest.raises(SeriesLimitError):
        store.resolve({"name": "another"})


@pytest.mark.parametrize("has_snapshot", [True, False])
def test_series_defined_together_are_there_after_a_restart(
    tmp_path: Path,
    has_snapshot: bool,  # noqa: FBT001 - parametrized
) -> None:
    """With their tags and values, from the log and from a snapshot; and new ones join them."""
    clock = FakeClock(T0)
    engine = opened(tmp_path, clock, SMALL)
    handles, _ = engine.resolve_all(fleet(range(50)))
    engine.write(handles, T0, np.arange(len(handles), dtype=np.float64))
    asyncio.run(engine.wait_durable())
    if has_snapshot:
        assert engine._durability is not None
        engine._durability._take_snapshot()
    held = contents(engine)
    engine.close()
    again = opened(tmp_path, clock, SMALL)
    assert contents(again) == held
    assert len(held) == 1000
    handles, _ = again.resolve_all(fleet(range(49, 52)))
    again.write(handles, T0, np.full(len(handles), 7.0))
    assert len(contents(again)) == 1040
    assert sum(line == {T0 // 1000: 7.0} for line in contents(again).values()) >= 60
    again.close()


def test_a_fleet_that_leaves_does_not_stop_the_writer() -> None:
    """Silent series retire some thousands at a time, and until then they can come back."""
    clock = FakeClock(T0)
    store = SeriesStore(MetricsSettings(retention_s=120, block_slots=60), clock)
    handles = store.resolve_all(fleet(range(600))).handles
    survivors = handles[-100:]
    store.write(handles, T0, np.ones(len(handles)))
    clock.advance(400)
    sizes = []
    while True:
        assert not len(store.write(survivors, clock.now_ms(), np.ones(100)))
        sizes.append(len(store.index))
        if len(sizes) > 1 and sizes[-1] == sizes[-2]:
            break
    assert sizes[0] > 7000
    assert max(-np.diff(sizes)) <= 4096
    assert store.retired_series == len(handles) - sizes[-1]
    assert sizes[-1] == 100
    values = store.values(survivors & 0xFFFFFFFF, clock.now_ms() // 1000, clock.now_ms() // 1000)
    assert (values == 1.0).all()


def test_rows_of_a_fleet_that_left_are_given_to_the_next() -> None:
    """A year of nodes that come and go needs no more rows than those there are at a time."""
    clock = FakeClock(T0)
    store = SeriesStore(MetricsSettings(retention_s=120, block_slots=60, max_series=500), clock)
    for generation in range(30):
        handles, error = store.resolve_all(fleet(range(generation * 5, generation * 5 + 5)))
        assert error is None
        store.write(handles, clock.now_ms(), np.full(100, float(generation)))
        rows = np.sort(handles & 0xFFFFFFFF)
        held = store.values(rows, clock.now_ms() // 1000 - 100, clock.now_ms() // 1000)
        assert set(held[~np.isnan(held)]) == {float(generation)}
        clock.advance(60)
    assert store.rows.count <= 500
    assert store.index.pair_count == 20 + 7 + len(store.index) // 20


@settings(deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 70_000), max_size=4, unique=True), min_size=1, max_size=20),
    st.integers(1, 1 << 60),
    st.booleans(),
)
def test_a_table_of_series_comes_back(
    series: list[list[int]],
    serial: int,
    is_wide: bool,  # noqa: FBT001 - generated
) -> None:
    """Serials, slots, pairs and lines, whether places take two bytes or four."""
    places = sorted({place for line in series for place in line})
    pairs = MANY_PAIRS if is_wide else [("key", str(place)) for place in places]
    lines = np.full((len(series), 4), -1, dtype=np.int32)
    for line, idents in zip(lines, series, strict=True):
        line[: len(idents)] = [i if is_wide else places.index(i) for i in idents]
    payload = b"".join(encode_table(SeriesTable(serial, 17, pairs, lines)))
    again = decode_table(memoryview(payload))
    assert (again.first_serial, again.last_slot, again.pairs) == (serial, 17, pairs)
    assert np.array_equal(again.lines, lines)


def test_a_table_whose_parts_do_not_fit_is_refused() -> None:
    """A place without a pair, or a place of an odd size, is damage."""
    table = SeriesTable(1, 2, [("a", "b")], np.array([[0, 5]], dtype=np.int32))
    payload = b"".join(encode_table(table))
    with pytest.raises(ValueError, match="without a pair"):
        decode_table(memoryview(payload))
    with pytest.raises(ValueError, match="places of 3 bytes"):
        decode_table(memoryview(payload[:26] + b"\x03\x00" + payload[28:]))


def test_a_table_means_the_same_as_maps() -> None:
    """Series that come as a table have the handles of the same tags, known or new."""
    engine = MetricsEngine(MetricsSettings(step_ms=60_000, block_slots=8), FakeClock())
    tags = fleet(range(20))
    pairs = sorted({pair for each in tags for pair in each.items()})
    place = {pair: n for n, pair in enumerate(pairs)}
    lines = np.array([[place[pair] for pair in each.items()] for each in tags], dtype=np.int32)
    first = engine.resolve_all(tags[:70]).handles
    found = engine.resolve_table(pairs, lines)
    assert found.error is None
    assert found.handles[:70].tolist() == first.tolist()
    assert found.handles.tolist() == engine.resolve_all(tags).handles.tolist()
    names = {each.value: each.new for each in engine.cardinality().names}
    assert sum(names.values()) == len(tags)
