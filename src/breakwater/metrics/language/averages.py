"""Averages by a second metric: requests per node as requests divided by a count of nodes."""

from breakwater.metrics.language.expressions import (
    Aggregate,
    Binary,
    Expression,
    GroupBy,
)
from breakwater.metrics.language.named import Meaning
from breakwater.metrics.language.site import CustomAverage
from breakwater.metrics.selection.query import (
    And,
    Everything,
    HasKey,
    Not,
    Or,
    Query,
    ValueQuery,
    both,
    either,
    negated,
)


def average_meaning(average: CustomAverage, base: Query) -> Meaning:
    """What the word of a custom average stands for, plain and grouped."""
    known = frozenset(average.keys)

    def counted(query: Query) -> Aggregate:
        return Aggregate(both(base, restricted(query, known)))

    def make(original: Query | Expression) -> Expression:
        assert isinstance(original, Query)
        return Binary(Aggregate(original), counted(original), "div")

    def group(original: Query | Expression, keys: tuple[str, ...]) -> Expression:
        assert isinstance(original, Query)
        shared = tuple(key for key in keys if key in known)
        nodes: Expression = counted(original)
        if shared:
            nodes = GroupBy(counted(original), shared)
        return Binary(GroupBy(Aggregate(original), keys), nodes, "div")

    return Meaning(average.name, make, group)


def restricted(query: Query, keys: frozenset[str]) -> Query:
    """What a query says about some keys; what it says about others is taken as met."""
    match query:
        case And(left, right):
            return both(restricted(left, keys), restricted(right, keys))
        case Or(left, right):
            return either(restricted(left, keys), restricted(right, keys))
        case Not(inner):
            kept = restricted(inner, keys)
            return kept if isinstance(kept, Everything) else negated(kept)
        case HasKey(key) | ValueQuery(key):
            return query if key in keys else Everything()
        case _:
            return query
