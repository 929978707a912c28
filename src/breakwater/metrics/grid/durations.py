"""Lengths of time as people and programs write them: `5m`, `1week`, `PT5M`, `P1DT2H`."""

import re
from typing import Final

from breakwater.metrics.errors import InvalidTimeError

_SIMPLE: Final = re.compile(r"([0-9]{1,15})\s*([a-zA-Z]+)")
_ISO: Final = re.compile(
    r"P(?:([0-9]{1,15})D)?(?:T(?:([0-9]{1,15})H)?(?:([0-9]{1,15})M)?"
    r"(?:([0-9]{1,15})(?:\.([0-9]{1,3})[0-9]*)?S)?)?",
    re.IGNORECASE,
)
_UNITS: Final = {
    "milliseconds": 1,
    "seconds": 1000,
    "minutes": 60_000,
    "hours": 3_600_000,
    "days": 86_400_000,
    "weeks": 7 * 86_400_000,
    "months": 30 * 86_400_000,
    "years": 365 * 86_400_000,
}
_LONGEST_MS: Final = 10_000 * 365 * 86_400_000
_SHORT: Final = {
    "ms": "milliseconds",
    "s": "seconds",
    "m": "minutes",
    "min": "minutes",
    "h": "hours",
    "d": "days",
    "w": "weeks",
    "wk": "weeks",
    "y": "years",
}
_PRINTED: Final = (
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
)


def parse_duration(text: str) -> int:
    """Milliseconds of a duration; raises InvalidTimeError saying what is allowed."""
    length_ms = _length_ms(text)
    if length_ms > _LONGEST_MS:
        raise InvalidTimeError(f"duration '{text}' is longer than 10000 years")
    return length_ms


def _length_ms(text: str) -> int:
    simple = _SIMPLE.fullmatch(text)
    if simple is not None:
        return int(simple[1]) * _unit(simple[2])
    iso = _ISO.fullmatch(text)
    if iso is None or not any(iso.groups()):
        raise InvalidTimeError(
            f"invalid duration '{text[:80]}'; expected a number and a unit (30s, 5m, 3h, 2d, 1w) "
            "or ISO 8601 with days, hours, minutes and seconds (PT5M, P1DT2H)"
        )
    days, hours, minutes, seconds = (int(part or 0) for part in iso.groups()[:4])
    fraction_ms = int((iso[5] or "0").ljust(3, "0"))
    return ((days * 24 + hours) * 60 + minutes) * 60_000 + seconds * 1000 + fraction_ms


def _unit(name: str) -> int:
    known = _SHORT.get(name, name if name.endswith("s") else f"{name}s")
    if known not in _UNITS:
        raise InvalidTimeError(
            f"unknown unit '{name}'; allowed: ms, s, m, h, d, w, month, y and their long names"
        )
    return _UNITS[known]


def duration_text(length_ms: int) -> str:
    """The shortest text of a duration in one unit: `1h`, `90s`, `0w`."""
    for unit, size in _PRINTED:
        if length_ms % size == 0:
            return f"{length_ms // size}{unit}"
    return f"{length_ms}ms"


def iso_text(length_ms: int) -> str:
    """A duration as ISO 8601 writes it, hours being the largest unit: `PT20M`, `PT168H`."""
    hours, rest = divmod(length_ms, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    seconds = f"{rest // 1000}.{rest % 1000:03}".rstrip("0").rstrip(".")
    parts = [f"{hours}H" if hours else "", f"{minutes}M" if minutes else ""]
    parts.append(f"{seconds}S" if rest else "")
    return "PT" + ("".join(parts) or "0S")
