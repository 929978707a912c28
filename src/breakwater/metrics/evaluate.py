"""Evaluates expression trees: every kind of expression to lines, whole arrays at a time."""

from collections.abc import Callable
from functools import singledispatchmethod
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from breakwater.metrics.errors import QueryValueError
from breakwater.metrics.language.escapes import number_text
from breakwater.metrics.language.expressions import (
    Aggregate,
    All,
    Binary,
    Clamp,
    Constant,
    DataExpression,
    Expression,
    GroupBy,
    LineAggregate,
    LineGroupBy,
    NamedRewrite,
    Percentiles,
    Unary,
    keys_text,
)
from breakwater.metrics.operators import BINARY, CLAMP, UNARY
from breakwater.metrics.plan import keys_label, tags_label
from breakwater.metrics.reading import Deadline, Reader, load_kernels
from breakwater.metrics.window import Window
from breakwater.model.percentiles import UPPER_BOUNDS

Array = NDArray[np.float64]


class Lines(msgspec.Struct, frozen=True, eq=False):
    """Lines of one expression: values [lines, points]; a label of None is derived from the tags."""

    tags: list[dict[str, str]]
    labels: list[str | None]
    values: Array


class Evaluation:
    """One run of a program over one window; data that is used twice is read once."""

    def __init__(self, reader: Reader, window: Window, deadline: Deadline) -> None:
        self._reader = reader
        self._window = window
        self._deadline = deadline
        self._done: dict[Expression, Lines] = {}

    def lines(self, expression: Expression) -> Lines:
        """Evaluate; raises QueryError."""
        found = self._done.get(expression)
        if found is None:
            self._deadline.check()
            found = self._done[expression] = self._evaluate(expression)
        return found

    @singledispatchmethod
    def _evaluate(self, expression: Any) -> Lines:
        raise QueryValueError(f"'{expression.text()}' cannot be evaluated")

    @_evaluate.register
    def _aggregate(self, expression: Aggregate) -> Lines:
        plan, values = self._reader.read(expression, self._window, self._deadline)
        if not len(plan.rows):
            return self._no_data()
        return Lines(plan.tags, [expression.label()], values)

    @_evaluate.register
    def _group_by(self, expression: GroupBy) -> Lines:
        plan, values = self._reader.read(expression, self._window, self._deadline)
        return Lines(plan.tags, _suffixed(plan.labels, expression.inner), values)

    @_evaluate.register
    def _all(self, expression: All) -> Lines:
        plan, values = self._reader.read(expression, self._window, self._deadline)
        return Lines(plan.tags, _suffixed(plan.labels, expression), values)

    @_evaluate.register
    def _constant(self, expression: Constant) -> Lines:
        text = number_text(expression.value)
        values = np.full((1, self._window.points), expression.value)
        return Lines([{"name": text}], [text], values)

    @_evaluate.register
    def _unary(self, expression: Unary) -> Lines:
        inner = self.lines(expression.inner)
        if expression.word == "per-step":
            values = inner.values * (self._window.step_ms / 1000.0)
        else:
            values = UNARY[expression.word](inner.values)
        return _derived(inner.tags, values)

    @_evaluate.register
    def _clamp(self, expression: Clamp) -> Lines:
        inner = self.lines(expression.inner)
        return _derived(inner.tags, CLAMP[expression.word](inner.values, expression.bound))

    @_evaluate.register
    def _named(self, expression: NamedRewrite) -> Lines:
        return self.lines(expression.evaluated)

    @_evaluate.register
    def _binary(self, expression: Binary) -> Lines:
        left, right = self.lines(expression.left), self.lines(expression.right)
        operator = BINARY[expression.word]
        left_keys, right_keys = _keys(expression.left), _keys(expression.right)
        if right_keys is None:
            return _derived(left.tags, operator(left.values, _single(right, expression.right)))
        if left_keys is None:
            return _derived(right.tags, operator(_single(left, expression.left), right.values))
        return _joined(left, left_keys, right, right_keys, operator)

    @_evaluate.register
    def _line_aggregate(self, expression: LineAggregate) -> Lines:
        inner = self.lines(expression.inner)
        if not inner.tags:
            return self._no_data()
        tags = _common(inner.tags)
        values = _folded(inner.values, expression.function)[np.newaxis]
        return Lines([tags], [f"{expression.function}({tags_label(tags)})"], values)

    @_evaluate.register
    def _line_group_by(self, expression: LineGroupBy) -> Lines:
        inner = self.lines(expression.inner.inner)
        members: dict[str, list[int]] = {}
        for position, tags in enumerate(inner.tags):
            if all(key in tags for key in expression.keys):
                label = keys_label(expression.keys, [tags[key] for key in expression.keys])
                members.setdefault(label, []).append(position)
        labels = sorted(members)
        folded = [_folded(inner.values[members[x]], expression.inner.function) for x in labels]
        values = np.stack(folded) if folded else np.empty((0, self._window.points))
        tags_of = [_common([inner.tags[i] for i in members[x]]) for x in labels]
        return Lines(tags_of, list(labels), values)

    @_evaluate.register
    def _percentiles(self, expression: Percentiles) -> Lines:
        buckets = self.lines(expression.inner)
        members: dict[tuple[str, ...], list[int]] = {}
        for position, tags in enumerate(buckets.tags):
            group = tuple(tags[key] for key in expression.own_keys)
            members.setdefault(group, []).append(position)
        tags_out: list[dict[str, str]] = []
        labels: list[str | None] = []
        values = [np.empty((0, self._window.points))]
        names = [f"{number_text(percent):>5}" for percent in expression.percents]
        for group, positions in sorted(members.items()):
            of = expression.inner.inner.query.label()
            if group:
                of = keys_label(expression.own_keys, list(group))
            of += expression.inner.inner.label_suffix()
            rest = {k: v for k, v in buckets.tags[positions[0]].items() if k != "percentile"}
            tags_out.extend({**rest, "percentile": name} for name in names)
            labels.extend(f"percentile({of}, {name})" for name in names)
            values.append(self._estimated(buckets, positions, expression.percents))
        return Lines(tags_out, labels, np.concatenate(values))

    def _estimated(
        self, buckets: Lines, positions: list[int], percents: tuple[float, ...]
    ) -> Array:
        counts = np.zeros((len(UPPER_BOUNDS), self._window.points))
        scale = 1.0
        for position in positions:
            name = buckets.tags[position]["percentile"]
            bucket = _bucket(name)
            if bucket is None:
                continue
            scale = 1e-9 if name.startswith("T") else scale
            counts[bucket] += np.nan_to_num(buckets.values[position], nan=0.0)
        bounds = np.array(UPPER_BOUNDS, dtype=np.float64)
        out = np.empty((len(percents), self._window.points))
        load_kernels().percentile_points(counts, bounds, np.array(percents), out)
        return out * scale

    def _no_data(self) -> Lines:
        values = np.full((1, self._window.points), np.nan)
        return Lines([{"name": "NO_DATA"}], ["NO DATA"], values)


