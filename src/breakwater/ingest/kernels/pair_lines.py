"""The tags of series as lines of numbers, one number a pair, judged while they are laid down."""

import numpy as np
from numpy.typing import NDArray

from breakwater.compiled import loop
from breakwater.ingest.marks import NAME, ODD, USER


@loop
def lay_lines(  # noqa: PLR0917 - numba has no keyword-only arguments
    places: NDArray[np.int64],
    spans: NDArray[np.int64],
    more: NDArray[np.int64],
    keys: NDArray[np.int32],
    marks: NDArray[np.uint8],
    most_user: int,
    lines: NDArray[np.int32],
    found: NDArray[np.uint8],
) -> None:
    """Lay the places of each series' pairs side by side, and join what their marks say.

    places: of all pairs, those of series n from spans[n, 0] to spans[n, 1], both below 0 for a
    series that is not known to be one; `more` are pairs that all series have. keys and marks by
    place. lines [n, width] must be wide enough and is filled up with -1. found [n]: all marks of
    the pairs, and ODD too when a key comes twice, there is no NAME, there are more than `most_user`
    of USER, or it is no series. About 30 ns a series of eight pairs.
    """
    for n in range(spans.shape[0]):
        own = spans[n, 1] - spans[n, 0]
        count = own + more.size
        users, seen = 0, 0
        for i in range(count):
            place = places[spans[n, 0] + i] if i < own else more[i - own]
            mark = int(marks[place])
            seen |= mark
            users += mark & USER
            for j in range(i):
                if keys[lines[n, j]] == keys[place]:
                    seen |= ODD
            lines[n, i] = place
        for i in range(count, lines.shape[1]):
            lines[n, i] = -1
        if users > most_user or not seen & NAME or spans[n, 0] < 0:
            seen |= ODD
        found[n] = seen
