"""A sink that keeps what it is given, for the tests of the intake."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from breakwater.model import LimitExceededError, canonical


class MemorySink:
    """Keeps datapoints by canonical tags and timestamp; can run full and retire its series."""

    def __init__(self, step_ms: int = 1000) -> None:
        self.step_ms = step_ms
        self.capacity = 1_000_000
        self.points: dict[tuple[str, int], float] = {}
        self.completed: list[int] = []
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
