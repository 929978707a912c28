"""Lines computed from lines."""

from collections.abc import Callable

import numpy as np

from breakwater.metrics.errors import QueryValueError
from breakwater.metrics.evaluation.lines import (
    Array,
    Lines,
    Run,
    common_tags,
    derived,
    folded,
    no_data,
)
from breakwater.metrics.language.expressions import (
    All,
    Binary,
    Clamp,
    Constant,
    Expression,
    LineAggregate,
    LineGroupBy,
    Unary,
    check_joinable,
)
from breakwater.metrics.language.named import NamedRewrite
from breakwater.metrics.language.operators import BINARY, CLAMP, UNARY
from breakwater.metrics.language.wrapped import Renamed
from breakwater.metrics.reading.plan import keys_label, tags_label
from breakwater.metrics.selection.escapes import number_text


def constant(run: Run, expression: Constant) -> Lines:
    """The number at every point."""
    text = number_text(expression.value)
    values = np.full((1, run.window.points), expression.value)
    return Lines([{"name": text}], [text], values)


def unary(run: Run, expression: Unary) -> Lines:
    """A function of each value."""
    inner = run.lines(expression.inner)
    if expression.word == "per-step":
        return derived(inner.tags, inner.values * (run.window.step_ms / 1000.0))
    return derived(inner.tags, UNARY[expression.word](inner.values))


def clamp(run: Run, expression: Clamp) -> Lines:
    """Values held at a bound."""
    inner = run.lines(expression.inner)
    return derived(inner.tags, CLAMP[expression.word](inner.values, expression.bound))


def named(run: Run, expression: NamedRewrite) -> Lines:
    """What a named word stands for."""
    return run.lines(expression.evaluated)


def renamed(run: Run, expression: Renamed) -> Lines:
    """The same lines with a tag key called differently."""
    inner = run.lines(expression.inner)
    original, replacement = expression.original, expression.replacement
    tags = [
        {**{k: v for k, v in each.items() if k != original}, replacement: each[original]}
        if original in each
        else each
        for each in inner.tags
    ]
    return Lines(tags, inner.labels, inner.values)


def binary(run: Run, expression: Binary) -> Lines:
    """Two expressions joined line by line."""
    left, right = run.lines(expression.left), run.lines(expression.right)
    operator = BINARY[expression.word]
    left_keys, right_keys = _keys(expression.left), _keys(expression.right)
    if right_keys is None:
        return derived(left.tags, operator(left.values, _single(right, expression.right)))
    if left_keys is None:
        return derived(right.tags, operator(_single(left, expression.left), right.values))
    return _joined(left, left_keys, right, right_keys, operator)


def line_aggregate(run: Run, expression: LineAggregate) -> Lines:
    """All lines folded into one."""
    inner = run.lines(expression.inner)
    if not inner.tags:
        return no_data(run.window)
    tags = common_tags(inner.tags)
    values = folded(inner.values, expression.function)[np.newaxis]
    return Lines([tags], [f"{expression.function}({tags_label(tags)})"], values)


def line_group_by(run: Run, expression: LineGroupBy) -> Lines:
    """Lines folded into one for each combination of the values of some of their keys."""
    inner = run.lines(expression.inner.inner)
    members: dict[str, list[int]] = {}
    for position, tags in enumerate(inner.tags):
        if all(key in tags for key in expression.keys):
            label = keys_label(expression.keys, [tags[key] for key in expression.keys])
            members.setdefault(label, []).append(position)
    labels = sorted(members)
    values = [folded(inner.values[members[x]], expression.inner.function) for x in labels]
    return Lines(
        [common_tags([inner.tags[i] for i in members[x]]) for x in labels],
        list(labels),
        np.stack(values) if values else np.empty((0, run.window.points)),
    )


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
    check_joinable(one_keys, many_keys)
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
    return derived([many.tags[position] for position, _ in pairs], values)
