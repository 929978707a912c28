"""The window of a query on the step grid."""

import msgspec

from breakwater.metrics.errors import InvalidTimeError, QueryLimitError
from breakwater.metrics.grid.steps import check_query_step


class Window(msgspec.Struct, frozen=True):
    """Points stamped first_ms, first_ms + step_ms, ...; point i covers one step before its stamp.

    Each point is made of `multiple` datapoints of the store's own step, `primary_ms`.
    """

    first_ms: int
    step_ms: int
    points: int
    primary_ms: int

    @property
    def multiple(self) -> int:
        """Stored datapoints in one point."""
        return self.step_ms // self.primary_ms

    @property
    def last_ms(self) -> int:
        """The last stamp."""
        return self.first_ms + (self.points - 1) * self.step_ms

    def stretch(self, start: int, points: int) -> "Window":
        """Part of the window: at most `points` points from the one numbered `start`."""
        first_ms = self.first_ms + start * self.step_ms
        return Window(first_ms, self.step_ms, min(points, self.points - start), self.primary_ms)

    def shifted(self, offset_ms: int) -> "Window":
        """The same window so much earlier, floored to the step so that its points are the same."""
        moved = (self.first_ms - offset_ms) // self.step_ms * self.step_ms
        return Window(moved, self.step_ms, self.points, self.primary_ms)

    def grid(self) -> tuple[int, int]:
        """First and last stored grid point, both included."""
        first = self.first_ms // self.primary_ms - self.multiple + 1
        return first, first + self.points * self.multiple - 1


def window(start_ms: int, end_ms: int, step_ms: int, primary_ms: int, *, max_points: int) -> Window:
    """The window (start, end] floored to the step; start == end gives the point at the end.

    Raises InvalidStepError, InvalidTimeError when the end is before the start, and
    QueryLimitError when one line alone would have more than `max_points`.
    """
    check_query_step(step_ms, primary_ms)
    if end_ms < start_ms:
        raise InvalidTimeError(f"end {end_ms} is before start {start_ms}")
    start, end = start_ms // step_ms * step_ms, end_ms // step_ms * step_ms
    points = max((end - start) // step_ms, 1)
    if points > max_points:
        raise QueryLimitError("points in a line", points, max_points)
    return Window(end - (points - 1) * step_ms, step_ms, points, primary_ms)
