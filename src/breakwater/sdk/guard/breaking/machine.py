"""The state machine inside a breaker, without its lock, its doors and its counters of refusals.

Everything here runs under the lock of `Breaker`, which is the only one that uses it. Time is
passed in; what time alone does is done by `_advance`, which every step calls first.
"""

from collections.abc import Callable
from math import inf
from typing import Final

from breakwater.sdk.guard.breaking.openings import open_seconds
from breakwater.sdk.guard.breaking.probes import Permit, Round
from breakwater.sdk.guard.breaking.ramp import Ramp
from breakwater.sdk.guard.breaking.reports import Listener, Reporter
from breakwater.sdk.guard.breaking.rule import closed_rule
from breakwater.sdk.guard.breaking.states import OF_MODE
from breakwater.sdk.guard.breaking.window import TimeWindow, interval_end_s, window_of
from breakwater.sdk.guard.config import BreakerConfig
from breakwater.sdk.guard.events import BreakerState, Kind

CLOSED: Final = BreakerState.CLOSED
OPEN: Final = BreakerState.OPEN
HALF_OPEN: Final = BreakerState.HALF_OPEN
DISABLED: Final = BreakerState.DISABLED
FORCED_OPEN: Final = BreakerState.FORCED_OPEN
METRICS_ONLY: Final = BreakerState.METRICS_ONLY
"""The states by a short name: an enum's own attribute costs a look-up on the hot path."""

_RATES: Final = ("failure_rate", "slow_rate")
_ALL_FIRED: Final = 3
_NO_RATES: Final = (-1.0, -1.0)


