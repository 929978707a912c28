"""The demo: one fault before an audience, from steady state to the all-clear."""

import tempfile
from pathlib import Path

import anyio
import msgspec
from rich.console import Console

from breakwater.drill.display import Display
from breakwater.drill.plan import Scenario
from breakwater.drill.pulse import follow
from breakwater.drill.rounds import Outcome, RoundSettings, play
from breakwater.drill.signals import run_interruptible
from breakwater.drill.stage import Stage, StageSettings, raise_stage
from breakwater.incidents import TriageResult, print_triage
from breakwater.model import Clock, SystemClock

INTERRUPTED = 130
NOT_NAMED = 1


class DemoSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the demo is played and where its report goes."""

    seed: int
    rps: float
    keep: bool
    report: Path
    as_json: bool


def run_demo(scenario: Scenario, settings: DemoSettings) -> int:
    """Play the demo; returns the exit code: 0 named, 1 not named, 130 interrupted."""
    clock = SystemClock()
    console = Console(stderr=settings.as_json)
    display = Display(console, clock, f"Breakwater demo \N{MIDDLE DOT} seed {settings.seed}")
    with tempfile.TemporaryDirectory(prefix="breakwater-demo-") as folder:

        async def main() -> int:
            stage = StageSettings(folder=Path(folder), rps=settings.rps, seed=settings.seed)
            with display:
                display.say("starting platform and fleet")
                async with raise_stage(stage, clock, display.on_fleet) as ready:
                    return await _perform(ready, scenario, settings, display, clock)

        code = run_interruptible(main)
    if code is None:
        console.print("interrupted; everything that was started has been stopped")
        return INTERRUPTED
    return code


async def _perform(
    stage: Stage, scenario: Scenario, settings: DemoSettings, display: Display, clock: Clock
) -> int:
    display.note(
        f"ready: {len(stage.specs)} processes serve {settings.rps:.0f} edge requests a second"
    )
    rounds = RoundSettings(calm_s=25.0, name_s=40.0, recover_s=30.0)
    async with anyio.create_task_group() as group:
        group.start_soon(follow, stage, display, clock)
        await anyio.sleep(3.0)
        outcome = await play(stage, scenario, rounds, clock, display.say)
        display.say("writing the report")
        result = await _write_report(stage, outcome, settings)
        group.cancel_scope.cancel()
    display.note("recovered" if outcome.recovered else "not yet recovered")
    display.close()
    return await _conclude(stage, scenario, outcome, result, settings)


async def _write_report(stage: Stage, outcome: Outcome, settings: DemoSettings) -> TriageResult:
    """Fetch the judgement that named the culprit, and its pictures up to the recovery."""
    incident = outcome.incident
    path = f"/api/v1/incidents/{incident.id}" if incident else "/api/v1/triage"
    settings.report.parent.mkdir(parents=True, exist_ok=True)
    settings.report.write_bytes(await stage.client.report(path, "html"))
    picture = settings.report.with_suffix(".png")
    picture.write_bytes(await stage.client.report(path, "png"))
    if incident is not None:
        return TriageResult(diagnosis=incident.diagnosis)
    return await stage.client.triage()


async def _conclude(
    stage: Stage,
    scenario: Scenario,
    outcome: Outcome,
    result: TriageResult,
    settings: DemoSettings,
) -> int:
    """Print the page, the truth and where the report is; with `keep`, wait for Ctrl-C."""
    record = outcome.round
    right = record.named == scenario.target
    console = Console(stderr=settings.as_json)
    console.rule("what the page says")
    print_triage(result, console, with_queries=False)
    console.rule()
    took = f" {record.seconds:.0f} s after the fault" if record.seconds else ""
    truth = scenario.describe()
    if right:
        console.print(f"[bold green]right[/]: it was {truth}; named{took}")
    else:
        console.print(
            f"[bold red]wrong[/]: it was {truth}; named: {record.named or 'nobody'}{took}"
        )
    console.print(f"report: {settings.report}", soft_wrap=True)
    if settings.as_json:
        print(msgspec.json.encode(record).decode())  # noqa: T201 - the answer of --json
    if settings.keep:
        console.print(f"still running at {stage.url}; Ctrl-C stops everything")
        await anyio.sleep_forever()
    return 0 if right else NOT_NAMED
