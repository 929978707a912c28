"""The judgement: has something changed for the worse, since when, and who did it."""

import numpy as np
from numpy.typing import NDArray

from breakwater.diagnosis.accounts import Accounts, keep_accounts
from breakwater.diagnosis.evidence import Findings, gather_evidence, ruled_out
from breakwater.diagnosis.signals import Signal, SignalKind, changed_signals
from breakwater.diagnosis.suspects import Lineup, line_up
from breakwater.diagnosis.thresholds import Thresholds
from breakwater.diagnosis.vanished import Vanished, vanished
from breakwater.diagnosis.verdict import Diagnosis, Kind, Suspect, Verdict
from breakwater.topology import CallWindow, root_edges, total

Array = NDArray[np.float64]

_KIND_WORDS = {
    Kind.LATENCY: "answers slowly",
    Kind.ERRORS: "answers with errors",
    Kind.HANG: "does not answer",
    Kind.SLOW_EDGE: "is slow to reach",
    Kind.CPU_BURN: "is starved of CPU",
    Kind.FREEZE: "stands still",
    Kind.CRASH: "is down",
}


def diagnose(window: CallWindow, limits: Thresholds | None = None) -> Diagnosis:
    """Judge one window of telemetry; pure, a few milliseconds for a fleet of dozens of edges.

    The window should hold at least a minute before the trouble and up to the present. Every
    verdict but `culprit` says in its headline why no service is named.
    """
    limits = limits or Thresholds()
    gaps = data_gaps(window)
    if window.steps < limits.min_baseline_steps + limits.lasting_steps or not len(window.edges):
        return _none(window, Verdict.NOT_ENOUGH_EVIDENCE, _too_little(window, limits), gaps)
    if total(window.client_calls)[root_edges(window.edges)].sum() <= 0:
        why = "no request from outside the fleet was recorded in the window"
        return _none(window, Verdict.NOT_ENOUGH_EVIDENCE, why, gaps)
    signals = changed_signals(window, limits)
    harm = [signal for signal in signals if signal.says_broken]
    judged = _accuse(window, limits, signals, harm, gaps) if harm else None
    if judged is not None and judged.culprit is not None:
        return judged
    gone = vanished(window, limits)
    if gone is not None:
        return _missing(window, gone, gaps)
    return judged or _harmless(window, signals, gaps)


def data_gaps(window: CallWindow) -> list[str]:
    """What the telemetry does not show, in words, so that nobody takes silence for health."""
    found = []
    calls, served = total(window.client_calls).sum(axis=1), total(window.server_calls).sum(axis=1)
    callees = {edge.callee for edge in window.edges}
    for at, edge in enumerate(window.edges):
        if calls[at] > 20 and served[at] == 0:
            found.append(f"{edge}: only the caller reports; time cannot be split at this edge")
        if served[at] > 20 and calls[at] == 0 and edge.caller in callees:
            found.append(f"{edge}: only the callee reports; lost requests cannot be seen here")
    empty = total(window.client_calls).sum(axis=0) == 0
    if window.steps and empty.any():
        found.append(f"{int(empty.sum())} of {window.steps} steps hold no call at all")
    return found


def _too_little(window: CallWindow, limits: Thresholds) -> str:
    need = limits.min_baseline_steps + limits.lasting_steps
    if not len(window.edges):
        return "no call telemetry (ipc.client.call, ipc.server.call) was recorded in the window"
    return f"only {window.steps} steps were recorded; at least {need} are needed"


def _none(
    window: CallWindow,
    verdict: Verdict,
    why: str,
    gaps: list[str],
    signal: Signal | None = None,
) -> Diagnosis:
    start, end = (int(window.end_ms[0]), int(window.end_ms[-1])) if window.steps else (0, 0)
    return Diagnosis(
        verdict=verdict,
        headline=why,
        confidence="no service is named",
        start_ms=start - window.step_ms,
        end_ms=end,
        step_ms=window.step_ms,
        signal=signal.name if signal else None,
        onset_ms=_stamp(window, signal.onset.index) if signal else None,
        onset_low_ms=_stamp(window, signal.onset.low) if signal else None,
        onset_high_ms=_stamp(window, signal.onset.high) if signal else None,
        data_gaps=gaps,
    )


