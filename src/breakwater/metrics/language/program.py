"""From the text of a program to the expressions it asks for."""

from breakwater.metrics.errors import QuerySyntaxError, QueryValueError
from breakwater.metrics.grid.durations import parse_duration
from breakwater.metrics.language.events import EventExpression
from breakwater.metrics.language.kinds import KINDS, NO_MATCH, Item, name_of
from breakwater.metrics.language.machine import Machine
from breakwater.metrics.language.rewrites import shift
from breakwater.metrics.language.styled import OFFSETS, Styled
from breakwater.metrics.language.vocabulary import STANDARD, Vocabulary
from breakwater.metrics.selection.query import Everything, Query


def run(
    program: str, vocabulary: Vocabulary = STANDARD, *, variables: dict[str, Item] | None = None
) -> list[Item]:
    """Run a program and return what it leaves on the stack, bottom first.

    `variables` are set before it runs; `tz` is the time zone of dates in it.
    """
    machine = Machine(vocabulary.words)
    machine.variables.update(variables or {})
    return machine.run_text(program)


def parse(
    program: str, vocabulary: Vocabulary = STANDARD, *, variables: dict[str, Item] | None = None
) -> tuple[Styled, ...]:
    """The expressions of a program in their order; queries and numbers become expressions.

    Raises QuerySyntaxError, with position, word, stack and expectation, when it has none or
    leaves something else behind, QueryValueError for what asks for events.
    """
    items = run(program, vocabulary, variables=variables)
    if not items:
        raise QuerySyntaxError("the program is empty; expected for example name,stream.starts,:eq")
    return tuple(each for item in items for each in _by_offset(_styled(item)))


def _styled(item: Item) -> Styled:
    if isinstance(item, EventExpression):
        raise QueryValueError(
            f"'{item.text()}' asks for events; this engine holds time series only, "
            "changes and incidents are listed under /api/v1/changes and /api/v1/incidents"
        )
    styled = KINDS["Styled"](item)
    if styled is NO_MATCH:
        raise QuerySyntaxError(
            f"the program left {name_of(item)} on the stack; expected expressions only"
        )
    assert isinstance(styled, Styled)
    return styled


def _by_offset(styled: Styled) -> list[Styled]:
    """One copy for each of the offsets that a style word listed."""
    listed = styled.get(OFFSETS)
    if listed is None:
        return [styled]
    bare = styled.without(OFFSETS)
    lengths = [parse_duration(text) for text in listed.split(",")[1:-1]]
    copies = [shift(bare, length_ms) for length_ms in lengths]
    return [copy for copy in copies if isinstance(copy, Styled)]


def parse_query(program: str, vocabulary: Vocabulary = STANDARD) -> Query:
    """The one query a program builds; the empty program means every series."""
    if not program.strip():
        return Everything()
    items = run(program, vocabulary)
    if len(items) != 1 or not isinstance(items[0], Query):
        held = ", ".join(name_of(item) for item in items)
        raise QuerySyntaxError(f"expected one query; the program left [{held}]")
    return items[0]
