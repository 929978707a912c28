"""From the values of one line to path data.

Long lines are thinned to the lowest and the highest value of each column of pixels, so that no
spike is lost and the cost of drawing depends on the picture, not on the data. A thousand lines
of 180 points take about 0.15 s.
"""

from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from breakwater.render.chart import Values
from breakwater.render.plot.frame import Frame, Intervals

Places = npt.NDArray[np.int64]

_MOST_POINTS: Final = 250_000
_FEWEST_COLUMNS: Final = 60


class Stroke(msgspec.Struct, frozen=True, kw_only=True):
    """Path data of one line: `line` is stroked, `fill` is filled (empty unless asked for)."""

    line: str
    fill: str


class Pen:
    """Writes path data for all lines of one picture, which share their times.

    Coordinates are kept in tenths of a pixel; the text of each is made once.
    """

    def __init__(self, frame: Frame, across: Intervals, *, lines: int) -> None:
        self._frame = frame
        self._per = _datapoints_per_column(across.count, frame.width, lines)
        self.is_stepped = frame.is_stepped and self._per == 1
        self._begins = [_text(value) for value in _tenths(across.begins).tolist()]
        self._ends = [_text(value) for value in _tenths(across.ends).tolist()]
        self._down = [_text(value) for value in range(_tenth(frame.bottom) + 11)]

    def stroke(
        self, shares: Values, *, floor: float | None = None, is_stepped: bool | None = None
    ) -> Stroke:
        """The path of a line; floor: the pixel down to which the area below is filled."""
        are_steps = self.is_stepped if is_stepped is None else is_stepped and self._per == 1
        at = self.chosen(shares)
        down = _tenths(self._frame.y(shares[at]))
        ground = None if floor is None else _text(_tenth(floor))
        line: list[str] = []
        fill: list[str] = []
        for start, stop in runs(np.isfinite(shares[at])):
            path = self.path(at[start:stop], down[start:stop], are_steps=are_steps)
            line.append(path)
            if ground is not None:
                fill.append(f"{path}V{ground}H{path[1 : path.index(' ')]}Z")
        return Stroke(line="".join(line), fill="".join(fill))

    def chosen(self, shares: Values) -> Places:
        """Which datapoints of a line are drawn: all, or two for each column of pixels."""
        if self._per == 1:
            return np.arange(shares.size)
        return _extremes(shares, self._per)

    def path(self, at: Places, down: Places, *, are_steps: bool) -> str:
        """The path over the datapoints `at`, none missing, at `down` tenths of a pixel."""
        heights = self.heights(down)
        places = at.tolist()
        if are_steps or len(places) == 1:
            parts = [f"M{self._begins[places[0]]} {heights[0]}"]
            changes = (np.flatnonzero(np.diff(down)) + 1).tolist()
            parts += [f"H{self._begins[places[index]]}V{heights[index]}" for index in changes]
            parts.append(f"H{self._ends[places[-1]]}")
        else:
            flat = np.zeros(down.size, dtype=bool)
            flat[1:-1] = (down[1:-1] == down[:-2]) & (down[1:-1] == down[2:])
            kept = np.flatnonzero(~flat).tolist()
            points = [f"{self._ends[places[index]]} {heights[index]}" for index in kept]
            return f"M{'L'.join(points)}"
        if self._begins[places[0]] == self._ends[places[-1]]:
            parts.append("h0.01")  # a lonely moment; round caps make a dot of it
        return "".join(parts)

    def backwards(self, at: Places, down: Places) -> str:
        """The same path from its end to its beginning, to close a band."""
        heights = self.heights(down)
        places = at.tolist()
        parts = [f"L{self._ends[places[-1]]} {heights[-1]}"]
        if self.is_stepped or len(places) == 1:
            changes = (np.flatnonzero(np.diff(down)) + 1).tolist()[::-1]
            parts += [f"H{self._begins[places[index]]}V{heights[index - 1]}" for index in changes]
        else:
            steps = range(len(places) - 2, -1, -1)
            parts += [f"L{self._ends[places[index]]} {heights[index]}" for index in steps]
            return "".join(parts) + "Z"
        parts.append(f"H{self._begins[places[0]]}Z")
        return "".join(parts)

    def heights(self, down: Places) -> list[str]:
        """The texts of heights in tenths of a pixel."""
        if down.size and int(down.min()) >= 0 and int(down.max()) < len(self._down):
            return [self._down[value] for value in down.tolist()]
        return [_text(value) for value in down.tolist()]

    def down(self, shares: Values) -> Places:
        """Tenths of a pixel from the top; nonsense where a share is not finite."""
        return _tenths(self._frame.y(shares))


def runs(present: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and one past the last place of every unbroken stretch of True."""
    edges = np.flatnonzero(np.diff(present.astype(np.int8), prepend=0, append=0))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _datapoints_per_column(count: int, width: float, lines: int) -> int:
    columns = min(width, max(_MOST_POINTS / (2 * max(lines, 1)), _FEWEST_COLUMNS))
    fits = count * lines <= _MOST_POINTS and count <= 2 * width
    return 1 if fits or count <= 2 * columns else -(-count // int(columns))


def _extremes(shares: Values, per: int) -> Places:
    """The places of the lowest and the highest of every `per` values, in the order they came."""
    columns = -(-shares.size // per)
    padded = np.full(columns * per, np.nan)
    padded[: shares.size] = shares
    grid = padded.reshape(columns, per)
    missing = np.isnan(grid)
    low = np.where(missing, np.inf, grid).argmin(axis=1)
    high = np.where(missing, -np.inf, grid).argmax(axis=1)
    both = np.stack((np.minimum(low, high), np.maximum(low, high)), axis=1)
    places: Places = (both + per * np.arange(columns)[:, np.newaxis]).ravel()
    return places


def _tenths(pixels: Values) -> Places:
    tenths: Places = np.rint(10 * np.nan_to_num(pixels)).astype(np.int64)
    return tenths


def _tenth(pixels: float) -> int:
    return round(10 * pixels)


def _text(tenths: int) -> str:
    whole, rest = divmod(tenths, 10)
    if not rest:
        return str(whole)
    return f"{whole}.{rest}" if whole >= 0 else f"{tenths / 10:.1f}"
