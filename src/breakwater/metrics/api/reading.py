"""Reading request parameters: each by its name, with what is allowed said when it is not."""

import difflib
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final, TypeVar

from starlette.datastructures import QueryParams

from breakwater.metrics.errors import QueryValueError
from breakwater.render import ChartError

_SHOWN: Final = 80
_FLAGS: Final = {"1": True, "true": True, "0": False, "false": False, "": False}

_T = TypeVar("_T")


class ParameterReader:
    """Reads the parameters of one request; every problem is a QueryValueError naming its own.

    With an axis number, `name.N` is read first and `name` where that is missing.
    """

    def __init__(self, given: QueryParams, axis: int | None = None) -> None:
        self._given = given
        self._texts = dict(given.multi_items())
        self._axis = axis

    def on_axis(self, axis: int) -> "ParameterReader":
        """A reader of the same parameters as they are for one axis."""
        return ParameterReader(self._given, axis)

    def names(self) -> Iterable[str]:
        """Every name in the request."""
        return self._given.keys()

    def text(self, name: str, default: str = "") -> str:
        """The text, with spaces around it taken off."""
        return self._found(name)[1].strip() or default

    def texts(self, name: str) -> list[str]:
        """Every text of that name that is not empty, in the order of the request."""
        return [text.strip() for text in self._given.getlist(name) if text.strip()]

    def flag(self, name: str) -> bool:
        """`1` or `true`, `0` or `false`; false when it is missing."""
        return self._read(name, "0", lambda text: _FLAGS.get(text.lower()), "0 or 1")

    def choice(self, name: str, allowed: Mapping[str, _T], default: str) -> _T:
        """What one of a few words stands for."""
        return self._read(name, default, allowed.get, f"one of {', '.join(allowed)}")

    def whole(self, name: str, default: int, least: int, most: int, unit: str = "") -> int:
        """A whole number in a range."""
        expected = f"{least} to {most}{unit}"
        return self._read(name, str(default), lambda text: _whole(text, least, most), expected)

    def number(self, name: str, default: float, least: float, most: float) -> float:
        """A number in a range."""

        def read(text: str) -> float | None:
            found = finite(text)
            return found if found is not None and least <= found <= most else None

        return self._read(name, f"{default:g}", read, f"a number from {least:g} to {most:g}")

    def made(self, name: str, default: str, make: Callable[[str], _T]) -> _T:
        """What `make` makes of the text; a ChartError of it becomes ours, with the name."""
        full_name, text = self._found(name)
        try:
            return make(text.strip() or default)
        except ChartError as error:
            raise QueryValueError(f"parameter '{full_name}': {error}") from error

    def one_of(
        self, name: str, default: str, read: Callable[[str], _T | None], expected: str
    ) -> _T:
        """What `read` finds in the text; None of it is refused with what was expected."""
        return self._read(name, default, read, expected)

    def _read(self, name: str, default: str, read: Callable[[str], _T | None], expected: str) -> _T:
        full_name, text = self._found(name)
        found = read(text.strip() or default)
        if found is None:
            shown = text.strip()[:_SHOWN]
            raise QueryValueError(f"parameter '{full_name}' is '{shown}'; expected {expected}")
        return found

    def _found(self, name: str) -> tuple[str, str]:
        if self._axis is not None:
            full_name = f"{name}.{self._axis}"
            text = self._texts.get(full_name)
            if text:
                return full_name, text
        return name, self._texts.get(name) or ""


def misspelt(given: Iterable[str], known: Collection[str]) -> list[str]:
    """A remark for each name that is unknown but close to a known one."""
    remarks = []
    for name in given:
        near = [] if name in known else difflib.get_close_matches(name[:_SHOWN], known, 1, 0.8)
        if near:
            remarks.append(f"parameter '{name[:_SHOWN]}' is unknown; did you mean '{near[0]}'?")
    return remarks


def whole_number(text: str) -> int | None:
    """The number written in `text`, or None when it is not one of at most 15 digits."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 15 else None


def _whole(text: str, least: int, most: int) -> int | None:
    number = whole_number(text)
    return number if number is not None and least <= number <= most else None


def finite(text: str) -> float | None:
    """The finite number written in `text`, or None."""
    try:
        found = float(text) if text.isascii() and len(text) <= 40 else math.nan
    except ValueError:
        return None
    return found if math.isfinite(found) else None
