"""A sink that keeps what it is given, for the tests of the intake."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from breakwater.model import LimitExceededError, canonical


class Found(NamedTuple):
    """Handles, and why some are missing."""

    handles: NDArray[np.int64]
    error: LimitExceededError | None


class MemorySink:
    """Keeps datapoints by canonical tags and timestamp; can run full and retire its series."""

    def __init__(self, step_ms: int = 1000) -> None:
        self.step_ms = step_ms
        self.capacity = 1_000_000
        self.points: dict[tuple[str, int], float] = {}
        self.completed: list[int] = []
        self.recorded: list[tuple[str, int, float]] = []
        self.reach = (-(1 << 62), 1 << 62)
        self._handles: dict[str, int] = {}
        self._names: dict[int, str] = {}

    def resolve(self, tags: Mapping[str, str]) -> int:
        """A handle, one for each tag map."""
        name = canonical(tags)
        if name not in self._handles:
            if len(self._handles) >= self.capacity:
                raise LimitExceededError(f"full: {self.capacity}")
            handle = len(self._names)
            self._handles[name] = handle
            self._names[handle] = name
        return self._handles[name]

    def resolve_all(self, tags: Sequence[Mapping[str, str]]) -> Found:
        """A handle for each, -1 when full."""
        error = None
        handles = []
        for each in tags:
            try:
                handles.append(self.resolve(each))
            except LimitExceededError as full:
                handles.append(-1)
                error = full
        return Found(np.array(handles, dtype=np.int64), error)

    def resolve_table(self, pairs: Sequence[tuple[str, str]], lines: NDArray[np.int32]) -> Found:
        """The same, for a table of places in `pairs`."""
        return self.resolve_all(
            [dict(pairs[place] for place in line if place >= 0) for line in lines.tolist()]
        )

    def retire_all(self) -> None:
        """Make every handle that was given out stale."""
        self._handles.clear()

    def write(
        self,
        handles: NDArray[np.int64],
        timestamps_ms: NDArray[np.int64] | int,
        values: NDArray[np.float64],
    ) -> NDArray[np.intp]:
        """Keep values of fresh handles."""
        stamps = np.broadcast_to(np.asarray(timestamps_ms), handles.shape)
        stale = []
        for position, (handle, stamp, value) in enumerate(
            zip(handles, stamps, values, strict=True)
        ):
            name = self._names[int(handle)]
            if self._handles.get(name) != handle:
                stale.append(position)
            else:
                self.points[name, int(stamp)] = float(value)
        return np.array(stale, dtype=np.intp)

    def record(
        self,
        handles: NDArray[np.int64],
        timestamps_ms: NDArray[np.int64],
        values: NDArray[np.float64],
    ) -> NDArray[np.intp]:
        """Keep updates as if they were datapoints, and that they came as updates."""
        columns = zip(handles.tolist(), timestamps_ms.tolist(), values.tolist(), strict=True)
        self.recorded += [(self._names[handle], stamp, value) for handle, stamp, value in columns]
        return self.write(handles, timestamps_ms, values)

    def reach_ms(self, _newest_ms: int) -> tuple[int, int]:
        """Any stamp within `reach`."""
        return self.reach

    def complete(self, timestamp_ms: int) -> None:
        """Keep the stamp."""
        self.completed.append(timestamp_ms)

    def of(self, **tags: str) -> dict[int, float]:
        """Values by timestamp of the series with exactly these tags (`_` stands for `.`)."""
        name = canonical({key.replace("_", "."): value for key, value in tags.items()})
        return {stamp: value for (series, stamp), value in self.points.items() if series == name}
