"""Round values for the marks of a scale: evenly apart on linear ones, legible on all others."""

import math
from collections.abc import Iterator
from typing import Final

import numpy as np

from breakwater.render.plot.scales import ValueScale
from breakwater.render.units import UnitName

_ROUND: Final = (1.0, 2.0, 2.5, 5.0)
_SEXAGESIMAL: Final = (1.0, 2.0, 5.0, 10.0, 15.0, 30.0)
_CLOCK: Final = (
    *_SEXAGESIMAL,
    *(60.0 * count for count in _SEXAGESIMAL),
    *(3600.0 * count for count in (1, 2, 3, 6, 12)),
    *(86_400.0 * count for count in (1, 2, 5, 7)),
)
_LONG_TIMES: Final = (60.0, 600.0, 3600.0, 36_000.0, 86_400.0, 864_000.0, 8_640_000.0)
_DAY_S: Final = 86_400.0


def steps_from(rough: float, unit: UnitName) -> Iterator[float]:
    """Round steps of that unit, ascending without end, beginning just below `rough`."""
    if unit == "seconds" and 0.75 <= rough <= _CLOCK[-1]:
        yield from (step for step in _CLOCK if step >= 0.6 * rough)
        rough = 10 * _DAY_S
    scale = _DAY_S if unit == "seconds" and rough > _CLOCK[-1] else 1.0
    base = 2.0 if unit in {"bytes", "binary"} and rough >= 1 else 10.0
    power = math.floor(math.log(rough / scale, base) + 1e-9) - 1
    factors = (1.0,) if base == 2 else _ROUND
    while True:
        for factor in factors:
            step = scale * factor * base**power
            if step >= 0.6 * rough:
                yield step
        power += 1


def spread(low: float, high: float, *, count: int, unit: UnitName) -> tuple[float, float, float]:
    """Ends at round values around `low` to `high`, and the step between the marks.

    Of the steps that give about `count` intervals the one that wastes least room is taken.
    """
    best: tuple[float, float, float, float] | None = None
    for step in steps_from((high - low) / (1.6 * count), unit):
        first = math.floor(low / step + 1e-9)
        last = max(math.ceil(high / step - 1e-9), first + 1)
        intervals = last - first
        if best is not None and intervals < 0.6 * count:
            break
        waste = 1 - (high - low) / (intervals * step)
        excess = abs(math.log2(intervals / count))
        cost = waste + 0.45 * excess + (0.05 if _is_odd(step) else 0.0)
        if best is None or cost < best[0]:
            best = (cost, first * step, last * step, step)
        if intervals <= 1:
            break
    assert best is not None
    return best[1:]


def _is_odd(step: float) -> bool:
    return f"{step:.1e}".startswith("2.5")


def linear_ticks(low: float, high: float, *, step: float) -> list[float]:
    """Every multiple of `step` from `low` to `high`, at most a thousand."""
    first, last = math.ceil(low / step), math.floor(high / step)
    first -= (first - 1) * step >= low - 4 * math.ulp(low)
    last += (last + 1) * step <= high + 4 * math.ulp(high)
    numbers = range(first, min(last, first + 1_000) + 1)
    return [min(max(number * step, low), high) for number in numbers]


def bent_ticks(scale: ValueScale, *, height: float, gap: float, unit: UnitName) -> list[float]:
    """Marks of a scale that is not linear, at least `gap` pixels apart.

    The roundest values are placed first, then finer ones where there is still room.
    """
    placed: list[tuple[float, float]] = []
    for layer in _layers(scale, unit, count=max(int(height / gap), 1)):
        inside = [value for value in layer if scale.low <= value <= scale.high]
        inside.sort(key=_digits)
        if not inside:
            continue
        places = (height * scale.shares(np.array(inside))).tolist()
        for place, value in zip(places, inside, strict=True):
            if all(abs(place - other) >= gap for other, _ in placed):
                placed.append((place, value))
    return [value for _, value in sorted(placed)]


def _digits(value: float) -> int:
    return len(f"{abs(value):.4e}".partition("e")[0].rstrip("0"))


def _layers(scale: ValueScale, unit: UnitName, *, count: int) -> Iterator[list[float]]:
    yield [0.0]
    if scale.kind in {"log", "log-linear"}:
        yield from _power_layers(scale, unit, count)
        if _decades(scale) > 1.5:
            return
    rough = (scale.high - scale.low) / count
    for divisor in (0.25, 0.5, 1, 2):
        step = next(steps_from(rough / divisor, unit))
        yield linear_ticks(scale.low, scale.high, step=step)


def _decades(scale: ValueScale) -> float:
    low, high = sorted((abs(scale.low), abs(scale.high)))
    if low == 0 or scale.low * scale.high < 0:
        low = scale.knee
    return math.log10(high / low)


def _power_layers(scale: ValueScale, unit: UnitName, count: int) -> Iterator[list[float]]:
    is_binary = unit in {"bytes", "binary"} and scale.knee >= 1
    base, strides, factors = (
        (2.0, (1, 2, 5, 10, 20), (1.0,))
        if is_binary
        else (10.0, (1, 2, 3, 6, 12, 24, 48), (1.0, 5.0, 2.0, 3.0))
    )
    largest = max(abs(scale.low), abs(scale.high))
    first = math.floor(math.log(scale.knee, base))
    powers = range(first, math.floor(math.log(largest, base) + 1e-9) + 1)
    stride = next((size for size in strides if len(powers) <= size * max(count, 1)), strides[-1])
    for factor in factors if stride == 1 else factors[:1]:
        sizes = [_power(base, power, factor) for power in powers if power % stride == 0]
        if unit == "seconds":
            sizes = [size for size in sizes if size <= 60]
            sizes += [size * factor for size in _LONG_TIMES if size <= largest]
        yield [*(-size for size in reversed(sizes)), *sizes]


def _power(base: float, power: int, factor: float) -> float:
    # Written out in decimal, 1e-7 is the nearest double; 10.0**-7 need not be.
    return float(f"{factor:.0f}e{power}") if base == 10 else factor * base**power
