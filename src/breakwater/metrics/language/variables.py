"""Variables in legend texts: `$name` and `$(name)`."""

import re
from collections.abc import Callable
from typing import Final

_VARIABLE: Final = re.compile(r"\$(?:\(([^()]+)\)|([-_.a-zA-Z0-9]+))")


def filled(template: str, value_of: Callable[[str], str]) -> str:
    """The text with every variable replaced by its value."""
    return _VARIABLE.sub(lambda found: value_of(found[1] or found[2]), template)


def normalized_variables(template: str) -> str:
    """The text with every variable written as `$(name)`."""
    return filled(template, lambda name: f"$({name})")
