"""The drill: round after round on one stage, and the score."""

import tempfile
from contextlib import nullcontext
from pathlib import Path

import anyio
import msgspec
from rich.console import Console
from rich.table import Table

from breakwater.drill.display import Display
from breakwater.drill.plan import Scenario, draw_scenarios, scenario_for
from breakwater.drill.pulse import follow
from breakwater.drill.rounds import RoundSettings, play
from breakwater.drill.score import DrillScore, Round, score_rounds
from breakwater.drill.signals import run_interruptible
from breakwater.drill.stage import Stage, StageSettings, raise_stage
from breakwater.model import Clock, SystemClock

INTERRUPTED = 130


class DrillSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How many rounds of what, and where logs go (None: a temporary folder)."""

    rounds: int
    seed: int
    rps: float
    fault: str | None
    as_json: bool
    folder: Path | None


def run_drill(settings: DrillSettings) -> int:
    """Play the drill and print its score; returns the exit code (0 played, 130 interrupted)."""
    clock = SystemClock()
    console = Console(stderr=settings.as_json)
    display = Display(console, clock, f"Breakwater drill \N{MIDDLE DOT} seed {settings.seed}")
    rounds: list[Round] = []
    holder = (
        tempfile.TemporaryDirectory(prefix="breakwater-drill-")
        if settings.folder is None
        else nullcontext(str(settings.folder))
    )
    with holder as folder:

        async def main() -> bool:
            stage = StageSettings(folder=Path(folder), rps=settings.rps, seed=settings.seed)
            with display:
                display.say("starting platform and fleet")
                async with raise_stage(stage, clock, display.on_fleet) as ready:
                    await _play_all(ready, settings, rounds, display, clock)
            return True

        finished = run_interruptible(main)
    score = score_rounds(rounds, settings.seed)
    if settings.as_json:
        print(msgspec.json.encode(score).decode())  # noqa: T201 - the answer of --json
    else:
        print_score(score, console)
    return 0 if finished else INTERRUPTED


async def _play_all(
    stage: Stage, settings: DrillSettings, rounds: list[Round], display: Display, clock: Clock
) -> None:
    """Play every scenario, adding to `rounds` as it goes, so that Ctrl-C keeps what was played."""
    async with anyio.create_task_group() as group:
        group.start_soon(follow, stage, display, clock)
        for scenario in scenarios(settings):
            outcome = await play(stage, scenario, RoundSettings(), clock, display.say)
            rounds.append(outcome.round)
            display.note(_line(len(rounds), outcome.round), _style(outcome.round))
        group.cancel_scope.cancel()


def scenarios(settings: DrillSettings) -> list[Scenario]:
    """What will be played; with `fault`, only that kind on varying targets."""
    if settings.fault is None:
        return draw_scenarios(settings.rounds, settings.seed)
    return [
        scenario_for(settings.fault, None, settings.seed * 1000 + number)
        for number in range(settings.rounds)
    ]


def print_score(score: DrillScore, console: Console) -> None:
    """The rounds as a table, and the totals."""
    table = Table("fault", "where", "named", "kind", "verdict", "seconds", "right", box=None)
    for entry in score.rounds:
        table.add_row(
            entry.fault,
            entry.edge or entry.instance or entry.target or "-",
            entry.edge_named or entry.instance_named or entry.named or "-",
            entry.kind_named or "-",
            entry.verdict.replace("_", " "),
            f"{entry.seconds:.1f}" if entry.seconds is not None else "-",
            "yes" if entry.named == entry.target else "NO",
            style=_style(entry),
        )
    console.print(table)
    console.print(
        f"top-1 {score.top1:.2f}, top-3 {score.top3:.2f}, false namings {score.false_namings}, "
        f"median {score.median_s} s, kind right {score.kind_right:.2f}, instance right "
        f"{score.instance_right:.2f}, edge right {score.edge_right:.2f}"
    )


def _line(number: int, entry: Round) -> str:
    where = entry.edge or entry.instance or entry.target or "nothing broken"
    took = f" in {entry.seconds:.1f} s" if entry.seconds is not None else ""
    named = entry.named or "nobody"
    kind = f" ({entry.kind_named})" if entry.named and entry.kind_named else ""
    return f"round {number}: {entry.fault} at {where}: named {named}{kind}{took}"


def _style(entry: Round) -> str:
    return "green" if entry.named == entry.target else "red"
