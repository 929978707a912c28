"""Who is charged with what: from the accounts to a ranked list of suspects.

Time between the two clocks of an edge belongs to neither end by itself. It is charged to the
callee, because most of it is the callee's queue, unless the caller is visibly starved of CPU:
then its own late wake-ups inflate every call it makes, and all its outgoing gaps are its own.
"""

import msgspec
import numpy as np
from numpy.typing import NDArray

from breakwater.diagnosis.accounts import Accounts
from breakwater.diagnosis.instances import InstanceState, concentrated_on, instance_states
from breakwater.diagnosis.kinds import Losses, classify
from breakwater.diagnosis.verdict import HopImpact, Kind, Suspect
from breakwater.model import Status
from breakwater.topology import STATUSES, CallWindow, Edge, total

Array = NDArray[np.float64]

_NOISE_FLOOR = 0.015
"""Lost request-seconds per second that any healthy fleet wanders by."""


class Lineup(msgspec.Struct, frozen=True, kw_only=True):
    """Everyone who could have done it, best first, with the books they were judged on."""

    suspects: list[Suspect]
    hops: list[HopImpact]
    states: list[InstanceState]
    losses: dict[str, Losses]


def line_up(window: CallWindow, accounts: Accounts) -> Lineup:
    """Charge every loss to one service and rank the services by what they are charged with."""
    states = instance_states(window, accounts)
    charged = _charge_gaps(window, accounts, states)
    series = _charges(window, accounts, charged)
    step_s = window.step_ms / 1000
    callees = {edge.callee for edge in window.edges}
    losses = {
        service: _losses(window, accounts, service, charged[:, at], states)
        for at, service in enumerate(accounts.services)
        if service in callees
    }
    rates = {
        service: series[at][:, accounts.after].mean(axis=1) / step_s
        for at, service in enumerate(accounts.services)
        if service in losses
    }
    scores = {service: float(np.maximum(parts, 0).sum()) for service, parts in rates.items()}
    noises = {
        service: _wander(series[at].sum(axis=0), accounts)
        for at, service in enumerate(accounts.services)
        if service in losses
    }
    beyond = {service: max(scores[service] - noises[service], 0.0) for service in scores}
    whole = max(sum(beyond.values()), 1e-9)
    calls = total(window.client_calls)[:, accounts.after].mean(axis=1) / step_s
    hops, suspects = [], []
    for service, found in losses.items():
        wait, gap, failed = (float(part) for part in rates[service])
        share = beyond[service] / whole
        hop = HopImpact(
            service=service,
            calls_per_s=float(sum(calls[e] for e in _into(window, service))),
            own_wait_s=wait,
            gap_s=gap,
            own_failed_per_s=failed,
            share=share,
        )
        hops.append(hop)
        noise = scores[service] / noises[service]
        suspects.append(_suspect(found, scores[service], share, noise))
    suspects.sort(key=lambda suspect: (-suspect.score, suspect.service))
    hops.sort(key=lambda hop: (-hop.share, hop.service))
    return Lineup(suspects=suspects, hops=hops, states=states, losses=losses)


def _suspect(found: Losses, score: float, share: float, noise: float) -> Suspect:
    kind = classify(found)
    return Suspect(
        service=found.service,
        kind=kind,
        score=score,
        share=share,
        noise=noise,
        instance=found.instance.instance if found.instance else None,
        edge=str(found.edge) if found.edge and kind is Kind.SLOW_EDGE else None,
        classes=found.classes,
    )


def _charge_gaps(
    window: CallWindow, accounts: Accounts, states: list[InstanceState]
) -> NDArray[np.bool_]:
    """Bool [E, S]: which service the gap of each edge is charged to."""
    starved = {state.service for state in states if state.is_saturated}
    row = {name: at for at, name in enumerate(accounts.services)}
    charged = np.zeros((len(window.edges), len(accounts.services)), dtype=bool)
    callees = {edge.callee for edge in window.edges}
    for at, edge in enumerate(window.edges):
        to_caller = edge.caller in starved and edge.caller in callees and edge.callee not in starved
        charged[at, row[edge.caller if to_caller else edge.callee]] = True
    return charged


