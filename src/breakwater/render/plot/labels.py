"""Numbers at the marks of a scale: short, and exactly the value of the mark."""

import itertools
import math
from collections.abc import Sequence
from typing import Final

from breakwater.render.units import Scale, UnitName, scales_of

_DIGITS: Final = 4


def tick_labels(ticks: Sequence[float], unit: UnitName) -> list[str]:
    """A label for each of the ascending ticks, exact; no two are equal.

    Each is written in the largest unit in which it needs few decimals (`1.25k`, `90 s`), but
    never in a larger one than a mark further out. What cannot be written short is in full.
    """
    gaps = [b - a for a, b in itertools.pairwise(ticks)]
    gap_of = {
        tick: min(gaps[max(index - 1, 0) : index + 1], default=abs(tick) or 1.0)
        for index, tick in enumerate(ticks)
    }
    scales = list(reversed(scales_of(unit)))
    labels = {}
    for tick in sorted(ticks, key=abs, reverse=True):
        labels[tick], coarsest = _label(tick, scales, gap_of[tick])
        scales = scales[coarsest:]
    return [labels[tick] for tick in ticks]


def _label(value: float, scales: Sequence[Scale], gap: float) -> tuple[str, int]:
    """The label and the place of its scale; nearer to zero than a millionth of a gap is zero."""
    if abs(value) <= 1e-6 * gap:
        return "0", 0
    slack = max(1e-6 * gap, 4 * math.ulp(value))
    for place, scale in enumerate(scales):
        scaled = value / scale.factor
        if abs(scaled) < 0.9995 and place < len(scales) - 1:
            continue
        written = _short(scaled, slack / scale.factor)
        if written:
            return written + scale.suffix, place
    places = range(len(scales))
    place = min(places, key=lambda place: abs(math.log(scales[place].factor)))
    plain = scales[place]
    return _full(value / plain.factor, slack / plain.factor) + plain.suffix, place


def _short(scaled: float, slack: float) -> str:
    size = abs(scaled)
    if not 1e-3 <= size < 1e4:
        return ""
    most = min(_DIGITS - math.ceil(math.log10(size)), _DIGITS)
    for decimals in range(most + 1):
        if abs(scaled - round(scaled, decimals)) <= slack:
            return f"{scaled:.{decimals}f}"
    return ""


def _full(scaled: float, slack: float) -> str:
    digits = next(
        (count for count in range(1, 17) if abs(scaled - float(f"{scaled:.{count}g}")) <= slack), 17
    )
    if 1e-3 <= abs(scaled) < 1e9:
        decimals = max(digits - 1 - math.floor(math.log10(abs(scaled))), 0)
        return f"{scaled:.{decimals}f}"
    mantissa, _, power = f"{scaled:.{digits - 1}e}".partition("e")
    return f"{mantissa}e{int(power)}"
