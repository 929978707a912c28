"""How large what a program builds may become.

A short program can build a tree without end: `:dup,:add` forty times over is 2**40 parts, all of
them shared. Whoever walks such a tree, or only hashes it, walks for ever; so every item is
measured before it comes onto the stack, each shared part once.
"""

from typing import Final

import msgspec

from breakwater.metrics.errors import QueryValueError

MAX_PARTS: Final = 4096
MAX_LEVELS: Final = 200
MAX_CHARACTERS: Final = 262_144
MAX_LITERAL: Final = 65_536


class Size(msgspec.Struct, frozen=True):
    """Parts of a tree with shared ones counted as often as they occur, its depth, its text."""

    parts: int
    levels: int
    characters: int


_NOTHING: Final = Size(0, 0, 0)


class Measure:
    """Measures what one program builds; costs O(parts not seen before)."""

    def __init__(self) -> None:
        # The item is kept too, so that its id is not given to another one meanwhile.
        self._known: dict[int, tuple[object, Size]] = {}

    def check(self, item: object) -> None:
        """Raise QueryValueError when `item` is larger than allowed; lists may be of any size."""
        if isinstance(item, str):
            if len(item) > MAX_LITERAL:
                raise QueryValueError(
                    f"a literal of {len(item)} characters; at most {MAX_LITERAL} are allowed"
                )
            return
        size = self.of(item)
        for what, found, allowed in (
            ("parts", size.parts, MAX_PARTS),
            ("levels", size.levels, MAX_LEVELS),
            ("characters", size.characters, MAX_CHARACTERS),
        ):
            if found > allowed:
                raise QueryValueError(
                    f"the expression has {found} {what}; at most {allowed} are allowed"
                )

    def of(self, item: object) -> Size:
        """The size of an expression or a query; anything else has none."""
        if not isinstance(item, msgspec.Struct):
            return _NOTHING
        known = self._known.get(id(item))
        if known is not None:
            return known[1]
        values = [getattr(item, name) for name in item.__struct_fields__]
        inner = [self.of(value) for value in values]
        size = Size(
            parts=1 + sum(part.parts for part in inner),
            levels=1 + max((part.levels for part in inner), default=0),
            characters=sum(part.characters for part in inner) + sum(map(_characters, values)),
        )
        self._known[id(item)] = (item, size)
        return size


def _characters(value: object) -> int:
    if isinstance(value, str):
        return len(value)
    return sum(map(_characters, value)) if isinstance(value, tuple) else 0
