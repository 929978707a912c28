"""What follows from evidence: pure functions of numbers; whoever keeps the numbers is elsewhere.

Sources: the documentation of Envoy's outlier detection, panic threshold, priority levels and slow
start, for the arithmetic; the numbers that are ours are defaults of `BalancerConfig`.
"""

from collections.abc import Sequence
from math import ceil, sqrt
from typing import Final

FEWEST_FOR_STDEV: Final = 5
"""Below, no rate can lie 1.9 standard deviations from a mean that it is part of."""
RAMP_FLOOR: Final = 0.1


def backoff_s(refusals: int, base_s: float, most_s: float, chance: float) -> float:
    """How long an instance that refused `refusals` times in a row is left alone.

    chance: 0..1, takes off up to a quarter, so that callers do not come back together.
    """
    whole_s: float = min(most_s, base_s * 2.0 ** min(refusals - 1, 60))
    return whole_s * (1.0 - 0.25 * chance)


def ejection_s(times: int, base_s: float, most_s: float) -> float:
    """How long an instance is passed over that is ejected for the `times`-th time."""
    return min(most_s, base_s * times)


def most_ejected(instances: int, percent: float) -> int:
    """How many of so many instances may be ejected at once: at least one of several."""
    if instances < 2 or percent <= 0:
        return 0
    return max(1, int(instances * percent / 100))


def is_panic(usable: int, instances: int, percent: float) -> bool:
    """Whether so few are left that passing over any is worse than calling bad ones."""
    return usable * 100 < instances * percent


def near_share(
    near: int, near_well: int, far: int, far_well: int, over_provisioning: float
) -> float:
    """Share of calls that stays in the own zone, 0..1, by how many are well there and elsewhere."""
    if not near_well:
        return 0.0
    if not far_well:
        return 1.0
    at_home = min(1.0, over_provisioning * near_well / near)
    elsewhere = min(1.0 - at_home, over_provisioning * far_well / far)
    return at_home / (at_home + elsewhere)


def ramp(age_s: float, slow_start_s: float) -> float:
    """Share of its full weight that an instance of this age is given, 0.1..1."""
    if age_s >= slow_start_s:
        return 1.0
    return RAMP_FLOOR + (1.0 - RAMP_FLOOR) * max(0.0, age_s) / slow_start_s


def outliers(rates: Sequence[float], stdevs: float, gap: float) -> list[int]:
    """Which of these shares of good calls (0..1) are too far below the others, the worst first.

    Five or more are compared with the mean of all less `stdevs` standard deviations, fewer with
    the mean of the others; in either case an outlier is at least `gap` below that mean. O(n log n).
    """
    count, total = len(rates), sum(rates)
    if count < 2:
        return []
    if count >= FEWEST_FOR_STDEV:
        mean = total / count
        deviation = sqrt(sum((rate - mean) ** 2 for rate in rates) / count)
        least = [mean - max(stdevs * deviation, gap)] * count
    else:
        least = [(total - rate) / (count - 1) - gap for rate in rates]
    found = [n for n, rate in enumerate(rates) if rate < least[n]]
    return sorted(found, key=lambda n: rates[n])


def sticky_room(in_flight: int, share: float, load: float, spare: int) -> int:
    """How many calls may be under way at an instance before its keys go elsewhere.

    in_flight: all calls to the service that this process has under way. share: what is fair for
    this instance, 0..1. Source: consistent hashing with bounded loads (Mirrokni et al., 2016).
    """
    return max(spare, ceil(load * (in_flight + 1) * share))
