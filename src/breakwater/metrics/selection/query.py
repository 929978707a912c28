"""Queries: which series are meant, as a tree of conditions on tags.

Text and label of a query are those of the Atlas stack language, so that answers can be compared
and links keep working. Conditions compare strings: "100" is below "2".
"""

from collections.abc import Iterator, Mapping

import msgspec

from breakwater.metrics.selection.escapes import escape
from breakwater.metrics.selection.patterns import Pattern

Tags = Mapping[str, str]


class Query(msgspec.Struct, frozen=True):
    """A condition that a series meets or not."""

    def text(self) -> str:
        """The canonical program that builds this query."""
        raise NotImplementedError

    def label(self) -> str:
        """The query as a person would write it."""
        raise NotImplementedError

    def matches(self, tags: Tags) -> bool:
        """Whether a series with exactly these tags is meant."""
        raise NotImplementedError

    def could_match(self, tags: Tags) -> bool:
        """Whether a series with at least these tags may be meant."""
        return self.matches(tags)

    def exact_tags(self) -> dict[str, str]:
        """Tags every matching series has, by `:eq` reached through `:and` alone."""
        return {}


class Everything(Query, frozen=True):
    """`:true`."""

    def text(self) -> str:
        """The canonical program."""
        return ":true"

    def label(self) -> str:
        """The readable form."""
        return "true"

    def matches(self, tags: Tags) -> bool:  # noqa: ARG002 - the answer is the same for all
        """Always."""
        return True


class Nothing(Query, frozen=True):
    """`:false`."""

    def text(self) -> str:
        """The canonical program."""
        return ":false"

    def label(self) -> str:
        """The readable form."""
        return "false"

    def matches(self, tags: Tags) -> bool:  # noqa: ARG002 - the answer is the same for all
        """Never."""
        return False


class HasKey(Query, frozen=True):
    """`k,:has`: the series has the key, with whatever value."""

    key: str

    def text(self) -> str:
        """The canonical program."""
        return f"{escape(self.key)},:has"

    def label(self) -> str:
        """The readable form."""
        return f"has({self.key})"

    def matches(self, tags: Tags) -> bool:
        """Whether the key is there."""
        return self.key in tags

    def could_match(self, tags: Tags) -> bool:  # noqa: ARG002 - true of all
        """Always: the key may be among the unknown tags."""
        return True


class ValueQuery(Query, frozen=True):
    """A condition on the value of one key; a series without the key does not meet it."""

    key: str

    def accepts(self, value: str) -> bool:
        """Whether the value of the key is meant."""
        raise NotImplementedError

    def matches(self, tags: Tags) -> bool:
        """Whether the key is there and its value is meant."""
        value = tags.get(self.key)
        return value is not None and self.accepts(value)

    def could_match(self, tags: Tags) -> bool:
        """Whether the key is unknown or its value is meant."""
        value = tags.get(self.key)
        return value is None or self.accepts(value)


class Equal(ValueQuery, frozen=True):
    """`k,v,:eq`."""

    value: str

    def text(self) -> str:
        """The canonical program."""
        return f"{escape(self.key)},{escape(self.value)},:eq"

    def label(self) -> str:
        """The readable form."""
        return f"{self.key}={self.value}"

    def accepts(self, value: str) -> bool:
        """Whether it is that value."""
        return value == self.value

    def exact_tags(self) -> dict[str, str]:
        """The one tag."""
        return {self.key: self.value}


class Compare(ValueQuery, frozen=True):
    """`k,v,:lt` and its kin, in string order; `word` is lt, le, gt or ge."""

    value: str
    word: str

    def text(self) -> str:
        """The canonical program."""
        return f"{escape(self.key)},{escape(self.value)},:{self.word}"

    def label(self) -> str:
        """The readable form."""
        return f"{self.key}{_SIGNS[self.word]}{self.value}"

    def accepts(self, value: str) -> bool:
        """Whether the value is on the right side."""
        if self.word == "lt":
            return value < self.value
        if self.word == "le":
            return value <= self.value
        return value > self.value if self.word == "gt" else value >= self.value


_SIGNS = {"lt": "<", "le": "<=", "gt": ">", "ge": ">="}


class Regex(ValueQuery, frozen=True):
    """`k,pattern,:re` and `:reic`: anchored at the start of the value, not at its end."""

    pattern: Pattern

    def text(self) -> str:
        """The canonical program."""
        word = ":reic" if self.pattern.ignores_case else ":re"
        return f"{escape(self.key)},{escape(self.pattern.source)},{word}"

    def label(self) -> str:
        """The readable form."""
        flag = "i" if self.pattern.ignores_case else ""
        return f"{self.key}~/^{self.pattern.source}/{flag}"

    def accepts(self, value: str) -> bool:
        """Whether the value starts with a match."""
        return self.pattern.matches(value)


