"""When a share of failures or of slow calls is too large: pure arithmetic, no state.

One `Rule` judges a closed breaker's window and another the results of a round of probes. A rate
is a percentage, compared as `>=`; below the minimum of calls there is no rate.
"""

from math import inf
from typing import Final, NamedTuple

from breakwater.sdk.guard.config import BreakerConfig

_HUNDREDTH: Final = 0.01 * (1.0 - 1e-9)


class Rule(NamedTuple):
    """How many calls make a rate, and which rates are too high; slow_percent None: no call is slow.

    is_whole: the rate is cut to a whole percent before it is compared, as Hystrix does.
    """

    minimum: int
    failure_percent: float
    slow_percent: float | None
    is_whole: bool

    def rate(self, count: int, total: int) -> float:
        """`count` of `total` in percent; -1 below the minimum of calls."""
        if total < self.minimum or not total:
            return -1.0
        # Each in the order of its model's arithmetic, so that equal numbers compare equal.
        return float(int(count / total * 100.0)) if self.is_whole else count * 100.0 / total

    def exceeded(self, total: int, failed: int, slow: int) -> tuple[bool, bool]:
        """Whether the share of failures is too high, and whether that of slow calls is."""
        if total < self.minimum:
            return False, False
        too_bad = failed > 0 and self.rate(failed, total) >= self.failure_percent
        if self.slow_percent is None or not slow:
            return too_bad, False
        return too_bad, self.rate(slow, total) >= self.slow_percent

    @property
    def failure_share(self) -> float:
        """The share of failures that exceeds it, a hair less so that rounding hides none."""
        return self.failure_percent * _HUNDREDTH

    @property
    def slow_share(self) -> float:
        """The same for slow calls."""
        return inf if self.slow_percent is None else self.slow_percent * _HUNDREDTH

    def slack(self, total: int, failed: int, slow: int) -> float:
        """How many bad calls more, at least, before it is exceeded; at most 0: it may be now.

        Successes only add to it, so above 0 they need not be looked at one by one.
        """
        calls = max(total, self.minimum)
        return min(self.failure_share * calls - failed, self.slow_share * calls - slow)


def closed_rule(config: BreakerConfig) -> Rule:
    """The rule of a closed breaker; a window of N calls never waits for more than N."""
    slow_percent = None if config.slow_call_s is None else config.slow_percent
    if config.window == "consecutive":
        everything = None if slow_percent is None else 100.0
        return Rule(config.window_calls, 100.0, everything, is_whole=False)
    minimum = config.minimum_calls
    if config.window == "count":
        minimum = min(minimum, config.window_calls)
    return Rule(minimum, config.failure_percent, slow_percent, config.whole_percent)


def probe_rule(config: BreakerConfig) -> Rule:
    """The rule of a round of probes: judged when min(minimum_calls, permits) have reported."""
    minimum = config.half_open_permits
    if config.window != "consecutive":
        minimum = min(minimum, config.minimum_calls)
    slow_percent = None if config.slow_call_s is None else config.slow_percent
    return Rule(minimum, config.failure_percent, slow_percent, config.whole_percent)
