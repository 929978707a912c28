"""The terms of one query: its time, whether it is still wanted, what it has read so far."""

import time
from typing import Final

from breakwater.metrics.errors import QueryCancelledError, QueryTimeoutError

_MOST_NOTICES: Final = 20


class Deadline:
    """When a query has to be done; checked between blocks and between parts of a program.

    `cancel` may be called from another thread. `read_datapoints` is what the query has read so
    far, of `estimated` datapoints in all when that is known; both are told in the messages.
    `read_series`, `fetched_lines` and `fetched_points` say what its data expressions came to.
    `notices` are remarks for whoever asked, such as a step that was rounded up.
    """

    def __init__(self, seconds: float | None, *, estimated: int = 0) -> None:
        self._seconds = seconds
        self._end_s = None if seconds is None else time.monotonic() + seconds
        self._cancelled_for = ""
        self.estimated = estimated
        self.read_datapoints = 0
        self.read_series = self.fetched_lines = self.fetched_points = 0
        self.notices: list[str] = []

    def check(self) -> None:
        """Raise QueryTimeoutError when it has passed, QueryCancelledError after `cancel`."""
        if self._cancelled_for:
            raise QueryCancelledError(
                f"the query was cancelled: {self._cancelled_for}; {self._progress()}"
            )
        if self._end_s is not None and time.monotonic() > self._end_s:
            raise QueryTimeoutError(
                f"the query took longer than {self._seconds:g} s (metrics.query_timeout_s); "
                f"{self._progress()}; narrow it or its window"
            )

    def cancel(self, reason: str) -> None:
        """Make the next `check` raise; for whoever learns that nobody waits for the answer."""
        self._cancelled_for = reason

    def restart(self) -> None:
        """Give the next piece of the same query as much time again."""
        if self._seconds is not None:
            self._end_s = time.monotonic() + self._seconds

    def count(self, datapoints: int) -> None:
        """Take note that so many stored datapoints were read."""
        self.read_datapoints += datapoints

    def fetched(self, series: int, lines: int, points: int) -> None:
        """Take note that so many series were read, and folded into lines of so many points."""
        self.read_series += series
        self.fetched_lines += lines
        self.fetched_points += points

    def notice(self, text: str) -> None:
        """Leave a remark for whoever asked; the same one is kept once, and not too many."""
        if text not in self.notices and len(self.notices) < _MOST_NOTICES:
            self.notices.append(text)

    def _progress(self) -> str:
        of = f" of about {self.estimated}" if self.estimated else ""
        return f"{self.read_datapoints}{of} datapoints were read"