def _stamp(window: CallWindow, index: int) -> int:
    """Start of step `index`, milliseconds."""
    return int(window.end_ms[min(index, window.steps - 1)]) - window.step_ms


def _harmless(window: CallWindow, signals: list[Signal], gaps: list[str]) -> Diagnosis:
    if signals:
        onset = signals[0].onset
        word = "more" if onset.after > onset.before else "fewer"
        why = (
            f"traffic only: {word} requests from users "
            f"({onset.before:.1f}/s to {onset.after:.1f}/s), answered as well as before"
        )
        return _none(window, Verdict.TRAFFIC_ONLY, why, gaps, signals[0])
    why = "nothing is wrong: no lasting change of starts, failures or latency in the window"
    return _none(window, Verdict.NOTHING_WRONG, why, gaps)


def _accuse(
    window: CallWindow,
    limits: Thresholds,
    signals: list[Signal],
    harm: list[Signal],
    gaps: list[str],
) -> Diagnosis:
    first = _leading(harm)
    steps = np.arange(window.steps)
    before, after = steps < first.onset.low - 1, steps >= first.onset.index
    if before.sum() < limits.min_baseline_steps:
        why = (
            f"{first.name} changed, but only {int(before.sum())} quiet steps precede it; "
            f"{limits.min_baseline_steps} are needed to say who changed"
        )
        return _none(window, Verdict.NOT_ENOUGH_EVIDENCE, why, gaps, first)
    accounts = keep_accounts(window, before, after)
    lineup = line_up(window, accounts)
    traffic = next((s for s in signals if s.kind is SignalKind.TRAFFIC), None)
    verdict, why = _decide(lineup, limits, traffic, window, accounts)
    top = lineup.suspects[0] if lineup.suspects else None
    findings = Findings(window=window, accounts=accounts, lineup=lineup, signal=first)
    named = verdict is Verdict.CULPRIT and top is not None
    return Diagnosis(
        verdict=verdict,
        headline=headline(top) if named and top else why,
        confidence=_confidence(top) if named and top else "no service is named",
        start_ms=int(window.end_ms[0]) - window.step_ms,
        end_ms=int(window.end_ms[-1]),
        step_ms=window.step_ms,
        signal=first.name,
        onset_ms=_stamp(window, first.onset.index),
        onset_low_ms=_stamp(window, first.onset.low),
        onset_high_ms=_stamp(window, first.onset.high),
        suspects=lineup.suspects,
        evidence=gather_evidence(findings, top) if top else [],
        hops=lineup.hops,
        ruled_out=ruled_out(findings, top) if top else [],
        data_gaps=gaps,
    )


def _missing(window: CallWindow, gone: Vanished, gaps: list[str]) -> Diagnosis:
    """The judgement on an instance that vanished: what its callers hardly felt."""
    onset = gone.signal.onset
    steps = np.arange(window.steps)
    accounts = keep_accounts(window, steps < onset.low, steps >= onset.index)
    lineup = line_up(window, accounts)
    others = [one for one in lineup.suspects if one.service != gone.suspect.service]
    findings = Findings(window=window, accounts=accounts, lineup=lineup, signal=gone.signal)
    return Diagnosis(
        verdict=Verdict.CULPRIT,
        headline=headline(gone.suspect),
        confidence=_confidence(gone.suspect),
        start_ms=int(window.end_ms[0]) - window.step_ms,
        end_ms=int(window.end_ms[-1]),
        step_ms=window.step_ms,
        signal=gone.signal.name,
        onset_ms=_stamp(window, onset.index),
        onset_low_ms=_stamp(window, onset.low),
        onset_high_ms=_stamp(window, onset.high),
        suspects=[gone.suspect, *others],
        evidence=gather_evidence(findings, gone.suspect),
        hops=lineup.hops,
        ruled_out=ruled_out(findings, gone.suspect),
        data_gaps=gaps,
    )


