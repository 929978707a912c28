"""The loops of the writer, compiled by numba: rows found by their tags, datapoints put in place.

`warm_up` pays for compilation before the first datapoint does. Only the writer runs them.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from breakwater.compiled import inlined, loop
from breakwater.metrics.series.kinds import ADD, FILL, MAXIMUM
from breakwater.metrics.series.rows import ROW_BITS, ROW_MASK

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Idents = NDArray[np.int32]

STORED: Final = 0
STALE: Final = 1
LATE: Final = 2
AHEAD: Final = 3
INFINITE: Final = 4
KEPT_OUT: Final = 5
"""Places in the counts of `fold_points`."""


@inlined
def _place_of(line: Idents, mask: int) -> Any:  # Any: a number of numba's own type
    """Where the search for a line of pair ids begins; every bit of each id has its part in it."""
    mixed = np.uint64(0x9E3779B97F4A7C15)
    for j in range(line.size):
        if line[j] < 0:
            break
        mixed ^= np.uint64(line[j])
        mixed *= np.uint64(0xFF51AFD7ED558CCD)
        mixed ^= mixed >> np.uint64(32)
    return np.int64(mixed & np.uint64(mask))


@loop
def enter_rows(lines: Idents, fresh: Ints, table: Idents, places: Idents, found: Ints) -> int:
    """Find the row of each line of pair ids; a line that has none takes the next of `fresh`.

    lines: [n, width of table], -1 where there is no id; each is sorted in place. found: [n], the
    row, or -1 when there is none and `fresh` is used up. Returns how many of `fresh` were taken.
    """
    mask = places.size - 1
    width = table.shape[1]
    used = 0
    for i in range(lines.shape[0]):
        line = lines[i]
        for j in range(1, width):
            ident = line[j]
            k = j
            while k > 0 and np.uint32(line[k - 1]) > np.uint32(ident):
                line[k] = line[k - 1]
                k -= 1
            line[k] = ident
        place = _place_of(line, mask)
        row = np.int64(places[place])
        while row >= 0:
            is_same = True
            for j in range(width):
                is_same &= table[row, j] == line[j]
            if is_same:
                break
            place = (place + 1) & mask
            row = np.int64(places[place])
        if row < 0 and used < fresh.size:
            row = fresh[used]
            used += 1
            table[row] = line
            places[place] = row
        found[i] = row
    return used


@loop
def place_rows(rows: Ints, table: Idents, places: Idents) -> None:
    """Enter rows whose lines are in the table already, and are all different."""
    mask = places.size - 1
    for i in range(rows.size):
        place = _place_of(table[rows[i]], mask)
        while places[place] >= 0:
            place = (place + 1) & mask
        places[place] = rows[i]


@loop
def forget_rows(rows: Ints, table: Idents, places: Idents) -> None:
    """Take rows out and clear their lines; what lay behind them moves up, so no gaps remain."""
    mask = places.size - 1
    for i in range(rows.size):
        gap = _place_of(table[rows[i]], mask)
        while places[gap] >= 0 and places[gap] != rows[i]:
            gap = (gap + 1) & mask
        if places[gap] < 0:
            continue
        place = gap
        while True:
            place = (place + 1) & mask
            row = np.int64(places[place])
            if row < 0:
                break
            wanted = _place_of(table[row], mask)
            if ((place - wanted) & mask) >= ((place - gap) & mask):
                places[gap] = row
                gap = place
        places[gap] = -1
        table[rows[i]] = -1


@inlined
def _joined(value: float, held: float, op: int) -> float:
    """What a slot holds after a value, NaN when it keeps what it has."""
    if np.isnan(held):
        return value
    if op == ADD:
        return held + value
    if op == MAXIMUM:
        return max(held, value)
    return np.nan if op == FILL else value


@loop
def fold_points(  # noqa: PLR0917 - numba has no keyword-only arguments
    points: tuple[Ints, Ints, Floats, Bytes],
    rows: tuple[Idents, Idents, Ints],
    blocks: tuple[Floats, Floats],
    bounds: tuple[int, int],
    put: tuple[Ints, Floats],
    outcome: tuple[Ints, Ints],
) -> None:
    """Put datapoints into the two blocks that take writes, in the order given.

    points: handles, slots, values, and ops, one for each or one for all. rows: generation, last,
    serial by row. blocks: data of the block before the newest, and of the newest. bounds: number
    of the newest block, furthest slot. put: filled with serials and slots [2, n] and values of
    what slots hold afterwards; may be empty, then nothing is filled. outcome: filled with
    positions of handles that stand for nothing any more, and how many datapoints were stored,
    stale, late, too far ahead, infinite, and kept out.
    """
    handles, slots, values, ops = points
    generation, last, serial = rows
    older, newer = blocks
    newest, furthest = bounds
    stale, counts = outcome
    width = newer.shape[1]
    first = newest * width
    is_recorded = put[1].size > 0
    counts[:] = 0
    stored = 0
    for i in range(handles.size):
        value = values[i]
        if np.isinf(value):
            counts[INFINITE] += 1
        row = handles[i] & ROW_MASK
        if row >= generation.size or np.int64(generation[row]) != handles[i] >> ROW_BITS:
            stale[counts[STALE]] = i
            counts[STALE] += 1
            continue
        column = slots[i] - first
        if not np.isfinite(value):
            continue
        if slots[i] > furthest:
            counts[AHEAD] += 1
            continue
        if column < -width:
            counts[LATE] += 1
            continue
        block, number = (newer, newest) if column >= 0 else (older, newest - 1)
        column += width * (newest - number)
        result = _joined(value, block[row, column], ops[i] if ops.size > 1 else ops[0])
        if not np.isfinite(result):
            counts[INFINITE if np.isinf(result) else KEPT_OUT] += 1
            continue
        block[row, column] = result
        last[row] = max(last[row], number)
        if is_recorded:
            put[0][0, stored] = serial[row]
            put[0][1, stored] = slots[i]
            put[1][stored] = result
        stored += 1
    counts[STORED] = stored


def warm_up() -> None:
    """Compile every loop, or load it from the cache."""
    none, row = np.empty(0, dtype=np.int64), np.zeros(1, dtype=np.int64)
    table, places = np.full((1, 2), -1, dtype=np.int32), np.full(2, -1, dtype=np.int32)
    enter_rows(np.zeros((1, 2), dtype=np.int32), row, table, places, np.zeros(1, dtype=np.int64))
    forget_rows(row, table, places)
    place_rows(none, table, places)
    state, data, op = np.zeros(1, dtype=np.int32), np.zeros((1, 1)), np.zeros(1, dtype=np.uint8)
    points, put = (none, none, np.empty(0), op), (np.empty((2, 0), dtype=np.int64), np.empty(0))
    counts = np.zeros(6, dtype=np.int64)
    rows = (state, state, np.zeros(1, dtype=np.int64))
    fold_points(points, rows, (data, data), (0, 0), put, (none, counts))
