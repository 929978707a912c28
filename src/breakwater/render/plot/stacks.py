"""Lines on top of each other: what is positive upwards from zero, what is negative downwards."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from breakwater.render.plot.axes import line_values, stack_ends
from breakwater.render.plot.model import PlotLine
from breakwater.render.plot.scales import ValueScale
from breakwater.render.plot.strokes import Pen, runs


def bands(
    lines: Sequence[PlotLine], scale: ValueScale, pen: Pen
) -> Iterator[tuple[PlotLine, str, str]]:
    """For each stacked line, in order: the line, its band to fill, and the edge to stroke.

    A missing value adds nothing and leaves a hole in its own band only. Where columns of
    pixels are thinned, all bands keep the times at which the whole is highest and lowest.
    """
    if not lines:
        return
    at = pen.chosen(scale.shares(np.sum(stack_ends(list(lines)), axis=0)))
    tops = {sign: np.zeros(at.size) for sign in (1.0, -1.0)}
    for line in lines:
        values = line_values(line)[at]
        fill: list[str] = []
        edge: list[str] = []
        for sign, below in tops.items():
            part = np.maximum(sign * values, 0.0)
            if not np.any(part > 0) and (sign < 0 or not np.any(values == 0)):
                continue
            above = below + np.nan_to_num(part)
            tops[sign] = above
            present = part > 0 if sign < 0 else np.isfinite(part)
            if not pen.is_stepped:
                present = _widened(present)
            lower, upper = (pen.down(scale.shares(sign * level)) for level in (below, above))
            for start, stop in runs(present):
                path = pen.path(at[start:stop], upper[start:stop], are_steps=pen.is_stepped)
                fill.append(path + pen.backwards(at[start:stop], lower[start:stop]))
                edge.append(path)
        yield line, "".join(fill), "".join(edge)


def _widened(present: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """One datapoint more at each end, so that a band begins and ends at no height."""
    wide = present.copy()
    wide[1:] |= present[:-1]
    wide[:-1] |= present[1:]
    return wide
