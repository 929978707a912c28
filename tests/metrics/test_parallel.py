"""Large folds: the same to the last bit as small ones, and ended when nobody waits any more."""

import numpy as np
import pytest

from breakwater.metrics.deadline import Deadline
from breakwater.metrics.errors import QueryCancelledError, QueryTimeoutError
from breakwater.metrics.store import kernels
from breakwater.metrics.store.blocks import Directory, PackedBlock, RawBlock
from breakwater.metrics.store.parallel import fold
from breakwater.metrics.store.spans import ADD

ROWS = 40 * 1024
SLOTS = 30


@pytest.fixture(scope="module")
def directory() -> Directory:
    """Two blocks of decimals with gaps, one packed and one not."""
    random = np.random.default_rng(4)
    blocks: list[RawBlock | PackedBlock] = []
    for number in (7, 8):
        block = RawBlock(number, max_rows=ROWS, slots=SLOTS)
        block.fit(ROWS)
        block.data[:] = np.round(random.normal(0, 100, (ROWS, SLOTS)), 2)
        block.data[random.random((ROWS, SLOTS)) < 0.1] = np.nan
        blocks.append(PackedBlock.of(block) if number == 7 else block)
    return Directory(blocks)


def test_a_fold_over_many_cores_is_that_of_one(directory: Directory) -> None:
    """Every slot adds its rows in the same order, however the fold was cut."""
    first, last = 7 * SLOTS + 3, 9 * SLOTS + 20
    rows = np.arange(ROWS)
    lines = rows % 3
    shared, alone = (np.full((3, last - first + 1), np.nan) for _ in range(2))
    deadline = Deadline(60.0)
    fold(ADD, directory, rows, lines, (first, last), shared, deadline)
    kernels.fold_spans(ADD, directory.spans, rows, lines, first, last, first, alone)
    assert np.array_equal(shared, alone, equal_nan=True)
    assert not np.isnan(shared[:, : 2 * SLOTS - 3]).any()
    assert np.isnan(shared[:, 2 * SLOTS - 3 :]).all()
    assert deadline.read_datapoints == ROWS * (2 * SLOTS - 3)


@pytest.mark.parametrize("count", [10, ROWS])
def test_a_fold_ends_when_nobody_waits(directory: Directory, count: int) -> None:
    """A cancelled query and one out of time raise, small or large, and leave no thread at work."""
    rows = np.arange(count)
    out = np.full((1, 2 * SLOTS), np.nan)
    cancelled = Deadline(None)
    cancelled.cancel("the client went away")
    window = (7 * SLOTS, 9 * SLOTS - 1)
    with pytest.raises(QueryCancelledError):
        fold(ADD, directory, rows, np.zeros(count, np.int64), window, out, cancelled)
    with pytest.raises(QueryTimeoutError):
        fold(ADD, directory, rows, np.zeros(count, np.int64), window, out, Deadline(-1.0))
    assert np.isnan(out).all()


def test_a_fold_of_nothing_is_empty(directory: Directory) -> None:
    """No rows, or slots no block has, leave every line without a value."""
    out = np.full((2, 4), np.nan)
    nothing = np.empty(0, dtype=np.int64)
    fold(ADD, directory, nothing, nothing, (7 * SLOTS, 7 * SLOTS + 3), out, Deadline(None))
    one = np.zeros(1, dtype=np.int64)
    fold(ADD, directory, one, one, (0, 3), out, Deadline(None))
    fold(ADD, Directory([]), one, one, (0, 3), out, Deadline(None))
    assert np.isnan(out).all()


@pytest.mark.parametrize(
    ("window", "read"),
    [
        ((7 * SLOTS, 8 * SLOTS - 1), SLOTS),
        ((7 * SLOTS - 5, 7 * SLOTS), 1),
        ((9 * SLOTS - 1, 9 * SLOTS + 5), 1),
        ((8 * SLOTS - 2, 8 * SLOTS + 2), 5),
        ((0, 20 * SLOTS), 2 * SLOTS),
        ((9 * SLOTS, 9 * SLOTS + 5), 0),
    ],
)
def test_only_what_is_held_counts_as_read(
    directory: Directory, window: tuple[int, int], read: int
) -> None:
    """A window is cut to the blocks there are before anything is read or counted."""
    first, last = window
    out = np.full((1, last - first + 1), np.nan)
    deadline = Deadline(None)
    rows = np.arange(3)
    fold(ADD, directory, rows, np.zeros(3, np.int64), window, out, deadline)
    assert deadline.read_datapoints == 3 * read
    assert int((~np.isnan(out)).sum()) <= read
