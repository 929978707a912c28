"""What the pager listens to, and the moment each signal changed.

Four families: the business indicator (stream starts), the answers users get (every edge that
leaves a root), failures on inner edges (a fallback may hide them from users, the pager still wants
to know), and the number of requests (which accuses nobody).
"""

from collections.abc import Iterator
from enum import StrEnum

import msgspec
import numpy as np
from numpy.typing import NDArray

from breakwater.diagnosis.onset import (
    Onset,
    binomial_onset,
    is_significant,
    latency_onset,
    poisson_onset,
)
from breakwater.diagnosis.thresholds import Thresholds
from breakwater.topology import CallWindow, Edge, InstanceKey, failures, root_edges, total

Array = NDArray[np.float64]


class SignalKind(StrEnum):
    """Which family a signal belongs to."""

    BUSINESS = "business"
    EDGE_FAILURES = "edge_failures"
    EDGE_LATENCY = "edge_latency"
    INNER_FAILURES = "inner_failures"
    TRAFFIC = "traffic"


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """One series that changed for good: which, how, and when."""

    kind: SignalKind
    name: str
    onset: Onset
    unit: str
    edge: Edge | None = None
    endpoint: str | None = None
    instance: InstanceKey | None = None

    @property
    def says_broken(self) -> bool:
        """Whether the change by itself is harm, not just more or fewer requests."""
        return self.kind is not SignalKind.TRAFFIC


def changed_signals(window: CallWindow, limits: Thresholds) -> list[Signal]:
    """Every signal with a significant, large enough and still lasting change, strongest first."""
    found = [
        *_business(window, limits),
        *_failures(window, limits),
        *_latencies(window, limits),
        *_traffic(window, limits),
    ]
    return sorted(found, key=lambda signal: -signal.onset.llr)


def _business(window: CallWindow, limits: Thresholds) -> Iterator[Signal]:
    onset = poisson_onset(window.starts)
    if (
        onset is not None
        and is_significant(onset, window.steps, allowance=limits.llr_allowance)
        and onset.before * onset.index >= limits.min_events
        and onset.after < onset.before * (1 - limits.min_drop)
        and not _traffic_explains(window, onset)
    ):
        yield Signal(
            kind=SignalKind.BUSINESS,
            name="stream starts",
            onset=_per_second(onset, window),
            unit="/s",
        )


def _traffic_explains(window: CallWindow, onset: Onset) -> bool:
    """Whether users simply came less often by about as much as the indicator fell."""
    calls = total(window.client_calls)[root_edges(window.edges)].sum(axis=0)
    before, after = calls[: onset.index].mean(), calls[onset.index :].mean()
    healthy = _failed_share(window, onset.index) < 0.02
    return bool(healthy and after < before * (onset.after / max(onset.before, 1e-9) + 0.25))


def _failed_share(window: CallWindow, index: int) -> float:
    roots = root_edges(window.edges)
    bad = failures(window.client_calls)[roots][:, index:].sum()
    return float(bad / max(total(window.client_calls)[roots][:, index:].sum(), 1.0))


def _failures(window: CallWindow, limits: Thresholds) -> Iterator[Signal]:
    """Failed calls by edge and by instance: a few failures of a service may be all of one copy."""
    for at, is_root in enumerate(root_edges(window.edges)):
        edge = window.edges[at]
        calls = window.client_calls[at]
        onset = _failing(calls, limits, min_failures=limits.min_failures)
        if onset is not None:
            yield Signal(
                kind=SignalKind.EDGE_FAILURES if is_root else SignalKind.INNER_FAILURES,
                name=f"failed calls {edge}",
                onset=onset,
                unit="share",
                edge=edge,
            )
    for at, key in enumerate(window.instances):
        onset = _failing(window.seen_calls[at], limits, min_failures=limits.lasting_steps)
        if onset is not None:
            yield Signal(
                kind=SignalKind.INNER_FAILURES,
                name=f"failed calls to {key.instance}",
                onset=onset,
                unit="share",
                instance=key,
            )


def _failing(calls: Array, limits: Thresholds, *, min_failures: float) -> Onset | None:
    """Onset of failures in counts by status [S, T], when they are many and go on."""
    bad, count = failures(calls), total(calls)
    onset = binomial_onset(bad, count)
    if onset is None:
        return None
    recent = slice(-limits.lasting_steps, None)
    still = bad[recent].sum() / max(count[recent].sum(), 1.0)
    since = bad[onset.index :]
    goes_on = (since > 0).sum() >= limits.lasting_steps and since.sum() >= min_failures
    is_large = (
        onset.after > onset.before + limits.min_failed_share
        and still > onset.before + limits.min_failed_share / 2
    )
    is_news = is_significant(onset, len(bad), allowance=limits.llr_allowance)
    return onset if goes_on and is_large and is_news else None


def _latencies(window: CallWindow, limits: Thresholds) -> Iterator[Signal]:
    """What users wait for, as a whole and by what they ask for: a rare request is not diluted."""
    calls = total(window.client_calls)
    watched: list[tuple[str, Edge, str | None, Array, Array]] = [
        (str(edge), edge, None, window.client_time_s[at], calls[at])
        for at, edge in enumerate(window.edges)
        if root_edges(window.edges)[at]
    ]
    watched += [
        (str(route), route.edge, route.endpoint, window.route_time_s[at], window.route_calls[at])
        for at, route in enumerate(window.routes)
    ]
    for name, edge, endpoint, time_s, count in watched:
        onset = latency_onset(time_s, count)
        if onset is not None and _latency_counts(onset, time_s, count, limits):
            yield Signal(
                kind=SignalKind.EDGE_LATENCY,
                name=f"latency {name}",
                onset=onset,
                unit="s",
                edge=edge,
                endpoint=endpoint,
            )


def _latency_counts(onset: Onset, time_s: Array, calls: Array, limits: Thresholds) -> bool:
    recent = slice(-limits.lasting_steps, None)
    busy = calls[recent] > 0
    if not busy.any() or calls[onset.index :].sum() < limits.min_failures:
        return False
    means = time_s[recent][busy] / calls[recent][busy]
    level = onset.before + max(limits.min_added_latency_s, limits.min_latency_ratio * onset.before)
    return (
        is_significant(onset, len(calls), allowance=limits.llr_allowance)
        and onset.after > level
        and float(np.median(means)) > level
        and onset.index <= len(calls) - limits.lasting_steps
    )


def _traffic(window: CallWindow, limits: Thresholds) -> Iterator[Signal]:
    calls = total(window.client_calls)[root_edges(window.edges)].sum(axis=0)
    onset = poisson_onset(calls)
    if onset is None or not is_significant(onset, window.steps, allowance=limits.llr_allowance):
        return
    ratio = onset.after / max(onset.before, 1e-9)
    if ratio > 1 + limits.min_traffic_change or ratio < 1 - limits.min_traffic_change:
        yield Signal(
            kind=SignalKind.TRAFFIC,
            name="requests from users",
            onset=_per_second(onset, window),
            unit="/s",
        )


def _per_second(onset: Onset, window: CallWindow) -> Onset:
    step_s = window.step_ms / 1000
    return msgspec.structs.replace(onset, before=onset.before / step_s, after=onset.after / step_s)
