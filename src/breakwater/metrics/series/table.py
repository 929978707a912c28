"""Tags of many series as a table: how they come in, and what the log is told of new ones."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

Idents = NDArray[np.int32]

_SPARSE = 16


class SeriesTable(NamedTuple):
    """New series as the log names them: serials from `first_serial` on, in the order of `lines`.

    lines: int32 [n, most tags of one], places in `pairs`, then -1.
    """

    first_serial: int
    last_slot: int
    pairs: Sequence[tuple[str, str]]
    lines: Idents


class TagTable(NamedTuple):
    """Tags of many series, each pair once: lines [n, width] of places in `pairs`, then -1.

    `pairs` may have more than are asked for.
    """

    pairs: Sequence[tuple[str, str]]
    lines: Idents

    def part(self, chosen: NDArray[np.intp]) -> Self:
        """Some of the series."""
        return self._replace(lines=self.lines[chosen])

    def tallies(self, keys: Sequence[str]) -> list[dict[str, int]]:
        """For each key, how many of the series carry each value of it."""
        carried = np.bincount(self.lines[self.lines >= 0])
        places = np.flatnonzero(carried)
        counts = carried[places]
        found: dict[str, dict[str, int]] = {key: {} for key in keys}
        for place, count in zip(places.tolist(), counts.tolist(), strict=True):
            key, value = self.pairs[place]
            if key in found:
                found[key][value] = found[key].get(value, 0) + count
        return list(found.values())

    def tags(self) -> list[Mapping[str, str]]:
        """The tags of each series."""
        pairs = self.pairs
        return [dict(pairs[at] for at in line if at >= 0) for line in self.lines.tolist()]


def distinct(idents: Idents, size: int) -> Idents:
    """The numbers from 0 up to `size` that occur, ascending; int32."""
    if size > _SPARSE * idents.size:
        found = np.unique(idents)
        return found[found >= 0]
    occurs = np.zeros(size + 1, dtype=np.bool_)  # the last one stands for -1
    occurs[idents] = True
    return np.flatnonzero(occurs[:-1]).astype(np.int32)
