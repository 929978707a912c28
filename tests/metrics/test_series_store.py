"""The ring of blocks: what is kept, what is refused, what comes back."""

import numpy as np
import pytest

from breakwater.metrics import (
    InvalidStepError,
    MetricsEngine,
    MetricsSettings,
    SeriesLimitError,
)
from breakwater.metrics.store.series_store import SeriesStore
from breakwater.testing import FakeClock

T0 = 1_699_999_980_000  # the end of a block of 60 steps


def store(clock: FakeClock, **settings: int) -> SeriesStore:
    """A store with steps of one second, blocks of 60 and five minutes of retention."""
    chosen = {"retention_s": 300, "raw_blocks": 2, **settings}
    return SeriesStore(MetricsSettings(**chosen), clock)  # type: ignore[arg-type] # ints, one bool


def one(store: SeriesStore, name: str) -> np.ndarray:
    """The handle of a series as a column."""
    return np.array([store.resolve({"name": name})])


def window(store: SeriesStore, first_ms: int, last_ms: int) -> list[float]:
    """What row 0 holds for the stamps first..last, NaN where nothing is stored."""
    rows = np.zeros(1, dtype=np.int64)
    first, last = first_ms // 1000, last_ms // 1000
    values = store.values(rows, first, last)[0]
    return [float(value) for value in values]


@pytest.mark.parametrize("compressed", [True, False])
def test_values_come_back_across_blocks(compressed: bool) -> None:  # noqa: FBT001 - parametrized
    """What was written is read, whichever blocks it lies in and whether they are packed."""
    clock = FakeClock(T0)
    kept = store(clock, is_compressed=compressed)
    handle = one(kept, "xx")
    for second in range(1, 281):
        clock.advance(1)
        kept.write(handle, T0 + second * 1000, np.array([float(second)]))
        while kept.seal():
            pass
    blocks, packed = kept.block_counts
    assert blocks == 5
    assert packed == (3 if compressed else 0)
    assert window(kept, T0 + 1000, T0 + 280_000) == [float(n) for n in range(1, 281)]


def test_an_invalid_step_is_refused_with_the_allowed_ones() -> None:
    """The message lists the steps there are."""
    with pytest.raises(InvalidStepError, match="1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60 seconds"):
        MetricsEngine(MetricsSettings(step_ms=7000), FakeClock(T0))


def test_stamps_are_rounded_up_to_the_grid() -> None:
    """A datapoint belongs to the interval that ends at or after it."""
    clock = FakeClock(T0)
    kept = store(clock)
    kept.write(one(kept, "xx"), T0 + 1, np.array([5.0]))
    assert window(kept, T0 + 1000, T0 + 1000) == [5.0]


def test_the_last_write_of_a_slot_counts() -> None:
    """Writing a slot again replaces its value; NaN replaces nothing."""
    kept = store(FakeClock(T0))
    handle = one(kept, "xx")
    for value in (1.0, 2.0, np.nan):
        kept.write(handle, T0 + 1000, np.array([value]))
    assert window(kept, T0 + 1000, T0 + 1000) == [2.0]


def test_late_values_reach_one_block_back() -> None:
    """The newest block and the one before take writes; what is older is counted as late."""
    clock = FakeClock(T0)
    kept = store(clock)
    handle = one(kept, "xx")
    clock.advance(130)
    stamps = np.array([T0 + 130_000, T0 + 70_000, T0 + 10_000])
    kept.write(np.repeat(handle, 3), stamps, np.array([3.0, 2.0, 1.0]))
    assert kept.dropped == {"late": 1}
    assert window(kept, T0 + 70_000, T0 + 70_000) == [2.0]
    kept.write(handle, T0 + 10_000, np.array([1.0]))
    assert kept.dropped == {"late": 2}


def test_values_from_the_future_cannot_push_out_the_present() -> None:
    """A stamp far ahead of the clock is counted and moves nothing."""
    kept = store(FakeClock(T0))
    handle = one(kept, "xx")
    kept.write(handle, T0 + 1000, np.array([1.0]))
    kept.write(handle, T0 + 10**9, np.array([9.0]))
    kept.write(handle, np.array([T0 + 10**9]), np.array([9.0]))
    assert kept.dropped == {"ahead_of_clock": 2}
    assert window(kept, T0 + 1000, T0 + 1000) == [1.0]


def test_infinite_values_are_counted_not_kept() -> None:
    """An infinite value would spoil every sum it is part of."""
    kept = store(FakeClock(T0))
    kept.write(one(kept, "xx"), T0 + 1000, np.array([np.inf]))
    assert kept.dropped == {"infinite": 1}


def test_series_are_bounded() -> None:
    """Beyond the limit a new series is refused with count and limit; known ones resolve."""
    kept = store(FakeClock(T0), max_series=2)
    first = kept.resolve({"name": "aa"})
    kept.resolve({"name": "bb"})
    with pytest.raises(SeriesLimitError, match="2 of 2"):
        kept.resolve({"name": "cc"})
    assert kept.resolve({"name": "aa"}) == first


def test_a_silent_series_is_retired_and_its_handle_goes_stale() -> None:
    """After the retention a silent series leaves index and row; its handle is noticed."""
    clock = FakeClock(T0)
    kept = store(clock, max_series=2)
    old, busy = one(kept, "old"), one(kept, "busy")
    kept.write(old, T0 + 1000, np.array([1.0]))
    for _ in range(9):
        clock.advance(60)
        kept.write(busy, clock.now_ms(), np.array([1.0]))
    assert kept.index.row_of({"name": "old"}) is None
    assert kept.retired_series == 1
    assert kept.write(old, clock.now_ms(), np.array([2.0])).tolist() == [0]
    fresh = one(kept, "new")
    assert fresh[0] & 0xFFFFFFFF == old[0] & 0xFFFFFFFF
    assert fresh[0] != old[0]
    assert window(kept, T0 + 1000, T0 + 1000) != [1.0]


def test_memory_is_given_back_as_blocks_pass() -> None:
    """The ring holds no more blocks than the retention asks for."""
    clock = FakeClock(T0)
    kept = store(clock)
    handle = one(kept, "xx")
    for _ in range(30):
        clock.advance(60)
        kept.write(handle, clock.now_ms(), np.array([1.0]))
    blocks, packed = kept.block_counts
    assert blocks == 6
    assert packed >= 1


@pytest.mark.parametrize("is_column", [True, False])
def test_a_write_that_retires_its_own_series(is_column: bool) -> None:  # noqa: FBT001 - parametrized
    """A series silent for the whole retention is retired by its next value, which says so."""
    clock = FakeClock(T0)
    kept = store(clock, retention_s=60)
    handle = one(kept, "xx")
    kept.write(handle, T0 + 1000, np.array([1.0]))
    clock.advance(600)
    now_ms = T0 + 600_000
    stamps = np.array([now_ms]) if is_column else now_ms
    assert kept.write(handle, stamps, np.array([2.0])).tolist() == [0]
    again = one(kept, "xx")
    assert kept.write(again, stamps, np.array([2.0])).tolist() == []
    clock.advance(120)  # its former row is free by now
    kept.write(again, clock.now_ms(), np.array([3.0]))
    other = one(kept, "yy")
    rows = np.sort(other & 0xFFFFFFFF)
    assert np.isnan(kept.values(rows, T0 // 1000, clock.now_ms() // 1000)).all()
