"""Where datapoints go: what this room asks of a store, and what the store may answer."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from breakwater.model import LimitExceededError

Handles = NDArray[np.int64]
Values = NDArray[np.float64]
Lines = NDArray[np.int32]


class Resolved(Protocol):
    """What `Sink.resolve_all` found; a NamedTuple of these two fields is one.

    handles: int64 [n], -1 where there was no room for the series. error: why, None when all of
    them have a handle.
    """

    @property
    def handles(self) -> Handles:
        """The handle of each series that was asked for, or -1."""
        ...

    @property
    def error(self) -> LimitExceededError | None:
        """Why some have none."""
        ...


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

    def resolve_all(self, tags: Sequence[Mapping[str, str]]) -> Resolved:
        """Handles of many series at once, each with valid tags; new series are made.

        The same tags may come twice. A few microseconds a series: whoever must stay responsive
        asks for some thousands at a time. Never raises for want of room: see `Resolved.error`.
        """
        ...

    def resolve_table(self, pairs: Sequence[tuple[str, str]], lines: Lines) -> Resolved:
        """As `resolve_all`, for series whose tags come as a table, each pair once.

        lines: int32 [n, most tags of one], the places of a series' pairs, then -1; no key twice.
        `pairs` may have more than are asked for. About a microsecond a series.
        """
        ...

    def write(
        self, handles: Handles, timestamps_ms: Handles | int, values: Values
    ) -> NDArray[np.intp]:
        """Store a column of values; a datapoint stamped t covers (t - step, t].

        The last value written for a step counts; what kind of meter it came from is not asked.

        Returns the positions whose handle is no longer valid, because the series was retired
        after it was resolved: those datapoints were not stored; resolve and write them again.
        """
        ...

    def record(self, handles: Handles, timestamps_ms: Handles, values: Values) -> NDArray[np.intp]:
        """Take updates as they happened, at any stamp, and normalise them to the step grid.

        The tag `atlas.dstype` of each series says how: `rate` (the default) is spread over the
        steps it covers, `counter` is a running total, `gauge` and `max` keep the greatest value
        of a step, `sum` adds them up. Updates of one series come in the order of time; all three
        columns are equally long. Returns positions of handles that are no longer valid, as
        `write` does.
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
