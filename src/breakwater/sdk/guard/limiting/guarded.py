"""Guarded: latency proposes, throughput disposes.

Our own algorithm, made against the known faults of the published ones (docs/decisions/0013).
It compares mean latency with a baseline, as gradients do, but believes a baseline only after a
trial: it cuts the limit and looks at what that does to the throughput.

    throughput held    the calls it kept out were only queueing: cut on from here
    throughput fell    there was no queue left, so this latency is the callee's own: the new
                       baseline, whether it is lower or higher than the old one

Where calls are long compared with a window there are few to learn from, and steps upwards are slow;
there a trial looks upwards first: does the throughput grow with the limit?

From throughput X and baseline latency B follows the limit by Little's law, X * B, and some room
for a queue: `tolerance` times that. So neither lasting overload nor a plateau of timeouts can
pass for normal, and a callee that has become slower for good is not throttled for ever.
"""

from random import Random
from typing import Final

import msgspec

ENOUGH: Final = 100
"""Calls after which a window may end early: their mean is good to about a tenth."""

FLOOR: Final = 4
"""Latency and trials never cut below: with fewer calls there is too little to learn from."""

STALE: Final = 10
"""Windows, and latencies, after which too few calls to judge by are forgotten."""

TRIAL_CUT: Final = 0.6
"""What a trial leaves of the limit; several follow one another while the throughput holds."""

HELD: Final = 0.85
"""Share of the throughput that has to be left for it to count as held."""

TRIAL_EVERY_S: Final = 30.0
"""Between two trials of a limit that is in use, give or take a quarter; a sixth of it after one
that found a much lower latency, which is believed by half until it is seen again."""

FIRST_TRIAL_AFTER: Final = 3
"""Windows before the first trial, when nothing is known yet."""

DROPS_ALLOWED: Final = 0.05
"""Share of drops, above the callee's own, that is no reason to shrink."""

FEW_DROPS: Final = 3
"""Fewer than so many in one window are chance."""

DROPS_LEARNED: Final = 0.2
"""The most that is ever taken for the callee's own drops: a dead callee must not look usual."""

GROWTH: Final = 1.5
"""Growth in one window while there is no queue."""

RISE: Final = 1.5
"""What a trial upwards makes of the limit; several follow while the throughput grows with it."""

FOLLOWED: Final = 0.5
"""Share of the growth of the limit that the throughput has to follow for it to be kept."""

FLAT: Final = 0.8
"""The same for it to say that there is no queue at all."""

LONG: Final = 2.0
"""Latencies that a window lasts at least; where that is longer than `window_s`, calls are long."""

SURELY_FREE: Final = 3
"""Windows in a row without a queue until that is no accident."""

NO_QUEUE: Final = 1.05
"""Latency, as a multiple of the baseline, up to which there is none."""

STEADY: Final = 0.9
"""How near to what is wanted the limit has to be for it to count as standing still."""

SURE: Final = 50
"""Calls whose mean latency moves the limit half of the way."""

SURPRISE: Final = 1.4
"""A baseline so many times higher than the last one is only believed when tried twice."""

SETTLING: Final = 2.0
"""Baselines after a change of the limit before calls are looked at, since the first to end are
the short ones. Twice as many in a trial, whose mean becomes the baseline, and of the latency just
seen, which is what the calls still under way have left at most."""

USED: Final = 0.8
"""Share of the limit that must have been in use for it to have held calls back."""


class Window(msgspec.Struct):
    """Calls that began under the present limit and have ended.

    answered: good ones that ended, whenever they began: what the throughput is made of.
    """

    began_s: float = 0.0
    count: int = 0
    answered: int = 0
    sum_s: float = 0.0
    drops: int = 0
    drops_s: float = 0.0
    most: int = 0

    def length(self) -> int:
        """Calls in it, dropped ones too."""
        return self.count + self.drops

    def drop_time(self) -> float:
        """The share of the time all calls took that was lost to dropped ones."""
        return self.drops_s / (self.drops_s + self.sum_s) if self.drops else 0.0


class Trial(msgspec.Struct):
    """A change made to see what happens: throughput and limit when it began.

    full: the throughput that no cut has proved too high. is_second: a first cut said that the
    callee is much slower; before that is believed the throughput has to fall once more, or a callee
    that lost capacity in between would pass for it.
    """

    throughput: float
    limit: float
    full: float
    is_second: bool = False


