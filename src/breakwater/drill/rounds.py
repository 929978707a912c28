"""Playing one round: wait for calm, break one thing, wait for the name, put it back, wait again."""

from collections.abc import Callable

import anyio
import msgspec

from breakwater.diagnosis import Diagnosis, Kind
from breakwater.drill.plan import SURGE, Scenario
from breakwater.drill.score import Naming, Round, played
from breakwater.drill.stage import Stage
from breakwater.incidents import Incident
from breakwater.model import Clock

Say = Callable[[str], None]

_POLL_S = 0.5


class RoundSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How long to wait for what, in seconds.

    calm_s: quiet before a fault, which is all the baseline there is. name_s: patience for a name.
    quiet_s: how long a round without fault is watched. recover_s: patience for the all-clear.
    """

    calm_s: float = 30.0
    name_s: float = 60.0
    quiet_s: float = 40.0
    recover_s: float = 60.0
    surge_factor: float = 1.7


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What one round left: its record, the incident if one was paged, and when it was injected."""

    round: Round
    injected_ms: int
    incident: Incident | None = None
    recovered: bool = False


async def play(
    stage: Stage, scenario: Scenario, settings: RoundSettings, clock: Clock, say: Say
) -> Outcome:
    """Play one scenario on a running stage and leave the stage as calm as it was."""
    say("waiting for calm")
    await wait_for_calm(stage, settings.calm_s, settings.recover_s + 3 * settings.calm_s, clock)
    say(scenario.describe())
    injected_ms = clock.now_ms()
    try:
        await _break(stage, scenario, settings)
        patience = settings.name_s if scenario.is_broken else settings.quiet_s
        incident = await _wait_for_name(stage, injected_ms, patience, clock, say)
        judged = await _judgement(stage, incident)
    finally:
        with anyio.CancelScope(shield=True), anyio.move_on_after(20):
            await _repair(stage, scenario)
    say("repaired; waiting for the all-clear")
    recovered = await wait_for_calm(stage, 0.0, settings.recover_s, clock)
    record = _record(scenario, judged, incident, injected_ms)
    return Outcome(round=record, injected_ms=injected_ms, incident=incident, recovered=recovered)


async def wait_for_calm(stage: Stage, calm_s: float, patience_s: float, clock: Clock) -> bool:
    """Wait for `calm_s` in a row without an open incident; False when patience ran out first."""
    deadline = clock.monotonic_s() + patience_s
    calm_since: float | None = None
    while clock.monotonic_s() < deadline:
        if await open_incident(stage) is not None:
            calm_since = None
        elif calm_since is None:
            calm_since = clock.monotonic_s()
        if calm_since is not None and clock.monotonic_s() >= calm_since + calm_s:
            return True
        await anyio.sleep(_POLL_S)
    return False


async def open_incident(stage: Stage) -> Incident | None:
    """The incident that is open now, or None."""
    stage.check_platform()
    for found in await stage.client.incidents():
        if found.closed_ms is None:
            return found
    return None


async def _break(stage: Stage, scenario: Scenario, settings: RoundSettings) -> None:
    if scenario.fault == SURGE:
        await stage.client.set_load(stage.settings.rps * settings.surge_factor)
    if not scenario.is_broken:
        return
    request = {
        "kind": scenario.fault,
        "service": scenario.target,
        "duration_s": settings.name_s + 30,
        "actor": "drill",
        **scenario.settings,
    }
    if scenario.instance:
        request["instance"] = scenario.instance
    await stage.client.inject(request)


async def _repair(stage: Stage, scenario: Scenario) -> None:
    await stage.client.undo_all()
    await stage.revive()
    if scenario.fault == SURGE:
        await stage.client.set_load(stage.settings.rps)


async def _wait_for_name(
    stage: Stage, injected_ms: int, patience_s: float, clock: Clock, say: Say
) -> Incident | None:
    deadline = clock.monotonic_s() + patience_s
    paged: Incident | None = None
    while clock.monotonic_s() < deadline:
        found = await open_incident(stage)
        if found is not None and (found.named_ms or injected_ms) >= injected_ms:
            if paged is None:
                say(f"paged: {found.signal}")
            paged = found
            if found.named is not None:
                say(f"named: {found.diagnosis.headline}")
                return found
        await anyio.sleep(_POLL_S)
    return paged


async def _judgement(stage: Stage, incident: Incident | None) -> Diagnosis:
    if incident is not None:
        return incident.diagnosis
    return (await stage.client.triage()).diagnosis


def _record(
    scenario: Scenario, judged: Diagnosis, incident: Incident | None, injected_ms: int
) -> Round:
    paged_ms = incident.paged_ms if incident else None
    return played(
        scenario,
        ranked=[suspect.service for suspect in judged.suspects if suspect.share >= 0.01],
        naming=_naming(judged, incident, injected_ms),
        verdict=judged.verdict,
        page_seconds=(paged_ms - injected_ms) / 1000 if paged_ms else None,
    )


def _naming(judged: Diagnosis, incident: Incident | None, injected_ms: int) -> Naming | None:
    if incident is None or incident.named is None or incident.named_ms is None:
        return None
    culprit = judged.culprit
    return Naming(
        service=incident.named,
        seconds=(incident.named_ms - injected_ms) / 1000,
        kind=culprit.kind if culprit else None,
        instance=culprit.instance if culprit else None,
        edge=culprit.edge if culprit and culprit.kind is Kind.SLOW_EDGE else None,
    )
