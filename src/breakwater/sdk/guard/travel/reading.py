"""What a command says of itself: its counts, its order of parts, its effective numbers."""

from typing import Any

import msgspec

from breakwater.sdk.guard.breaking.reports import BreakerStats
from breakwater.sdk.guard.config import CollapseConfig, CommandConfig
from breakwater.sdk.guard.events import EventType
from breakwater.sdk.guard.limiting.bulkhead import BulkheadStats
from breakwater.sdk.guard.travel.ports import Whole


class CommandStats(msgspec.Struct, frozen=True, kw_only=True):
    """Calls by event since start (names in lower case), and the state of the parts.

    Beside the nineteen event types calls holds `past_deadline`: calls not made because no time was
    left, and `fallback_stale`: those of `fallback_success` that the last good answer was given to.
    in_flight: calls under way now. parts: stats of the parts that are there besides breaker and
    bulkhead, by role.
    """

    name: str
    group: str
    calls: dict[str, int]
    in_flight: int
    bulkhead: BulkheadStats | None
    breaker: BreakerStats | None
    fallback: BulkheadStats | None = None
    parts: dict[str, Any] = {}


def stats_of(command: Whole) -> CommandStats:
    """See `Command.stats`."""
    parts = command.parts
    since_start = command.statistics.since_start(command.now_s())
    calls = {event.name.lower(): since_start[event] for event in EventType}
    calls["past_deadline"] = parts.past_deadline
    calls["fallback_stale"] = parts.stale_answers
    breaker = None
    if parts.breaker is not None:
        breaker = parts.breaker.stats()
        refused = max(breaker.short_circuited, calls["short_circuited"] - breaker.ramp_refused)
        breaker = msgspec.structs.replace(breaker, short_circuited=refused)
    places = parts.known_fallback_places
    return CommandStats(
        name=command.name,
        group=command.group,
        calls=calls,
        in_flight=command.bulkhead.in_flight(),
        bulkhead=None if command.bulkhead.limit is None else command.bulkhead.stats(),
        breaker=breaker,
        fallback=None if places is None else places.stats(),
        parts={role: part.stats() for role, (_, part) in parts.made.items()},
    )


def described(command: Whole) -> str:
    """See `Command.describe`."""
    parts = command.parts
    config = parts.config
    lines = [f"{command.name} (group {command.group}, calls {command.dependency})"]
    if not config.enabled:
        return f"{lines[0]}\n  not guarded: enabled is false"
    lines += _collapse_lines(command)
    lines += [front.name for front in parts.fronts]
    if parts.has_stand_ins and config.fallback.enabled:
        lines.append(_fallback_line(command))
    if config.total_s is not None:
        lines.append(f"total deadline {config.total_s:g} s")
    if parts.retries is not None:
        lines.append(_retry_line(config))
    if parts.hedges is not None:
        lines.append(f"{parts.hedges.name}, at most {parts.hedges.max_hedges} more")
    lines += _gate_lines(command)
    if config.timeout_s is not None:
        lines.append(f"attempt timeout {config.timeout_s:g} s")
    if parts.injector is not None:
        lines.append(f"faults on purpose ({parts.injector.point})")
    lines.append("the function")
    return "\n".join([lines[0], *(f"  {n}. {line}" for n, line in enumerate(lines[1:], 1))])


def _gate_lines(command: Whole) -> list[str]:
    bulkhead = command.parts.bulkhead
    lines = [gate.name for gate in command.parts.gates if gate is not bulkhead]
    return lines if bulkhead.limit is None else [*lines, f"bulkhead, {bulkhead.limit} at once"]


def _collapse_lines(command: Whole) -> list[str]:
    collapse = command.parts.config.collapse or CollapseConfig()
    bounds = f"{collapse.max_batch} within {collapse.wait_s * 1000.0:g} ms"
    return [f"collapse ({each.function}), {bounds}" for each in command.collapsers]


def _fallback_line(command: Whole) -> str:
    parts = command.parts
    steps = [] if parts.last_good is None else [parts.last_good.name]
    steps += [getattr(one, "__qualname__", repr(one)) for one in parts.code.fallbacks]
    return f"fallback ({', then '.join(steps)}), {parts.config.fallback.max_concurrent} at once"


def _retry_line(config: CommandConfig) -> str:
    assert config.retry is not None, "asked only where there are retries"
    budget = config.retry.budget.mode
    return f"retry, {config.retry.max_attempts} attempts, budget {budget}"


def explained(command: Whole) -> str:
    """See `Command.explain`."""
    parts = command.parts
    config = parts.config
    sections = [described(command)]
    if parts.breaker is not None:
        sections.append(f"breaker: {parts.breaker.explain()}")
    if parts.bulkhead.limit is not None:
        bulkhead = parts.bulkhead.stats()
        sections.append(f"bulkhead: {bulkhead.in_use} of {bulkhead.limit} in use")
    if config.timeout_s is not None or config.total_s is not None:
        sections.append(_limits(config))
    sections += [
        f"{role}: {_listed(part.config if hasattr(part, 'config') else part.stats())}"
        for role, (_, part) in sorted(parts.made.items())
    ]
    statistics = config.statistics
    sections.append(
        f"statistics: counts of the last {statistics.window_s:g} s in {statistics.buckets}, "
        f"latencies of the last {statistics.latency_window_s:g} s in {statistics.latency_buckets}"
    )
    return "\n".join(sections)


def _limits(config: CommandConfig) -> str:
    attempt = "none" if config.timeout_s is None else f"{config.timeout_s:g} s"
    total = "none" if config.total_s is None else f"{config.total_s:g} s"
    return f"limits of time: an attempt {attempt}, the whole call {total}"


def _listed(record: Any) -> str:
    fields = msgspec.structs.asdict(record) if isinstance(record, msgspec.Struct) else {}
    return ", ".join(f"{name} {value}" for name, value in fields.items())
