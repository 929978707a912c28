"""The loop over updates, compiled by numba: from any stamp to datapoints of the step grid.

One pass turns updates of every kind of meter, of any number of series in any order, into what is
to be stored, and moves on where each series stands. The arithmetic is that of
`breakwater.model.normalization`, operation by operation, so that the numbers are the same to the
last bit, with these rules added:

- Values that are none, infinite ones, and stamps ahead of the clock leave everything as it is.
- What comes late is settled too, and the store takes it as far back as it takes writes. A gauge
  or a sum joins its slot as it would have in time, so order makes no difference; a rate on the
  grid fills its slot if that is empty, and so does what a first value says of the step before.
  A late rate off the grid settles nothing, as its steps were settled without it, nor does a late
  total, whose growth is in the rate between those around it.
- A rolled-up series keeps nothing of its sources, so a rate counts for one step, and totals come
  by handles that are lent, each with a memory of its own.

Everywhere: `out` int64 [3, room] takes handle, slot and op of each datapoint, `settled` float64
[room] its value; `counts` is indexed by `outcomes`. Numba has no keyword-only arguments, and
counts references to arrays in a tuple at every call, hence the many arguments of all but `settle`.
"""
# ruff: noqa: PLR0913, PLR0917 - see above

import numpy as np
from numpy.typing import NDArray

from breakwater.compiled import inlined, loop
from breakwater.metrics.normalize.outcomes import (
    AHEAD,
    COUNTS,
    DUPLICATE,
    FREE,
    INFINITE,
    LATE,
    MOVED,
    NO_SOURCE,
    NO_VALUE,
    PASSED_OVER,
    PAUSE,
    RESET,
    SETTLED,
    STALE,
)
from breakwater.metrics.normalize.standing import COUNTER_MS, EXTRAS, PARTIAL, TOTAL
from breakwater.metrics.normalize.standings import (
    GENERATION,
    LAST_MS,
    LENT_BIT,
    LENT_GENERATIONS,
    ROLLED,
    TARGET,
)
from breakwater.metrics.series.kinds import ADD, COUNTER, FILL, GAUGE, MAXIMUM, RATE, REPLACE
from breakwater.metrics.series.rows import ROW_BITS, ROW_MASK

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_OPS = np.array([REPLACE, REPLACE, MAXIMUM, ADD, MAXIMUM])
"""How a value joins its slot, by kind of meter."""


@loop
def _emit(
    out: Ints, settled: Floats, counts: Ints, handle: int, slot: int, value: float, op: int
) -> None:
    """Have a datapoint stored."""
    if value - value != 0.0:  # two great values made an infinite one
        counts[INFINITE] += 1
        return
    n = counts[SETTLED]
    out[0, n] = handle
    out[1, n] = slot
    out[2, n] = op
    settled[n] = value
    counts[SETTLED] = n + 1


@loop
def _begin(
    out: Ints,
    settled: Floats,
    counts: Ints,
    handle: int,
    stamp: int,
    value: float,
    step: int,
    op: int,
) -> float:
    """The first rate in a long time; returns its share of the step it is in."""
    slot = stamp // step
    into = stamp - slot * step
    if not into:
        _emit(out, settled, counts, handle, slot, value, op)
        return 0.0
    _emit(out, settled, counts, handle, slot, value * ((step - into) / step), op)
    return value * (into / step)


@loop
def _go_on(
    out: Ints,
    settled: Floats,
    counts: Ints,
    handle: int,
    last: int,
    partial: float,
    stamp: int,
    value: float,
    step: int,
    op: int,
) -> float:
    """A rate that holds since `last`; returns the sum of the step it is in."""
    slot, end_slot = stamp // step, last // step + 1
    into = stamp - slot * step
    if end_slot > slot:
        return partial + value * ((stamp - last) / step)
    last_into = last - (end_slot - 1) * step
    first = partial + value * ((step - last_into) / step)
    _emit(out, settled, counts, handle, end_slot, first, op)
    while end_slot < slot:
        end_slot += 1
        _emit(out, settled, counts, handle, end_slot, value, op)
    return value * (into / step) if into else 0.0


@loop
def _rate(
    out: Ints,
    settled: Floats,
    counts: Ints,
    handle: int,
    last: int,
    partial: float,
    stamp: int,
    value: float,
    step: int,
    heartbeat: int,
    is_shared: bool,  # noqa: FBT001 - as above
) -> float:
    """A rate that moves on; returns the sum of the step it is in."""
    if last and stamp - last > heartbeat:
        counts[PAUSE] += 1
        last = 0
    if last:
        op = ADD if is_shared else REPLACE
        return _go_on(out, settled, counts, handle, last, partial, stamp, value, step, op)
    op = ADD if is_shared else FILL
    return _begin(out, settled, counts, handle, stamp, value, step, op)


