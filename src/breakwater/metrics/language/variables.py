"""Variables in legend texts: `$name` and `$(name)`."""

import re
from collections.abc import Callable, Mapping
from typing import Final

_VARIABLE: Final = re.compile(r"\$(?:\(([^()]+)\)|([-_.a-zA-Z0-9]+))")


def filled(template: str, value_of: Callable[[str], str]) -> str:
    """The text with every variable replaced by its value."""
    return _VARIABLE.sub(lambda found: value_of(found[1] or found[2]), template)


class Template:
    """A text with variables, read once and filled often."""

    def __init__(self, text: str) -> None:
        self._first, *rest = _VARIABLE.split(text)
        names = [one or other for one, other in zip(rest[::3], rest[1::3], strict=True)]
        self._rest = list(zip(names, rest[2::3], strict=True))

    def filled(self, values: Mapping[str, str]) -> str:
        """The text with every variable replaced by its value, or by its name where it has none."""
        get = values.get
        return self._first + "".join([get(name, name) + text for name, text in self._rest])


def normalized_variables(template: str) -> str:
    """The text with every variable written as `$(name)`."""
    return filled(template, lambda name: f"$({name})")
