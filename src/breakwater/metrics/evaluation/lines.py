"""Lines while a program is evaluated, and what an evaluator may ask of the run it is part of."""

from collections import Counter
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from breakwater.metrics.evaluation.whole import Intervals, LineKey, Summary
from breakwater.metrics.grid.window import Window
from breakwater.metrics.language.expressions import DataExpression, Expression, GroupBy
from breakwater.metrics.language.wrapped import Consolidated, Stateful
from breakwater.metrics.reading.plan import Plan, tags_label
from breakwater.metrics.reading.reader import fold_lines
from breakwater.metrics.store.spans import ADD, COUNT, FOLDS

Array = NDArray[np.float64]
Tags = dict[str, str]


class Lines(msgspec.Struct, frozen=True, eq=False):
    """Lines of one expression: values [lines, points]; a label of None is derived from the tags."""

    tags: list[Tags]
    labels: list[str | None]
    values: Array

    def label(self, position: int) -> str:
        """The label of a line."""
        given = self.labels[position]
        return tags_label(self.tags[position]) if given is None else given

    def keys(self) -> list[LineKey]:
        """What tells each line from the others, now and in the next stretch of time."""
        seen: Counter[LineKey] = Counter()
        keys: list[LineKey] = []
        for tags in self.tags:
            bare = tuple(sorted(tags.items()))
            keys.append((*bare, ("", str(seen[bare]))))
            seen[bare] += 1
        return keys

    def chosen(self, positions: list[int]) -> "Lines":
        """Some of the lines, in the order given."""
        return Lines(
            [self.tags[i] for i in positions],
            [self.labels[i] for i in positions],
            self.values[positions],
        )


class Run(Protocol):
    """One run of a program over a window, which may be a stretch of a longer one, `whole`."""

    window: Window
    whole: Window
    now_ms: int

    def read(self, expression: DataExpression | GroupBy) -> tuple[Plan, Array]:
        """The plan of the lines of a data expression, and their values."""

    def lines(self, expression: Expression) -> Lines:
        """Evaluate a part; raises QueryError."""

    def advance(self, expression: Stateful, lines: Lines) -> Lines:
        """The lines after a stateful expression has seen them."""

    def summary(self, expression: Expression) -> Summary:
        """Statistics of a part's lines over the whole window."""

    def intervals(self, expression: Consolidated) -> Intervals:
        """What a part's lines come to in each interval of the whole window."""


def derived(tags: list[Tags], values: Array) -> Lines:
    """Lines whose labels come from their tags."""
    return Lines(tags, [None] * len(tags), values)


def relabelled(name: str, lines: Lines, values: Array) -> Lines:
    """The same lines with other values, labelled `name(label)`."""
    labels: list[str | None] = [f"{name}({lines.label(i)})" for i in range(len(lines.tags))]
    return Lines(lines.tags, labels, values)


def one_line(name: str, values: Array) -> Lines:
    """A line that comes from no datapoint."""
    return Lines([{"name": name}], [name], values[np.newaxis])


def no_data(window: Window) -> Lines:
    """What an ungrouped aggregate is when nothing matched: one line without a value."""
    return Lines([{"name": "NO_DATA"}], ["NO DATA"], np.full((1, window.points), np.nan))


def common_tags(tags: list[Tags]) -> Tags:
    """The tags all lines agree on."""
    first, *rest = tags
    return {
        key: value for key, value in first.items() if all(other.get(key) == value for other in rest)
    }


def folded(values: Array, function: str) -> Array:
    """Lines folded into one, [lines, points] → [points]; NaN where no line has a value.

    Lines are added one after the other, so a point does not depend on how many there are.
    """
    points = values.shape[1]
    groups = np.zeros(len(values), dtype=np.int64)
    out = np.full((1, points), np.nan)
    fold_lines(FOLDS.get(function, ADD), values, groups, out)
    if function == "avg":
        count = np.full((1, points), np.nan)
        fold_lines(COUNT, values, groups, count)
        out /= count
    line: Array = out[0]
    return line