@loop
def _stay(
    out: Ints,
    settled: Floats,
    counts: Ints,
    handle: int,
    kind: int,
    last: int,
    stamp: int,
    value: float,
    step: int,
) -> None:
    """An update that does not move on: said again, or a whole step that came late."""
    if stamp == last:
        counts[DUPLICATE] += 1
    elif kind == RATE and stamp % step == 0:
        counts[LATE] += 1
        _emit(out, settled, counts, handle, stamp // step, value, FILL)
    else:
        counts[PASSED_OVER] += 1


@loop
def _growth(counts: Ints, former_ms: int, former: float, stamp: int, value: float) -> float:
    """Growth a second of a total that was `former`; 0 when it fell."""
    growth = value - former
    seconds = (stamp - former_ms) / 1000.0
    if seconds <= 0.0:
        return 0.0
    counts[RESET] += growth < 0.0
    return growth / seconds if growth > 0.0 else 0.0


@loop
def _remember(
    out: Ints,
    settled: Floats,
    counts: Ints,
    memory: Floats,
    handle: int,
    kind: int,
    last: int,
    stamp: int,
    value: float,
    step: int,
    heartbeat: int,
    is_shared: bool,  # noqa: FBT001 - as above
) -> int:
    """A total, or a rate off the grid, of a series that got to `last`; returns where it is now."""
    if kind == COUNTER:
        former_ms, former = int(memory[COUNTER_MS]), memory[TOTAL]
        memory[COUNTER_MS] = stamp
        memory[TOTAL] = value
        if not former_ms:
            return last
        value = _growth(counts, former_ms, former, stamp, value)
    if stamp <= last:
        _stay(out, settled, counts, handle, kind, last, stamp, value, step)
        return last
    memory[PARTIAL] = _rate(
        out,
        settled,
        counts,
        handle,
        last,
        memory[PARTIAL],
        stamp,
        value,
        step,
        heartbeat,
        is_shared,
    )
    return stamp


@loop
def _fold(
    out: Ints,
    settled: Floats,
    counts: Ints,
    handle: int,
    kind: int,
    newest_ms: int,
    slot: int,
    value: float,
    step: int,
) -> int:
    """A gauge or a sum: its slot holds what came before; returns the newest step's end."""
    counts[LATE] += slot * step < newest_ms - step
    _emit(out, settled, counts, handle, slot, value, _OPS[kind])
    return max(newest_ms, slot * step)


@loop
def _roll_up(
    out: Ints,
    settled: Floats,
    counts: Ints,
    lent: Floats,
    source: int,
    handle: int,
    kind: int,
    stamp: int,
    value: float,
    step: int,
    heartbeat: int,
) -> None:
    """An update of one of many sources of a series, which keeps nothing of them.

    source: the handle it came by, a lent one or that of the series.
    """
    if kind >= GAUGE:
        _fold(out, settled, counts, handle, kind, 0, (stamp - 1) // step + 1, value, step)
    elif kind == RATE:
        share = _begin(out, settled, counts, handle, stamp, value, step, ADD)
        if stamp % step:
            _emit(out, settled, counts, handle, stamp // step + 1, share, ADD)
    elif source == handle:
        counts[NO_SOURCE] += 1
    else:
        memory = lent[source & ROW_MASK]
        last = int(memory[LAST_MS])
        memory[LAST_MS] = _remember(
            out, settled, counts, memory, handle, kind, last, stamp, value, step, heartbeat, True
        )


@loop
def _target(handle: int, lent_for: Ints) -> int:
    """The handle of the series behind a lent one; -1 when it was lent to another since."""
    source, generation = handle & ROW_MASK, (handle >> ROW_BITS) % LENT_GENERATIONS
    if source >= len(lent_for) or lent_for[source, GENERATION] != generation:
        return -1
    return int(lent_for[source, TARGET])


@loop
def _take_place(row: int, places: NDArray[np.int32], free: NDArray[np.int32], counts: Ints) -> int:
    """A place for more than a stamp, for a row that has none; there must be one."""
    counts[FREE] -= 1
    places[row] = free[counts[FREE]]
    return int(places[row])


@loop
def _is_refused(counts: Ints, stamp: int, value: float, furthest_ms: int) -> bool:
    """Whether an update has no place in time or no finite value; counts why."""
    if stamp > furthest_ms:
        counts[AHEAD] += 1
    elif stamp <= 0:
        counts[PASSED_OVER] += 1
    elif value - value == 0.0:
        return False
    else:
        counts[INFINITE if value == value else NO_VALUE] += 1  # noqa: PLR0124 - false for NaN
    return True


@inlined
def _keep(
    out: Ints,
    settled: Floats,
    counts: Ints,
    handle: int,
    kind: int,
    last: int,
    stamp: int,
    value: float,
    step: int,
    end: int,
) -> int:
    """An update whose series remembers no more than a stamp; returns where it is now."""
    if kind >= GAUGE:
        return _fold(out, settled, counts, handle, kind, last, end, value, step)
    if stamp > last:
        _rate(out, settled, counts, handle, last, 0.0, stamp, value, step, step, False)
        return stamp
    _stay(out, settled, counts, handle, kind, last, stamp, value, step)
    return last


@loop
def settle(
    start: int,
    updates: tuple[Ints, Ints, Floats],
    rows: tuple[NDArray[np.int32], NDArray[np.uint8], Ints, NDArray[np.int32]],
    memories: tuple[Floats, NDArray[np.int32], Floats, Ints],
    results: tuple[Ints, Floats, Ints],
    counts: Ints,
    limits: tuple[int, int, int, int],
) -> int:
    """Take updates from `start` on, 6 ns each on the grid; returns the first it had no room for.

    updates: handles, stamps, values. rows: generations, kinds, last_ms, places by row. memories:
    extras, free, lent, lent_for, as in `Standings`. results: out, settled, and rows whose standing
    the datapoints do not tell. limits: the step; how long the rate of a total holds, that of a
    rate being a step; stamps beyond it are ahead of the clock; most datapoints of one update.
    """
    handles, stamps, values = updates
    generations, kinds, last_ms, places = rows
    extras, free, lent, lent_for = memories
    out, settled, moved = results
    step, counter_ms, furthest_ms, most = limits
    known = slot = end = 0  # the last stamp; many come in a row
    for i in range(start, handles.size):
        if counts[SETTLED] > settled.size - most or not counts[FREE]:
            return i
        handle, stamp, value = handles[i], stamps[i], values[i]
        if (handle >> LENT_BIT) & 1:
            handle = _target(handle, lent_for)
        row = handle & ROW_MASK
        if row >= generations.size or generations[row] != handle >> ROW_BITS:
            counts[STALE] += 1
            continue
        kind, place, last = kinds[row], places[row], last_ms[row]
        if stamp != known:
            known, slot = stamp, stamp // step
            end = slot + (stamp > slot * step)
        is_next = slot == end and last == stamp - step and place == 0 and last > 0
        if is_next and stamp <= furthest_ms and kind != COUNTER and value - value == 0.0:
            _emit(out, settled, counts, handle, slot, value, _OPS[kind])
            last_ms[row] = stamp
        elif _is_refused(counts, stamp, value, furthest_ms):
            continue
        elif place == ROLLED:
            _roll_up(
                out, settled, counts, lent, handles[i], handle, kind, stamp, value, step, counter_ms
            )  # fmt: skip
        elif kind >= GAUGE or (place == 0 and kind == RATE and slot == end):
            last_ms[row] = _keep(out, settled, counts, handle, kind, last, stamp, value, step, end)
        else:
            place = place or _take_place(row, places, free, counts)
            beat = step if kind == RATE else counter_ms
            last_ms[row] = _remember(
                out, settled, counts, extras[place],
                handle, kind, last, stamp, value, step, beat, False,
            )  # fmt: skip
            moved[counts[MOVED]] = row
            counts[MOVED] += kind == COUNTER or last_ms[row] > last
    return handles.size


def warm_up() -> None:
    """Compile the loop, or load it from the cache."""
    none, no_values = np.empty(0, dtype=np.int64), np.empty(0)
    one = np.zeros(1, dtype=np.int32)
    lent_for = np.zeros((1, GENERATION + 1), dtype=np.int64)
    settle(
        0,
        (none, none, no_values),
        (one, np.zeros(1, dtype=np.uint8), none, one),
        (np.zeros((1, EXTRAS)), one, np.zeros((1, LAST_MS + 1)), lent_for),
        (np.zeros((3, 1), dtype=np.int64), no_values, none),
        np.zeros(COUNTS, dtype=np.int64),
        (1, 1, 1, 1),
    )
