"""An expression in words, one step after the other.

What is used twice is said once; a step names those it builds on by their numbers. The words are
those of somebody who explains a graph to a colleague, with the rules that surprise people: what
becomes of missing values, of 0/0, of windows counted in points.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from breakwater.metrics.grid.durations import duration_text
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
    Percentiles,
    Unary,
)
from breakwater.metrics.language.generated import Random, Time, TimeSpan
from breakwater.metrics.language.infix import infix, plain
from breakwater.metrics.language.named import NamedRewrite
from breakwater.metrics.language.registry import WORDS
from breakwater.metrics.language.styled import Styled
from breakwater.metrics.language.wrapped import (
    Consolidated,
    Distinct,
    Filtered,
    Ranked,
    Renamed,
    Stateful,
    Statistic,
    StatisticOf,
)
from breakwater.metrics.selection.query import (
    And,
    Compare,
    Equal,
    Everything,
    HasKey,
    In,
    Not,
    Nothing,
    Or,
    Query,
    Regex,
)
from breakwater.metrics.selection.selection import DEFAULT_CONSOLIDATION

_FOLDS: Final = {
    "sum": "the sum",
    "count": "the number",
    "min": "the least",
    "max": "the greatest",
    "avg": "the average",
}
_BINARY: Final = {
    "add": "{} plus {}; where only one has a value, that value",
    "sub": "{} minus {}; where only one has a value, the other counts as 0",
    "mul": "{} times {}",
    "div": "{} divided by {}; 0 divided by 0 is 0, anything else divided by 0 is no value",
    "pow": "{} to the power of {}",
    "fadd": "{} plus {}, without a value where one has none",
    "fsub": "{} minus {}, without a value where one has none",
    "fmul": "{} times {}, without a value where one has none",
    "fdiv": "{} divided by {} as IEEE 754 has it: division by 0 gives infinity",
    "gt": "1 where {} is above {}, else 0",
    "ge": "1 where {} is at or above {}, else 0",
    "lt": "1 where {} is below {}, else 0",
    "le": "1 where {} is at or below {}, else 0",
    "and": "1 where both {} and {} are true, that is not 0, else 0",
    "or": "1 where {} or {} is true, that is not 0, else 0",
}
_UNARY: Final = {
    "abs": "{} without its sign",
    "neg": "{} with its sign changed",
    "sqrt": "the square root of {}",
    "sin": "the sine of {}, in radians",
    "per-step": "{} a step instead of a second",
}
_COMPARED: Final = {
    "lt": "comes before",
    "le": "is or comes before",
    "gt": "comes after",
    "ge": "is or comes after",
}
_SHOWN: Final = {
    "ls": "drawn as {}",
    "legend": "with the legend '{}'",
    "axis": "on axis {}",
    "color": "in the color {}",
    "palette": "in colors of the palette {}",
    "alpha": "with opacity {} (hexadecimal)",
    "lw": "{} pixels wide",
    "sort": "sorted by {}",
    "order": "in the order {}",
    "limit": "at most {} lines",
    "sed": "with the legend changed by {}",
}


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """One expression explained: its program, as a formula, step by step, and how it is shown."""

    program: str
    formula: str
    steps: list[str]
    shown: str


def explain(styled: Styled) -> Explanation:
    """One expression of a program in words; O(parts of the expression)."""
    steps = _Steps()
    steps.of(styled.inner)
    style = [
        _SHOWN.get(name, f"{name} {{}}").format(value) for name, value in sorted(styled.settings)
    ]
    return Explanation(
        program=styled.text(),
        formula=infix(styled.inner),
        steps=steps.told,
        shown=", ".join(style),
    )


def query_in_words(query: Query) -> str:
    """Which series are meant, to stand after `series`."""
    match query:
        case Everything():
            return "of any kind"
        case Nothing():
            return "that cannot exist"
        case And(left, right):
            return f"{query_in_words(left)} and {query_in_words(right)}"
        case Or(left, right):
            return f"({query_in_words(left)}, or {query_in_words(right)})"
        case Not(inner):
            return f"other than those {query_in_words(inner)}"
        case _:
            return _value_in_words(query)


def _value_in_words(query: Query) -> str:
    match query:
        case Equal(key, value):
            return f"whose {key} is '{value}'"
        case In(key, values):
            return f"whose {key} is one of {', '.join(values)}"
        case HasKey(key):
            return f"that have a {key}"
        case Compare(key, value, word):
            return f"whose {key} {_COMPARED[word]} '{value}' in the order of text"
        case Regex(key, pattern):
            case = ", whatever the case" if pattern.ignores_case else ""
            return f"whose {key} starts with a match of /{pattern.source}/{case}"
        case _:
            return f"where {query.label()}"


class _Steps:
    """The steps told so far; `of` tells one and what it builds on, and returns how to name it."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self._names: dict[Expression, str] = {}

    def of(self, part: Expression) -> str:
        """The name of a part, `[3]`, or the number it is; told first where it is new."""
        if isinstance(part, Constant) and self.told:
            return plain(part.value)
        name = self._names.get(part)
        if name is None:
            text = _WORDS[type(part)](self, part)
            name = self._names[part] = f"[{len(self.told) + 1}]"
            self.told.append(f"{name} {text}")
        return name

    def both(self, part: Binary) -> tuple[str, str]:
        """The names of both sides, the left one first; numbers stand for themselves."""
        left, right = part.left, part.right
        if isinstance(left, Constant):
            return plain(left.value), self.of(right)
        if isinstance(right, Constant):
            return self.of(left), plain(right.value)
        return self.of(left), self.of(right)


