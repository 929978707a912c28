"""Reading loosely typed fields: numbers as text, text as numbers, nothing at all.

Clients in many languages write the same field in different ways; each reader here accepts all of
them and names the field in its error.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Final, TypeVar

from breakwater.registry.errors import InvalidInstanceError

Document = Mapping[str, object]

_EnumT = TypeVar("_EnumT", bound=StrEnum)
_MAX_INTEGER: Final = 2**63 - 1
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def shown(value: object) -> str:
    """`value` as an error message shows it: short, and with its odd characters visible."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def text_of(value: object, name: str) -> str:
    """`value` as text; numbers and truth values are spelled the JSON way, None is empty."""
    if isinstance(value, Mapping) and "$" in value:
        value = value["$"]  # an XML element with attributes, or Jettison's spelling of one
    if isinstance(value, str):
        text = value
    elif value is None:
        return ""
    elif isinstance(value, bool):
        return "true" if value else "false"
    elif isinstance(value, int | float):
        return str(value)
    else:
        raise InvalidInstanceError(f"{name} must be text, got {shown(value)}")
    if bad := _NOT_XML.search(text):
        raise InvalidInstanceError(
            f"{name} has the character {bad[0]!r}, which XML readers of the registry cannot take"
        )
    return text


def integer_of(
    value: object, name: str, *, default: int, low: int = 0, high: int = _MAX_INTEGER
) -> int:
    """`value` as a whole number from `low` to `high`; None and empty text give `default`."""
    if isinstance(value, Mapping):
        value = value.get("$")
    if value is None or (isinstance(value, str) and not value.strip()):
        return default
    number = _whole(value)
    if number is None or not low <= number <= high:
        raise InvalidInstanceError(
            f"{name} must be a whole number from {low} to {high}, got {shown(value)}"
        )
    return number


def _whole(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and re.fullmatch(r"\s*[-+]?[0-9]{1,20}\s*", value):
        return int(value)
    return None


def truth_of(value: object, name: str, *, default: bool) -> bool:
    """`value` as true or false, written as JSON or as text; None and empty text give `default`."""
    if isinstance(value, bool):
        return value
    word = text_of(value, name).strip().lower()
    if not word:
        return default
    if word in {"true", "false"}:
        return word == "true"
    raise InvalidInstanceError(f"{name} must be true or false, got {shown(value)}")


def word_of(value: object, name: str, *, default: _EnumT) -> _EnumT:
    """`value` as a member of the enumeration of `default`; None and empty text give `default`."""
    word = text_of(value, name).strip().upper()
    if not word:
        return default
    kind = type(default)
    try:
        return kind(word)
    except ValueError:
        allowed = ", ".join(kind)
        raise InvalidInstanceError(f"{name} must be one of {allowed}; got {shown(value)}") from None


def part_of(value: object, name: str) -> Document:
    """`value` as a group of fields; None and empty text are an empty group."""
    if value is None or value == "":
        return {}
    if isinstance(value, Mapping):
        return value
    raise InvalidInstanceError(f"{name} must be an object, got {shown(value)}")


def text_map_of(value: object, name: str) -> dict[str, str]:
    """`value` as a map of text to text; Java's class mark (`@class`) is not part of it."""
    entries: dict[str, str] = {}
    for key, entry in part_of(value, name).items():
        if key == "@class":
            continue
        if not key or _NOT_XML.search(key):
            raise InvalidInstanceError(f"{name} has the key {shown(key)}, which XML cannot carry")
        entries[key] = text_of(entry, f"{name}.{key}")
    return entries


def listed(value: object) -> list[object]:
    """`value` as a list: some writers leave the brackets away around a single member."""
    if value is None or value == "":
        return []
    return list(value) if isinstance(value, list) else [value]
