r"""Text of the stack language: `\uXXXX` escapes; numbers and lists as the language prints them."""

import math
import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Final

_ESCAPE: Final = re.compile(
    r"\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|\\u([0-9a-fA-F]{4})"
)
_SPECIAL: Final = re.compile(r"[,:\s]")


def unescape(text: str) -> str:
    r"""Replace each `\uXXXX` by its character; anything else with a backslash stays.

    Two that form a surrogate pair are one character; half a pair is none, and stays as it is.
    """
    return _ESCAPE.sub(_character, text) if "\\u" in text else text


def _character(found: re.Match[str]) -> str:
    high, low, alone = found.groups()
    if high is not None:
        return chr(0x10000 + ((int(high, 16) - 0xD800) << 10) + int(low, 16) - 0xDC00)
    code = int(alone, 16)
    return found[0] if 0xD800 <= code <= 0xDFFF else chr(code)


def escape(text: str) -> str:
    """Write `text` so that it is read back as one literal of a program."""
    if text in ("(", ")"):
        return _code(text)
    return _SPECIAL.sub(lambda found: _code(found[0]), text)


def _code(character: str) -> str:
    return f"\\u{ord(character):04x}"


def keys_text(keys: Iterable[str]) -> str:
    """A list of keys as the language writes it."""
    return f"(,{','.join(escape(key) for key in keys)},)"


def number_text(value: float) -> str:
    """A number as the language prints it: `42.0`, `NaN`, `1.0E7`, the way Java does."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        text = f"{Decimal(repr(value)):f}"
        return text if "." in text else f"{text}.0"
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int)
    rest = "".join(map(str, digits[1:])) or "0"
    return f"{'-' if sign else ''}{digits[0]}.{rest}E{exponent + len(digits) - 1}"
