"""Numbers as people read them: `1.25k`, `12.3 ms`, `99.2%`, `1.5 MiB`, `42/s`."""

import math
from typing import Final, Literal

import msgspec

UnitName = Literal["number", "per_second", "seconds", "ratio", "percent", "bytes", "binary"]
"""What a value counts. `ratio` is 0 to 1 and `percent` 0 to 100; both are written with `%`.
`binary` is a plain number whose prefixes are powers of 1024."""

NO_VALUE: Final = "\u2013"


class Scale(msgspec.Struct, frozen=True):
    """Values are divided by `factor` and written with `suffix`."""

    factor: float
    suffix: str


_COUNTS: Final = tuple(
    Scale(10.0**power, name)
    for power, name in zip(range(0, 19, 3), ("", "k", "M", "G", "T", "P", "E"), strict=True)
)
_SCALES: Final[dict[UnitName, tuple[Scale, ...]]] = {
    "number": _COUNTS,
    "per_second": tuple(Scale(scale.factor, scale.suffix + "/s") for scale in _COUNTS),
    "seconds": (
        Scale(1e-9, " ns"),
        Scale(1e-6, " \u00b5s"),
        Scale(1e-3, " ms"),
        Scale(1.0, " s"),
        Scale(60.0, " min"),
        Scale(3600.0, " h"),
        Scale(86_400.0, " d"),
    ),
    "ratio": (Scale(0.01, "%"),),
    "percent": (Scale(1.0, "%"),),
    "bytes": tuple(
        Scale(1024.0**power, name)
        for power, name in enumerate((" B", " KiB", " MiB", " GiB", " TiB", " PiB"))
    ),
    "binary": tuple(
        Scale(1024.0**power, name)
        for power, name in enumerate(("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"))
    ),
}


def scales_of(unit: UnitName) -> tuple[Scale, ...]:
    """The scales of a unit, from the finest to the coarsest."""
    return _SCALES[unit]


def scale_of(unit: UnitName, magnitude: float) -> Scale:
    """The largest scale in which `magnitude` is still at least one when rounded."""
    scales = _SCALES[unit]
    if magnitude == 0:
        return next((scale for scale in scales if scale.factor == 1), scales[0])
    fitting = [scale for scale in scales if magnitude >= 0.9995 * scale.factor]
    return fitting[-1] if fitting else scales[0]


def format_value(value: float, unit: UnitName = "number") -> str:
    """One value with three significant digits and its unit; a dash when there is no value."""
    if not math.isfinite(value):
        return NO_VALUE
    scale = scale_of(unit, abs(value))
    return _three_digits(value / scale.factor) + scale.suffix


def _three_digits(value: float) -> str:
    size = abs(value)
    if size != 0 and (size < 0.001 or size >= 1e6):
        return f"{value:.2e}"
    decimals = 0 if size >= 99.95 else 1 if size >= 9.995 else 2 if size >= 0.0995 else 4
    written = f"{value:.{decimals}f}"
    if decimals:
        written = written.rstrip("0").rstrip(".")
    return "0" if written == "-0" else written