def _charges(window: CallWindow, accounts: Accounts, charged: NDArray[np.bool_]) -> Array:
    """Own wait, gap and failed calls per step, [services, 3, T].

    A gap charged to the caller was taken off the caller's own wait with the rest of the call, so
    it is put back there by charging it.
    """
    gap = np.maximum(accounts.gap_s, 0.0) if not len(window.edges) else accounts.gap_s
    return np.stack([accounts.wait_s, charged.T.astype(float) @ gap, accounts.failed], axis=1)


def _into(window: CallWindow, service: str) -> list[int]:
    return [at for at, edge in enumerate(window.edges) if edge.callee == service]


def _losses(
    window: CallWindow,
    accounts: Accounts,
    service: str,
    charged: NDArray[np.bool_],
    states: list[InstanceState],
) -> Losses:
    step_s = window.step_ms / 1000
    rows = _into(window, service)
    after = accounts.after
    at = accounts.services.index(service)
    own = [state for state in states if state.service == service]
    return Losses(
        service=service,
        wait_s=float(accounts.wait_s[at, after].mean() / step_s),
        gap_s=float(accounts.gap_s[charged][:, after].sum(axis=0).mean() / step_s),
        failed=float(accounts.failed[at, after].mean() / step_s),
        lost=float(accounts.lost[rows][:, after].sum(axis=0).mean() / step_s),
        statuses=window.client_calls[rows][:, :, after].sum(axis=(0, 2)),
        baseline=window.client_calls[rows][:, :, accounts.before].sum(axis=(0, 2))
        * (after.sum() / max(accounts.before.sum(), 1)),
        instance=_guilty_instance(own),
        states=own,
        edge=_guilty_edge(window, accounts, rows),
        classes=_classes(window, accounts, rows),
    )


def _classes(window: CallWindow, accounts: Accounts, rows: list[int]) -> dict[str, float]:
    """Calls per second beyond the baseline by how they ended, and retries; large ones only."""
    step_s = window.step_ms / 1000
    by_status = window.client_calls[rows].sum(axis=0)
    series = {status.value: by_status[at] for at, status in enumerate(STATUSES)}
    series.pop(Status.SUCCESS)
    series["retry"] = window.retries[rows].sum(axis=0)
    added = {
        name: float((values[accounts.after].mean() - values[accounts.before].mean()) / step_s)
        for name, values in series.items()
    }
    ordered = sorted(added.items(), key=lambda item: -item[1])
    return {name: round(rate, 3) for name, rate in ordered if rate >= _NOISE_FLOOR}


def _guilty_instance(own: list[InstanceState]) -> InstanceState | None:
    """The instance that lost the most alone, or the only one that is starved or silent."""
    worst = concentrated_on(own)
    if worst is not None:
        return worst
    marked = [state for state in own if state.is_saturated or state.is_silent]
    return marked[0] if len(marked) == 1 and len(own) > 1 else None


def _guilty_edge(window: CallWindow, accounts: Accounts, rows: list[int]) -> Edge | None:
    """The one incoming edge that carries nearly all time or calls lost between the clocks."""
    if not rows:
        return None
    between = accounts.gap_s[rows][:, accounts.after].mean(axis=1)
    between = np.maximum(between + accounts.lost[rows][:, accounts.after].mean(axis=1), 0.0)
    worst = int(np.argmax(between))
    if between.sum() <= 0 or between[worst] < 0.8 * between.sum():
        return None
    return window.edges[rows[worst]]


def _wander(series: Array, accounts: Accounts) -> float:
    """How far the mean of a series strays over as many quiet steps as there were bad ones."""
    quiet = series[accounts.before]
    length = max(int(accounts.after.sum()), 1)
    spread = 1.4826 * float(np.median(np.abs(quiet - np.median(quiet)))) if len(quiet) else 0.0
    spread = max(spread, float(np.std(np.clip(quiet, -4 * spread, 4 * spread))) if spread else 0.0)
    return max(2 * spread / float(np.sqrt(length)), _NOISE_FLOOR)
