"""The plotting area in pixels: where times and shares of a scale lie in it."""

from typing import Final

import msgspec
import numpy as np

from breakwater.render.chart import Times, Values
from breakwater.render.plot.model import Plot


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """The plotting area and the time it shows.

    is_stepped: datapoints are so wide that each is drawn as a step.
    """

    left: float
    right: float
    top: float
    bottom: float
    start_ms: int
    end_ms: int
    is_stepped: bool

    @property
    def width(self) -> float:
        """Pixels across."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """Pixels down."""
        return self.bottom - self.top

    def x(self, at_ms: float) -> float:
        """Pixels from the left of the picture."""
        return self.left + (at_ms - self.start_ms) / (self.end_ms - self.start_ms) * self.width

    def y(self, shares: Values) -> Values:
        """Pixels from the top of the picture; kept near the area, whatever the shares are."""
        return self.bottom - np.clip(shares, -4.0, 5.0) * self.height


class Intervals(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The datapoints across the area: each covers `begins` to `ends`, in pixels."""

    begins: Values
    ends: Values

    @property
    def count(self) -> int:
        """How many there are."""
        return int(self.begins.size)


_STEP_FROM: Final = 8.0


def are_steps(plot: Plot) -> bool:
    """Whether the datapoints are wide enough to be drawn as steps where lines leave it open."""
    is_open = any(line.is_stepped is None for axis in plot.axes for line in axis.lines)
    return is_open and plot.step_ms > 0 and plot.times_ms.size * _STEP_FROM <= plot.width


def has_intervals(plot: Plot) -> bool:
    """Whether something is drawn that fills whole intervals, however narrow they are."""
    styles = {line.style for axis in plot.axes for line in axis.lines}
    return not styles.isdisjoint({"heatmap", "vspan"})


def time_ends(times_ms: Times, step_ms: int, *, from_begin: bool = True) -> tuple[int, int]:
    """Where the first interval begins and the last one ends.

    from_begin: else the first stamp is where the area begins, so that lines begin at its edge.
    """
    if not times_ms.size:
        return 0, max(step_ms, 1)
    start, end = int(times_ms[0]) - (step_ms if from_begin else 0), int(times_ms[-1])
    return (start, end) if end > start else (start - 500, end + 500)


def intervals(times_ms: Times, step_ms: int, frame: Frame) -> Intervals:
    """Where the datapoints lie; none reaches back over the one before it."""
    per_ms = frame.width / (frame.end_ms - frame.start_ms)
    ends: Values = frame.left + (times_ms - frame.start_ms).astype(np.float64) * per_ms
    begins: Values = ends - step_ms * per_ms
    begins[1:] = np.maximum(begins[1:], ends[:-1])
    return Intervals(begins=np.maximum(begins, frame.left), ends=ends)
