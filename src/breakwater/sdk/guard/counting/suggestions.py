"""Settings that fit what was seen of a command, each with its reason; nothing is changed.

From one process (`command.suggest()`) or from a whole service (`breakwater guard suggest`). The
rules are plain arithmetic and say their numbers:

    timeout_s                 p99.5 of the attempts, half as much again, within what callers wait
    total_s                   all attempts and their pauses, within the same
    bulkhead.max_concurrent   Little's law: peak calls a second times p99, half as much again
    breaker.window_s          twenty calls at the mean rate, 10 s to 60 s
    breaker.minimum_calls     at most a fifth of a window, 10 to 100
    breaker.open_s            two attempts' time, at least 2 s
    hedge.delay_s             p95, so that one call in twenty is sent twice
    retry.budget.*            a tenth of the calls, and one second's burst of failures
"""

from collections.abc import Callable, Iterator
from math import ceil, floor, inf, log10
from typing import Final

import msgspec

from breakwater.sdk.guard.config import MOST_KEPT, MOST_THREADS, BulkheadConfig, CommandConfig
from breakwater.sdk.guard.counting.statistics import Figures
from breakwater.sdk.guard.events import EventType
from breakwater.sdk.guard.tuning.keys import Value, laid

ENOUGH_CALLS: Final = 1_000
"""Calls of which a p99.5 is worth its name: five are above it."""

FEWEST_CALLS: Final = 100
"""With fewer, nothing is said about latencies; between the two the slowest call stands in."""

ROOM: Final = 1.5
"""Head-room over what was seen."""

WITHIN: Final = 0.9
"""Share of the callers' deadline that a call may use."""

TOO_MANY_TIMEOUTS: Final = 0.005
"""Share of timeouts above which the percentile shows the limit, not the callee."""

NEAR: Final = 0.2
"""A suggestion nearer than this share to what is set already is none."""

LEAST_S: Final = 1e-6
"""No suggestion is smaller."""

LONGEST: Final = 5.0
"""An open time up to so many times the suggestion is a choice, not a mistake."""

SURE_CALLS: Final = 20
"""Calls of which half do not fail by chance."""

