"""Lines estimated from bucket counts and from HyperLogLog registers."""

import math
from typing import Final

import numpy as np

from breakwater.metrics.evaluation.lines import Array, Lines, Run, Tags
from breakwater.metrics.language.expressions import (
    Aggregate,
    All,
    Expression,
    GroupBy,
    Percentiles,
)
from breakwater.metrics.language.named import NamedRewrite
from breakwater.metrics.language.wrapped import Distinct
from breakwater.metrics.reading.plan import keys_label
from breakwater.metrics.selection.escapes import number_text
from breakwater.metrics.store.blocks import load_kernels
from breakwater.model.percentiles import UPPER_BOUNDS

_REGISTERS: Final = 64
_ALPHA: Final = 0.709
_KEY: Final = "distinct"


def percentiles(run: Run, expression: Percentiles) -> Lines:
    """A line for each percentile of each group."""
    buckets = run.lines(expression.inner)
    members: dict[tuple[str, ...], list[int]] = {}
    for position, tags in enumerate(buckets.tags):
        group = tuple(tags[key] for key in expression.own_keys)
        members.setdefault(group, []).append(position)
    tags_out: list[Tags] = []
    labels: list[str | None] = []
    values = [np.empty((0, run.window.points))]
    names = [f"{number_text(percent):>5}" for percent in expression.percents]
    for group, positions in sorted(members.items()):
        of = expression.inner.inner.query.label()
        if group:
            of = keys_label(expression.own_keys, list(group))
        of += expression.inner.inner.label_suffix()
        rest = {k: v for k, v in buckets.tags[positions[0]].items() if k != "percentile"}
        tags_out.extend({**rest, "percentile": name} for name in names)
        labels.extend(f"percentile({of}, {name})" for name in names)
        values.append(_estimated(buckets, positions, expression.percents))
    return Lines(tags_out, labels, np.concatenate(values))


def _estimated(buckets: Lines, positions: list[int], percents: tuple[float, ...]) -> Array:
    points = buckets.values.shape[1]
    counts = np.zeros((len(UPPER_BOUNDS), points))
    scale = 1.0
    for position in positions:
        name = buckets.tags[position]["percentile"]
        bucket = _number(name, "TD", len(UPPER_BOUNDS))
        if bucket is None:
            continue
        scale = 1e-9 if name.startswith("T") else scale
        counts[bucket] += np.nan_to_num(buckets.values[position], nan=0.0)
    bounds = np.array(UPPER_BOUNDS, dtype=np.float64)
    out = np.empty((len(percents), points))
    load_kernels().percentile_points(counts, bounds, np.array(percents), out)
    return out * scale


def distinct(run: Run, expression: Distinct) -> Lines:
    """How many distinct values each group has counted; missing where no register is set."""
    registers = run.lines(_by_register(expression.inner))
    keys = expression.grouping
    members: dict[tuple[str, ...], list[int]] = {}
    for position, tags in enumerate(registers.tags):
        members.setdefault(tuple(tags.get(key, "") for key in keys), []).append(position)
    labels: list[str | None] = [
        keys_label(keys, list(group)) if keys else expression.label() for group in members
    ]
    order = sorted(range(len(labels)), key=lambda place: str(labels[place]))
    groups = list(members.values())
    return Lines(
        [
            {k: v for k, v in registers.tags[groups[place][0]].items() if k != _KEY}
            for place in order
        ],
        [labels[place] for place in order],
        np.array([_cardinality(registers, groups[place]) for place in order]).reshape(
            len(order), run.window.points
        ),
    )


def _by_register(expression: Expression) -> Expression:
    """The expression with its data read register by register; registers merge by maximum."""

    def change(part: Expression) -> Expression | None:
        if isinstance(part, NamedRewrite):
            return part.evaluated.rewrite(change)
        if isinstance(part, GroupBy):
            inner, keys = part.inner, part.keys
        elif isinstance(part, Aggregate):
            inner, keys = part, ()
        else:
            return part if isinstance(part, All) else None
        merged = Aggregate(inner.query, inner.consolidation, inner.offset_ms, "max")
        return GroupBy(merged, (*(key for key in keys if key != _KEY), _KEY))

    return expression.rewrite(change)


def _cardinality(registers: Lines, positions: list[int]) -> Array:
    """The estimate of Flajolet et al. (2007), with linear counting where it is small."""
    held = np.full((_REGISTERS, registers.values.shape[1]), np.nan)
    for position in positions:
        number = _number(registers.tags[position].get(_KEY, ""), "R", _REGISTERS)
        if number is not None:
            held[number] = np.fmax(held[number], registers.values[position])
    is_set = ~np.isnan(held).all(axis=0)
    held = np.nan_to_num(held, nan=0.0)
    estimate = _ALPHA * _REGISTERS**2 / np.exp2(-held).sum(axis=0)
    zeros = (held <= 0.0).sum(axis=0)
    with np.errstate(divide="ignore"):
        counted = _REGISTERS * (math.log(_REGISTERS) - np.log(zeros))
    is_small = (estimate <= 2.5 * _REGISTERS) & (zeros > 0)
    return np.where(is_set, np.where(is_small, counted, estimate), np.nan)


def _number(name: str, prefixes: str, limit: int) -> int | None:
    try:
        number = int(name[1:], 16)
    except ValueError:
        return None
    return number if 0 <= number < limit and name[0] in prefixes else None
