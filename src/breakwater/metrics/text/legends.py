"""The legend of a line: its label, or the text a style word gave it with tags filled in.

In a text `$name` and `$(name)` stand for the value of a tag, for `atlas.offset`, and for a
statistic of the line: `atlas.avg`, `atlas.max`, `atlas.min`, `atlas.last`, `atlas.total`. What is
none of these stands for its own name. `:s` and `:decode` steps are applied in their order.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np
import re2
from numpy.typing import NDArray

from breakwater.metrics.grid.durations import duration_text
from breakwater.metrics.language.expressions import DataExpression, Expression, GroupBy
from breakwater.metrics.language.infix import infix
from breakwater.metrics.language.named import NamedRewrite
from breakwater.metrics.language.styled import Styled
from breakwater.metrics.language.variables import Template, filled
from breakwater.metrics.reading.plan import tags_label
from breakwater.metrics.selection.escapes import unescape
from breakwater.metrics.selection.query import (
    And,
    Compare,
    Equal,
    Not,
    Query,
    Regex,
)
from breakwater.metrics.text.units import decimal_text

_BRACED: Final = re.compile(r"\$\{(\w+)\}")
_HEX: Final = re.compile(r"_([0-9a-fA-F]{2})")
_LONGEST: Final = 1024
_STATISTICS: Final = ("avg", "max", "min", "last", "total")

Values = NDArray[np.float64]
Pairs = frozenset[tuple[str, str]]


def short_legends(expressions: tuple[Styled, ...]) -> tuple[Styled, ...]:
    """The expressions with short legends for those that have none: what tells them apart.

    Grouped lines are named by the values they are grouped by, others by their name or by the
    values their queries do not share. Where that would name two expressions alike, more values
    are added; where that does not help, or there are none, an ungrouped one is named by what it
    reads or by its formula.
    """
    pairs = {at: _pairs_of(each.inner) for at, each in enumerate(expressions)}
    pairs = {at: found for at, found in pairs.items() if found}
    shared = frozenset.intersection(*pairs.values()) if pairs else frozenset()
    short, long = (
        {
            at: _short_text(expressions[at], found, shared, is_long=is_long)
            for at, found in pairs.items()
        }
        for is_long in (False, True)
    )
    texts = {at: long[at] if at in _clashing(short) else text for at, text in short.items()}
    for at in _clashing(texts):
        texts[at] = short[at] if expressions[at].inner.grouping else ""
    return tuple(
        each.with_setting("legend", text)
        if each.get("legend") is None and (text := texts.get(at) or _derived_text(each))
        else each
        for at, each in enumerate(expressions)
    )


def _clashing(texts: dict[int, str]) -> set[int]:
    counts = Counter(texts.values())
    return {at for at, text in texts.items() if counts[text] > 1}


def _short_text(styled: Styled, pairs: Pairs, shared: Pairs, *, is_long: bool) -> str:
    own = dict(sorted((pairs - shared) or shared, key=lambda pair: (pair[0] != "name", pair)))
    words = list(own.values()) if is_long or "name" not in own else [own["name"]]
    grouping = [f"$({key})" for key in styled.inner.grouping]
    if grouping:
        words = [*words, *grouping] if is_long else grouping
    offset = " (offset=$(atlas.offset))" if offset_of(styled) != "0w" else ""
    return " ".join(words) + offset


def _derived_text(styled: Styled) -> str:
    """What names lines that are worked out from others; empty where their label says it."""
    inner = styled.inner
    is_read = isinstance(inner, DataExpression | GroupBy)
    if is_read or not any(isinstance(part, DataExpression) for part in inner.parts()):
        return ""
    if inner.grouping:
        return " ".join(f"$({key})" for key in inner.grouping)
    formula = infix(styled)
    return "" if "$" in formula or len(formula) > _LONGEST else formula


def _pairs_of(expression: Expression) -> Pairs:
    """The tags that all data of an expression are asked for by."""
    found = [frozenset(_conditions(query)) for query in _queries(expression)]
    return frozenset.intersection(*found) if found else frozenset()


def _queries(expression: Expression) -> Iterator[Query]:
    if isinstance(expression, NamedRewrite):
        if isinstance(expression.original, Query):
            yield expression.original
        else:
            yield from _queries(expression.original)
    elif isinstance(expression, DataExpression):
        yield expression.query
    else:
        for name in expression.__struct_fields__:
            value = getattr(expression, name)
            if isinstance(value, Expression):
                yield from _queries(value)


def _conditions(query: Query) -> Iterator[tuple[str, str]]:
    match query:
        case And(left, right):
            yield from _conditions(left)
            yield from _conditions(right)
        case Equal(key, value) | Compare(key, value):
            yield key, value
        case Regex(key, pattern):
            yield key, pattern.source
        case Not(inner) if not isinstance(inner, And | Not):
            yield from ((key, f"!{value}") for key, value in _conditions(inner))
        case _:
            return


def offset_of(styled: Styled) -> str:
    """The offset all data of an expression share, as text; `0w` when there is none or several."""
    offsets = {part.offset_ms for part in styled.inner.parts() if isinstance(part, DataExpression)}
    return duration_text(offsets.pop()) if len(offsets) == 1 else "0w"


class Legend:
    """Writes the legends of one styled expression's lines; one takes a few ms at the worst.

    `offset` is that of the expression, as text.
    """

    def __init__(self, styled: Styled) -> None:
        template = styled.get("legend")
        self._template = None if template is None else Template(template)
        self._steps = styled.get("sed")
        self.offset = offset_of(styled)
        self._needs_statistics = "atlas." in f"{template}{self._steps}"

    def texts(
        self,
        tags: Sequence[dict[str, str]],
        labels: Sequence[str | None],
        values: Values,
        check: Callable[[], None],
    ) -> list[str]:
        """The legends of lines [n, points]; `check` is called before each that may take long."""
        if self._template is not None and self._steps is None and not self._needs_statistics:
            return [self._template.filled(each) for each in tags]
        found = []
        for known, label, line in zip(tags, labels, values, strict=True):
            check()
            found.append(self.text(known, label, line))
        return found

    def text(self, tags: dict[str, str], label: str | None, values: Values | None = None) -> str:
        """The legend of one line; a label of None is derived from the tags.

        Without `values`, statistics stand for their names.
        """
        known = {**tags, "atlas.offset": self.offset}
        if self._template is None:
            text = tags_label(known) if label is None else label
        else:
            if self._needs_statistics and values is not None:
                known.update(statistics(values))
            text = self._template.filled(known)
        return text if self._steps is None else _rewritten(text, self._steps, known)


def statistics(values: Values) -> dict[str, str]:
    """Statistics of a line by the names legends use, written for people."""
    there = values[~np.isnan(values)]
    if not len(there):
        return {f"atlas.{name}": decimal_text(float("nan")) for name in _STATISTICS}
    with np.errstate(all="ignore"):  # huge values add up to infinity
        numbers = (there.mean(), there.max(), there.min(), there[-1], there.sum())
    return {
        f"atlas.{name}": decimal_text(float(number))
        for name, number in zip(_STATISTICS, numbers, strict=True)
    }


def _rewritten(text: str, steps: str, known: dict[str, str]) -> str:
    parts = steps.split(",")
    while parts:
        if parts[1] == ":decode":
            encoding, _, *parts = parts
            text = _decoded(text) if encoding == "hex" else text
        else:
            source, replacement, _, *parts = parts
            text = _substituted(text, unescape(source), unescape(replacement), known)
        text = text[:_LONGEST]
    return text


def _substituted(text: str, source: str, replacement: str, known: dict[str, str]) -> str:
    changed: str = re2.compile(source).sub(lambda found: _filled(replacement, found, known), text)
    return changed


def _filled(replacement: str, found: Any, known: dict[str, str]) -> str:
    def group(name: str) -> str:
        try:
            return found.group(int(name) if name.isdigit() else name) or ""
        except (ValueError, IndexError, KeyError, re2.error):
            return known.get(name, name)

    return filled(_BRACED.sub(r"$(\1)", replacement), group)


def _decoded(text: str) -> str:
    return _HEX.sub(lambda found: chr(int(found[1], 16)), text)