HEAVY_TAIL: Final = 5.0
"""p99 over p50 from which a second copy of a slow call is worth a thought."""


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen of one command, in one process or on the mean of several.

    calls: attempts that ran, within the window_s of the latencies. peak_per_s, mean_per_s: calls a
    second that ran or wanted to. Percentiles of the attempts in seconds. failure_share,
    timeout_share: of the attempts, 0 to 1, timeouts not among failures. most_active: the highest
    concurrency. deadline_s: how long callers wait, None if that is not known. is_idempotent: a
    call may be sent twice.
    """

    calls: int
    window_s: float
    mean_per_s: float
    peak_per_s: float
    p50_s: float
    p95_s: float
    p99_s: float
    p995_s: float
    max_s: float
    failure_share: float = 0.0
    timeout_share: float = 0.0
    most_active: int = 0
    deadline_s: float | None = None
    is_idempotent: bool = False


class Suggestion(msgspec.Struct, frozen=True, kw_only=True):
    """A key, what it is now, what it might better be, and why; the same value: keep it."""

    key: str
    now: Value
    value: Value
    reason: str

    @property
    def is_change(self) -> bool:
        """Whether anything is to be changed."""
        return self.now != self.value


class Suggestions(msgspec.Struct, frozen=True, kw_only=True):
    """What to set, and what could not be told for want of calls."""

    settings: list[Suggestion]
    unknown: list[str]

    def changes(self) -> dict[str, Value]:
        """The keys to set, as live configuration takes them."""
        return {one.key: one.value for one in self.settings if one.is_change}


def suggest(seen: Observed, config: CommandConfig) -> Suggestions:
    """Settings for a command that goes by `config` and was seen to behave like this. Pure."""
    unknown = list(_unknown(seen))
    if seen.calls < FEWEST_CALLS:
        return Suggestions(settings=[], unknown=unknown)
    made = _Maker(seen, config)
    return Suggestions(settings=list(made.all()), unknown=unknown)


def _unknown(seen: Observed) -> Iterator[str]:
    if seen.calls >= ENOUGH_CALLS:
        return
    what = "nothing" if seen.calls < FEWEST_CALLS else "only roughly how slow calls may be"
    wanted = FEWEST_CALLS if seen.calls < FEWEST_CALLS else ENOUGH_CALLS
    text = (
        f"{seen.calls} calls in {seen.window_s:g} s tell {what}; {wanted} are wanted"
        f" for {'anything' if wanted == FEWEST_CALLS else 'a p99.5'}"
    )
    if seen.mean_per_s > 0:
        needs_s = wanted / seen.mean_per_s
        text += f", which takes {needs_s:.0f} s at {seen.mean_per_s:.3g} a second"
        if needs_s > seen.window_s:
            text += f" (statistics.latency_window_s is {seen.window_s:g})"
    yield text


class _Maker:
    """One command's suggestions."""

    def __init__(self, seen: Observed, config: CommandConfig) -> None:
        self._seen = seen
        self._config = config
        retry = config.retry
        self._attempts = 1 if retry is None else retry.max_attempts
        self._timeout_s = config.timeout_s or self._slowest_s() * ROOM

    def all(self) -> Iterator[Suggestion]:
        """In an order in which a person would think of them."""
        yield from self._timeouts()
        yield from self._bulkhead()
        yield from self._breaker()
        yield from self._hedge()
        yield from self._budget()

    def _slowest_s(self) -> float:
        seen = self._seen
        return max(seen.p995_s if seen.calls >= ENOUGH_CALLS else seen.max_s, 1e-4)

    def _timeouts(self) -> Iterator[Suggestion]:
        seen, now = self._seen, self._config.timeout_s
        share = seen.timeout_share
        if now is not None and share > TOO_MANY_TIMEOUTS:
            yield Suggestion(
                key="timeout_s", now=now, value=now,
                reason=f"{share:.1%} of the calls ended in this very limit, so how long they would "
                "have taken is not known; raise it once by hand, or mend the callee",
            )  # fmt: skip
        else:
            yield from self._timeout(now)
        yield from self._total()

    def _timeout(self, now: float | None) -> Iterator[Suggestion]:
        slowest_s = self._slowest_s()
        named = "p99.5" if self._seen.calls >= ENOUGH_CALLS else "the slowest call"
        value = _rounded_up(slowest_s * ROOM)
        reason = f"{named} is {_time(slowest_s)}, and half as much again for bad days"
        deadline_s = self._seen.deadline_s
        if deadline_s is not None and value * self._attempts > deadline_s * WITHIN:
            value = _rounded_down(deadline_s * WITHIN / self._attempts)
            reason = (
                f"callers wait {_time(deadline_s)}, which has to do for {_times(self._attempts)}; "
                f"{named} is {_time(slowest_s)}"
            )
            is_kept = now is not None and _is_near(now, value) and now <= value
        else:
            is_kept = now is not None and _is_near(now, value)
        if now is not None and is_kept:
            value = now
        self._timeout_s = value
        yield Suggestion(key="timeout_s", now=now, value=value, reason=reason)

    def _total(self) -> Iterator[Suggestion]:
        """For calls that are tried again; a total shorter than an attempt would be refused."""
        retry, now = self._config.retry, self._config.total_s
        if retry is None:
            if now is not None and now < self._timeout_s:
                reason = "not shorter than the limit of the one attempt"
                yield Suggestion(key="total_s", now=now, value=self._timeout_s, reason=reason)
            return
        pauses = [min(retry.max_s, retry.initial_s * retry.factor**n) for n in range(19)]
        pause_s = sum(pauses[: self._attempts - 1])
        value = _rounded_up(self._timeout_s * self._attempts + pause_s)
        reason = f"{_times(self._attempts)} and {_time(pause_s)} of pauses between them"
        deadline_s = self._seen.deadline_s
        if deadline_s is not None and value > deadline_s:
            value = max(_rounded_down(deadline_s), self._timeout_s)
            reason += f", but callers wait {_time(deadline_s)} only"
        is_fit = now is not None and now >= self._timeout_s and now <= (deadline_s or inf)
        if now is not None and is_fit and _is_near(now, value):
            value = now
        yield Suggestion(key="total_s", now=now, value=value, reason=reason)

    def _bulkhead(self) -> Iterator[Suggestion]:
        seen, bulkhead = self._seen, self._config.bulkhead
        if self._config.adaptive is not None or bulkhead is None:
            return
        needed = seen.peak_per_s * seen.p99_s
        is_pool = bulkhead.isolation == "thread"
        value = max(ceil(needed * ROOM), ceil(seen.most_active * ROOM), 5)
        value = min(value, MOST_THREADS if is_pool else MOST_KEPT)
        reason = (
            f"{seen.peak_per_s:.3g} calls a second at most, of {_time(seen.p99_s)} (p99), are "
            f"{needed:.3g} at once; {seen.most_active} were seen; half as many again"
        )
        key = "bulkhead.threads" if is_pool else "bulkhead.max_concurrent"
        now = _limit_of(bulkhead)
        yield Suggestion(key=key, now=now, value=_unless_near(now, value), reason=reason)

    def _breaker(self) -> Iterator[Suggestion]:
        breaker, rate = self._config.breaker, self._seen.mean_per_s
        if breaker is None or rate <= 0:
            return
        open_s = _rounded_up(min(max(2.0, 2 * self._timeout_s), breaker.max_open_s))
        yield Suggestion(
            key="breaker.open_s", now=breaker.open_s,
            value=breaker.open_s if open_s <= breaker.open_s <= LONGEST * open_s else open_s,
            reason=f"two attempts of {_time(self._timeout_s)} have ended by then; at least 2 s",
        )  # fmt: skip
        if breaker.window != "time":
            return
        window_s = float(max(10, ceil(min(20 / rate, 60))))
        yield Suggestion(
            key="breaker.window_s", now=breaker.window_s,
            value=breaker.window_s if _is_near(breaker.window_s, window_s) else window_s,
            reason=f"{rate:.3g} calls a second make {rate * window_s:.3g} in it",
        )  # fmt: skip
        minimum, now = min(max(10, ceil(rate * window_s / 5)), 100), breaker.minimum_calls
        yield Suggestion(
            key="breaker.minimum_calls", now=now,
            value=now if min(SURE_CALLS, minimum) <= now <= minimum else minimum,
            reason=f"{minimum} are a fifth of a window, {minimum / rate:.2g} s of "
            "failures; fewer than ten calls are never enough",
        )  # fmt: skip

    def _hedge(self) -> Iterator[Suggestion]:
        seen, hedge = self._seen, self._config.hedge
        if hedge is not None and hedge.delay_s is not None:
            value = _rounded_up(seen.p95_s)
            reason = f"p95 is {_time(seen.p95_s)}: one call in twenty is sent twice"
            kept = hedge.delay_s if _is_near(hedge.delay_s, value) else value
            yield Suggestion(key="hedge.delay_s", now=hedge.delay_s, value=kept, reason=reason)
        elif hedge is None and seen.is_idempotent and seen.p99_s > HEAVY_TAIL * seen.p50_s:
            reason = (
                f"p99 is {_time(seen.p99_s)}, p50 {_time(seen.p50_s)}: a second copy after p95 "
                f"({_time(seen.p95_s)}) would cut the tail for 5 % more calls"
            )
            yield Suggestion(key="hedge", now=None, value={}, reason=reason)

    def _budget(self) -> Iterator[Suggestion]:
        retry, seen = self._config.retry, self._seen
        if retry is None or retry.budget.mode != "grpc":
            return
        share = seen.failure_share + seen.timeout_share
        ratio = min(max(0.1, _rounded_up(2 * share)), 0.2)
        yield Suggestion(
            key="retry.budget.ratio", now=retry.budget.ratio,
            value=retry.budget.ratio if _is_near(retry.budget.ratio, ratio) else ratio,
            reason=f"{share:.1%} of the attempts fail; retries stay below {ratio:.0%} of the calls",
        )  # fmt: skip
        tokens = float(max(10, ceil(seen.peak_per_s * 0.1)))
        yield Suggestion(
            key="retry.budget.tokens", now=retry.budget.tokens,
            value=retry.budget.tokens if _is_near(retry.budget.tokens, tokens) else tokens,
            reason=f"a tenth of one second's {seen.peak_per_s:.3g} calls may fail at once",
        )  # fmt: skip


