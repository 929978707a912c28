"""The life of an incident as a pure state machine over successive judgements."""

from enum import StrEnum
from typing import Final

import msgspec

from breakwater.diagnosis import Diagnosis, Kind, Verdict
from breakwater.incidents.settings import IncidentSettings

_WITNESSED: Final = frozenset({Kind.FREEZE, Kind.CRASH, Kind.CPU_BURN})
"""Kinds that rest on what one instance said of itself, or stopped saying."""


class Phase(StrEnum):
    """Where an incident stands."""

    SUSPECTED = "suspected"
    PAGED = "paged"
    NAMED = "named"
    CLOSED = "closed"


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """One trouble from its first sign to its end; times are milliseconds UTC.

    `baseline_ms` is where its window starts; it stays while the incident is open. `agreeing`
    counts judgements in a row for the same answer. `diagnosis` is the latest judgement that saw
    harm, and once a service is `named` the clearest one that names it; the name stays even if
    later judgements waver.
    """

    id: int
    phase: Phase
    signal: str
    baseline_ms: int
    first_seen_ms: int
    agreeing: int
    diagnosis: Diagnosis
    paged_ms: int | None = None
    named_ms: int | None = None
    named: str | None = None
    healthy_since_ms: int | None = None
    closed_ms: int | None = None


def advance(
    incident: Incident | None,
    judged: Diagnosis,
    *,
    is_healthy: bool,
    now_ms: int,
    next_id: int,
    settings: IncidentSettings,
) -> Incident | None:
    """The incident after one more judgement, or None when there is none.

    is_healthy: whether the fleet is as good as before the onset. An incident only suspected
    vanishes when the harm does; one that paged is closed after `close_after_s` healthy seconds.
    """
    harmful = judged.verdict in {Verdict.CULPRIT, Verdict.NO_SINGLE_SERVICE}
    if incident is None or incident.phase is Phase.CLOSED:
        return _open(judged, now_ms, next_id) if harmful else None
    if incident.phase is Phase.SUSPECTED and not harmful:
        return None
    if incident.phase is not Phase.SUSPECTED and is_healthy:
        return _healthy(incident, now_ms, settings)
    incident = msgspec.structs.replace(incident, healthy_since_ms=None)
    return _harmed(incident, judged, now_ms, settings) if harmful else incident


def _open(judged: Diagnosis, now_ms: int, next_id: int) -> Incident:
    return Incident(
        id=next_id,
        phase=Phase.SUSPECTED,
        signal=judged.signal or "",
        baseline_ms=judged.start_ms,
        first_seen_ms=now_ms,
        agreeing=1,
        diagnosis=judged,
    )


def _healthy(incident: Incident, now_ms: int, settings: IncidentSettings) -> Incident:
    since = incident.healthy_since_ms or now_ms
    over = now_ms - since >= settings.close_after_s * 1000
    return msgspec.structs.replace(
        incident,
        healthy_since_ms=since,
        phase=Phase.CLOSED if over else incident.phase,
        closed_ms=now_ms if over else None,
    )


def _harmed(
    incident: Incident, judged: Diagnosis, now_ms: int, settings: IncidentSettings
) -> Incident:
    agreeing = incident.agreeing + 1 if _answer(judged) == _answer(incident.diagnosis) else 1
    if incident.phase is Phase.NAMED and not _is_clearer(judged, incident.diagnosis):
        return incident
    updated = msgspec.structs.replace(incident, agreeing=agreeing, diagnosis=judged)
    if updated.phase is Phase.SUSPECTED and _count(incident, now_ms, settings):
        updated = msgspec.structs.replace(updated, phase=Phase.PAGED, paged_ms=now_ms)
    culprit = judged.culprit
    may_name = updated.phase is Phase.PAGED and agreeing >= settings.name_after
    if may_name and culprit is not None:
        updated = msgspec.structs.replace(
            updated, phase=Phase.NAMED, named_ms=now_ms, named=culprit.service
        )
    return updated


def _is_clearer(judged: Diagnosis, kept: Diagnosis) -> bool:
    """Whether a later judgement names the same service on a loss at least as large.

    As soon as somebody repairs, the mean loss since the onset shrinks and the picture blurs: what
    is kept is the fault at its clearest. An instance that was silent or starved and recovers does
    not unsay what it showed.
    """
    if _answer(judged) != _answer(kept):
        return False
    now, then = judged.suspects[0], kept.suspects[0]
    return now.score >= then.score and (now.kind is then.kind or then.kind not in _WITNESSED)


def _count(incident: Incident, now_ms: int, settings: IncidentSettings) -> bool:
    """Whether harm has been seen for `page_after` judgements."""
    waited_ms = now_ms - incident.first_seen_ms
    return waited_ms >= (settings.page_after - 1) * settings.evaluate_s * 1000 * 0.9


def _answer(judged: Diagnosis) -> tuple[str, str]:
    culprit = judged.culprit
    return judged.verdict, culprit.service if culprit else ""
