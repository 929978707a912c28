"""A circuit breaker: stop calling what keeps failing, look again with a few calls, then believe.

closed -> open: the window holds `minimum_calls` and too large a share failed or was slow.
open -> half open: the open time is over, with the next call that asks (or by time alone).
half open -> closed or open: the probes decide, each of this round, by its lease, once.
Besides, by order: disabled, forced open, metrics only (`states.py`).

A permit belongs to an epoch. The result of a call admitted while closed is judged only while the
breaker is still closed; while open it goes into the old window and moves nothing; later it is
stale. So no call that ends late, hangs, crashes or is cancelled moves a state it was not asked
about, and none can keep one.

The breaker reads no clock, starts no timer and makes no calls: time is passed in, and what time
alone does (`tick`) is done by whoever comes next, so every run can be replayed. Its short lock is
never held across the caller's code; a closed breaker is entered by reading one attribute.
"""

from collections.abc import Callable
from math import inf
from threading import RLock
from typing import cast

from breakwater.sdk.errors import CallRefusedError
from breakwater.sdk.guard.bounds import at_least
from breakwater.sdk.guard.breaking.machine import CLOSED, FORCED_OPEN, HALF_OPEN, OPEN, Machine
from breakwater.sdk.guard.breaking.openings import open_seconds, open_terms, told_seconds
from breakwater.sdk.guard.breaking.probes import Permit, Round, round_terms
from breakwater.sdk.guard.breaking.reports import BreakerStats, Listener, Refusal
from breakwater.sdk.guard.breaking.states import OF_MODE, check_transition
from breakwater.sdk.guard.breaking.window import interval_end_s
from breakwater.sdk.guard.config import BreakerConfig
from breakwater.sdk.guard.events import BreakerState
from breakwater.sdk.guard.gate import CallInfo, Ticket
from breakwater.sdk.guard.verdict import Verdict