def _aggregate(_: _Steps, part: Aggregate) -> str:
    return f"{_folded(part)}{_when(part)}"


def _group_by(_: _Steps, part: GroupBy) -> str:
    return f"{_folded(part.inner)}, one line for each {_listed(part.keys)}{_when(part.inner)}"


def _all(_: _Steps, part: All) -> str:
    return f"each of the series {query_in_words(part.query)} on a line of its own{_when(part)}"


def _folded(part: Aggregate) -> str:
    return f"{_FOLDS[part.function]} of all series {query_in_words(part.query)}"


def _when(part: DataExpression) -> str:
    text = ""
    if part.consolidated_by != DEFAULT_CONSOLIDATION[part.kind]:
        folded = _FOLDS[part.consolidated_by]
        text += f", {folded} of the stored points where a point of the graph covers several"
    if part.offset_ms:
        text += f", as it was {duration_text(part.offset_ms)} earlier"
    return text


def _listed(keys: tuple[str, ...]) -> str:
    return " and ".join((", ".join(keys[:-1]), keys[-1])) if len(keys) > 1 else "".join(keys)


def _binary(steps: _Steps, part: Binary) -> str:
    text = _BINARY[part.word].format(*steps.both(part))
    if part.left.grouping and part.right.grouping:
        text += "; line by line, joined by their keys"
    return text


def _named(steps: _Steps, part: NamedRewrite) -> str:
    own = next((each for each in WORDS.get(part.name, ())), None)
    meaning = f" ({own.summary.rstrip('.')})" if own is not None and own.summary else ""
    return f":{part.name}{meaning}, which is {steps.of(part.evaluated)}"


def _line_aggregate(steps: _Steps, part: LineAggregate) -> str:
    return f"{_FOLDS[part.function]} of the lines of {steps.of(part.inner)}, point by point"


def _line_group_by(steps: _Steps, part: LineGroupBy) -> str:
    inner = steps.of(part.inner.inner)
    folded = _FOLDS[part.inner.function]
    return f"{folded} of the lines of {inner} for each {_listed(part.keys)}, point by point"


def _percentiles(_: _Steps, part: Percentiles) -> str:
    listed = ", ".join(map(plain, part.percents))
    data = part.inner.inner
    by = f", for each {_listed(part.own_keys)}" if part.own_keys else ""
    return (
        f"the percentiles {listed} of what the series {query_in_words(data.query)} measured, "
        f"estimated from their buckets{by}{_when(data)}"
    )


def _clamped(steps: _Steps, part: Clamp) -> str:
    side = "lower" if part.word == "clamp-min" else "higher"
    bound = plain(part.bound)
    return f"{steps.of(part.inner)}, with {bound} instead of anything {side}"


def _stateful(steps: _Steps, part: Stateful) -> str:
    declared = WORDS[part.word][0]
    names = [each.partition(":")[0] for each in declared.signature.partition("--")[0].split()[1:]]
    given = ", ".join(
        f"{name} = {value}" for name, value in zip(names, part.arguments, strict=False)
    )
    after = f" ({given}; counted in points, the current one included)" if given else ""
    return f"of {steps.of(part.inner)}: {declared.summary.rstrip('.')}{after}"


def _filtered(steps: _Steps, part: Filtered) -> str:
    inner, condition = steps.of(part.inner), steps.of(part.bound())
    return f"the lines of {inner} for which {condition} is true at any point, kept whole"


def _ranked(steps: _Steps, part: Ranked) -> str:
    which = "highest" if part.is_top else "lowest"
    text = f"the {part.count} lines of {steps.of(part.inner)} with the {which} {part.statistic}"
    if part.others:
        text += f", and {_FOLDS[part.others]} of all others as one line"
    return text


def _statistic(steps: _Steps, part: Statistic) -> str:
    return f"the {part.name} of each line of {steps.of(part.inner)} over the whole window"


def _consolidated(steps: _Steps, part: Consolidated) -> str:
    length = duration_text(part.length_ms)
    return f"{_FOLDS[part.function]} of {steps.of(part.inner)} for each {length}, repeated over it"


def _renamed(steps: _Steps, part: Renamed) -> str:
    return f"{steps.of(part.inner)} with the tag {part.original} called {part.replacement}"


_WORDS: Final[dict[type[Expression], Callable[[_Steps, Any], str]]] = {
    Aggregate: _aggregate,
    GroupBy: _group_by,
    All: _all,
    Constant: lambda _, part: f"{plain(part.value)} at every point",
    Unary: lambda steps, part: _UNARY[part.word].format(steps.of(part.inner)),
    Clamp: _clamped,
    Binary: _binary,
    NamedRewrite: _named,
    LineAggregate: _line_aggregate,
    LineGroupBy: _line_group_by,
    Renamed: _renamed,
    Random: lambda _, __: "noise between 0 and 1, the same whenever it is asked for",
    Time: lambda _, part: f"the {part.mode} of each point's time, in UTC",
    TimeSpan: lambda _, part: f"1 from {part.start} to {part.end}, else 0",
    Percentiles: _percentiles,
    Distinct: lambda steps, part: f"how many distinct values {steps.of(part.inner)} counted, about",
    Stateful: _stateful,
    Statistic: _statistic,
    StatisticOf: lambda _, part: f"the {part.name} of each line that is filtered",
    Filtered: _filtered,
    Ranked: _ranked,
    Consolidated: _consolidated,
}
