"""Numbers for people: `1.5k`, `2.0Gi`, `30.0ms`."""

import math
from typing import Final

_DECIMAL: Final = (
    (1e24, "Y"),
    (1e21, "Z"),
    (1e18, "E"),
    (1e15, "P"),
    (1e12, "T"),
    (1e9, "G"),
    (1e6, "M"),
    (1e3, "k"),
)
_SMALL: Final = (
    (1e-3, "m"),
    (1e-6, "\u03bc"),
    (1e-9, "n"),
    (1e-12, "p"),
    (1e-15, "f"),
    (1e-18, "a"),
    (1e-21, "z"),
    (1e-24, "y"),
)
_BINARY: Final = tuple(
    (float(1024**power), f"{name}i") for power, name in reversed(list(enumerate("KMGTPEZY", 1)))
)
_DURATION: Final = (
    (365 * 86_400.0, "y"),
    (7 * 86_400.0, "w"),
    (86_400.0, "d"),
    (3600.0, "h"),
    (60.0, "m"),
    (1.0, "s"),
)
_SHORT_DURATION: Final = ((1e-3, "ms"), (1e-6, "\u03bcs"), (1e-9, "ns"), (1e-12, "ps"))
_NOTHING: Final = 1e-12
_EXTREME: Final = 1e27

Scale = tuple[tuple[float, str], ...]


def decimal_text(value: float) -> str:
    """With a decimal prefix and one digit after the point: `1.5k`, `30.0m`, `NaN`."""
    return _text(value, (1.0, ""), _DECIMAL, _SMALL)


def binary_text(value: float) -> str:
    """With a binary prefix from 1024 on: `1.0Ki`; below 1 as decimal."""
    return _text(value, (1.0, ""), _BINARY, _SMALL)


def duration_text(seconds: float) -> str:
    """Seconds as a length of time: `1.5h`, `30.0ms`."""
    return _text(seconds, (1.0, "s"), _DURATION, _SHORT_DURATION)


def _text(value: float, one: tuple[float, str], big: Scale, small: Scale) -> str:
    if not math.isfinite(value):
        name = "NaN" if math.isnan(value) else "Infinity"
        return f"{'-' if value < 0 else ''}{name}"
    size = abs(value)
    if size >= _EXTREME or 0 < size <= 1 / _EXTREME:
        return f"{value: .0e}"
    factor, symbol = _prefix(size, one, big, small)
    return f"{value / factor:.1f}{symbol}"


def _prefix(size: float, one: tuple[float, str], big: Scale, small: Scale) -> tuple[float, str]:
    if size < _NOTHING:
        return one
    scale = small if size < 1.0 else big
    smallest = small[-1] if size < 1.0 else one
    return next((prefix for prefix in scale if prefix[0] <= size), smallest)
