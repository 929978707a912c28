"""The stack machine: reads a program word by word and leaves expressions on a stack.

A program is literals, words and lists, separated by commas. `(` and `)` as words of their own
enclose a list, which is not run until another word runs it. A machine is used for one program.
Limits: 1024 items on the stack and in a list, calls nested 10 deep, 64 KiB of text, and the size
of what is built (`size`).
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from breakwater.metrics.errors import QueryError, QuerySyntaxError, QueryValueError
from breakwater.metrics.language.kinds import Item, name_of
from breakwater.metrics.language.registry import Word
from breakwater.metrics.language.size import Measure
from breakwater.metrics.selection.escapes import unescape

MAX_ITEMS: Final = 1024
MAX_DEPTH: Final = 10
MAX_TEXT: Final = 65_536
_MAX_STEPS: Final = 20_000
_COMMENT_EDGE: Final = re.compile(r"/\*|\*/")


class Token(NamedTuple):
    """One word or literal and the index of its first character."""

    text: Item
    position: int


class Machine:
    """The stack while a program runs: `stack` (top last), variables, and what was frozen.

    `words` is the vocabulary; the variable `tz` may name the time zone of dates.
    """

    def __init__(self, words: Mapping[str, Sequence[Word]]) -> None:
        self.words = words
        self.stack: list[Item] = []
        self.frozen: list[Item] = []
        self.variables: dict[str, Item] = {}
        self.macros: list[str] = []
        self._depth = 0
        self._steps = 0
        self._measure = Measure()

    def run_text(self, program: str) -> list[Item]:
        """Run a program from its text; returns frozen and live items, bottom first."""
        check_text(program)
        self._run(tokens(program))
        return [*self.frozen, *self.stack]

    def run_list(self, items: list[Item]) -> None:
        """Run a list as a program on the current stack."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise QueryValueError(f"looping detected: calls are nested deeper than {MAX_DEPTH}")
        self._run(Token(item, -1) for item in items)
        self._depth -= 1

    def run_macro(self, name: str, body: list[Item]) -> None:
        """Run the body of a word that is defined by other words."""
        self.macros.append(name)
        self.run_list(body)
        self.macros.pop()

    def push(self, item: Item) -> None:
        """Put an item on the stack; raises QueryValueError when it, or the stack, is too large."""
        self._measure.check(item)
        if len(self.stack) >= MAX_ITEMS:
            raise QueryValueError(f"the stack holds {MAX_ITEMS} items; no more are allowed")
        self.stack.append(item)

    def _run(self, program: Iterable[Token]) -> None:
        pending = iter(program)
        for token in pending:
            self.step(token, pending)

    def step(self, token: Token, pending: Iterator[Token]) -> None:
        """Run one word; an opening parenthesis takes what follows up to the closing one."""
        text = token.text
        self._steps += 1
        if self._steps > _MAX_STEPS:
            raise QueryValueError(f"the program ran {_MAX_STEPS} words; no more are allowed")
        if not isinstance(text, str):
            self.push(text)
        elif text == "(":
            self.push(_read_list(pending, token))
        elif text == ")":
            raise QuerySyntaxError(
                f"unmatched closing parenthesis{_at(token)}", position=token.position, word=text
            )
        elif text[0:1] == ":" and len(text) > 1:
            self._execute(token)
        else:
            self.push(unescape(text))

    def _execute(self, token: Token) -> None:
        name = token.text[1:]
        declared = self.words.get(name)
        if declared is None:
            raise QuerySyntaxError(
                f"unknown word ':{name}'{_at(token)}", position=token.position, word=name
            )
        for candidate in declared:
            arguments = candidate.matched(self.stack)
            if arguments is not None:
                self._perform(candidate, arguments, token)
                return
        held = ", ".join(name_of(item) for item in self.stack[-4:])
        expected = "; or ".join(candidate.signature for candidate in declared)
        raise QuerySyntaxError(
            f"no matches for word ':{name}'{_at(token)}: the stack held [{held}] (top last), "
            f"expected: {expected}",
            position=token.position,
            word=name,
        )

    def _perform(self, word: Word, arguments: list[Item], token: Token) -> None:
        taken: list[Item] = []
        if word.kinds:
            taken = self.stack[-len(word.kinds) :]
            del self.stack[-len(word.kinds) :]
        try:
            result = (
                word.action(self, *arguments) if word.needs_machine else word.action(*arguments)
            )
        except QuerySyntaxError as error:
            if token.position < 0 or error.position >= 0:
                raise
            message = f"{error} (run by ':{word.name}'{_at(token)})"
            raise QuerySyntaxError(message, position=token.position, word=error.word) from error
        except QueryError as error:
            if token.position < 0:
                raise
            raise QueryValueError(f"word ':{word.name}'{_at(token)}: {error}") from error
        result = word.dressed(taken, result)
        if isinstance(result, tuple):
            for item in result:
                self.push(item)
        elif result is not None:
            self.push(result)


def check_text(program: str) -> None:
    """Raise QuerySyntaxError when a program is longer than allowed."""
    if len(program) > MAX_TEXT:
        raise QuerySyntaxError(
            f"the program has {len(program)} characters; at most {MAX_TEXT} are allowed"
        )


def tokens(program: str) -> Iterator[Token]:
    """The words and literals of a program; empty ones and comments are passed over."""
    position = 0
    for raw in _without_comments(program).split(","):
        text = raw.strip()
        if text:
            yield Token(text, position + len(raw) - len(raw.lstrip()))
        position += len(raw) + 1


def _read_list(pending: Iterator[Token], opening: Token) -> list[Any]:
    items: list[Any] = []
    depth = 1
    for token in pending:
        if token.text == "(":
            depth += 1
        elif token.text == ")":
            depth -= 1
            if depth == 0:
                return items
        items.append(token.text)
        if len(items) > MAX_ITEMS:
            raise QueryValueError(f"a list holds more than {MAX_ITEMS} items")
    raise QuerySyntaxError(
        f"unmatched opening parenthesis{_at(opening)}", position=opening.position, word="("
    )


def _without_comments(program: str) -> str:
    if "/*" not in program:
        return program
    kept, depth, last = [], 0, 0
    for edge in _COMMENT_EDGE.finditer(program):
        if depth == 0:
            if edge[0] == "*/":
                continue
            kept.append(program[last : edge.start()])
            last = edge.start()
        depth += 1 if edge[0] == "/*" else -1
        if depth == 0:
            kept.append(" " * (edge.end() - last))
            last = edge.end()
    if depth:
        raise QuerySyntaxError(f"unclosed comment at character {last}", position=last)
    return "".join((*kept, program[last:]))


def _at(token: Token) -> str:
    return f" at character {token.position}" if token.position >= 0 else ""
