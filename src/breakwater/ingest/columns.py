"""Datapoints as columns over the bytes they came in: what every decoder gives to the intake."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray


class Columns(NamedTuple):
    """Datapoints of one payload; `text[begin:end]` spells the series of each.

    text: uint8. spans: int64 [n, 2], begin and end. stamps: int64 [n], ms. values: float64 [n].
    How a series is spelled is the business of the format; equal bytes are the same series.
    """

    text: NDArray[np.uint8]
    spans: NDArray[np.int64]
    stamps: NDArray[np.int64]
    values: NDArray[np.float64]

    def part(self, chosen: slice | NDArray[np.intp]) -> Self:
        """Some of the datapoints, over the same text."""
        return self._replace(
            spans=self.spans[chosen], stamps=self.stamps[chosen], values=self.values[chosen]
        )

    def parts(self, size: int) -> Iterator[Self]:
        """All of them, `size` at a time."""
        for start in range(0, len(self.stamps), size):
            yield self.part(slice(start, start + size))

    def spelling(self, position: int) -> bytes:
        """The bytes that spell the series of one datapoint."""
        begin, end = self.spans[position].tolist()
        return self.text[begin:end].tobytes()


def columns_over(
    raws: Sequence[bytes], stamps: NDArray[np.int64], values: NDArray[np.float64]
) -> Columns:
    """Columns of datapoints whose series are spelled in separate pieces."""
    ends = np.cumsum([len(raw) for raw in raws], dtype=np.int64)
    spans = np.column_stack([ends - np.diff(ends, prepend=0), ends])
    return Columns(np.frombuffer(b"".join(raws), dtype=np.uint8), spans, stamps, values)
