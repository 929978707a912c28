"""Diagnosis of recorded incidents that know nodes but not edges.

Public incident sets record, per node and step, how many requests it took, their mean latency and
the share that failed, and give the call graph beside it. What passes over one edge is then not
known; it is taken as the callee's loss times the caller's part of its callers' requests. The rest
is the accounting of `impact`, with two physical guards:

- losses count in proportion to the loss of the paged node in the same step (a matched filter):
  what went wrong while the pager was quiet cannot have rung it;
- a loss counts only beyond its own shot noise: n requests of mean latency m wander by m*sqrt(2n)
  request-seconds by themselves, and n requests of failure share p by sqrt(n p (1-p)).

A node that took no request before the incident and fails now is a call its caller began to make:
its failures stay on the caller's account.
"""

from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from breakwater.diagnosis.impact import own_impact
from breakwater.topology import CallGraph

Array = NDArray[np.float64]


class NodeSeries(msgspec.Struct, frozen=True, kw_only=True):
    """Requests (count), latency (seconds, mean) and failed share (0..1) per step, [T] each.

    NaN in latency or failed means that nothing was recorded in that step.
    """

    requests: Array
    latency_s: Array
    failed: Array


class RecordedIncident(msgspec.Struct, frozen=True, kw_only=True):
    """One incident: what every node did around the page, and in normal times if that is known.

    before: bool [T], steps that had ended when the page went out. `history` may be empty.
    """

    graph: CallGraph
    nodes: dict[str, NodeSeries]
    history: dict[str, NodeSeries]
    before: NDArray[np.bool_]
    paged: str
    metric: Literal["latency", "availability"]


class Ranking(msgspec.Struct, frozen=True, kw_only=True):
    """Nodes from most to least likely broken, with the loss each keeps on its own account."""

    ranked: list[str]
    own: dict[str, float]
    unit: str


class _Loss(msgspec.Struct, frozen=True):
    excess: Array
    noise: Array
    is_new: bool


def rank_recorded(incident: RecordedIncident, *, noise_allowance: float = 1.0) -> Ranking:
    """Rank the nodes reachable from the paged one by own impact.

    noise_allowance: standard deviations of shot noise taken off each account. O((V + E) T).
    """
    losses = {name: _loss(incident, name) for name in incident.nodes}
    paged = losses.get(incident.paged)
    steps = len(incident.before)
    may_count = np.ones(steps, dtype=bool) if incident.history else ~incident.before
    weight = np.where(may_count, np.maximum(paged.excess, 0.0) if paged else 1.0, 0.0)
    weight = weight / weight.max() if weight.max() > 0 else may_count.astype(np.float64)
    names = sorted(incident.graph.reachable(incident.paged) & losses.keys())
    edges = [
        edge
        for edge in incident.graph.edges
        if edge.caller in names
        and edge.callee in names
        and not _charged_to_caller(losses[edge.callee], incident)
    ]
    parts = np.array([_part(incident, *edge) for edge in edges]).reshape(-1, 1)
    below = [losses[edge.callee] for edge in edges]
    excess = np.array([losses[name].excess for name in names])
    edge_excess = parts * np.array([loss.excess for loss in below]).reshape(len(edges), steps)
    own = own_impact(excess, edge_excess, edges, names) @ weight
    variance = np.array([losses[name].noise ** 2 for name in names])
    for at, edge in enumerate(edges):
        variance[names.index(edge.caller)] += (parts[at] * below[at].noise) ** 2
    own -= noise_allowance * np.sqrt(variance @ weight**2)
    for at, name in enumerate(names):
        if _charged_to_caller(losses[name], incident) and incident.graph.callers(name):
            own[at] = min(own[at], -1.0)
    order = sorted(range(len(names)), key=lambda at: (-own[at], names[at]))
    return Ranking(
        ranked=[names[at] for at in order],
        own={names[at]: round(float(own[at]), 6) for at in order},
        unit="request-seconds" if incident.metric == "latency" else "failed requests",
    )


def _charged_to_caller(loss: _Loss, incident: RecordedIncident) -> bool:
    return loss.is_new and incident.metric == "availability"


def _part(incident: RecordedIncident, caller: str, callee: str) -> float:
    """The caller's part of the requests of all callers of `callee`."""
    sums = {
        name: float(np.nansum(incident.nodes[name].requests))
        for name in incident.graph.callers(callee)
        if name in incident.nodes
    }
    return sums[caller] / max(sum(sums.values()), 1.0)


def _loss(incident: RecordedIncident, name: str) -> _Loss:
    node = incident.nodes[name]
    past = incident.history.get(name)
    requests = np.nan_to_num(node.requests)
    is_latency = incident.metric == "latency"
    values = node.latency_s if is_latency else node.failed
    before = incident.before & np.isfinite(values)
    past_values = np.array([]) if past is None else (past.latency_s if is_latency else past.failed)
    past_values = past_values[np.isfinite(past_values)]
    level = _level(past_values, values[before], requests[before], is_latency=is_latency)
    excess = requests * (np.where(np.isfinite(values), values, level) - level)
    if is_latency:
        noise = np.sqrt(2 * requests) * max(level, 0.0)
    else:
        share = min(max(level, 0.5 / max(requests.sum(), 1.0)), 0.5)
        noise = np.sqrt(requests * share * (1 - share))
    return _Loss(excess, noise, requests[incident.before].sum() == 0 and len(past_values) == 0)


def _level(past: Array, recent: Array, requests: Array, *, is_latency: bool) -> float:
    """What was normal: over history and the quiet steps if there is history, else those alone."""
    if len(past):
        both = np.concatenate([past, recent])
        return float(np.median(both) if is_latency else np.mean(both))
    return float(recent @ requests / requests.sum()) if requests.sum() > 0 else 0.0
