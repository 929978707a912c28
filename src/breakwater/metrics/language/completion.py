"""Which words could come next, given what a program has left on the stack."""

from collections.abc import Iterable
from typing import Final

import msgspec

from breakwater.metrics.language.machine import Machine
from breakwater.metrics.language.registry import Word
from breakwater.metrics.language.vocabulary import FAMILIES, Vocabulary

_ORDER: Final = {family: place for place, family in enumerate(FAMILIES)}


class WordEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One declaration of a word, for whoever writes programs or an editor for them.

    signature: what it takes from the stack, top last, `--`, what it leaves there.
    """

    name: str
    family: str
    signature: str
    description: str


def entries(vocabulary: Vocabulary) -> list[WordEntry]:
    """Every word of a vocabulary, by family and name; a name may have several declarations."""
    declared = [word for found in vocabulary.words.values() for word in found]
    return _sorted(declared)


def candidates(program: str, vocabulary: Vocabulary) -> list[WordEntry]:
    """The words that could be run after a program; raises QueryError when it fails itself.

    A program that ends in part of a word, `:su`, is completed by words that begin so; a whole
    word at its end is run like all before it.
    """
    before, _, last = program.rpartition(",")
    last = last.strip()
    is_part = last.startswith(":") and last[1:] not in vocabulary.words
    machine = Machine(vocabulary.words)
    machine.run_text(before if is_part else program)
    beginning = last[1:] if is_part else ""
    return _sorted(
        word
        for name, found in vocabulary.words.items()
        if name.startswith(beginning)
        for word in found
        if word.matched(machine.stack) is not None
    )


def _sorted(words: Iterable[Word]) -> list[WordEntry]:
    ordered = sorted(words, key=lambda word: (_ORDER.get(word.family, len(_ORDER)), word.name))
    return [
        WordEntry(
            name=word.name,
            family=word.family,
            signature=" ".join(word.signature.split()),
            description=word.summary,
        )
        for word in ordered
    ]
