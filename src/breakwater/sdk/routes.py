"""Route templates of the web frameworks, in the one form that endpoint names are made of.

Starlette and FastAPI write `/v1/titles/{id:int}`, and so do we. Flask and Django write
`/v1/titles/<int:id>`, Django also regular expressions with named groups.
"""

import re
from typing import Final

import msgspec

_ANGLE: Final = re.compile(r"<(?:(\w+)(?:\([^)]*\))?:)?(\w+)>")
_GROUP: Final = re.compile(r"\(\?P<(\w+)>(?:[^()\[\]]|\[[^\]]*\]|\([^()]*\))*\)[+*?]?")
_LONG: Final = frozenset(("path", "any"))
"""Converters whose parameter may hold slashes."""


class Route(msgspec.Struct, frozen=True):
    """What a framework leaves of the route it chose; `path` is its template."""

    path: str


def braces(template: str) -> str:
    """A template of Flask or Django with its parameters in braces, from the root."""
    text = _GROUP.sub(r"{\1}", template)
    text = text.removeprefix("^").removesuffix("$").removesuffix("\\Z")
    text = _ANGLE.sub(lambda found: _brace(found[1] or "", found[2]), text)
    return text if text.startswith("/") else f"/{text}"


def _brace(converter: str, name: str) -> str:
    return f"{{{name}:path}}" if converter in _LONG else f"{{{name}}}"
