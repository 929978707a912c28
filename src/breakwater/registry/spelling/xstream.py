"""How XStream spells a map key as an XML element name, and back.

`_` is doubled, `$` becomes `_-`, and a character that may not stand in a name becomes `_.` and its
four hexadecimal digits. Parsers disagree on which letters beyond ASCII may stand in a name, so
those are written in digits too: every XStream reads them, and every key survives the journey.
"""

import re
from typing import Final

_PLAIN_NAME: Final = re.compile(r"[A-Za-z][-.0-9A-Za-z]*")
_NAME_START: Final = re.compile(r"[A-Za-z]")
_NAME_REST: Final = re.compile(r"[-.0-9A-Za-z]")
_ESCAPE: Final = re.compile(r"__|_-|_\.([0-9a-fA-F]{4})")


def element_name(key: str) -> str:
    """The XML element name under which XStream writes the map key `key` (not empty)."""
    if _PLAIN_NAME.fullmatch(key):
        return key
    return "".join(_spell(char, is_first=at == 0) for at, char in enumerate(key))


def _spell(char: str, *, is_first: bool) -> str:
    if char == "_":
        return "__"
    if char == "$":
        return "_-"
    if (_NAME_START if is_first else _NAME_REST).fullmatch(char):
        return char
    utf16 = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"_.{utf16[at : at + 2].hex()}" for at in range(0, len(utf16), 2))


def map_key(name: str) -> str:
    """The map key that XStream reads from the element name `name`."""
    if "_" not in name:
        return name
    text = _ESCAPE.sub(_unspell, name)
    # A character beyond the basic plane was written as two surrogates; join them again.
    return text.encode("utf-16-be", "surrogatepass").decode("utf-16-be", "replace")


def _unspell(match: re.Match[str]) -> str:
    if match[1] is not None:
        return chr(int(match[1], 16))
    return "_" if match[0] == "__" else "$"
