"""A program run word by word: what was still to come, and what the stack held, at every step."""

from collections import deque
from typing import Any, Final, Self

import msgspec

from breakwater.metrics.errors import QueryError, QueryValueError
from breakwater.metrics.language.kinds import shown
from breakwater.metrics.language.machine import Machine, Token, check_text, tokens
from breakwater.metrics.language.vocabulary import Vocabulary

MOST_CHARACTERS: Final = 4_000_000
"""Of all steps of a trace together; what is on the stack is written out at each of them."""

Shown = str | list[Any]


class Context(msgspec.Struct, frozen=True):
    """What a program has made so far: the stack, its top first, and the variables set."""

    stack: list[Shown]
    variables: dict[str, Shown]


class Step(msgspec.Struct, frozen=True):
    """One moment of a run: the words that are still to be run, and what there is by then."""

    program: list[Shown]
    context: Context


class Trace(msgspec.Struct, frozen=True):
    """Every step, the first before anything ran; `error` is what ended the run early, if any."""

    steps: list[Step]
    error: QueryError | None = None


class _Pending:
    """Words still to be run; whoever takes one takes it from here."""

    def __init__(self, program: str) -> None:
        self.left = deque(tokens(program))

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Token:
        if not self.left:
            raise StopIteration
        return self.left.popleft()


def trace(program: str, vocabulary: Vocabulary) -> Trace:
    """Run a program and keep every step up to its end or to the word that failed.

    Raises QuerySyntaxError for what cannot be split into words, QueryValueError when the steps
    would be too long to show.
    """
    machine = Machine(vocabulary.words)
    check_text(program)
    pending = _Pending(program)
    room = MOST_CHARACTERS
    steps: list[Step] = []
    while True:
        steps.append(_step(machine, pending))
        room -= sum(map(_length, (*steps[-1].program, *steps[-1].context.stack)))
        if room < 0:
            raise QueryValueError(
                f"the steps have more than {MOST_CHARACTERS} characters; trace a shorter program"
            )
        if not pending.left:
            return Trace(steps)
        try:
            machine.step(next(pending), pending)
        except QueryError as failed:
            return Trace(steps, failed)


def _step(machine: Machine, pending: _Pending) -> Step:
    items = [*machine.frozen, *machine.stack]
    return Step(
        [shown(token.text) for token in pending.left],
        Context(
            [shown(item) for item in reversed(items)],
            {name: shown(value) for name, value in machine.variables.items()},
        ),
    )


def _length(item: Shown) -> int:
    return len(item) + 3 if isinstance(item, str) else 2 + sum(map(_length, item))
