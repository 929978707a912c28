"""The words of the language: each is declared once, with the types it takes.

    @word("clamp-min", "lines:Expr bound:Double -- Expr")
    def clamp_min(lines: Expression, bound: float) -> Item: ...

The signature says bottom to top what the word takes; it is matched against the top of the stack,
printed in error messages, and is the word's reference entry. A name may be declared several
times; the first declaration whose types match is run. What the function returns is pushed; a
tuple pushes each of its items, None nothing.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from breakwater.metrics.language.kinds import KINDS, NO_MATCH, Item


class Word(msgspec.Struct, frozen=True, eq=False):
    """One declaration: its name, what it takes and what it does."""

    name: str
    signature: str
    kinds: tuple[str, ...]
    action: Callable[..., Any]
    needs_machine: bool

    def matched(self, stack: list[Item]) -> list[Item] | None:
        """The arguments taken from the top of the stack, or None when they do not fit."""
        count = len(self.kinds)
        if len(stack) < count:
            return None
        arguments = []
        for kind, item in zip(self.kinds, stack[len(stack) - count :], strict=True):
            argument = KINDS[kind](item)
            if argument is NO_MATCH:
                return None
            arguments.append(argument)
        return arguments


WORDS: Final[dict[str, list[Word]]] = {}
"""Every declared word by its name, in order of declaration."""


def word(
    name: str, signature: str, *, needs_machine: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare a word; with `needs_machine` its function gets the running machine first."""
    taken = signature.partition("--")[0].split()
    kinds = tuple(part.rpartition(":")[2] for part in taken)
    assert all(kind in KINDS for kind in kinds), signature

    def declare(action: Callable[..., Any]) -> Callable[..., Any]:
        WORDS.setdefault(name, []).append(Word(name, signature, kinds, action, needs_machine))
        return action

    return declare
