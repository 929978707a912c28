"""What the tests of the breaker share: breakers in a known state, and a model in plain words.

`Model` keeps every result it was ever given and works each question out anew from the list; it
shares no code with the breaker but the records of its configuration.
"""

from math import inf
from typing import Any

import msgspec

from breakwater.sdk.guard.breaking.breaker import Breaker
from breakwater.sdk.guard.breaking.probes import Permit
from breakwater.sdk.guard.breaking.states import ILLEGAL
from breakwater.sdk.guard.config import BreakerConfig
from breakwater.sdk.guard.events import BreakerState
from breakwater.sdk.guard.verdict import Verdict

SMALL = BreakerConfig(
    failure_percent=50.0,
    minimum_calls=4,
    window_s=10.0,
    open_s=2.0,
    half_open_permits=3,
    probe_lease_s=5.0,
)
"""A breaker that opens after few calls."""


def changed(config: BreakerConfig, **fields: Any) -> BreakerConfig:
    """`config` with some fields replaced, and checked."""
    return BreakerConfig(**{**msgspec.structs.asdict(config), **fields})


def state(breaker: Breaker) -> BreakerState:
    """Where it stands now; a function, so that a checker does not remember the answer."""
    return breaker.state


def admitted(breaker: Breaker, now_s: float) -> Permit:
    """A permit that must be given."""
    permit = breaker.admit(now_s)
    assert permit is not None
    return permit


def call(breaker: Breaker, now_s: float, *, fails: bool, took_s: float = 0.0) -> None:
    """One call that is admitted and ends at once."""
    verdict = Verdict.FAILURE if fails else Verdict.SUCCESS
    breaker.settle(admitted(breaker, now_s), verdict, now_s, took_s)


def opened(config: BreakerConfig = SMALL, now_s: float = 100.0, **parts: Any) -> Breaker:
    """A breaker that opened at `now_s` by failures."""
    breaker = Breaker(config, **parts)
    permit = admitted(breaker, now_s)
    while state(breaker) is BreakerState.CLOSED:
        breaker.settle(permit, Verdict.FAILURE, now_s)
    assert state(breaker) is BreakerState.OPEN
    return breaker


def probes(breaker: Breaker, now_s: float) -> list[Permit]:
    """As many permits as it gives at `now_s`, at most 100."""
    found: list[Permit] = []
    while len(found) < 100 and (permit := breaker.admit(now_s)) is not None:
        found.append(permit)
    return found


class Out(msgspec.Struct):
    """A call under way, as the model knows it: of which epoch, and its lease if it is a probe."""

    epoch: int
    lease_ends_s: float = inf
    is_probe: bool = False


