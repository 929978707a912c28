"""Words that say which series are meant."""

import re

from breakwater.metrics.language.expressions import Expression
from breakwater.metrics.language.kinds import Item
from breakwater.metrics.language.registry import word
from breakwater.metrics.language.rewrites import restrict
from breakwater.metrics.language.styled import Styled
from breakwater.metrics.selection import query as q
from breakwater.metrics.selection.patterns import pattern

_SPECIAL = re.compile(r"([.^$*+?()\[\]{}|\\])")


@word("true", "-- Query")
def true() -> q.Query:
    """Every series."""
    return q.Everything()


@word("false", "-- Query")
def false() -> q.Query:
    """No series."""
    return q.Nothing()


@word("has", "key:String -- Query")
def has(key: str) -> q.Query:
    """Series that have the key."""
    return q.HasKey(key)


@word("eq", "key:String value:String -- Query")
def eq(key: str, value: str) -> q.Query:
    """Series whose key has exactly the value."""
    return q.Equal(key, value)


@word("in", "key:String values:StringList -- Query")
def in_(key: str, values: list[str]) -> q.Query:
    """Series whose key has one of the values."""
    if not values:
        return q.Nothing()
    return q.Equal(key, values[0]) if len(values) == 1 else q.In(key, tuple(values))


def _declare_comparison(name: str) -> None:
    @word(name, "key:String value:String -- Query")
    def compare(key: str, value: str) -> q.Query:
        """Compare the value of a key as text: "100" is below "2"."""
        return q.Compare(key, value, name)


for _name in ("lt", "le", "gt", "ge"):
    _declare_comparison(_name)


@word("re", "key:String pattern:String -- Query")
def re_(key: str, source: str) -> q.Query:
    """Series whose value begins with a match."""
    return q.Regex(key, pattern(source))


@word("reic", "key:String pattern:String -- Query")
def reic(key: str, source: str) -> q.Query:
    """Series whose value begins with a match, whatever the case."""
    return q.Regex(key, pattern(source, ignores_case=True))


@word("contains", "key:String text:String -- Query")
def contains(key: str, text: str) -> q.Query:
    """Series whose value holds the text."""
    return q.Regex(key, pattern(f".*{_literal(text)}"))


@word("starts", "key:String text:String -- Query")
def starts(key: str, text: str) -> q.Query:
    """Series whose value begins with the text."""
    return q.Regex(key, pattern(_literal(text)))


@word("ends", "key:String text:String -- Query")
def ends(key: str, text: str) -> q.Query:
    """Series whose value ends with the text."""
    return q.Regex(key, pattern(f".*{_literal(text)}$"))


@word("and", "left:Query right:Query -- Query")
def and_(left: q.Query, right: q.Query) -> q.Query:
    """Both hold."""
    return q.both(left, right)


@word("or", "left:Query right:Query -- Query")
def or_(left: q.Query, right: q.Query) -> q.Query:
    """Either holds."""
    return q.either(left, right)


@word("not", "query:Query -- Query")
def not_(query: q.Query) -> q.Query:
    """The opposite."""
    return q.negated(query)


@word("cq", "lines:Any query:Query -- Any")
def cq(item: Item, query: q.Query) -> Item:
    """Restrict every query inside an expression; anything else stays as it is."""
    if isinstance(item, q.Query):
        return q.both(item, query)
    return restrict(item, query) if isinstance(item, Expression | Styled) else item


def _literal(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", text)
