"""Settings suggested for the commands of a service, from what its processes recorded.

The figures are the meters of the guard (docs/formats/guard-meters.md) over any stretch of time:
percentiles of all instances together, rates and concurrency of the busiest one, because limits are
set for one process. A command that is in a stream and wrote no meters, as those of Hystrix itself,
is judged by the few seconds its stream shows. What the commands go by now is read from the streams,
as far as those tell; what they do not tell is not suggested. Nothing is asked here.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from breakwater.guards.view import CommandView, GuardView
from breakwater.model.percentiles import UPPER_BOUNDS
from breakwater.model.ranks import percentiles_of
from breakwater.sdk import (
    BreakerConfig,
    BulkheadConfig,
    CommandConfig,
    Observed,
    SettingsError,
    Suggestions,
    suggest,
)

_NS: Final = 1e9
_PERCENTS: Final = (50.0, 95.0, 99.0, 99.5, 100.0)
_RAN: Final = ("success", "failure", "timeout", "bad_request")
_QUESTIONS: Final = {
    "buckets": (
        "name,guard.execution,:eq,{app},:and,statistic,percentile,:eq,:and,"
        ":sum,(,guard,percentile,),:by"
    ),
    "rates": (
        "name,guard.execution,:eq,{app},:and,statistic,count,:eq,:and,:sum,(,guard,nf.node,),:by"
    ),
    "outcomes": "name,guard.calls,:eq,{app},:and,:sum,(,guard,outcome,),:by",
    "active": "name,guard.inflight,:eq,{app},:and,:max,(,guard,),:by",
}


class Advice(msgspec.Struct, frozen=True, kw_only=True):
    """What is suggested for one command, and how many of its calls were looked at."""

    service: str
    command: str
    seen: Observed
    suggestions: Suggestions


class _Graph(msgspec.Struct):
    """A graph as `std.json`; values by step, then by line."""

    step: int
    metrics: list[dict[str, str]]
    values: list[list[float | str]]

    def lines(self) -> Iterator[tuple[dict[str, str], list[float]]]:
        """Tags and numbers of each line; steps without a value are left out."""
        for at, tags in enumerate(self.metrics):
            column = (row[at] for row in self.values)
            yield tags, [value for value in column if isinstance(value, float)]


def questions(service: str, last: str) -> dict[str, str]:
    """The paths to ask, by name; last: how far back, as `1h`."""
    app = f"nf.app,{service},:eq"
    return {
        name: "/api/v1/graph?"
        + urlencode({"q": program.format(app=app), "s": f"e-{last}", "format": "std.json"})
        for name, program in _QUESTIONS.items()
    }


def advise(
    service: str,
    view: GuardView,
    answers: Mapping[str, str | bytes],
    *,
    deadline_s: float | None = None,
) -> list[Advice]:
    """Suggestions for each command that recorded anything; answers: to `questions`, by name."""
    graphs = {name: msgspec.json.decode(body, type=_Graph) for name, body in answers.items()}
    now = {
        command.name: command
        for one in view.services
        if one.service == service
        for command in one.commands
    }
    observed = {name: _shown_now(command, deadline_s) for name, command in now.items()}
    observed |= _observed(graphs, deadline_s)
    found = []
    for name, seen in sorted(observed.items()):
        suggestions = suggest(seen, _config_of(now.get(name)))
        told = [one for one in suggestions.settings if name in now or one.now is None]
        suggestions = msgspec.structs.replace(suggestions, settings=told)
        found.append(Advice(service=service, command=name, seen=seen, suggestions=suggestions))
    return found


def _config_of(command: CommandView | None) -> CommandConfig:
    """What a stream tells of a command's configuration, one instance's share of it."""
    unknown = CommandConfig(breaker=None, bulkhead=None)
    if command is None:
        return unknown
    try:
        return _config_told(command)
    except SettingsError:  # numbers that no command of ours could go by; a stream may be anybody's
        return unknown


def _config_told(command: CommandView) -> CommandConfig:
    breaker = None
    if command.open_s > 0 and command.minimum_calls > 0 and command.window_s > 0:
        breaker = BreakerConfig(
            open_s=command.open_s, minimum_calls=command.minimum_calls, window_s=command.window_s
        )
    is_limited = 0 < command.limit < _NO_LIMIT
    return CommandConfig(
        timeout_s=command.timeout_ms / 1000 if 0 < command.timeout_ms < _NO_LIMIT else None,
        breaker=breaker,
        bulkhead=BulkheadConfig(max_concurrent=command.limit) if is_limited else None,
    )


def _shown_now(command: CommandView, deadline_s: float | None) -> Observed:
    """What a stream shows of one host; its latencies have no number, its counts stand in."""
    hosts = max(command.hosts, 1)
    ran = {name: command.counts.get(name, 0) for name in ("Success", "Failure", "Timeout")}
    total = sum(ran.values())
    seconds = {key: ms / 1000 for key, ms in command.latency_ms.items()}
    per_s = command.requests_per_s / hosts
    return Observed(
        calls=total,
        window_s=command.window_s,
        mean_per_s=per_s,
        peak_per_s=per_s,
        p50_s=seconds.get("50", 0.0),
        p95_s=seconds.get("95", 0.0),
        p99_s=seconds.get("99", 0.0),
        p995_s=seconds.get("99.5", 0.0),
        max_s=seconds.get("100", 0.0),
        failure_share=ran["Failure"] / total if total else 0.0,
        timeout_share=ran["Timeout"] / total if total else 0.0,
        most_active=-(-command.most_in_flight // hosts),
        deadline_s=deadline_s,
    )


_NO_LIMIT: Final = 2**31 - 1
"""What streams say where there is none."""


def _observed(graphs: Mapping[str, _Graph], deadline_s: float | None) -> dict[str, Observed]:
    buckets = _counts(graphs["buckets"], "percentile")
    outcomes = _counts(graphs["outcomes"], "outcome")
    peaks, means, most_active = _extremes(graphs)
    found = {}
    for name, counts in buckets.items():
        percentiles = _percentiles_s({int(tag[1:], 16): n for tag, n in counts.items()})
        told = outcomes.get(name, {})
        ran = sum(told.get(outcome, 0.0) for outcome in _RAN)
        found[name] = Observed(
            calls=round(sum(counts.values())),
            window_s=len(graphs["buckets"].values) * graphs["buckets"].step / 1000,
            mean_per_s=means.get(name, 0.0),
            peak_per_s=peaks.get(name, 0.0),
            p50_s=percentiles[0],
            p95_s=percentiles[1],
            p99_s=percentiles[2],
            p995_s=percentiles[3],
            max_s=percentiles[4],
            failure_share=told.get("failure", 0.0) / ran if ran else 0.0,
            timeout_share=told.get("timeout", 0.0) / ran if ran else 0.0,
            most_active=round(most_active.get(name, 0.0)),
            deadline_s=deadline_s,
        )
    return found


def _counts(graph: _Graph, key: str) -> dict[str, dict[str, float]]:
    """How many, by command and by a tag; the graph holds rates."""
    found: dict[str, dict[str, float]] = {}
    for tags, values in graph.lines():
        found.setdefault(tags["guard"], {})[tags[key]] = sum(values) * graph.step / 1000
    return found


def _extremes(graphs: Mapping[str, _Graph]) -> tuple[dict[str, float], ...]:
    """Of the busiest instance: its highest and its mean rate; and the highest concurrency."""
    peaks: dict[str, float] = {}
    means: dict[str, float] = {}
    for tags, values in graphs["rates"].lines():
        name = tags["guard"]
        if values:
            peaks[name] = max(peaks.get(name, 0.0), max(values))  # noqa: PLW3301 - of a list
            means[name] = max(means.get(name, 0.0), sum(values) / len(values))
    active = {tags["guard"]: max(values, default=0.0) for tags, values in graphs["active"].lines()}
    return peaks, means, active


def _percentiles_s(counts: Mapping[int, float]) -> list[float]:
    """Of durations in the buckets of percentile timers."""
    buckets = sorted(counts)

    def bounds_s(place: int) -> tuple[float, float]:
        bucket = buckets[place]
        return UPPER_BOUNDS[bucket - 1] / _NS if bucket else 0.0, UPPER_BOUNDS[bucket] / _NS

    return percentiles_of([counts[bucket] for bucket in buckets], bounds_s, _PERCENTS)


def rows(advice: Sequence[Advice]) -> list[tuple[str, ...]]:
    """As a table: command, key, now, better, why."""
    return [
        (
            one.command,
            each.key,
            _shown(each.now),
            _shown(each.value) if each.is_change else "keep",
            each.reason,
        )
        for one in advice
        for each in one.suggestions.settings
    ]


def _shown(value: Any) -> str:
    return "none" if value is None else msgspec.json.encode(value).decode()
