"""The guarded commands of a process as meters, so that what a fallback hides is still seen.

Written once a second from figures that are kept anyway; no call pays for it, and a command that
was never called writes nothing. Names and tags: docs/formats/guard-meters.md.
"""

from collections.abc import Mapping
from typing import Any, Final

from breakwater.model import Status, calls
from breakwater.sdk.bulk import BulkTimer
from breakwater.sdk.calls import NO_NODE
from breakwater.sdk.guard import BreakerState, Command, CommandStats, Guards
from breakwater.sdk.guard.counting.growth import Grown, Growth
from breakwater.sdk.guard.retrying.retry import Retry
from breakwater.sdk.histogram import Latencies, bucket_of, merged
from breakwater.sdk.meters import Meters
from breakwater.sdk.tap import AT_ONCE, FULL, SHUT, Ending, Tap, refusals

GAUGE_TTL_S: Final = 15
AGAIN_S: Final = 5.0
"""A gauge that stays the same is written again so often, so that it does not end."""

STATES: Final = {state: number for number, state in enumerate(BreakerState)}
"""closed 0, open 1, half_open 2, disabled 3, forced_open 4, metrics_only 5."""

_ATTEMPTS: Final = ("", "initial", "second", "third_up")
_SUCCESSES: Final = frozenset((Status.SUCCESS, Status.FALLBACK))


class GuardMeters:
    """Writes the meters of one registry; `report` is a chore of each second."""

    def __init__(self, guards: Guards, meters: Meters, service: str) -> None:
        self._guards = guards
        self._meters = meters
        self._service = service
        self._known: dict[str, _CommandMeters] = {}
        self._taps: dict[str, tuple[Command, Tap]] = {}
        self._totals = _Totals(meters)
        self._levels: dict[tuple[str, str], _Levels] = {}

    def record_calls(self, command: Command) -> None:
        """Write `ipc.client.call` for the attempts of this command, which nobody else records."""
        tap = Tap()
        command.parts.tap = tap
        self._taps[command.name] = (command, tap)

    def report(self, now_s: float) -> None:
        """Write what came since the last time."""
        commands = {command.name: command for command in self._guards}
        for name in tuple(self._known):
            if self._known[name].command is not commands.get(name):
                del self._known[name]
        for name, command in commands.items():
            if not command.statistics.is_untouched:
                self._of(name, command).report(now_s)
        audit = self._guards.audit
        for result, counts in (("applied", audit.changed), ("refused", audit.refused)):
            for source, total in tuple(counts.items()):
                tags = {"source": source, "result": result}
                self._totals.count("guard.config.changes", tags, total)
        hooks = self._guards.hooks.stats()
        self._totals.count("guard.hooks.raised", {}, hooks.raised)
        self._totals.count("guard.hooks.switched_off", {}, hooks.switched_off)
        self._report_pools(now_s)
        self._report_servers(now_s)

    def _report_pools(self, now_s: float) -> None:
        for name, pool in tuple(self._guards.shared.workers.items()):
            stats, tags = pool.stats(), {"pool": name}
            levels = self._levels_of("pool", name, tags)
            levels.set("guard.pool.active", stats.active, now_s)
            levels.set("guard.pool.size", stats.size, now_s)
            levels.set("guard.pool.queue", stats.queue, now_s)
            self._totals.count("guard.pool.tasks", tags, stats.tasks)
            self._totals.count("guard.pool.late", tags, stats.late)

    def _report_servers(self, now_s: float) -> None:
        for server in self._guards.servers:
            stats, tags = server.shedder.stats(now_s), {"server": server.name}
            for key, total in stats.refused.items():
                level, _, reason = key.partition(".")
                told = {**tags, "criticality": level, "reason": reason}
                self._totals.count("guard.shed", told, total)
            if stats.limit is None:
                continue
            levels = self._levels_of("server", server.name, tags)
            levels.set("guard.shed.limit", stats.limit, now_s)
            levels.set("guard.shed.waiting", stats.waiting, now_s)
            levels.set("guard.shed.overloaded", float(stats.is_overloaded), now_s)
            self._meters.max_gauge("guard.shed.inflight", tags).set(stats.in_use)
            self._totals.count("guard.shed.admitted", tags, stats.admitted)
            self._totals.count("guard.shed.queued", tags, stats.queued)

    def _levels_of(self, kind: str, name: str, tags: Mapping[str, str]) -> "_Levels":
        found = self._levels.get((kind, name))
        if found is None:
            found = self._levels[kind, name] = _Levels(self._meters, tags)
        return found

    def _of(self, name: str, command: Command) -> "_CommandMeters":
        found = self._known.get(name)
        if found is None:
            owner, tap = self._taps.get(name, (None, None))
            if owner is not command:
                tap = None
            found = _CommandMeters(command, self._meters, self._service, tap)
            self._known[name] = found
        return found


