"""The three to five observations that carry a verdict, each with the query that repeats it."""

import msgspec
import numpy as np
from numpy.typing import NDArray

from breakwater.diagnosis.accounts import Accounts
from breakwater.diagnosis.signals import Signal, SignalKind
from breakwater.diagnosis.suspects import Lineup
from breakwater.diagnosis.verdict import Evidence, Kind, Suspect
from breakwater.model import calls as names
from breakwater.topology import STATUSES, CallWindow, failures, root_edges, total

Array = NDArray[np.float64]
_MAX_EVIDENCE = 5


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known when evidence is written down."""

    window: CallWindow
    accounts: Accounts
    lineup: Lineup
    signal: Signal


def gather_evidence(findings: Findings, suspect: Suspect) -> list[Evidence]:
    """The signal that paged, then what callers saw of the suspect, then what tells it apart."""
    found = [_paged(findings)]
    found += _callers_view(findings, suspect)
    found += _own_clock(findings, suspect)
    found += _instance(findings, suspect)
    return found[:_MAX_EVIDENCE]


def ruled_out(findings: Findings, suspect: Suspect) -> list[str]:
    """What else could have done it and did not, with the number that clears it."""
    window, accounts = findings.window, findings.accounts
    lines = []
    users = total(window.client_calls)[root_edges(window.edges)].sum(axis=0)
    before, after = _rates(users, findings)
    if abs(after - before) < 0.2 * before:
        lines.append(f"traffic: requests from users as before ({before:.1f}/s, now {after:.1f}/s)")
    callees = [edge.callee for edge in window.edges if edge.caller == suspect.service]
    for callee in callees:
        at = accounts.services.index(callee)
        own = float((accounts.wait_s[at] + accounts.failed[at])[accounts.after].mean())
        lines.append(
            f"its callee {callee}: lost {max(own, 0.0) * 1000 / window.step_ms:.2f} "
            f"request-seconds/s on its own account"
        )
    callers = [edge.caller for edge in window.edges if edge.callee == suspect.service]
    lines += _waiting_callers(findings, suspect)
    lines += [
        f"{other.service}: only {other.share:.0%} of the loss is its own"
        for other in findings.lineup.suspects[1:4]
        if other.service not in (*callees, *callers) and other.share >= 0.01
    ]
    states = [s for s in findings.lineup.states if s.service == suspect.service]
    if suspect.instance is None and len(states) > 1:
        lines.append(f"a single bad instance: all {len(states)} of {suspect.service} are affected")
    return lines


def _waiting_callers(findings: Findings, suspect: Suspect) -> list[str]:
    """Callers of the suspect that suffer, but have nothing on their own account."""
    window, accounts = findings.window, findings.accounts
    step_s = window.step_ms / 1000
    lines = []
    for at, edge in enumerate(window.edges):
        if edge.callee != suspect.service or edge.caller not in findings.lineup.losses:
            continue
        own = next(hop for hop in findings.lineup.hops if hop.service == edge.caller)
        lost = accounts.gap_s[at] + accounts.edge_wait_s[at] + accounts.edge_failed[at]
        below = float(lost[accounts.after].mean() / step_s)
        if below > 0.2 * suspect.score and own.share < 0.1:
            lines.append(
                f"{edge.caller}: it loses {below:.2f} request-seconds/s on calls to "
                f"{suspect.service}, {own.share:.0%} of the whole loss is its own"
            )
    return lines


def _paged(findings: Findings) -> Evidence:
    signal = findings.signal
    onset = signal.onset
    if signal.kind is SignalKind.BUSINESS:
        query = "name,stream.starts,:eq,result,success,:eq,:and,:sum"
    else:
        query = _signal_query(signal)
        query = f"{query},:dist-avg" if signal.unit == "s" else _share_query(query, "failure")
    return Evidence(
        statement=f"{signal.name}: {_show(onset.before, signal.unit)} before, "
        f"{_show(onset.after, signal.unit)} since",
        query=query,
        before=onset.before,
        after=onset.after,
        unit=signal.unit,
    )


def _signal_query(signal: Signal) -> str:
    """The query of the calls a signal is about: of an edge, a route, or to one instance."""
    if signal.instance is not None:
        service, instance = signal.instance
        return (
            f"name,{names.CLIENT_CALL},:eq,{names.SERVER_APP},{service},:eq,:and,"
            f"{names.SERVER_NODE},{instance},:eq,:and"
        )
    assert signal.edge is not None, "every other signal is one of an edge"
    query = _edge_query(*signal.edge)
    if signal.endpoint is not None:
        query += f",{names.ENDPOINT},{signal.endpoint},:eq,:and"
    return query


def _callers_view(findings: Findings, suspect: Suspect) -> list[Evidence]:
    window = findings.window
    rows = [at for at, edge in enumerate(window.edges) if edge.callee == suspect.service]
    calls, bad = total(window.client_calls)[rows], failures(window.client_calls)[rows]
    share = _shares(bad, calls, findings)
    mean_s = _shares(window.client_time_s[rows], calls, findings)
    query = f"name,{names.CLIENT_CALL},:eq,{names.SERVER_APP},{suspect.service},:eq,:and"
    found = []
    if share[1] > share[0] + 0.005:
        worst = _worst_status(findings, rows)
        found.append(
            Evidence(
                statement=f"calls to {suspect.service} that fail: {share[0]:.1%} before, "
                f"{share[1]:.1%} since, mostly {worst}",
                query=_share_query(query, "failure"),
                before=share[0],
                after=share[1],
                unit="share",
            )
        )
    if mean_s[1] > 1.2 * mean_s[0]:
        found.append(
            Evidence(
                statement=f"callers wait for {suspect.service}: {_show(mean_s[0], 's')} a call "
                f"before, {_show(mean_s[1], 's')} since",
                query=f"{query},:dist-avg",
                before=mean_s[0],
                after=mean_s[1],
                unit="s",
            )
        )
    return found


def _own_clock(findings: Findings, suspect: Suspect) -> list[Evidence]:
    window = findings.window
    rows = [at for at, edge in enumerate(window.edges) if edge.callee == suspect.service]
    served = total(window.server_calls)[rows]
    inside = _shares(window.server_time_s[rows], served, findings)
    outside = _shares(window.client_time_s[rows], total(window.client_calls)[rows], findings)
    query = f"name,{names.SERVER_CALL},:eq,{names.SERVER_APP},{suspect.service},:eq,:and,:dist-avg"
    if suspect.kind is Kind.SLOW_EDGE:
        text = (
            f"{suspect.service} itself works {_show(inside[0], 's')} a call before, "
            f"{_show(inside[1], 's')} since: the time is lost between the two clocks"
        )
    elif inside[1] > 1.2 * inside[0] and inside[1] - inside[0] > 0.3 * (outside[1] - outside[0]):
        text = (
            f"time inside {suspect.service}'s own clock: {_show(inside[0], 's')} a call before, "
            f"{_show(inside[1], 's')} since"
        )
    else:
        before, after = _rates(served.sum(axis=0), findings)
        if after > 0.9 * before:
            return []
        query = query.replace(":dist-avg", "statistic,count,:eq,:and,:sum")
        return [
            Evidence(
                statement=f"calls {suspect.service} reports as served: {before:.1f}/s before, "
                f"{after:.1f}/s since",
                query=query,
                before=before,
                after=after,
                unit="/s",
            )
        ]
    return [Evidence(statement=text, query=query, before=inside[0], after=inside[1], unit="s")]


def _instance(findings: Findings, suspect: Suspect) -> list[Evidence]:
    states = [s for s in findings.lineup.states if s.service == suspect.service]
    state = next((s for s in states if s.instance == suspect.instance), None)
    if state is None:
        return []
    found = []
    where = f"{names.NODE},{state.instance},:eq"
    if state.is_silent:
        found.append(
            Evidence(
                statement=f"{state.instance} has stopped reporting",
                query=f"name,{names.PROCESS_ALIVE},:eq,{where},:and,:sum",
                before=1.0,
                after=0.0,
                unit="/s",
            )
        )
    if state.is_saturated:
        found.append(
            Evidence(
                statement=f"{state.instance} uses {state.cpu_after:.0%} of a core "
                f"({state.cpu_before:.0%} before) and wakes up {_show(state.stall_after_s, 's')} "
                "late",
                query=f"name,{names.PROCESS_CPU},:eq,{where},:and,:max",
                before=state.cpu_before,
                after=state.cpu_after,
                unit="cores",
            )
        )
    whole = sum(max(s.loss, 0.0) for s in states)
    if whole > 0:
        share = max(state.loss, 0.0) / whole
        found.append(
            Evidence(
                statement=f"{share:.0%} of the loss at {suspect.service} is at {state.instance}",
                query=(
                    f"name,{names.CLIENT_CALL},:eq,{names.SERVER_APP},{suspect.service},:eq,:and,"
                    f"statistic,totalTime,:eq,:and,:sum,(,{names.SERVER_NODE},),:by"
                ),
                before=0.0,
                after=share,
                unit="share",
            )
        )
    return found


def _edge_query(caller: str, callee: str) -> str:
    return (
        f"name,{names.CLIENT_CALL},:eq,{names.CLIENT_APP},{caller},:eq,:and,"
        f"{names.SERVER_APP},{callee},:eq,:and"
    )


def _share_query(query: str, result: str) -> str:
    counted = f"{query},statistic,count,:eq,:and"
    return f"{counted},{names.RESULT},{result},:eq,:and,:sum,{counted},:sum,:div"


def _rates(series: Array, findings: Findings) -> tuple[float, float]:
    """Per second before and after the onset."""
    step_s = findings.window.step_ms / 1000
    parts = (series[findings.accounts.before], series[findings.accounts.after])
    return float(parts[0].mean() / step_s), float(parts[1].mean() / step_s)


def _shares(part: Array, whole: Array, findings: Findings) -> tuple[float, float]:
    """Sum of `part` over sum of `whole`, before and after the onset."""
    masks = (findings.accounts.before, findings.accounts.after)
    ratios = [part[:, mask].sum() / max(whole[:, mask].sum(), 1.0) for mask in masks]
    return float(ratios[0]), float(ratios[1])


def _worst_status(findings: Findings, rows: list[int]) -> str:
    calls = findings.window.client_calls[rows]
    after = calls[:, :, findings.accounts.after].sum(axis=(0, 2))
    harmless = {"success", "fallback", "bad_request", "access_denied", "throttled"}
    bad = [(after[at], status) for at, status in enumerate(STATUSES) if status not in harmless]
    return max(bad)[1].replace("_", " ")


def _show(value: float, unit: str) -> str:
    if unit == "s":
        return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"
    return f"{value:.1%}" if unit == "share" else f"{value:.1f}{unit}"
