"""Programs that were read before, so that the same question is parsed once."""

import threading
from collections import OrderedDict
from functools import cached_property
from typing import Final

import msgspec

from breakwater.metrics.cost import selections
from breakwater.metrics.language.program import parse, parse_query
from breakwater.metrics.language.rewrites import restrict
from breakwater.metrics.language.size import Measure
from breakwater.metrics.language.styled import Styled
from breakwater.metrics.language.vocabulary import Vocabulary
from breakwater.metrics.selection.selection import Selection
from breakwater.metrics.text.legends import Legend, short_legends

_SOON_READ: Final = 512
"""Characters of a program that is read within about a millisecond."""


class Question(msgspec.Struct, frozen=True):
    """A program and what surrounds it where it is asked.

    zone: time zone of the dates in it. common_query: a query ANDed into every query of it, also
    into what was frozen. has_short_legends: lines without a legend of their own get a short one.
    """

    text: str
    zone: str = "UTC"
    common_query: str = ""
    has_short_legends: bool = False


class Look(msgspec.Struct, frozen=True, eq=False):
    """What is said of the lines of one expression, whatever their values are."""

    text: str
    settings: tuple[tuple[str, str], ...]
    grouping: tuple[str, ...]
    legend: Legend

    @classmethod
    def of(cls, styled: Styled) -> "Look":
        """The look of an expression."""
        return cls(styled.text(), styled.settings, styled.inner.grouping, Legend(styled))


class Program(msgspec.Struct, frozen=True, eq=False, dict=True):
    """The expressions of a program, and how many parts they have, shared ones counted each time."""

    expressions: tuple[Styled, ...]
    parts: int

    @cached_property
    def selections(self) -> tuple[Selection, ...]:
        """What it reads, each once; made once."""
        return tuple(selections(self.expressions))

    @cached_property
    def looks(self) -> tuple[Look, ...]:
        """How the lines of each expression look; made once."""
        return tuple(map(Look.of, self.expressions))


class Programs:
    """Reads programs and remembers the last `capacity` of them; safe to use from threads."""

    def __init__(self, vocabulary: Vocabulary, capacity: int) -> None:
        self.vocabulary = vocabulary
        self._capacity = capacity
        self._lock = threading.Lock()
        self._kept: OrderedDict[str | Question, Program] = OrderedDict()

    def read(self, asked: str | Question) -> Program:
        """The program; raises QueryError."""
        found = self._known(asked)
        if found is not None:
            return found
        expressions = self._expressions(asked)
        measure = Measure()
        program = Program(expressions, sum(measure.of(each.inner).parts for each in expressions))
        with self._lock:
            self._kept[asked] = program
            while len(self._kept) > self._capacity:
                self._kept.popitem(last=False)
        return program

    def read_soon(self, asked: str | Question) -> Program | None:
        """The program if it is at hand or short, else None; raises QueryError."""
        length = len(asked) if isinstance(asked, str) else len(asked.text + asked.common_query)
        return self._known(asked) if length > _SOON_READ else self.read(asked)

    def _expressions(self, asked: str | Question) -> tuple[Styled, ...]:
        if isinstance(asked, str):
            return parse(asked, self.vocabulary)
        expressions = parse(asked.text, self.vocabulary, variables={"tz": asked.zone})
        if asked.common_query.strip():
            common = parse_query(asked.common_query, self.vocabulary)
            narrowed = (restrict(each, common) for each in expressions)
            expressions = tuple(each for each in narrowed if isinstance(each, Styled))
        return short_legends(expressions) if asked.has_short_legends else expressions

    def _known(self, asked: str | Question) -> Program | None:
        with self._lock:
            found = self._kept.get(asked)
            if found is not None:
                self._kept.move_to_end(asked)
            return found
