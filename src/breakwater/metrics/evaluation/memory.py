"""What words with state remember of each line from one stretch of a window to the next."""

from collections.abc import Callable
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from breakwater.metrics.errors import QueryLimitError, QueryValueError
from breakwater.metrics.evaluation.whole import MOST_KEPT, LineKey, load_running, places
from breakwater.metrics.grid.window import Window
from breakwater.metrics.language.expressions import Expression
from breakwater.metrics.language.wrapped import Stateful

Array = NDArray[np.float64]
_NAN: Final = float("nan")


class Algorithm(msgspec.Struct, frozen=True):
    """How a word runs: the size of its ring, its first state, and its loop."""

    ring: int
    state: tuple[float, ...]
    run: Callable[[Array, Array, Array], None]


class _Kept:
    """The memory of one expression: a row for each line."""

    def __init__(self, ring: int, state: int) -> None:
        self.rows: dict[LineKey, int] = {}
        self.ring = np.empty((0, ring))
        self.state = np.empty((0, state))

    def fit(self, first: tuple[float, ...]) -> None:
        """Give lines that are new an empty ring and the first state."""
        fresh = len(self.rows) - len(self.state)
        if fresh:
            empty = np.full((fresh, self.ring.shape[1]), _NAN)
            self.ring = np.concatenate([self.ring, empty])
            self.state = np.concatenate([self.state, np.tile(first, (fresh, 1))])

    def forget(self, absent: set[LineKey]) -> None:
        """Drop lines that did not come and of which the ring holds nothing any more."""
        if not absent or not self.ring.shape[1]:
            return
        is_empty: NDArray[np.bool_] = np.asarray(np.isnan(self.ring).all(axis=1))
        kept = [key for key, row in self.rows.items() if key not in absent or not is_empty[row]]
        chosen = [self.rows[key] for key in kept]
        self.ring, self.state = self.ring[chosen], self.state[chosen]
        self.rows = {key: row for row, key in enumerate(kept)}


class Memory:
    """The state of all stateful parts of a program; bounded at `MOST_KEPT` values for each."""

    def __init__(self) -> None:
        self._kept: dict[Expression, _Kept] = {}

    def advance(
        self, expression: Stateful, keys: list[LineKey], values: Array, window: Window
    ) -> Array:
        """The values after the expression has seen them; lines that did not come miss a value."""
        algorithm = algorithm_of(expression, window)
        kept = self._kept.get(expression)
        if kept is None:
            kept = self._kept[expression] = _Kept(algorithm.ring, len(algorithm.state))
        rows = places(kept.rows, keys)
        size = len(kept.rows) * max(algorithm.ring, 1)
        if size > MOST_KEPT:
            raise QueryLimitError(f"values in the windows of :{expression.word}", size, MOST_KEPT)
        kept.fit(algorithm.state)
        seen = np.full((len(kept.rows), window.points), _NAN)
        seen[rows] = values
        algorithm.run(seen, kept.ring, kept.state)
        advanced = seen[rows]
        kept.forget(set(kept.rows) - set(keys))
        return advanced


def algorithm_of(expression: Stateful, window: Window) -> Algorithm:
    """How a stateful word runs from the start of a window; raises QueryValueError."""
    return _ALGORITHMS[expression.word](expression.arguments, window)


Arguments = tuple[int | float, ...]


def _size(count: float, word: str) -> int:
    if not 1 <= count <= MOST_KEPT:
        raise QueryValueError(f":{word} needs a window of 1 to {MOST_KEPT} points, is {int(count)}")
    return int(count)


def _delay(arguments: Arguments, _: Window) -> Algorithm:
    return Algorithm(_size(arguments[0], "delay"), (0.0,), load_running().delay)


def _rolling_count(arguments: Arguments, _: Window) -> Algorithm:
    return Algorithm(_size(arguments[0], "rolling-count"), (0.0, 0.0), load_running().rolling_count)


def _rolling_extreme(word: str, sign: float) -> Callable[[Arguments, Window], Algorithm]:
    def make(arguments: Arguments, _: Window) -> Algorithm:
        def run(values: Array, ring: Array, state: Array) -> None:
            load_running().rolling_extreme(values, ring, state, sign)

        return Algorithm(2 * _size(arguments[0], word), (0.0, 0.0, 0.0), run)

    return make


def _rolling_sum(arguments: Arguments, _: Window) -> Algorithm:
    def run(values: Array, ring: Array, state: Array) -> None:
        load_running().rolling_sum(values, ring, state, 1, False)

    return Algorithm(_size(arguments[0], "rolling-sum"), (0.0, 0.0, 0.0), run)


def _rolling_mean(arguments: Arguments, _: Window) -> Algorithm:
    size, least = _size(arguments[0], "rolling-mean"), int(arguments[1])
    if not 1 <= least <= size:
        raise QueryValueError(f":rolling-mean needs 1 to {size} values of {size}, is {least}")

    def run(values: Array, ring: Array, state: Array) -> None:
        load_running().rolling_sum(values, ring, state, least, True)

    return Algorithm(size, (0.0, 0.0, 0.0), run)


def _trend(arguments: Arguments, window: Window) -> Algorithm:
    points = int(arguments[0]) // window.step_ms
    if points <= 1:
        return Algorithm(0, (), lambda values, ring, state: None)  # noqa: ARG005 - nothing to do
    size = _size(points, "trend")
    return Algorithm(size, (0.0, 0.0, float(size), 0.0), load_running().trend)


def _des(arguments: Arguments, _: Window) -> Algorithm:
    training, alpha, beta = arguments

    def run(values: Array, _ring: Array, state: Array) -> None:
        load_running().des(values, state, int(training), float(alpha), float(beta))

    return Algorithm(0, (0.0, _NAN, _NAN), run)


def _sdes(arguments: Arguments, window: Window) -> Algorithm:
    training, alpha, beta = arguments
    if training < 1:
        raise QueryValueError(f":sdes needs a training of at least 1 point, is {int(training)}")

    def run(values: Array, _ring: Array, state: Array) -> None:
        load_running().sdes(values, state, int(training), float(alpha), float(beta))

    # Points before the first multiple of the training are passed over, so that the answer for a
    # time does not depend on where the window starts.
    passed = -(window.first_ms // window.step_ms) % int(training)
    return Algorithm(0, (float(passed), 0.0, 0.0, 0.0, _NAN, _NAN, 0.0, _NAN, _NAN), run)


def _running(word: str) -> Callable[[Arguments, Window], Algorithm]:
    def make(_: Arguments, _window: Window) -> Algorithm:
        loop = getattr(load_running(), word)

        def run(values: Array, _ring: Array, state: Array) -> None:
            loop(values, state)

        return Algorithm(0, (_NAN,), run)

    return make


_ALGORITHMS: Final[dict[str, Callable[[Arguments, Window], Algorithm]]] = {
    "delay": _delay,
    "rolling-count": _rolling_count,
    "rolling-min": _rolling_extreme("rolling-min", 1.0),
    "rolling-max": _rolling_extreme("rolling-max", -1.0),
    "rolling-sum": _rolling_sum,
    "rolling-mean": _rolling_mean,
    "trend": _trend,
    "des": _des,
    "sdes": _sdes,
    "integral": _running("integral"),
    "derivative": _running("derivative"),
    "cumulative-max": _running("cumulative_max"),
}
