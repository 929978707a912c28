"""The normal form of a program: two programs that ask for the same often become the same text.

Queries become a sum of products whose conditions are in a fixed order: names and infrastructure
keys first, statistics last. Legend variables are written one way, statistics of what is filtered
by their short words, and words that change nothing are left out.
"""

from functools import reduce
from typing import Final

import msgspec

from breakwater.metrics.errors import QueryValueError
from breakwater.metrics.language.events import EventExpression
from breakwater.metrics.language.expressions import Expression
from breakwater.metrics.language.kinds import KINDS, NO_MATCH, Item, name_of
from breakwater.metrics.language.program import run
from breakwater.metrics.language.rewrites import rewrite_queries
from breakwater.metrics.language.styled import Styled
from breakwater.metrics.language.variables import normalized_variables
from breakwater.metrics.language.vocabulary import STANDARD, Vocabulary
from breakwater.metrics.language.wrapped import Filtered, Statistic, StatisticOf
from breakwater.metrics.selection.query import (
    And,
    In,
    Not,
    Or,
    Query,
    both,
    conjunctive,
    disjunctive,
    either,
    keys_of,
    negated,
)

FIRST_KEYS: Final = (
    "name",
    "nf.app",
    "nf.stack",
    "nf.cluster",
    "nf.asg",
    "nf.region",
    "nf.zone",
    "nf.node",
)
LAST_KEYS: Final = ("statistic",)
_LEFT_OUT: Final = frozenset((":const", ":line"))
_MOST_PARTS: Final = 10_000


def normalize(program: str, vocabulary: Vocabulary = STANDARD) -> list[str]:
    """The normal form of each expression of a program, in its order; raises QueryError."""
    return [_normalized(item) for item in run(program, vocabulary)]


def _normalized(item: Item) -> str:
    if isinstance(item, EventExpression):
        return msgspec.structs.replace(item, query=normalized_query(item.query)).text()
    styled = KINDS["Styled"](item)
    if styled is NO_MATCH:
        raise QueryValueError(
            f"the program left {name_of(item)} on the stack; expected expressions only"
        )
    assert isinstance(styled, Styled)
    return normalized(styled)


def normalized(styled: Styled) -> str:
    """The normal form of one expression."""
    legend = styled.get("legend")
    if legend is not None:
        styled = styled.with_setting("legend", normalized_variables(legend))
    changed = rewrite_queries(Styled(_short(styled.inner), styled.settings), normalized_query)
    words = changed.text().split(",")
    return ",".join(word for word in words if word not in _LEFT_OUT)


def _short(expression: Expression) -> Expression:
    """The expression with statistics of what is filtered as `:stat-*`."""

    def change(part: Expression) -> Expression | None:
        if not isinstance(part, Filtered):
            return None
        inner = part.inner.rewrite(change)

        def shorten(inside: Expression) -> Expression | None:
            if isinstance(inside, Statistic) and inside.inner == part.inner:
                return StatisticOf(inside.name)
            return None

        return Filtered(inner, part.condition.rewrite(shorten).rewrite(change))

    return expression.rewrite(change)


def normalized_query(query: Query) -> Query:
    """A query as alternatives of conditions in a fixed order, without repetitions."""
    simple = _simplified(query)
    if _alternatives(simple, is_negated=False) > _MOST_PARTS:
        raise QueryValueError(
            f"the query has more than {_MOST_PARTS} conditions in its normal form"
        )
    alternatives = []
    for alternative in disjunctive(simple):
        conditions = {_condition(part) for part in conjunctive(alternative)}
        alternatives.append(tuple(sorted(conditions, key=_order)))
    distinct = list(dict.fromkeys(alternatives))
    if len(distinct) > 1:
        sets = [frozenset(each) for each in distinct]
        distinct = [
            each
            for each, own in zip(distinct, sets, strict=True)
            if not all(other <= own for other in sets)
        ]
    products = [reduce(And, each) for each in distinct]
    return reduce(Or, sorted(products, key=lambda product: product.text()))


def _condition(query: Query) -> Query:
    if not isinstance(query, In):
        return query
    values = tuple(sorted(set(query.values)))
    return In(query.key, values)


def _order(query: Query) -> tuple[int, int, str]:
    key = next(keys_of(query), "")
    if key in FIRST_KEYS:
        return (0, FIRST_KEYS.index(key), query.text())
    if key in LAST_KEYS:
        return (2, LAST_KEYS.index(key), query.text())
    return (1, 0, query.text())


def _simplified(query: Query) -> Query:
    match query:
        case And(left, right):
            return both(_simplified(left), _simplified(right))
        case Or(left, right):
            return either(_simplified(left), _simplified(right))
        case Not(inner):
            return negated(_simplified(inner))
        case _:
            return query


def _alternatives(query: Query, *, is_negated: bool) -> int:
    """How many alternatives the sum of products of a query has."""
    match query:
        case Not(inner):
            return _alternatives(inner, is_negated=not is_negated)
        case And(left, right) | Or(left, right):
            counts = [_alternatives(part, is_negated=is_negated) for part in (left, right)]
            is_sum = isinstance(query, Or) != is_negated
            return min(sum(counts) if is_sum else counts[0] * counts[1], _MOST_PARTS + 1)
        case _:
            return 1
