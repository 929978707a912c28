"""Where datapoints go: what this room asks of a store, and what the store may answer."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Handles = NDArray[np.int64]
Values = NDArray[np.float64]


class Sink(Protocol):
    """A store of datapoints on a step grid.

    A series is resolved to a handle once; after that only columns of handles and values travel.
    """

    @property
    def step_ms(self) -> int:
        """Distance of two datapoints of one series."""
        ...

    def resolve(self, tags: Mapping[str, str]) -> int:
        """Handle of the series with these tags, which must be valid; a new series is made.

        Raises LimitExceededError when there is no room for another series.
        """
        ...

    def write(
        self, handles: Handles, timestamps_ms: Handles | int, values: Values
    ) -> NDArray[np.intp]:
        """Store a column of values; a datapoint stamped t covers (t - step, t].

        Returns the positions whose handle is no longer valid, because the series was retired
        after it was resolved: those datapoints were not stored; resolve and write them again.
        """
        ...

    def reach_ms(self, newest_ms: int) -> tuple[int, int]:
        """The oldest and the newest stamp that would be stored now beside one of `newest_ms`."""
        ...

    def complete(self, timestamp_ms: int) -> None:
        """Take note that every datapoint up to `timestamp_ms` that will come by lines is in."""
        ...


class Durability(Protocol):
    """Whether what a sink was given would survive a restart."""

    def check_durable(self) -> None:
        """Raise UnavailableError, saying why, when what is written now would not survive."""
        ...

    async def wait_durable(self) -> None:
        """Return once everything written so far would survive; raises UnavailableError if not."""
        ...