def headline(suspect: Suspect) -> str:
    """Service, instance or edge, and kind, in one line."""
    where = suspect.service
    if suspect.kind is Kind.SLOW_EDGE and suspect.edge:
        caller = suspect.edge.partition("->")[0]
        return f"{suspect.service} {_KIND_WORDS[suspect.kind]} from {caller} (edge {suspect.edge})"
    if suspect.instance:
        where = f"{suspect.service}, instance {suspect.instance},"
    return f"{where} {_KIND_WORDS[suspect.kind]}"


def _leading(harm: list[Signal]) -> Signal:
    """The earliest of the signals that are nearly as strong as the strongest."""
    strong = [signal for signal in harm if signal.onset.llr >= 0.2 * harm[0].onset.llr]
    return min(strong, key=lambda signal: signal.onset.index)


def _decide(
    lineup: Lineup,
    limits: Thresholds,
    traffic: Signal | None,
    window: CallWindow,
    accounts: Accounts,
) -> tuple[Verdict, str]:
    top = lineup.suspects[0] if lineup.suspects else None
    if top is None or top.score < limits.min_lost_per_s or top.noise < limits.min_noise:
        return Verdict.NO_SINGLE_SERVICE, (
            "users are affected, but no service lost more on its own account than it does in "
            "quiet minutes: look outside the fleet"
        )
    surged = traffic is not None and traffic.onset.after > traffic.onset.before
    if surged and traffic is not None and _is_load(top, lineup, window, accounts):
        return Verdict.TRAFFIC_ONLY, (
            f"traffic only: requests from users rose from {traffic.onset.before:.1f}/s to "
            f"{traffic.onset.after:.1f}/s and the whole fleet slowed down with them"
        )
    if top.share < limits.min_share:
        second = lineup.suspects[1]
        return Verdict.NO_SINGLE_SERVICE, (
            f"no single service: the loss is spread ({top.service} {top.share:.0%}, "
            f"{second.service} {second.share:.0%})"
        )
    if _is_common_slowness(top, lineup, window, accounts):
        return Verdict.NO_SINGLE_SERVICE, (
            "no single service: every service slowed down at once, as on a starved host or network"
        )
    return Verdict.CULPRIT, ""


def _slowdowns(window: CallWindow, accounts: Accounts) -> dict[str, float]:
    """Mean time per call at each service as its callers see it, after over before."""
    calls = total(window.client_calls)
    out = {}
    for service in accounts.services:
        rows = [at for at, edge in enumerate(window.edges) if edge.callee == service]
        if not rows:
            continue
        means = [
            window.client_time_s[rows][:, part].sum() / max(calls[rows][:, part].sum(), 1.0)
            for part in (accounts.before, accounts.after)
        ]
        out[service] = float(means[1] / max(means[0], 1e-4))
    return out


def _is_common_slowness(
    top: Suspect, lineup: Lineup, window: CallWindow, accounts: Accounts
) -> bool:
    """Only time was lost, and most services that call nobody guilty slowed down about as much."""
    if lineup.losses[top.service].failed > 0.2 * top.score:
        return False
    ratios = _slowdowns(window, accounts)
    others = [
        ratio
        for service, ratio in ratios.items()
        if service != top.service and not _calls(window, service, top.service)
    ]
    return bool(others) and float(np.median(others)) > max(0.5 * ratios[top.service], 1.5)


def _is_load(top: Suspect, lineup: Lineup, window: CallWindow, accounts: Accounts) -> bool:
    """Under a surge a service is only to blame for failures, or for slowing far more than all."""
    if lineup.losses[top.service].failed > 0.5 * top.score:
        return False
    ratios = _slowdowns(window, accounts)
    others = [
        ratio
        for service, ratio in ratios.items()
        if service != top.service and not _calls(window, service, top.service)
    ]
    typical = float(np.median(others)) if others else 1.0
    return ratios[top.service] < 5 * max(typical, 1.0)


def _calls(window: CallWindow, caller: str, callee: str) -> bool:
    """Whether `caller` depends on `callee`, directly or through others."""
    reach = {caller}
    grown = True
    while grown:
        more = {edge.callee for edge in window.edges if edge.caller in reach} - reach
        reach |= more
        grown = bool(more)
    return callee in reach


def _confidence(top: Suspect) -> str:
    if top.share >= 0.8 and top.noise >= 20:
        return "almost certain"
    return "likely" if top.share >= 0.65 and top.noise >= 10 else "probable"
