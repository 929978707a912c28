"""What is asked for behind the question mark of an address: read alike in every room.

A parameter that is missing or empty has its default. One that cannot be used is refused with its
name, what was given, and what is allowed.
"""

import re
from typing import Final, TypeVar

from starlette.requests import Request

from breakwater.web.errors import UnusableParameterError

_WHOLE: Final = re.compile(r"-?[0-9]{1,18}")
_NUMBER: Final = re.compile(r"-?[0-9]{1,18}(\.[0-9]{0,18})?(e[-+]?[0-9]{1,3})?", re.IGNORECASE)
_MOST: Final = 10**18
_SHOWN: Final = 40
_FLAGS: Final = {"true": True, "1": True, "false": False, "0": False}

_D = TypeVar("_D", int, float, None)


def whole_number(
    request: Request, name: str, default: _D, *, lowest: int = -_MOST, highest: int = _MOST
) -> int | _D:
    """The parameter `name` as a whole number within both bounds; `default` without one."""
    text = request.query_params.get(name)
    if not text:
        return default
    if _WHOLE.fullmatch(text) and lowest <= int(text) <= highest:
        return int(text)
    raise _refused(name, text, f"a whole number{_bounds(lowest, highest)}")


def number(request: Request, name: str, default: float, *, lowest: float = -_MOST) -> float:
    """The parameter `name` as a decimal number from `lowest`; `default` without one."""
    text = request.query_params.get(name)
    if not text:
        return default
    if _NUMBER.fullmatch(text) and lowest <= float(text) <= _MOST:
        return float(text)
    raise _refused(name, text, f"a number{_bounds(lowest, _MOST)}")


def flag(request: Request, name: str) -> bool:
    """Whether the parameter `name` is true; without one it is not."""
    text = request.query_params.get(name)
    if not text:
        return False
    if text.lower() in _FLAGS:
        return _FLAGS[text.lower()]
    raise _refused(name, text, "true or false")


def _bounds(lowest: float, highest: float) -> str:
    """The bounds as words, as far as they are any."""
    low = f" from {lowest}" if lowest > -_MOST else ""
    return f"{low} to {highest}" if highest < _MOST else low


def _refused(name: str, text: str, allowed: str) -> UnusableParameterError:
    return UnusableParameterError(f"the parameter '{name}' is '{text[:_SHOWN]}', must be {allowed}")
