"""A program with less in it: without conditions on some keys, without words of some families."""

from collections.abc import Collection
from typing import Final

from breakwater.metrics.errors import QueryValueError
from breakwater.metrics.language.expressions import Expression
from breakwater.metrics.language.rewrites import rewrite_queries
from breakwater.metrics.language.styled import Styled
from breakwater.metrics.language.wrapped import (
    Consolidated,
    Filtered,
    Ranked,
    Stateful,
    Statistic,
    Wrapped,
)
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
    keys_of,
)

_WRAPPERS: Final[dict[str, tuple[type[Wrapped], ...]]] = {
    "stateful": (Stateful,),
    "filter": (Filtered, Ranked, Statistic, Consolidated),
    "style": (),
}
"""The families whose words can be taken out and leave an expression, and what those words build."""


def strip(styled: Styled, keys: Collection[str], families: Collection[str]) -> Styled:
    """An expression without conditions on `keys` and without the words of `families`.

    A condition that is taken out restricts nothing any more. Raises QueryValueError for a family
    without whose words there is no expression.
    """
    for family in families:
        if family not in _WRAPPERS:
            raise QueryValueError(
                f"words of '{family}' cannot be taken out; allowed: {', '.join(_WRAPPERS)}"
            )
    wrappers = tuple(kind for family in families for kind in _WRAPPERS[family])

    def unwrap(part: Expression) -> Expression | None:
        return part.inner.rewrite(unwrap) if isinstance(part, wrappers) else None

    inner = styled.inner.rewrite(unwrap) if wrappers else styled.inner
    settings = () if "style" in families else styled.settings
    stripped = rewrite_queries(Styled(inner, settings), lambda query: without_keys(query, keys))
    assert isinstance(stripped, Styled)
    return stripped


def without_keys(query: Query, keys: Collection[str]) -> Query:
    """A query that asks for nothing about `keys`, so that it matches as much or more."""
    match query:
        case And(left, right):
            return both(without_keys(left, keys), without_keys(right, keys))
        case Or(left, right):
            return either(without_keys(left, keys), without_keys(right, keys))
        case Not(inner):
            # Taking one of two conditions out of a negation would make it stricter.
            return Everything() if _looks_at(inner, keys) else query
        case HasKey(key) | ValueQuery(key):
            return Everything() if key in keys else query
        case _:
            return query


def _looks_at(query: Query, keys: Collection[str]) -> bool:
    return any(key in keys for key in keys_of(query))
