"""Small answers kept as bytes, as many as fit."""

from collections import OrderedDict
from typing import Final

from breakwater.registry.eureka.forms import Answer, Form

_MOST_BYTES: Final = 32 << 20

Question = tuple[str, str, Form, bool]
"""What was asked: the kind of list, its name, the form, and whether packed."""


class KeptAnswers:
    """The latest answers to questions about parts of the registry, each for one state of its part.

    Bounded to 32 MiB; those that were not asked for longest are forgotten first.
    """

    def __init__(self) -> None:
        self._items: OrderedDict[Question, tuple[int, Answer]] = OrderedDict()
        self._size_bytes = 0

    @property
    def size_bytes(self) -> int:
        """The bytes of all kept answers."""
        return self._size_bytes

    def get(self, question: Question, state: int) -> Answer | None:
        """The answer, if it was made for that `state`."""
        held = self._items.get(question)
        if held is None or held[0] != state:
            return None
        self._items.move_to_end(question)
        return held[1]

    def put(self, question: Question, state: int, answer: Answer) -> None:
        """Keep an answer in place of any earlier one."""
        former = self._items.pop(question, None)
        if former is not None:
            self._size_bytes -= len(former[1].body)
        if len(answer.body) > _MOST_BYTES:
            return
        self._items[question] = (state, answer)
        self._size_bytes += len(answer.body)
        while self._size_bytes > _MOST_BYTES:
            _, (_, oldest) = self._items.popitem(last=False)
            self._size_bytes -= len(oldest.body)
