"""Chunks: how the archive cuts time, and what the file of each chunk is called.

A chunk is an hour of a class whose step is at most a minute, six hours of one up to six minutes,
else a day; so it has 60 to 3600 steps, or as many as a day has. It is aligned to the epoch and
holds the intervals that end after its start and up to its end.
"""

import re
from datetime import UTC, datetime
from typing import Final

import msgspec

_HOUR_MS: Final = 3_600_000
_NAME: Final = re.compile(
    r"([a-z][a-z0-9-]{0,31})/(\d{1,12})ms/(\d{4}-\d{2}-\d{2})/(\d{2})h\.parquet"
)


class Chunk(msgspec.Struct, frozen=True, order=True):
    """One stretch of one class: intervals after start_ms, `slots` of them."""

    name: str
    step_ms: int
    start_ms: int

    @property
    def slots(self) -> int:
        """Datapoints of each series."""
        return chunk_ms(self.step_ms) // self.step_ms

    @property
    def end_ms(self) -> int:
        """The stamp of the last datapoint."""
        return self.start_ms + chunk_ms(self.step_ms)

    @property
    def first_slot(self) -> int:
        """The grid point of the first datapoint: its stamp divided by the step."""
        return self.start_ms // self.step_ms + 1

    @property
    def path(self) -> str:
        """Where its file is, below the root of the archive."""
        start = datetime.fromtimestamp(self.start_ms / 1000, UTC)
        return f"{self.name}/{self.step_ms}ms/{start:%Y-%m-%d}/{start:%H}h.parquet"


def chunk_ms(step_ms: int) -> int:
    """How long the chunks of a step are; a multiple of it."""
    for hours, longest_ms in ((1, 60_000), (6, 360_000), (24, 24 * _HOUR_MS)):
        if step_ms <= longest_ms and hours * _HOUR_MS % step_ms == 0:
            return hours * _HOUR_MS
    return step_ms


def chunk_at(name: str, step_ms: int, time_ms: int) -> Chunk:
    """The chunk that holds the interval that begins at a time."""
    length = chunk_ms(step_ms)
    return Chunk(name, step_ms, time_ms // length * length)


def chunk_of(path: str) -> Chunk | None:
    """The chunk a path stands for; None when it is not a path of ours."""
    match = _NAME.fullmatch(path)
    if match is None:
        return None
    step_ms = int(match[2])
    try:
        start = datetime.strptime(f"{match[3]}T{match[4]}+0000", "%Y-%m-%dT%H%z")
    except ValueError:
        return None
    start_ms = int(start.timestamp()) * 1000
    is_aligned = step_ms > 0 and start_ms % chunk_ms(step_ms) == 0
    return Chunk(match[1], step_ms, start_ms) if is_aligned else None
