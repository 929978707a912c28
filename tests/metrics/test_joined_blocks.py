"""A store whose sealed blocks are joined answers as one whose blocks lie apart."""

import threading

import numpy as np
import pytest
from numpy.typing import NDArray

from breakwater.metrics import MetricsSettings
from breakwater.metrics.store.blocks import PackedBlock
from breakwater.metrics.store.series_store import SeriesStore
from breakwater.testing import FakeClock

T0 = 1_699_999_980_000
SLOTS = 10


def made(clock: FakeClock, *, is_compressed: bool) -> SeriesStore:
    """Blocks of ten steps of a second, two minutes of retention."""
    settings = MetricsSettings(
        block_slots=SLOTS, retention_s=120, is_compressed=is_compressed, max_series=3000
    )
    return SeriesStore(settings, clock)


def all_values(store: SeriesStore, last_ms: int) -> NDArray[np.float64]:
    """What the rows of every series hold, from long before the retention on."""
    rows = np.array(store.index.rows_in_use.to_array(), dtype=np.int64)
    return store.values(rows, last_ms // 1000 - 300, last_ms // 1000)


def joined(store: SeriesStore) -> int:
    """How many blocks share their memory with another."""
    packed = [each for each in store.ring.blocks.values() if isinstance(each, PackedBlock)]
    places = [id(each.packed_rows) for each in packed]
    return sum(places.count(place) > 1 for place in places)


@pytest.mark.slow
def test_joined_blocks_answer_as_blocks_apart() -> None:
    """At every step, while blocks are joined and leave one by one, and series come and go."""
    clock, random = FakeClock(T0), np.random.default_rng(2)
    stores = [made(clock, is_compressed=each) for each in (True, False)]
    alive = list(range(12))
    most = 0
    for step in range(400):
        clock.advance(1)
        if step % 7 == 0:
            alive[int(random.integers(len(alive)))] = 100 + step
        tags = [{"name": f"s{name}"} for name in alive if random.random() < 0.8]
        values = np.round(random.random(len(tags)) * 100, 2)
        for store in stores:
            handles = np.array([store.resolve(each) for each in tags])
            store.write(handles, clock.now_ms() - 1000 * (step % 3), values)
            while store.seal():
                pass
        most = max(most, joined(stores[0]))
        found = [all_values(store, clock.now_ms()) for store in stores]
        assert np.array_equal(found[0], found[1], equal_nan=True)
    assert stores[0].retired_series == stores[1].retired_series > 0
    assert most >= 8


def test_what_left_the_retention_is_read_no_more() -> None:
    """A block whose memory is kept for those it was joined with is gone all the same."""
    clock = FakeClock(T0)
    store = made(clock, is_compressed=True)
    handle = np.array([store.resolve({"name": "xx"})])
    firsts = []
    for _ in range(300):
        clock.advance(1)
        store.write(handle, clock.now_ms(), np.array([1.0]))
        while store.seal():
            pass
        held = np.flatnonzero(~np.isnan(all_values(store, clock.now_ms())[0]))
        firsts.append(300 - int(held[0]))
    assert max(firsts) <= 120 + 2 * SLOTS


@pytest.mark.slow
def test_readers_see_every_value_while_blocks_are_sealed_and_joined() -> None:
    """Whatever is exchanged meanwhile, a reader finds all values of the retention."""
    clock = FakeClock(T0)
    store = made(clock, is_compressed=True)
    handles = np.array([store.resolve({"name": f"s{n}"}) for n in range(50)])
    rows, problems = np.sort(handles & 0xFFFFFFFF), []
    is_over, done = threading.Event(), threading.Semaphore(0)

    def read() -> None:
        while not is_over.is_set():
            last = clock.now_ms() // 1000 - 1
            values = store.values(rows, max(last - 90, T0 // 1000 + 1), last)
            is_in_time = clock.now_ms() // 1000 - last < 25
            if is_in_time and not (values == 2.5).all():
                problems.append(values)
            done.release()

    readers = [threading.Thread(target=read) for _ in range(2)]
    for step in range(300):
        stamp = T0 + (step + 1) * 1000
        store.write(handles, stamp, np.full(50, 2.5))
        clock.advance(1)
        if step == 1:
            for reader in readers:
                reader.start()
        while store.seal():
            pass
        if step % 5 == 4:
            assert done.acquire(timeout=30.0)
    is_over.set()
    for reader in readers:
        reader.join()
    assert not problems
