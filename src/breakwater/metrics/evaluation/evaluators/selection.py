"""Lines of words that look at whole lines: state over time, statistics, filters, rankings."""

import numpy as np

from breakwater.metrics.errors import QueryValueError
from breakwater.metrics.evaluation.lines import (
    Lines,
    Run,
    Tags,
    common_tags,
    folded,
    relabelled,
)
from breakwater.metrics.evaluation.ranking import Leaders
from breakwater.metrics.evaluation.whole import LineKey
from breakwater.metrics.language.expressions import (
    Binary,
    Constant,
    DataExpression,
    Expression,
    Percentiles,
)
from breakwater.metrics.language.generated import Random, Time, TimeSpan
from breakwater.metrics.language.named import NamedRewrite
from breakwater.metrics.language.wrapped import (
    Consolidated,
    Distinct,
    Filtered,
    Ranked,
    Stateful,
    Statistic,
    StatisticOf,
)
from breakwater.metrics.reading.plan import tags_label

OTHERS = "--others--"


def stateful(run: Run, expression: Stateful) -> Lines:
    """Lines after a word with state has seen them."""
    return run.advance(expression, run.lines(expression.inner))


def statistic(run: Run, expression: Statistic) -> Lines:
    """One statistic of each line at every point."""
    lines = run.lines(expression.inner)
    summary = run.summary(expression.inner)
    flat = [summary.of(key, expression.name) for key in lines.keys()]  # noqa: SIM118 - no dict
    values = np.repeat(np.array(flat).reshape(-1, 1), run.window.points, axis=1)
    return relabelled(f"stat-{expression.name}", lines, values)


def unbound(_: Run, expression: StatisticOf) -> Lines:
    """A placeholder is only something inside a filter."""
    raise QueryValueError(
        f"'{expression.text()}' stands for a statistic of what :filter is applied to; "
        f"outside of a filter write '{expression.name},:stat'"
    )


def filtered(run: Run, expression: Filtered) -> Lines:
    """The lines for which the condition is true at any point."""
    lines, condition = run.lines(expression.inner), expression.bound()
    known = run.lines(condition)
    summary = run.summary(condition)
    is_true = [summary.is_ever_true(key) for key in known.keys()]  # noqa: SIM118 - no dict
    if not condition.grouping:
        if len(is_true) != 1:
            raise QueryValueError(
                f"the condition '{condition.text()}' has {len(is_true)} lines where one is needed"
            )
        return lines if is_true[0] else lines.chosen([])
    keys = expression.inner.grouping
    verdicts: dict[tuple[str, ...] | None, list[bool]] = {}
    for tags, verdict in zip(known.tags, is_true, strict=True):
        verdicts.setdefault(_group(tags, keys), []).append(verdict)
    return lines.chosen(
        [i for i, tags in enumerate(lines.tags) if verdicts.get(_group(tags, keys)) == [True]]
    )


def _group(tags: Tags, keys: tuple[str, ...]) -> tuple[str, ...] | None:
    return tuple(tags[key] for key in keys) if all(key in tags for key in keys) else None


def ranked(run: Run, expression: Ranked) -> Lines:
    """The first lines by a statistic; the rest as one line before them, where that is asked."""
    lines = run.lines(expression.inner)
    summary = run.summary(expression.inner)
    keys: list[LineKey] = lines.keys()
    leaders = Leaders(expression.count, is_top=expression.is_top)
    others = [
        left
        for position, key in enumerate(keys)
        if (left := leaders.offer(summary.of(key, expression.statistic), position)) is not None
    ]
    chosen = lines.chosen(leaders.positions())
    if not expression.others or not others:
        return chosen
    marked = dict.fromkeys(expression.grouping, OTHERS)
    tags = {**common_tags([lines.tags[i] for i in others]), **marked}
    rest = folded(lines.values[others], expression.others)
    return Lines(
        [tags, *chosen.tags],
        [tags_label(tags), *chosen.labels],
        np.concatenate([rest[np.newaxis], chosen.values]),
    )


def consolidated(run: Run, expression: Consolidated) -> Lines:
    """Points made one for each interval and repeated over it."""
    lines = run.lines(expression.inner)
    intervals = run.intervals(expression)
    is_gauge = np.array([_is_gauge(expression.inner, tags) for tags in lines.tags], dtype=np.bool_)
    values = intervals.values(lines.keys(), run.window, expression.function, is_gauge)
    return Lines(lines.tags, lines.labels, values)


_GAUGES = Constant | Random | Time | TimeSpan | Statistic | Percentiles | Distinct


def _is_gauge(expression: Expression, tags: Tags) -> bool:
    """Whether a missing point says nothing of the mean; for a rate it says nothing happened."""
    if isinstance(expression, _GAUGES):
        return True
    if isinstance(expression, DataExpression):
        return tags.get("atlas.dstype") == "gauge"
    if isinstance(expression, NamedRewrite):
        return _is_gauge(expression.evaluated, tags)
    inner = (
        expression.left if isinstance(expression, Binary) else getattr(expression, "inner", None)
    )
    return isinstance(inner, Expression) and _is_gauge(inner, tags)