class In(ValueQuery, frozen=True):
    """`k,(,v,...,),:in` with at least two values."""

    values: tuple[str, ...]

    def text(self) -> str:
        """The canonical program."""
        listed = ",".join(escape(value) for value in self.values)
        return f"{escape(self.key)},(,{listed},),:in"

    def label(self) -> str:
        """The readable form."""
        return f"{self.key} in ({','.join(self.values)})"

    def accepts(self, value: str) -> bool:
        """Whether it is one of the values."""
        return value in self.values


class And(Query, frozen=True):
    """Both hold."""

    left: Query
    right: Query

    def text(self) -> str:
        """The canonical program."""
        return f"{self.left.text()},{self.right.text()},:and"

    def label(self) -> str:
        """The readable form."""
        return f"({self.left.label()}) and ({self.right.label()})"

    def matches(self, tags: Tags) -> bool:
        """Whether both match."""
        return self.left.matches(tags) and self.right.matches(tags)

    def could_match(self, tags: Tags) -> bool:
        """Whether both could."""
        return self.left.could_match(tags) and self.right.could_match(tags)

    def exact_tags(self) -> dict[str, str]:
        """The exact tags of both sides."""
        return {**self.left.exact_tags(), **self.right.exact_tags()}


class Or(Query, frozen=True):
    """Either holds."""

    left: Query
    right: Query

    def text(self) -> str:
        """The canonical program."""
        return f"{self.left.text()},{self.right.text()},:or"

    def label(self) -> str:
        """The readable form."""
        return f"({self.left.label()}) or ({self.right.label()})"

    def matches(self, tags: Tags) -> bool:
        """Whether either matches."""
        return self.left.matches(tags) or self.right.matches(tags)

    def could_match(self, tags: Tags) -> bool:
        """Whether either could."""
        return self.left.could_match(tags) or self.right.could_match(tags)


class Not(Query, frozen=True):
    """The opposite; a series that lacks the key is meant too."""

    query: Query

    def text(self) -> str:
        """The canonical program."""
        return f"{self.query.text()},:not"

    def label(self) -> str:
        """The readable form."""
        return f"not({self.query.label()})"

    def matches(self, tags: Tags) -> bool:
        """Whether the inner query does not match."""
        return not self.query.matches(tags)

    def could_match(self, tags: Tags) -> bool:
        """Whether tags not yet known could still make the inner query fail."""
        return not (self.query.matches(tags) and _is_decided(self.query, tags))


def _is_decided(query: Query, tags: Tags) -> bool:
    return all(key in tags for key in keys_of(query))


def keys_of(query: Query) -> Iterator[str]:
    """Every key the query looks at, in order, with repetitions."""
    if isinstance(query, And | Or):
        yield from keys_of(query.left)
        yield from keys_of(query.right)
    elif isinstance(query, Not):
        yield from keys_of(query.query)
    elif isinstance(query, HasKey | ValueQuery):
        yield query.key


def both(left: Query, right: Query) -> Query:
    """`left and right`, with `:true` and `:false` folded away."""
    if isinstance(left, Nothing) or isinstance(right, Everything):
        return left
    if isinstance(right, Nothing) or isinstance(left, Everything):
        return right
    return And(left, right)


def either(left: Query, right: Query) -> Query:
    """`left or right`, with `:true` and `:false` folded away."""
    if isinstance(left, Everything) or isinstance(right, Nothing):
        return left
    if isinstance(right, Everything) or isinstance(left, Nothing):
        return right
    return Or(left, right)


def negated(query: Query) -> Query:
    """`not query`, with `:true` and `:false` folded away."""
    if isinstance(query, Everything):
        return Nothing()
    return Everything() if isinstance(query, Nothing) else Not(query)


def conjunctive(query: Query) -> list[Query]:
    """The query as a list of conditions that must all hold (conjunctive normal form)."""
    match query:
        case And(left, right):
            return [*conjunctive(left), *conjunctive(right)]
        case Or(left, right):
            return [Or(a, b) for a in conjunctive(left) for b in conjunctive(right)]
        case Not(inner):
            return [negated(part) for part in disjunctive(inner)] if _is_nested(inner) else [query]
        case _:
            return [query]


def disjunctive(query: Query) -> list[Query]:
    """The query as a list of alternatives of which one must hold (disjunctive normal form)."""
    match query:
        case Or(left, right):
            return [*disjunctive(left), *disjunctive(right)]
        case And(left, right):
            return [And(a, b) for a in disjunctive(left) for b in disjunctive(right)]
        case Not(inner):
            return [negated(part) for part in conjunctive(inner)] if _is_nested(inner) else [query]
        case _:
            return [query]


def _is_nested(query: Query) -> bool:
    return isinstance(query, And | Or | Not)
