"""Lines straight from the store."""

from breakwater.metrics.evaluation.lines import Lines, Run, no_data
from breakwater.metrics.language.expressions import Aggregate, All, DataExpression, GroupBy


def aggregate(run: Run, expression: Aggregate) -> Lines:
    """One line of all matching series; without a value when there is none."""
    plan, values = run.read(expression)
    if not len(plan.rows):
        return no_data(run.window)
    return Lines(plan.tags, [expression.label()], values)


def group_by(run: Run, expression: GroupBy) -> Lines:
    """A line for each combination of the values of the keys; none where nothing matches."""
    plan, values = run.read(expression)
    return Lines(plan.tags, _suffixed(plan.labels, expression.inner), values)


def every_series(run: Run, expression: All) -> Lines:
    """A line for each series."""
    plan, values = run.read(expression)
    return Lines(plan.tags, _suffixed(plan.labels, expression), values)


def _suffixed(labels: list[str], data: DataExpression) -> list[str | None]:
    suffix = data.label_suffix()
    return [label + suffix for label in labels]