class Breaker(Machine):
    """The state machine; every method takes the monotonic time and returns at once.

    Four attributes are for reading on a hot path, and change only within calls of this object:

    closed_permit: what `admit` would give without a look at the time, else None.
    needs_each_success: whether a success must be settled at once, because it could move the state.
        Otherwise successes may be kept and recorded together by `record_successes`, before any
        other call of this object: the transitions are the same as one by one.
    slow_s: a success that took longer than this must be settled: -1 if each must, inf if none.
    turn_s: kept successes that ended before it must be recorded before later ones: the end of the
        present bucket; `tick` moves it on.

    As a gate it raises CallRefusedError. Reasons of its events: `failure_rate`, `slow_rate`,
    `retry_after`, `wait_over`, `probes_failed`, `probes_passed`, `undecided`, `operator`,
    `configuration`, `reset`.
    """

    __slots__ = ("_bypass", "_lock", "_ramp_refused", "_shadow", "_short_circuited", "name")

    def __init__(
        self,
        config: BreakerConfig,
        *,
        random: Callable[[], float] | None = None,
        listener: Listener | None = None,
    ) -> None:
        """Make a breaker of `config`; `random` draws from [0, 1) for jitter and enforcing."""
        super().__init__(config, random or _machine_random, listener)
        self.name = "breaker"
        self._lock = RLock()
        self._bypass = Permit()
        self._short_circuited = self._ramp_refused = self._shadow = 0

    @property
    def config(self) -> BreakerConfig:
        """What it goes by now."""
        return self._config

    @property
    def state(self) -> BreakerState:
        """Where it stands; what time alone does shows after the next `admit` or `tick`."""
        return self._state

    @property
    def reopens_s(self) -> float:
        """While open: until when every call is refused; a call after it is a probe."""
        return self._reopens_s

    @property
    def full_until_s(self) -> float:
        """While half open with all probes out: until when, unless one comes back; else -inf."""
        probing = self._round
        return probing.next_s if probing is not None and probing.is_full else -inf

    # The way in

    def admit(self, now_s: float) -> Permit | None:
        """Leave to call now, or None; each permit goes back once, by `settle` or `release`."""
        permit = self.closed_permit
        if permit is not None:
            return permit
        state = self._state
        if state is OPEN and now_s <= self._reopens_s:
            return self._refuse()
        if state is FORCED_OPEN:
            self._short_circuited += 1
            return None
        probing = self._round
        if probing is not None and probing.is_full and now_s < probing.next_s:
            return self._refuse()
        return self._admit_slowly(now_s)

    def refusal(self, now_s: float) -> Refusal:
        """Why a call is refused now: to be asked after `admit` gave None."""
        state = self._state
        if state is OPEN:
            wait_s = max(0.0, self._reopens_s - now_s)
            return Refusal(reason="breaker_open", retry_after_s=wait_s)
        if state is HALF_OPEN:
            return Refusal(reason="breaker_half_open")
        if state is FORCED_OPEN:
            return Refusal(reason="breaker_forced_open")
        return Refusal(reason="breaker_ramping")

    def _admit_slowly(self, now_s: float) -> Permit | None:
        with self._lock:
            self._advance(now_s)
            if self._state is OPEN and now_s > self._reopens_s:
                self._half_open(now_s, "wait_over")
            if self._round is not None:
                permit = self._round.grant(now_s)
            elif self.is_open or (self._ramp is not None and not self._ramp.admits(now_s)):
                permit = None
            else:
                permit = self._permit
        self._reporter.tell()
        return self._refuse() if permit is None else permit

    def _refuse(self) -> Permit | None:
        """Count a refusal; the share that is not enforced lets the call through for all that."""
        if not self._enforces_all and self._random() * 100.0 >= self._config.enforcing_percent:
            self._shadow += 1
            # During a ramp the call may be judged like any other; else its result has no say.
            return self._permit if self._state is CLOSED else self._bypass
        if self._state is CLOSED:
            self._ramp_refused += 1
        else:
            self._short_circuited += 1
        return None

    # The way out

    def settle(
        self,
        permit: Permit,
        verdict: Verdict,
        now_s: float,
        took_s: float = 0.0,
        retry_after_s: float | None = None,
    ) -> None:
        """Say how a call ended; what says nothing of the callee only gives the permit back.

        retry_after_s: how long the callee asked to be left alone, if it failed and said so.
        """
        if verdict is Verdict.SUCCESS:
            failed = False
        elif verdict is Verdict.FAILURE or verdict is Verdict.TIMEOUT:
            failed = True
        elif (
            verdict is Verdict.NOT_TRIED
            and self._config.counts_rejections
            and permit is self._permit
        ):
            failed, took_s = True, 0.0
        else:
            self.release(permit)
            return
        slow_call_s = self._config.slow_call_s
        slow = slow_call_s is not None and took_s > slow_call_s
        with self._lock:
            self._advance(now_s)
            told_s = told_seconds(self._config, retry_after_s) if failed else 0.0
            if permit is self._permit:
                self._record(failed=failed, slow=slow, now_s=now_s, told_s=told_s)
            elif permit is not self._bypass:
                self._report(permit, failed=failed, slow=slow, now_s=now_s, told_s=told_s)
        self._reporter.tell()

    def record_successes(self, n: int, at_s: float) -> None:
        """Record `n` good calls admitted by the closed permit that ended in the bucket of `at_s`.

        Before any other call of this object, so that the order of results is kept.
        """
        if n <= 0:
            return
        with self._lock:
            self._advance(at_s)
            if self._permit is None:
                self._stale += n
            else:
                self._record_successes(n, at_s)
        self._reporter.tell()

    def release(self, permit: Permit) -> None:
        """Give a permit back without a verdict: the call was cancelled, or says nothing.

        Takes no lock: a finaliser or a signal handler may call it at any moment.
        """
        probing = self._round
        if probing is not None:
            probing.release(permit)

    # What time alone does

    def tick(self, now_s: float) -> None:
        """Do what time alone does: judge intervals, turn half open, end leases, rounds and ramps.

        Calls do this themselves; a timer at `next_tick_s` makes it visible without any.
        """
        with self._lock:
            self._advance(now_s)
            self._refresh()
        self._reporter.tell()

    @property
    def next_tick_s(self) -> float:
        """When time alone will next change what others see; inf: it will not."""
        probing, ramp = self._round, self._ramp
        if self._state is OPEN:
            return self._reopens_s if self._config.automatic_half_open else inf
        if probing is not None:
            return probing.next_s
        ends_s = inf if ramp is None else ramp.ends_s
        is_pending = self._config.judge == "interval" and self._is_judged and self._window.total
        return min(ends_s, self.turn_s) if is_pending else ends_s

    # The states

    def transition_to(
        self, state: BreakerState, now_s: float, *, for_s: float | None = None
    ) -> None:
        """Order it into `state`; for_s: how long it stays open, instead of the configured time.

        A state may follow itself: it starts anew. Raises IllegalTransitionError.
        """
        if for_s is not None:
            at_least("for_s", for_s, 0.0)
        with self._lock:
            self._advance(now_s)
            check_transition(self._state, state)
            if state is OPEN:
                self._open(now_s, "operator", for_s=for_s)
            elif state is HALF_OPEN:
                self._half_open(now_s, "operator")
            else:
                self._begin(state, now_s, "operator")
        self._reporter.tell()

    def reset(self, now_s: float) -> None:
        """Forget everything but the counters of `stats`, and start closed."""
        with self._lock:
            self._begin(CLOSED, now_s, "reset")
        self._reporter.tell()

    def configure(self, config: BreakerConfig, now_s: float) -> None:
        """Go by `config` from now on.

        A changed mode moves the state; otherwise it stays. A window keeps its counts unless its
        shape changed, an open breaker whose times changed waits for the new time since it opened,
        a round of probes whose terms changed begins anew, and a ramp ends when it now would.
        """
        with self._lock:
            self._advance(now_s)
            old = self._config
            self._take(config)
            self.turn_s = interval_end_s(config, now_s)
            state = OF_MODE[config.mode]
            if config.mode != old.mode and not (state is CLOSED and self._state is CLOSED):
                self._begin(state, now_s, "configuration")
            elif self._round is not None and round_terms(config) != round_terms(old):
                self._round = Round(config, self._round.since_s)
            elif self._state is OPEN and open_terms(config) != open_terms(old):
                wait_s = open_seconds(config, self._opening, self._random)
                self._reopens_s = max(self._opened_s + wait_s, self._not_before_s)
            elif self._ramp is not None:
                self._ramp.length_s = config.ramp_s
            self._advance(now_s)
            self._refresh()
        self._reporter.tell()

    # What others ask

    def stats(self) -> BreakerStats:
        """Where it stands; window counts are as of the latest call."""
        window, probing = self._window, self._round
        rates = (
            self._rule.rate(window.failed, window.total),
            self._rule.rate(window.slow, window.total),
        )
        return BreakerStats(
            state=self._state,
            window_calls=window.total,
            window_failures=window.failed,
            window_slow=window.slow,
            failure_percent=(rates if probing is None else probing.rates)[0],
            slow_percent=(rates if probing is None else probing.rates)[1],
            probes_out=0 if probing is None else probing.out,
            opening=self._opening,
            reopens_s=self._reopens_s,
            is_ramping=self._ramp is not None,
            opened=self._opened,
            short_circuited=self._short_circuited,
            ramp_refused=self._ramp_refused,
            shadow_refused=self._shadow,
            stale_results=self._stale,
            expired_probes=self._expired,
            undecided_rounds=self._undecided,
            listener_errors=self._reporter.errors,
        )

    def explain(self) -> str:
        """What it does, in sentences with the effective numbers; see `guard.explain`."""
        from breakwater.sdk.guard.breaking.explain import explain  # noqa: PLC0415 - asked for by people only

        return explain(self._config)

    # As a gate

    def enter(self, call: CallInfo, now_s: float) -> Permit:
        """A permit, or CallRefusedError with the reason and when to ask again."""
        permit = self.admit(now_s)
        if permit is None:
            refusal = self.refusal(now_s)
            raise CallRefusedError(
                refusal.reason, call.command, call.endpoint, None, refusal.retry_after_s
            )
        return permit

    def leave(
        self,
        ticket: Ticket,
        verdict: Verdict,
        *,
        now_s: float,
        took_s: float,
        error: BaseException | None,
    ) -> None:
        """Take the permit back; heeds the `retry_after_s` that an error may carry."""
        retry_after_s = getattr(error, "retry_after_s", None)
        self.settle(cast("Permit", ticket), verdict, now_s, took_s, retry_after_s)


def _machine_random() -> float:
    from random import random  # noqa: PLC0415 - only jitter and partial enforcing draw at all

    return random()  # noqa: S311 - spreads load, guards no secret
