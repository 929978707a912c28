"""Everything about the choice of an instance that is data."""

import msgspec

from breakwater.sdk.errors import SettingsError
from breakwater.sdk.guard.bounds import above_zero, at_least, between

MOST_INSTANCES: int = 100_000


class BalancerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one instance of a service is chosen for each call, and which are passed over.

    Zones. zone_preference: instances of the own zone are used while enough of them are well:
    share of calls = well / all of the zone x over_provisioning, at most 1; the rest goes to other
    zones. A call also leaves the zone if its instance has more than spill_ratio x (calls under way
    at one elsewhere + spill_spare) under way (None: never for that).

    Passed over for evidence of calls that failed: after consecutive_failures in a row (0: never);
    or if, of at least rate_min_calls in judge_every_s, its share of good calls is below that of
    the others by rate_stdev standard deviations and by rate_gap (rate_stdev None: never). For
    base_ejection_s x times in a row, up to max_ejection_s, then for one call on trial. At most
    max_ejected_percent of the instances (one, if there are two or more; 0: none), and if fewer
    than panic_percent could be used, none at all.

    Passed over because nobody listens: for refused_base_s, doubled each time up to refused_max_s,
    then for one call on trial; there is no limit to how many. If all instances refused
    refused_in_row times in a row, one call each refused_trial_s is tried and all others fail at
    once.

    slow_start_s: an instance that came later than the others is given a tenth of its share at
    first, and all of it after so long (0: at once). subset_size: of a service with more instances,
    this process calls so many (None: all). sticky_load, sticky_spare: a sticky key leaves its
    instance while that has more than sticky_spare calls under way and more than sticky_load times
    its fair share.
    """

    zone_preference: bool = True
    over_provisioning: float = 1.4
    spill_ratio: float | None = 4.0
    spill_spare: int = 8
    consecutive_failures: int = 5
    judge_every_s: float = 10.0
    rate_min_calls: int = 20
    rate_stdev: float | None = 1.9
    rate_gap: float = 0.15
    base_ejection_s: float = 5.0
    max_ejection_s: float = 300.0
    max_ejected_percent: float = 10.0
    panic_percent: float = 50.0
    refused_base_s: float = 1.0
    refused_max_s: float = 30.0
    refused_in_row: int = 3
    refused_trial_s: float = 0.5
    slow_start_s: float = 30.0
    subset_size: int | None = None
    sticky_load: float = 1.25
    sticky_spare: int = 8

    def __post_init__(self) -> None:
        """Refuse what would choose nobody, or contradict itself."""
        for name in ("max_ejected_percent", "panic_percent"):
            between(name, getattr(self, name), 0.0, 100.0)
        between("rate_gap", self.rate_gap, 0.0, 1.0)
        for name in ("over_provisioning", "sticky_load"):
            between(name, getattr(self, name), 1.0, 1000.0)
        for name in ("consecutive_failures", "spill_spare", "sticky_spare", "slow_start_s"):
            at_least(name, getattr(self, name), 0)
        for name in ("rate_min_calls", "refused_in_row"):
            at_least(name, getattr(self, name), 1)
        for name in ("judge_every_s", "base_ejection_s", "refused_base_s", "refused_trial_s"):
            above_zero(name, getattr(self, name))
        _check_order("base_ejection_s", self.base_ejection_s, "max_ejection_s", self.max_ejection_s)
        _check_order("refused_base_s", self.refused_base_s, "refused_max_s", self.refused_max_s)
        if self.rate_stdev is not None:
            above_zero("rate_stdev", self.rate_stdev)
        if self.spill_ratio is not None:
            at_least("spill_ratio", self.spill_ratio, 1)
        if self.subset_size is not None:
            between("subset_size", self.subset_size, 2, MOST_INSTANCES)


def _check_order(low_name: str, low: float, high_name: str, high: float) -> None:
    above_zero(high_name, high)
    if low > high:
        raise SettingsError(
            f"{low_name} is {low:g}, must be at most {high_name}, which is {high:g}"
        )
