"""Named words: expressions that stand for a longer program and still print as one word."""

from collections.abc import Callable, Iterator

import msgspec

from breakwater.metrics.grid.durations import duration_text
from breakwater.metrics.language.expressions import Expression
from breakwater.metrics.selection.escapes import keys_text
from breakwater.metrics.selection.query import Query


class Meaning(msgspec.Struct, frozen=True, eq=False):
    """What a named word stands for.

    `make` builds the program for an operand and arguments; without it the word cannot be built
    again from a changed operand, and operand and program are changed alike. `group` builds the
    grouped program where that is more than the program with all its aggregates grouped.
    """

    name: str
    make: Callable[..., Expression] | None = None
    group: Callable[[Query | Expression, tuple[str, ...]], Expression] | None = None


class NamedRewrite(Expression, frozen=True):
    """A word that stands for a longer program and still prints as itself.

    `original` is what the word was applied to, `evaluated` the program it stands for, with the
    grouping (`keys`) and offset that later words gave it.
    """

    meaning: Meaning
    original: Query | Expression
    evaluated: Expression
    arguments: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    offset_ms: int = 0

    @property
    def name(self) -> str:
        """The word."""
        return self.meaning.name

    def text(self) -> str:
        """The canonical program."""
        words = [self.original.text(), *self.arguments, f":{self.name}"]
        if self.offset_ms:
            words.append(f"{duration_text(self.offset_ms)},:offset")
        if self.keys:
            words.append(f"{keys_text(self.keys)},:by")
        return ",".join(words)

    @property
    def grouping(self) -> tuple[str, ...]:
        """That of the program it stands for."""
        return self.evaluated.grouping

    def parts(self) -> Iterator[Expression]:
        """This and the parts of the program it stands for."""
        yield self
        yield from self.evaluated.parts()