class _Totals:
    """Counters of totals since start; one that shrank began anew."""

    def __init__(self, meters: Meters) -> None:
        self._meters = meters
        self._reported: dict[tuple[str, ...], int] = {}

    def count(self, name: str, tags: Mapping[str, str], total: int) -> None:
        key = (name, *tags.values())
        before = self._reported.get(key, 0)
        if total != before:
            self._reported[key] = total
            news = total - before if total > before else total
            if news:
                self._meters.counter(name, tags).increment(news)


class _Levels:
    """Gauges that are written when they change, and again before they end."""

    def __init__(self, meters: Meters, tags: Mapping[str, str]) -> None:
        self._meters = meters
        self._tags = tags
        self._told: dict[str, tuple[float, float]] = {}

    def set(self, name: str, value: float, now_s: float) -> None:
        told = self._told.get(name)
        if told is None or told[0] != value or now_s - told[1] >= AGAIN_S:
            self._told[name] = (value, now_s)
            self._meters.gauge(name, self._tags, ttl_s=GAUGE_TTL_S).set(value)


class _CommandMeters:
    """What one command says."""

    def __init__(self, command: Command, meters: Meters, service: str, tap: Tap | None) -> None:
        self.command = command
        self._meters = meters
        self._tags = {**(command.tags or {}), "guard": command.name, "group": command.group}
        self._totals = _Totals(meters)
        self._levels = _Levels(meters, self._tags)
        self._growth = Growth(command.statistics)
        self._execution = BulkTimer(meters, "guard.execution", self._tags)
        self._total = BulkTimer(meters, "guard.total", self._tags)
        self._active = meters.max_gauge("guard.inflight", self._tags)
        self._edge = None if tap is None else _Edge(command, meters, service, tap)

    def report(self, now_s: float) -> None:
        command = self.command
        grown = self._growth.take(now_s)
        self._execution.record_all(merged((grown.whole, grown.execution)))
        self._total.record_all(merged((grown.whole, grown.total)))
        if self._edge is not None:
            self._edge.report(grown, now_s)
        stats = command.stats()
        for outcome, total in stats.calls.items():
            if outcome != "command_max_active":
                self._count("guard.calls", "outcome", outcome, total)
        for reason, total in _rejections(stats).items():
            self._count("guard.rejected", "reason", reason, total)
        self._active.set(command.statistics.highest_active(now_s))
        self._report_levels(stats, now_s)
        self._report_retries(stats, now_s)
        age_s, command.parts.stale_age_s = command.parts.stale_age_s, 0.0
        if age_s:
            self._meters.max_gauge("guard.stale.age", self._tags).set(round(age_s, 3))

    def _report_levels(self, stats: CommandStats, now_s: float) -> None:
        limit = _limit(stats)
        if limit is not None:
            self._levels.set("guard.limit", limit, now_s)
        if stats.breaker is not None:
            self._levels.set("guard.breaker.state", STATES[stats.breaker.state], now_s)
            for name, field in _OF_BREAKER:
                self._totals.count(name, self._tags, getattr(stats.breaker, field))

    def _report_retries(self, stats: CommandStats, now_s: float) -> None:
        retries = self.command.parts.retries
        if isinstance(retries, Retry):
            budget, told = retries.budget.stats(), stats.parts["retry"]
            if budget.capacity:
                self._levels.set("guard.retry.budget", budget.level / budget.capacity, now_s)
            self._count("guard.retries", "outcome", "made", told.retries)
            for why, total in told.not_retried.items():
                self._count("guard.retries", "outcome", why, total)
        hedge = stats.parts.get("hedge")
        if hedge is not None:
            for outcome in ("sent", "won", "refused"):
                self._count("guard.hedges", "outcome", outcome, getattr(hedge, outcome))

    def _count(self, name: str, tag: str, value: str, total: int) -> None:
        self._totals.count(name, {**self._tags, tag: value}, total)