def observed(
    figures: Figures, *, deadline_s: float | None = None, is_idempotent: bool = False
) -> Observed:
    """What a command's rolling figures say."""
    p50_s, p95_s, p99_s, p995_s = figures.execution.percentiles_s((50.0, 95.0, 99.0, 99.5))
    ran = sum(figures.rolling[event] for event in _RAN)
    wanted = ran + sum(figures.rolling[event] for event in _REFUSED)
    mean_per_s = wanted / figures.window_s
    return Observed(
        calls=figures.execution.count,
        window_s=figures.latency_window_s,
        mean_per_s=mean_per_s,
        peak_per_s=max(figures.peak_per_s, mean_per_s),
        p50_s=p50_s,
        p95_s=p95_s,
        p99_s=p99_s,
        p995_s=p995_s,
        max_s=figures.execution.max_s,
        failure_share=figures.rolling[EventType.FAILURE] / ran if ran else 0.0,
        timeout_share=figures.rolling[EventType.TIMEOUT] / ran if ran else 0.0,
        most_active=figures.rolling[EventType.COMMAND_MAX_ACTIVE],
        deadline_s=deadline_s,
        is_idempotent=is_idempotent,
    )


_RAN: Final = (EventType.SUCCESS, EventType.FAILURE, EventType.TIMEOUT, EventType.BAD_REQUEST)
_REFUSED: Final = (EventType.SEMAPHORE_REJECTED, EventType.THREAD_POOL_REJECTED)


def applied(suggestions: Suggestions, config: CommandConfig) -> CommandConfig:
    """The configuration with all suggestions followed."""
    return laid(config, suggestions.changes())


def _limit_of(bulkhead: BulkheadConfig) -> int:
    return bulkhead.threads if bulkhead.isolation == "thread" else bulkhead.max_concurrent


def _unless_near(now: int, value: int) -> int:
    return now if _is_near(now, value) else value


def _is_near(now: float, value: float) -> bool:
    return abs(now - value) <= NEAR * value


def _rounded_up(value: float) -> float:
    """To two significant digits."""
    return _rounded(value, ceil)


def _rounded_down(value: float) -> float:
    return _rounded(value, floor)


def _rounded(value: float, to_whole: Callable[[float], int]) -> float:
    value = max(value, LEAST_S)
    digits = 1 - floor(log10(value))
    whole = to_whole(round(value * 10.0**digits, 6))
    return float(round(whole / 10.0**digits, max(digits, 0)))


def _time(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"


def _times(attempts: int) -> str:
    return "one attempt" if attempts == 1 else f"{attempts} attempts"
