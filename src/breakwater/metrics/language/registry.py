"""The words of the language: each is declared once, with the types it takes.

    @word("clamp-min", "lines:Expr bound:Double -- Expr")
    def clamp_min(lines: Expression, bound: float) -> Item: ...

The signature says bottom to top what the word takes; it is matched against the top of the stack,
printed in error messages, and is the word's reference entry. A name may be declared several
times; the first declaration whose types match is run. What the function returns is pushed; a
tuple pushes each of its items, None nothing. The module of a word says its family.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from breakwater.metrics.language.expressions import Expression
from breakwater.metrics.language.kinds import KINDS, NO_MATCH, Item
from breakwater.metrics.language.styled import Styled


class Word(msgspec.Struct, frozen=True, eq=False):
    """One declaration: its name, what it takes and what it does."""

    name: str
    signature: str
    kinds: tuple[str, ...]
    action: Callable[..., Any]
    needs_machine: bool
    family: str
    is_rewrite: bool = False

    @property
    def summary(self) -> str:
        """What the word does, in a sentence or two."""
        return " ".join((self.action.__doc__ or "").split())

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

    def dressed(self, taken: list[Item], result: Any) -> Any:
        """The result in the style of the one styled item that was taken as an expression.

        Where several were, none is more right than the other, and the style is dropped.
        """
        if not isinstance(result, Expression):
            return result
        styles = [
            item.settings
            for kind, item in zip(self.kinds, taken, strict=True)
            if kind == "Expr" and isinstance(item, Styled)
        ]
        return Styled(result, styles[0]) if len(styles) == 1 else result


_FAMILIES: Final = {
    "rewrite": "math",
    "buckets": "math",
    "generate": "math",
    "selection": "filter",
}
"""Modules whose words belong to the family of another module."""

WORDS: Final[dict[str, list[Word]]] = {}
"""Every declared word by its name, in order of declaration."""


def word(
    name: str, signature: str, *, needs_machine: bool = False, is_rewrite: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare a word; with `needs_machine` its function gets the running machine first.

    `is_rewrite` says that the word is a named one: its result prints as the word itself.
    """

    def declare(action: Callable[..., Any]) -> Callable[..., Any]:
        module = action.__module__.rpartition(".")[2]
        made = declared(name, signature, action, _FAMILIES.get(module, module))
        complete = msgspec.structs.replace(made, needs_machine=needs_machine, is_rewrite=is_rewrite)
        WORDS.setdefault(name, []).append(complete)
        return action

    return declare


def declared(name: str, signature: str, action: Callable[..., Any], family: str) -> Word:
    """A word that is not put into the list of all."""
    taken = signature.partition("--")[0].split()
    kinds = tuple(part.rpartition(":")[2] for part in taken)
    assert all(kind in KINDS for kind in kinds), signature
    return Word(name, signature, kinds, action, needs_machine=False, family=family)
