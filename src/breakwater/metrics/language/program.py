"""From the text of a program to the expressions it asks for."""

from breakwater.metrics.errors import QuerySyntaxError
from breakwater.metrics.language import words as _words  # noqa: F401 - declares the vocabulary
from breakwater.metrics.language.expressions import Styled
from breakwater.metrics.language.kinds import KINDS, NO_MATCH, Item, name_of
from breakwater.metrics.language.machine import Machine
from breakwater.metrics.language.query import Everything, Query


def run(program: str) -> list[Item]:
    """Run a program and return what it leaves on the stack, bottom first."""
    return Machine().run_text(program)


def parse(program: str) -> tuple[Styled, ...]:
    """The expressions of a program in their order; queries and numbers become expressions.

    Raises QuerySyntaxError, with position, word, stack and expectation, when it has none or
    leaves something else behind.
    """
    items = run(program)
    if not items:
        raise QuerySyntaxError("the program is empty; expected for example name,stream.starts,:eq")
    parsed = []
    for item in items:
        styled = KINDS["Styled"](item)
        if styled is NO_MATCH:
            raise QuerySyntaxError(
                f"the program left {name_of(item)} on the stack; expected expressions only"
            )
        parsed.append(styled)
    return tuple(parsed)


def parse_query(program: str) -> Query:
    """The one query a program builds; the empty program means every series."""
    if not program.strip():
        return Everything()
    items = run(program)
    if len(items) != 1 or not isinstance(items[0], Query):
        held = ", ".join(name_of(item) for item in items)
        raise QuerySyntaxError(f"expected one query; the program left [{held}]")
    return items[0]