def _rejections(stats: CommandStats) -> dict[str, int]:
    """Calls that were not let through, by the part that refused, since start."""
    parts: dict[str, Any] = stats.parts
    breaker = stats.breaker
    found = {
        "breaker": stats.calls["short_circuited"] if breaker is None else breaker.short_circuited,
        "ramp": 0 if breaker is None else breaker.ramp_refused,
        "pool": stats.calls["thread_pool_rejected"],
        "past_deadline": stats.calls["past_deadline"],
        "bulkhead": 0 if stats.bulkhead is None else stats.bulkhead.rejected,
        "fallback": 0 if stats.fallback is None else stats.fallback.rejected,
    }
    for role, reason, field in _REFUSING:
        part = parts.get(role)
        if part is not None:
            found[reason] = found.get(reason, 0) + getattr(part, field)
    return found


_OF_BREAKER: Final = (
    ("guard.breaker.opened", "opened"),
    ("guard.breaker.spared", "shadow_refused"),
    ("guard.breaker.stale", "stale_results"),
    ("guard.breaker.expired", "expired_probes"),
    ("guard.breaker.undecided", "undecided_rounds"),
)
_REFUSING: Final = (
    ("places", "bulkhead", "rejected"),
    ("adaptive", "limit", "rejected"),
    ("rate", "rate", "refused"),
    ("throttle", "throttle", "refused"),
)


def _limit(stats: CommandStats) -> int | None:
    """How many calls may be under way at present."""
    for role in ("adaptive", "places"):
        part = stats.parts.get(role)
        if part is not None:
            return int(part.limit)
    return None if stats.bulkhead is None else stats.bulkhead.limit


class _Edge:
    """The calls of one command as an edge of the fleet's call graph."""

    def __init__(self, command: Command, meters: Meters, service: str, tap: Tap) -> None:
        self._command = command
        self._meters = meters
        self._service = service
        self._tap = tap
        self._timers: dict[Ending, BulkTimer] = {}
        self._shut = self._full = 0
        self._inflight = meters.max_gauge(
            calls.CLIENT_INFLIGHT, {calls.SERVER_APP: command.dependency}
        )

    def report(self, grown: Grown, now_s: float) -> None:
        since_start = self._command.statistics.since_start(now_s)
        shut, full = refusals(since_start)
        told_shut, told_full = self._tap.told_shut, self._tap.told_full
        found = self._tap.take()
        found[AT_ONCE] = merged((grown.whole, found.get(AT_ONCE, Latencies())))
        self._shut += self._add_refused(found, SHUT, shut - told_shut - self._shut)
        self._full += self._add_refused(found, FULL, full - told_full - self._full)
        for ending, latencies in found.items():
            if latencies.count:
                self._timer(ending).record_all(latencies)
        self._inflight.set(self._command.statistics.highest_active(now_s))

    @staticmethod
    def _add_refused(found: dict[Ending, Latencies], ending: Ending, count: int) -> int:
        """Refusals that are in the command's counters only; they took no time."""
        if count <= 0:
            return 0
        refused = Latencies(count=count, buckets={bucket_of(0.0): count})
        found[ending] = merged((refused, found.get(ending, Latencies())))
        return count

    def _timer(self, ending: Ending) -> BulkTimer:
        timer = self._timers.get(ending)
        if timer is None:
            timer = BulkTimer(self._meters, calls.CLIENT_CALL, self._tags(ending))
            self._timers[ending] = timer
        return timer

    def _tags(self, ending: Ending) -> dict[str, str]:
        command = self._command
        is_success = ending.status in _SUCCESSES
        tags = {
            calls.CLIENT_APP: self._service,
            calls.SERVER_APP: command.dependency,
            calls.SERVER_NODE: command.dependency if ending.was_sent else NO_NODE,
            calls.ENDPOINT: command.name,
            calls.RESULT: "success" if is_success else "failure",
            calls.STATUS: ending.status,
            calls.ATTEMPT: _ATTEMPTS[min(ending.attempt, 3)],
            calls.ATTEMPT_FINAL: "true" if ending.is_final else "false",
        }
        if ending.detail and not is_success:
            tags[calls.STATUS_DETAIL] = ending.detail
        if ending.injected:
            tags[calls.FAILURE_INJECTED] = "true"
        return tags
