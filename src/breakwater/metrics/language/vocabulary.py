"""Vocabularies: the words a program may use, by family and with what a site adds.

Families build on each other: who may filter may also do all that comes before. A site's words
come last, so they never change what a word of the language means.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from breakwater.metrics.errors import QueryError, QueryValueError
from breakwater.metrics.language import words as _words  # noqa: F401 - declares the vocabulary
from breakwater.metrics.language.averages import average_meaning
from breakwater.metrics.language.machine import Machine, tokens
from breakwater.metrics.language.registry import WORDS, Word, declared
from breakwater.metrics.language.rewrites import named
from breakwater.metrics.language.site import CustomAverage, named_program
from breakwater.metrics.selection.query import Query
from breakwater.metrics.settings import AVERAGES, INFRASTRUCTURE_KEYS

_CHAIN: Final = ("std", "query", "data", "math", "stateful", "filter", "style", "custom")
FAMILIES: Final[dict[str, tuple[str, ...]]] = {
    **{name: _CHAIN[: place + 1] for place, name in enumerate(_CHAIN)},
    "event": ("std", "query", "event"),
}
"""For each family, the families its programs may use."""


class Vocabulary:
    """Words by name; immutable."""

    def __init__(self, words: Mapping[str, Iterable[Word]]) -> None:
        self.words: dict[str, tuple[Word, ...]] = {
            name: tuple(declarations) for name, declarations in words.items()
        }

    def limited(self, family: str) -> "Vocabulary":
        """The words of a family and those it builds on; raises QueryValueError."""
        if family not in FAMILIES:
            raise QueryValueError(f"unknown vocabulary '{family}'; known: {', '.join(FAMILIES)}")
        kept = {
            name: [each for each in found if each.family in FAMILIES[family]]
            for name, found in self.words.items()
        }
        return Vocabulary({name: found for name, found in kept.items() if found})

    def with_site(
        self,
        words: Iterable[str],
        averages: Iterable[str],
        keys: Iterable[str] = INFRASTRUCTURE_KEYS,
    ) -> "Vocabulary":
        """This vocabulary and a site's own words; raises QueryValueError naming a bad one.

        words: macros, each `name=program`. averages: each `name=query` of the metric that is
        divided by, whose series carry `keys`.
        """
        added: dict[str, list[Word]] = {name: list(found) for name, found in self.words.items()}
        for name, base_query in map(named_program, averages):
            average = CustomAverage(name=name, base_query=base_query, keys=tuple(keys))
            added.setdefault(name, []).append(_average_word(average, self))
        for name, body in map(named_program, words):
            added.setdefault(name, []).append(_macro_word(name, body))
        return Vocabulary(added)


def _average_word(average: CustomAverage, known: Vocabulary) -> Word:
    try:
        items = Machine(known.words).run_text(average.base_query)
    except QueryError as error:
        raise QueryValueError(f"base query of average '{average.name}': {error}") from error
    if len(items) != 1 or not isinstance(items[0], Query):
        raise QueryValueError(
            f"base query of average '{average.name}' must be one query, is {average.base_query!r}"
        )
    meaning = average_meaning(average, items[0])

    def apply(query: Query) -> Any:
        return named(meaning, query)

    apply.__doc__ = f"Divide by the sum of {average.base_query}."
    made = declared(average.name, "query:Query -- Expr", apply, "custom")
    return msgspec.structs.replace(made, is_rewrite=True)


def _macro_word(name: str, program: str) -> Word:
    try:
        body = [token.text for token in tokens(program)]
    except QueryError as error:
        raise QueryValueError(f"program of word '{name}': {error}") from error

    def run(machine: Machine) -> None:
        machine.run_macro(name, body)

    run.__doc__ = f"Shorthand for {program}."
    made = declared(name, " -- *", run, "custom")
    return msgspec.structs.replace(made, needs_machine=True)


BARE: Final = Vocabulary(WORDS)
"""Every word of the language but custom averages."""

STANDARD: Final = BARE.with_site((), AVERAGES)
"""Every word of the language, with the averages every site has."""