class Model:
    """What a breaker should do, from the list of all that happened since the window was cleared."""

    def __init__(self, config: BreakerConfig) -> None:
        self.config = config
        self.epoch = 0
        self.state = BreakerState.CLOSED
        self.tick = -1
        self.told: list[str] = []
        self.opened_s = self.reopens_s = self.not_before_s = 0.0
        self.opening = 0
        self.ramp: list[float] = []
        self._forget({"disabled": "disabled", "forced_open": "forced_open"}.get(config.mode, ""))
        if config.mode == "metrics_only":
            self.state = BreakerState.METRICS_ONLY

    def _forget(self, state: str = "") -> None:
        if state:
            self.state = BreakerState(state)
        self.epoch += 1
        self.window_epoch = self.epoch
        self.results: list[tuple[float, bool, bool]] = []
        self.round: list[tuple[bool, bool]] | None = None
        self.probes: list[Out] = []
        self.since_s = 0.0
        self.ramp = []
        self.opening = 0
        self.not_before_s = 0.0

    # Rates

    def _bucket_s(self, config: BreakerConfig) -> float:
        if config.judge == "interval":
            return config.judge_every_s
        return config.window_s / config.buckets

    def _held(self, tick: int) -> list[tuple[float, bool, bool]]:
        config = self.config
        if config.window == "count":
            return self.results[-config.window_calls :]
        if config.window == "time":
            bucket_s = self._bucket_s(config)
            size = int(config.window_s / bucket_s)
            return [kept for kept in self.results if int(kept[0] / bucket_s) > tick - size]
        return self.results

    def _run(self, which: int) -> int:
        run = 0
        for result in reversed(self.results):
            if not result[which]:
                break
            run += 1
        return run

    def _exceeds(self, tick: int) -> bool:
        config = self.config
        if config.window == "consecutive":
            is_slow = config.slow_call_s is not None and self._run(2) >= config.window_calls
            return self._run(1) >= config.window_calls or is_slow
        held = self._held(tick)
        minimum = config.minimum_calls
        if config.window == "count":
            minimum = min(minimum, config.window_calls)
        return self._too_much([(failed, slow) for _, failed, slow in held], minimum)

    def _too_much(self, results: list[tuple[bool, bool]], minimum: int) -> bool:
        if len(results) < minimum:
            return False
        for which, limit in ((0, self.config.failure_percent), (1, self.config.slow_percent)):
            if which and self.config.slow_call_s is None:
                continue
            percent = sum(result[which] for result in results) / len(results) * 100.0
            if (int(percent + 1e-9) if self.config.whole_percent else percent + 1e-9) >= limit:
                return True
        return False

    @property
    def is_judged(self) -> bool:
        """Whether it is closed and may open."""
        return self.state is BreakerState.CLOSED and self.config.mode != "forced_closed"

    # Time

    def advance(self, now_s: float) -> None:
        """What time alone does."""
        is_counting = self.window_epoch == self.epoch or self.state is BreakerState.OPEN
        if is_counting:
            self._pass(int(now_s / self._bucket_s(self.config)))
        if self.ramp and now_s >= self.ramp[0] + self.config.ramp_s:
            self.ramp = []
            self.opening = 0
        if self.state is BreakerState.OPEN:
            if self.config.automatic_half_open and now_s > self.reopens_s:
                self.half_open(now_s)
        elif self.round is not None:
            self.probes = [probe for probe in self.probes if probe.lease_ends_s > now_s]
            longest_s = self.config.max_half_open_s
            if longest_s and now_s >= self.since_s + longest_s:
                self._end(now_s, is_well=self.config.undecided_goes_to == "closed")

    def _pass(self, tick: int) -> None:
        if self.config.judge == "interval":
            every_s = self.config.judge_every_s
            last = int(max((kept[0] for kept in self.results), default=-1.0) / every_s)
            size = int(self.config.window_s / every_s)
            for passed in range(max(self.tick, 0), min(tick, last + size + 1)):
                if self.is_judged and self._exceeds(passed):
                    self.open((passed + 1) * every_s)
        self.tick = max(self.tick, tick)

    # Moves

    def open(self, at_s: float, for_s: float | None = None) -> None:
        """Open at `at_s`."""
        if self.state not in {BreakerState.CLOSED, BreakerState.OPEN}:
            self.window_epoch = -1
        self.opening += 1
        self.epoch += 1
        self.state = BreakerState.OPEN
        self.round, self.ramp = None, []
        self.opened_s = at_s
        self.reopens_s = max(at_s + self._wait_s(), self.not_before_s)
        if for_s is not None:
            self.reopens_s = at_s + for_s

    def _wait_s(self) -> float:
        config = self.config
        longest_s = max(config.open_s, config.max_open_s)
        return float(min(longest_s, config.open_s * config.open_factor ** (self.opening - 1)))

    def half_open(self, at_s: float) -> None:
        """Begin a round of probes."""
        self.state = BreakerState.HALF_OPEN
        self.epoch += 1
        self.window_epoch = -1
        self.round, self.probes, self.ramp = [], [], []
        self.since_s = at_s
        self.not_before_s = 0.0

    def _end(self, at_s: float, *, is_well: bool) -> None:
        if not is_well:
            self.open(at_s)
            return
        opening = self.opening
        self._forget("closed")
        if self.config.ramp_s:
            self.ramp = [at_s, 1.0]
            self.opening = opening

    def order(self, state: BreakerState, now_s: float) -> bool:
        """An operator's order; False if it is illegal."""
        self.advance(now_s)
        if (self.state, state) in ILLEGAL:
            return False
        if state is BreakerState.OPEN:
            self.open(now_s)
        elif state is BreakerState.HALF_OPEN:
            self.half_open(now_s)
        else:
            self._forget(state)
        return True

    def configure(self, config: BreakerConfig, now_s: float) -> None:
        """Swap the configuration."""
        self.advance(now_s)
        old, self.config = self.config, config
        if self._shape(config) != self._shape(old):
            self.results = []
        self.tick = int(now_s / self._bucket_s(config))
        target = config.mode if config.mode in set(BreakerState) else "closed"
        if config.mode != old.mode and not (target == self.state == "closed"):
            self._forget(target)
        elif self.round is not None and self._terms(config) != self._terms(old):
            self.round, self.probes = [], []
        elif self.state is BreakerState.OPEN and self._times(config) != self._times(old):
            self.reopens_s = max(self.opened_s + self._wait_s(), self.not_before_s)
        self.advance(now_s)

    def failures(self) -> int:
        """Failures that the window should hold."""
        if self.config.window == "consecutive":
            return min(self._run(1), self.config.window_calls)
        return sum(failed for _, failed, _ in self._held(self.tick))

    def _shape(self, config: BreakerConfig) -> tuple[object, ...]:
        if config.window == "time":
            bucket_s = self._bucket_s(config)
            return (config.window, bucket_s, int(config.window_s / bucket_s))
        return (config.window, config.window_calls)

    def _terms(self, config: BreakerConfig) -> tuple[object, ...]:
        return (
            config.half_open_permits,
            self._needed(config),
            config.failure_percent,
            config.whole_percent,
            config.slow_call_s is not None and config.slow_percent,
            config.decides_early,
            config.probe_lease_s,
            config.max_half_open_s,
        )

    @staticmethod
    def _times(config: BreakerConfig) -> tuple[float, ...]:
        return (config.open_s, config.open_factor, config.max_open_s, config.open_jitter)

    # Calls

    def admit(self, now_s: float) -> Out | None:
        """A call that asks."""
        if self.state is not BreakerState.FORCED_OPEN and not (
            self.state is BreakerState.OPEN and now_s <= self.reopens_s
        ):
            self.advance(now_s)
        if self.state is BreakerState.OPEN and now_s > self.reopens_s:
            self.half_open(now_s)
        if self.round is not None:
            if len(self.round) + len(self.probes) >= self.config.half_open_permits:
                return None
            probe = Out(self.epoch, now_s + self.config.probe_lease_s, is_probe=True)
            self.probes.append(probe)
            return probe
        if self.state in {BreakerState.OPEN, BreakerState.FORCED_OPEN}:
            return None
        if self.ramp:
            share = min(1.0, max(0.0, (now_s - self.ramp[0]) / self.config.ramp_s))
            self.ramp[1] += share
            if self.ramp[1] < 1.0:
                return None
            self.ramp[1] -= 1.0
        return Out(self.window_epoch)

    def release(self, out: Out) -> None:
        """A call that ended without a verdict."""
        self.probes = [probe for probe in self.probes if probe is not out]

    def settle(
        self,
        out: Out,
        verdict: Verdict,
        now_s: float,
        took_s: float,
        retry_after_s: float | None = None,
    ) -> None:
        """A call that ended."""
        config = self.config
        refused = verdict is Verdict.NOT_TRIED and config.counts_rejections
        is_current = not out.is_probe and out.epoch == self.window_epoch
        failed = verdict in {Verdict.FAILURE, Verdict.TIMEOUT} or (refused and is_current)
        if not failed and verdict is not Verdict.SUCCESS:
            self.release(out)
            return
        slow = config.slow_call_s is not None and took_s > config.slow_call_s and not refused
        self.advance(now_s)
        until_s = 0.0
        if failed and retry_after_s and (config.honour_retry_after or config.retry_after_opens):
            until_s = now_s + min(retry_after_s, max(config.open_s, config.max_open_s))
        if not out.is_probe and out.epoch == self.window_epoch:
            self._count(failed, slow, now_s, until_s)
        elif any(probe is out for probe in self.probes) and self.round is not None:
            self.release(out)
            self.round.append((failed, slow))
            self._heed(until_s)
            self._decide(now_s)

    def _count(self, failed: bool, slow: bool, now_s: float, until_s: float) -> None:  # noqa: FBT001 - the shape of a result
        if self.state is BreakerState.DISABLED:
            return
        self.results.append((now_s, failed, slow))
        self._heed(until_s)
        if self.is_judged and self.config.judge == "each_call" and self._exceeds(self.tick):
            self.open(now_s)
        if self.is_judged and until_s and self.config.retry_after_opens:
            self.open(now_s)

    def _heed(self, until_s: float) -> None:
        self.not_before_s = max(self.not_before_s, until_s)
        if self.state is BreakerState.OPEN:
            self.reopens_s = max(self.reopens_s, until_s)

    def _needed(self, config: BreakerConfig) -> int:
        if config.window == "consecutive":
            return config.half_open_permits
        return min(config.minimum_calls, config.half_open_permits)

    def _decide(self, now_s: float) -> None:
        assert self.round is not None
        needed = self._needed(self.config)
        left = max(0, needed - len(self.round))
        if left and not self.config.decides_early:
            return
        if self._too_much(self.round + [(False, False)] * left, needed):
            self._end(now_s, is_well=False)
        elif not self._too_much(self.round + [(True, True)] * left, needed):
            self._end(now_s, is_well=True)