def _suffixed(labels: list[str], data: DataExpression) -> list[str | None]:
    suffix = data.label_suffix()
    return [label + suffix for label in labels]


def _derived(tags: list[dict[str, str]], values: Array) -> Lines:
    return Lines(tags, [None] * len(tags), values)


def _keys(expression: Expression) -> tuple[str, ...] | None:
    if isinstance(expression, All):
        return None
    return expression.grouping or None


def _single(lines: Lines, expression: Expression) -> Array:
    if len(lines.tags) != 1:
        raise QueryValueError(
            f"'{expression.text()}' has {len(lines.tags)} lines where one is needed"
        )
    return lines.values


def _joined(
    left: Lines,
    left_keys: tuple[str, ...],
    right: Lines,
    right_keys: tuple[str, ...],
    operator: Callable[..., Array],
) -> Lines:
    """Lines with equal values of the shared keys; the side with more keys gives the tags."""
    is_left_larger = len(left_keys) >= len(right_keys)
    many, one = (left, right) if is_left_larger else (right, left)
    many_keys, one_keys = (left_keys, right_keys) if is_left_larger else (right_keys, left_keys)
    if not set(one_keys) <= set(many_keys):
        raise QueryValueError(
            f"both sides must be grouped by the same keys or one by some of the other's: "
            f"{keys_text(left_keys)} and {keys_text(right_keys)}"
        )
    place: dict[tuple[str, ...], int] = {}
    for position, tags in enumerate(one.tags):
        value = tuple(tags[key] for key in one_keys)
        if value in place:
            raise QueryValueError(f"too many values for key {keys_label(one_keys, list(value))}")
        place[value] = position
    pairs = [
        (position, found)
        for position, tags in enumerate(many.tags)
        if (found := place.get(tuple(tags[key] for key in one_keys))) is not None
    ]
    first = many.values[[position for position, _ in pairs]]
    second = one.values[[position for _, position in pairs]]
    values = operator(first, second) if is_left_larger else operator(second, first)
    return _derived([many.tags[position] for position, _ in pairs], values)


def _common(tags: list[dict[str, str]]) -> dict[str, str]:
    first, *rest = tags
    return {
        key: value for key, value in first.items() if all(other.get(key) == value for other in rest)
    }


def _folded(values: Array, function: str) -> Array:
    is_value = ~np.isnan(values)
    count = is_value.sum(axis=0)
    if function == "count":
        return np.where(count > 0, count, np.nan).astype(np.float64)
    if function == "sum":
        folded = np.where(is_value, values, 0.0).sum(axis=0)
    elif function == "min":
        folded = np.where(is_value, values, np.inf).min(axis=0)
    else:
        folded = np.where(is_value, values, -np.inf).max(axis=0)
    return np.where(count > 0, folded, np.nan)


def _bucket(name: str) -> int | None:
    try:
        bucket = int(name[1:], 16)
    except ValueError:
        return None
    return bucket if 0 <= bucket < len(UPPER_BOUNDS) and name[0] in "TD" else None