class Machine:
    """State, epoch, window and round of one breaker, and the four attributes of the hot path."""

    __slots__ = (
        "_config",
        "_enforces_all",
        "_expired",
        "_fired",
        "_is_judged",
        "_not_before_s",
        "_opened",
        "_opened_s",
        "_opening",
        "_permit",
        "_ramp",
        "_random",
        "_reopens_s",
        "_reporter",
        "_round",
        "_rule",
        "_slack",
        "_stale",
        "_state",
        "_undecided",
        "_window",
        "closed_permit",
        "needs_each_success",
        "slow_s",
        "turn_s",
    )

    def __init__(
        self, config: BreakerConfig, random: Callable[[], float], listener: Listener | None
    ) -> None:
        self._reporter = Reporter(listener)
        self._random = random
        self._opened = self._stale = self._expired = self._undecided = 0
        self._opened_s = self._reopens_s = self._not_before_s = self.turn_s = 0.0
        self._window = window_of(config)
        self._state = OF_MODE[config.mode]
        self._round: Round | None = None
        self._ramp: Ramp | None = None
        self._take(config)
        self._start()
        self._refresh()

    @property
    def is_open(self) -> bool:
        """Whether calls in general are refused; true while half open, as dashboards expect."""
        state = self._state
        return state is OPEN or state is HALF_OPEN or state is FORCED_OPEN

    # Results

    def _record_successes(self, n: int, at_s: float) -> None:
        if self._state is DISABLED:
            return
        window = self._window
        if self._slack > 0.0:
            window.add_successes(n, at_s)
            return
        if self._judges_each():
            # Only the success that completes the minimum, or the first in its bucket, can move the
            # state: every further one lowers the rates.
            first = max(1, self._rule.minimum - window.total)
            if first <= n:
                window.add_successes(first, at_s)
                self._judge(at_s)
                n -= first
        if n:
            window.add_successes(n, at_s)
        self._refresh()

    def _judges_each(self) -> bool:
        return self._is_judged and self._config.judge == "each_call"

    def _record(self, *, failed: bool, slow: bool, now_s: float, told_s: float) -> None:
        """Count the result of a call of this epoch, and judge if it can matter."""
        if self._state is DISABLED:
            return
        self._window.add(failed=failed, slow=slow, at_s=now_s)
        if failed or slow:
            self._slack -= 1.0
        if told_s:
            self._heed(now_s + told_s)
        elif self._slack > 0.0:
            return
        if self._judges_each():
            self._judge(now_s)
        opens = told_s and self._config.retry_after_opens and self._is_judged
        if opens and self._state is CLOSED:
            self._open(now_s, "retry_after")
        self._refresh()

    def _heed(self, until_s: float) -> None:
        """Remember how long the callee wants to be left alone; an open breaker waits so long."""
        self._not_before_s = max(self._not_before_s, until_s)
        if self._state is OPEN:
            self._reopens_s = max(self._reopens_s, until_s)

    def _report(
        self, permit: Permit, *, failed: bool, slow: bool, now_s: float, told_s: float
    ) -> None:
        """Count the result of a probe, and decide the round if it can be."""
        probing = self._round
        if probing is None or not probing.report(permit, failed=failed, slow=slow):
            self._stale += 1
            if self._state is not DISABLED and self._state is not FORCED_OPEN:
                self._reporter.keep(Kind.STALE_RESULT, at_s=now_s, state=self._state)
            return
        if told_s:
            self._heed(now_s + told_s)
        verdict = probing.verdict()
        if verdict is None:
            return
        calls, rates = probing.calls, probing.rates
        if verdict:
            self._close(now_s, "probes_passed", calls=calls, rates=rates)
        else:
            self._open(now_s, "probes_failed", calls=calls, rates=rates)

    # What time alone does

    def _advance(self, now_s: float) -> None:
        if self._permit is not None and self._state is not DISABLED:
            self._roll(now_s)
        if self._ramp is not None and now_s >= self._ramp.ends_s:
            self._ramp = None
            self._opening = 0
            self._refresh()
        if self._state is OPEN:
            if self._config.automatic_half_open and now_s > self._reopens_s:
                self._half_open(now_s, "wait_over")
        elif self._round is not None:
            self._end_leases(self._round, now_s)

    def _roll(self, now_s: float) -> None:
        """Move the window on; judged at intervals, it is judged at the end of each it passes."""
        window = self._window
        by_interval = self._config.judge == "interval"
        if isinstance(window, TimeWindow):
            if not window.is_behind(now_s):
                return
            while by_interval and window.total and window.is_behind(now_s):
                self._judge(window.end_s)
                window.step()
            window.advance(now_s)
            self.turn_s = window.end_s
            if self._slack <= 0.0:
                self._refresh()
        elif by_interval and now_s >= self.turn_s:
            self._judge(self.turn_s)
            self.turn_s = interval_end_s(self._config, now_s)
            self._refresh()

    def _end_leases(self, probing: Round, now_s: float) -> None:
        expired = probing.expire(now_s)
        if expired:
            self._expired += expired
            keep = self._reporter.keep
            keep(Kind.PROBE_EXPIRED, at_s=now_s, state=self._state, calls=expired)
        if now_s >= probing.ends_s:
            self._undecided += 1
            if self._config.undecided_goes_to == "closed":
                self._close(now_s, "undecided", calls=probing.calls)
            else:
                self._open(now_s, "undecided", calls=probing.calls)

    def _judge(self, at_s: float) -> None:
        """Open if a rate is too high; metrics-only tells it once of each rate and stays."""
        if not self._is_judged:
            return
        window, rule = self._window, self._rule
        exceeded = rule.exceeded(window.total, window.failed, window.slow)
        if not any(exceeded):
            return
        rates = (rule.rate(window.failed, window.total), rule.rate(window.slow, window.total))
        for bit, (is_high, reason) in enumerate(zip(exceeded, _RATES, strict=True), start=1):
            if is_high and not self._fired & bit:
                self._fired |= bit
                self._reporter.keep(
                    Kind.RATE_EXCEEDED,
                    at_s=at_s,
                    state=self._state,
                    reason=reason,
                    calls=window.total,
                    rates=rates,
                )
        if self._state is CLOSED:
            reason = _RATES[0] if exceeded[0] else _RATES[1]
            self._open(at_s, reason, calls=window.total, rates=rates)

    # From state to state

    def _take(self, config: BreakerConfig) -> None:
        self._config = config
        self._rule = closed_rule(config)
        self._enforces_all = config.enforcing_percent >= 100.0
        window = window_of(config)
        if not window.is_like(self._window):
            self._window = window

    def _start(self) -> None:
        """What is forgotten at the start of every state in which nothing is remembered."""
        self._window.clear()
        self._permit = None if self._state is FORCED_OPEN else Permit()
        self._opening = self._fired = 0
        self._not_before_s = 0.0

    def _begin(self, state: BreakerState, at_s: float, reason: str) -> None:
        """Go into a state that is not part of the round of closed, open and half open."""
        self._go(state, at_s, reason)
        self._start()
        self._refresh()

    def _close(
        self, at_s: float, reason: str, *, calls: int = 0, rates: tuple[float, float] = _NO_RATES
    ) -> None:
        """The callee has recovered: with a ramp, that is believed when the ramp has ended."""
        opening = self._opening
        self._go(CLOSED, at_s, reason, calls=calls, rates=rates)
        self._start()
        if self._config.ramp_s:
            self._ramp = Ramp(at_s, self._config.ramp_s)
            self._opening = opening
        self._refresh()

    def _open(
        self,
        at_s: float,
        reason: str,
        *,
        calls: int = 0,
        rates: tuple[float, float] = _NO_RATES,
        for_s: float | None = None,
    ) -> None:
        if self._state is not CLOSED and self._state is not OPEN:
            self._permit = None  # nothing was admitted whose late result belongs in the window
        self._opened += 1
        self._opening += 1
        self._opened_s = at_s
        if for_s is None:
            wait_s = open_seconds(self._config, self._opening, self._random)
            self._reopens_s = max(at_s + wait_s, self._not_before_s)
        else:
            self._reopens_s = at_s + for_s
        open_s = self._reopens_s - at_s
        self._go(OPEN, at_s, reason, calls=calls, rates=rates, open_s=open_s)

    def _half_open(self, at_s: float, reason: str) -> None:
        self._permit = None
        self._not_before_s = 0.0
        self._go(HALF_OPEN, at_s, reason)
        self._round = Round(self._config, at_s)

    def _go(
        self,
        state: BreakerState,
        at_s: float,
        reason: str,
        *,
        calls: int = 0,
        rates: tuple[float, float] = _NO_RATES,
        open_s: float = 0.0,
    ) -> None:
        old, self._state = self._state, state
        self._round = self._ramp = None
        self._fired = 0
        self._refresh()
        if old is not state:
            self._reporter.keep(
                Kind.STATE,
                at_s=at_s,
                state=state,
                old=old,
                reason=reason,
                calls=calls,
                rates=rates,
                open_s=open_s,
            )

    def _refresh(self) -> None:
        """Bring the attributes of the hot path up to date, after anything changed."""
        config, window = self._config, self._window
        by_interval = config.judge == "interval"
        self._is_judged = self._state is METRICS_ONLY or (
            self._state is CLOSED and config.mode != "forced_closed"
        )
        self._slack = window.slack(self._rule) if self._is_judged else inf
        if self._state is METRICS_ONLY and self._fired == _ALL_FIRED:
            self._slack = inf
        may_move = self._slack <= 0.0
        self.needs_each_success = may_move and not by_interval
        if self._permit is None or self._state is DISABLED:
            self.turn_s = inf  # nothing is recorded, so nobody has to come for it
        elif isinstance(window, TimeWindow) or not by_interval:
            self.turn_s = window.end_s
        elif self.turn_s == inf:
            self.turn_s = 0.0  # the next interval begins with whoever comes next
        if self.needs_each_success:
            self.slow_s = -1.0
        else:
            self.slow_s = inf if config.slow_call_s is None else config.slow_call_s
        if self.is_open or self._ramp is not None:
            self.closed_permit = None
        elif may_move and by_interval and self._state is CLOSED:
            self.closed_permit = None  # it opens at the end of the interval, whoever comes next
        else:
            self.closed_permit = self._permit
