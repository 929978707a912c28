"""Settings written as TOML, which `sources` reads back to the same settings."""

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from breakwater.server.settings import Settings
from breakwater.server.sources import Effective

_ESCAPES = {ord('"'): '\\"', ord("\\"): "\\\\", 0x7F: "\\u007F"} | {
    code: f"\\u{code:04X}" for code in range(32)
}


def dump(settings: Settings) -> str:
    """The settings as a TOML document; reading it gives equal settings."""
    return _document(msgspec.to_builtins(settings), {})


def show(effective: Effective) -> str:
    """The settings in force as TOML, with the source of every value as a comment."""
    return _document(msgspec.to_builtins(effective.settings), effective.origins)


def _document(tree: Mapping[str, Any], origins: Mapping[str, str]) -> str:
    return "\n".join(_table("", tree, origins))


def _table(name: str, table: Mapping[str, Any], origins: Mapping[str, str]) -> list[str]:
    """The lines of one table, its own values first, because TOML has no way back from an inner."""
    lines = [f"[{name}]"] if name else []
    inner: list[str] = []
    for key, value in table.items():
        full = f"{name}.{key}" if name else key
        if isinstance(value, dict):
            inner += ["", *_table(full, value, origins)]
        elif value is not None:
            comment = f"  # {_one_line(origins[full])}" if full in origins else ""
            lines.append(f"{key} = {literal(value)}{comment}")
    return [*lines, *inner]


def _one_line(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)


def literal(value: object) -> str:
    """One value as TOML; lists and tables on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, list):
        return f"[{', '.join(literal(item) for item in value)}]"
    if isinstance(value, dict):
        pairs = ", ".join(f"{literal(str(key))} = {literal(item)}" for key, item in value.items())
        return f"{{{pairs}}}"
    return f'"{str(value).translate(_ESCAPES)}"'


def _number(value: float) -> str:
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    written = repr(value)
    return written if any(mark in written for mark in ".e") else f"{written}.0"