class Guarded:
    """A limit found by Little's law, with a baseline that is tried and tested. O(1) a sample.

    window_s, minimum_samples: a window is judged after so long and so many calls, or as soon as
    there are plenty. tolerance: how many times the baseline the latency may be. queue: the least
    step upwards. minimum: reached only while nothing at all is answered, so that a callee buried
    in work that nobody waits for can dig itself out; else the limit stays at 4 or above.
    """

    def __init__(
        self,
        *,
        random: Random,
        initial: int = 20,
        minimum: int = 1,
        maximum: int = 1000,
        window_s: float = 1.0,
        minimum_samples: int = 10,
        tolerance: float = 1.1,
        queue: int = 4,
    ) -> None:
        self._random = random
        self._minimum = float(min(minimum, initial))
        self._floor = max(self._minimum, float(min(FLOOR, initial)))
        self._maximum = float(max(maximum, initial))
        self._estimate = float(initial)
        self._window_s = window_s
        self._minimum_samples = minimum_samples
        self._tolerance = tolerance
        self._queue = queue
        self._baseline_s = 0.0
        self._usual_drops = 0.0
        self._changed_s = self._opens_s = 0.0
        self._window = Window()
        self._seen_s = 0.0  # latency of the last window
        self._trial: Trial | None = None
        self._rise: Trial | None = None
        self._steady: Trial | None = None
        self._next_trial_s = 0.0
        self._windows = 0
        self._free = 0  # windows in a row without any queue

    @property
    def limit(self) -> int:
        """How many calls may be under way now."""
        return int(self._estimate)

    @property
    def baseline_s(self) -> float:
        """The callee's own mean latency as far as it is known; 0 before the first window."""
        return self._baseline_s

    def update(self, now_s: float, rtt_s: float, inflight: int, did_drop: bool) -> int:  # noqa: FBT001 - see Limit
        """Learn from one finished call; returns the limit from now on."""
        if now_s < self._opens_s:
            return int(self._estimate)  # it is one of the short ones
        window = self._window
        if window.answered + window.drops == 0:
            window.began_s = now_s
        elif now_s - window.began_s > STALE * (self._window_s + rtt_s):
            self._window = window = Window(began_s=now_s)  # so few calls: what was is long ago
        window.answered += not did_drop
        if now_s - rtt_s < self._changed_s:
            return int(self._estimate)  # it began under another limit
        if did_drop:
            window.drops += 1
            window.drops_s += rtt_s
        else:
            window.count += 1
            window.sum_s += rtt_s
        window.most = max(window.most, inflight)
        if self._is_over(window, now_s):
            self._judge(window, now_s)
            self._window = Window()
        return int(self._estimate)

    def _is_over(self, window: Window, now_s: float) -> bool:
        length = window.length()
        elapsed_s = now_s - window.began_s
        if elapsed_s >= self._window_s and elapsed_s * window.count >= LONG * window.sum_s:
            return length >= self._minimum_samples
        # Long enough for slow calls to be in it too, or it would flatter the callee.
        return length >= ENOUGH and elapsed_s * window.count >= window.sum_s

    def _judge(self, window: Window, now_s: float) -> None:
        self._windows += 1
        elapsed_s = max(now_s - window.began_s, 1e-9)
        throughput = max(window.answered - 1, 0) / elapsed_s
        latency_s = self._seen_s = window.sum_s / window.count if window.count else 0.0
        is_used = window.most >= self._estimate * USED
        if self._rise is not None:
            self._rise_on(self._rise, window, now_s, throughput=throughput, latency_s=latency_s)
        elif self._trial is not None:
            self._try(self._trial, window, now_s, throughput=throughput, latency_s=latency_s)
        elif self._is_refused(window):
            self._yield_to(window, now_s)
        elif latency_s == 0:
            return
        elif self._baseline_s == 0:
            self._baseline_s = latency_s
        elif not is_used:
            self._drift(latency_s)
        elif self._is_trial_due(now_s):
            if LONG * latency_s >= self._window_s:
                self._begin_rise(throughput, now_s)
            else:
                self._begin_trial(throughput, now_s)
        else:
            self._steer(window, latency_s, throughput, now_s)

    def _begin_trial(self, throughput: float, now_s: float) -> None:
        here = Trial(throughput=throughput, limit=self._estimate, full=throughput)
        self._trial = self._steady or here
        self._move(self._estimate * TRIAL_CUT, now_s)

    def _begin_rise(self, throughput: float, now_s: float) -> None:
        self._steady = None
        self._rise = Trial(throughput=throughput, limit=self._estimate, full=throughput)
        self._move(self._estimate * RISE, now_s)

    def _rise_on(
        self, rise: Trial, window: Window, now_s: float, *, throughput: float, latency_s: float
    ) -> None:
        """Judge a trial upwards: did the throughput grow with the limit?"""
        self._rise = None
        if self._is_refused(window):
            self._move(rise.limit, now_s)
            self._next_trial_s = self._later_s(now_s)
            return
        if window.count == 0 or window.most < self._estimate * USED:  # hardly anybody called
            self._next_trial_s = self._later_s(now_s)
            return
        grown = self._estimate / rise.limit - 1
        followed = throughput / rise.throughput - 1 if rise.throughput else grown
        if followed < FOLLOWED * grown or self._estimate >= self._maximum:
            self._estimate = rise.limit
            self._begin_trial(rise.throughput, now_s)
            return
        if followed >= FLAT * grown:  # so this latency is the callee's own
            self._baseline_s = max(latency_s, (self._baseline_s + latency_s) / 2)
        self._begin_rise(throughput, now_s)

    def _is_refused(self, window: Window) -> bool:
        """Whether more calls were dropped than the callee drops anyway."""
        if window.drops < FEW_DROPS:
            return False
        allowed = self._usual_drops + DROPS_ALLOWED
        return window.drop_time() > allowed or window.drops > 2 * allowed * window.length()

    def _yield_to(self, window: Window, now_s: float) -> None:
        """Shrink by the share of places that dropped calls took, but by a twentieth at least.

        Counting calls instead would overdo it: refusals are quick, and many fit in one place.
        """
        self._steady = None
        excess = max(window.drop_time() - self._usual_drops, 0.05)
        floor = self._minimum if window.count == 0 else self._floor
        self._move(self._estimate * max(0.5, 1 - excess), now_s, floor)

    def _steer(self, window: Window, latency_s: float, throughput: float, now_s: float) -> None:
        """Little's law: as many as the callee works on, some more, and a few to queue.

        A limit that has shrunk much since it last stood still is a trial too: perhaps the
        callee has become slower, and shrinking further would only starve it.
        """
        ratio = self._tolerance * self._baseline_s / latency_s
        if ratio >= STEADY:
            self._note_steady(throughput)
        self._free = self._free + 1 if latency_s <= NO_QUEUE * self._baseline_s else 0
        growth = GROWTH if self._free >= SURELY_FREE else min(ratio, self._tolerance)
        wanted = self._estimate * max(0.5, growth) + self._queue
        weight = 1.0 if ratio < 0.5 else window.count / (window.count + SURE)
        moved = self._estimate + weight * (wanted - self._estimate)
        steady = self._steady
        if steady is not None and moved <= TRIAL_CUT * steady.limit:
            self._trial = steady
        self._move(moved, now_s)

    def _note_steady(self, throughput: float) -> None:
        before = self._steady
        if before is not None:
            throughput = before.throughput + 0.3 * (throughput - before.throughput)
        self._steady = Trial(throughput=throughput, limit=self._estimate, full=throughput)

    def _try(
        self, trial: Trial, window: Window, now_s: float, *, throughput: float, latency_s: float
    ) -> None:
        """Judge a trial: did the throughput hold at the lower limit?"""
        is_floor = self._estimate <= self._floor
        was_used = window.most >= self._estimate * USED
        if window.count == 0 or not was_used:  # nothing came back, or hardly anybody called
            self._trial = self._steady = None
            return
        if throughput >= HELD * trial.throughput and not is_floor:
            trial.throughput = trial.full = max(trial.throughput, throughput)
            self._move(self._estimate * TRIAL_CUT, now_s)
            return
        is_surprise = latency_s > SURPRISE * self._baseline_s
        if is_surprise and not trial.is_second and not is_floor:
            self._trial = Trial(
                throughput=throughput, limit=trial.limit, full=trial.full, is_second=True
            )
            self._move(self._estimate * TRIAL_CUT, now_s)
            return
        is_low = SURPRISE * latency_s < self._baseline_s
        is_untried = self._next_trial_s == 0
        trusted = latency_s if is_surprise or is_untried else (self._baseline_s + latency_s) / 2
        self._baseline_s = trusted
        self._usual_drops = min(window.drop_time(), DROPS_LEARNED)
        self._trial = self._steady = None
        self._next_trial_s = self._later_s(now_s, 1 / 6 if is_low else 1.0)
        wanted = self._tolerance * trial.full * latency_s + self._queue
        self._move(min(wanted, trial.limit), now_s)

    def _later_s(self, now_s: float, share: float = 1.0) -> float:
        """When the next trial is due."""
        return now_s + share * TRIAL_EVERY_S * self._random.uniform(0.75, 1.25)

    def _is_trial_due(self, now_s: float) -> bool:
        if self._next_trial_s == 0:
            return self._windows >= FIRST_TRIAL_AFTER
        return now_s >= self._next_trial_s

    def _drift(self, latency_s: float) -> None:
        """Follow the latency of a callee that is not busy: down quickly, up slowly."""
        weight = 0.2 if latency_s < self._baseline_s else 0.02
        self._baseline_s += weight * (latency_s - self._baseline_s)

    def _move(self, wanted: float, now_s: float, floor: float | None = None) -> None:
        least = self._floor if floor is None else floor
        moved = max(least, min(self._maximum, wanted))
        if int(moved) != int(self._estimate):
            self._changed_s = now_s
            if self._trial is None and self._rise is None:
                self._opens_s = now_s + SETTLING * self._baseline_s
            else:
                self._opens_s = now_s + 2 * SETTLING * (self._seen_s or self._baseline_s)
        self._estimate = moved
