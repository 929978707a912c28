"""The proof before an audience: one stage, one dependency after the other, a table and pictures."""

import tempfile
from pathlib import Path
from typing import Final

import anyio
import msgspec
from rich.console import Console
from rich.table import Table

from breakwater.drill.display import Display
from breakwater.drill.errors import UnknownScenarioError
from breakwater.drill.outage import OutageSettings, prove_target
from breakwater.drill.plan import SERVICES
from breakwater.drill.proof import CHANCE, FAULTS, GOAL_PERCENT, Proof, Run
from breakwater.drill.pulse import follow
from breakwater.drill.signals import run_interruptible
from breakwater.drill.stage import Stage, StageSettings, raise_stage
from breakwater.model import Clock, SystemClock

INTERRUPTED: Final = 130
NOT_HELD: Final = 1
_NO_FALLBACK: Final = {
    "licence": "licence has no fallback by design: an entitlement nobody checked is worse than none"
}


class ProveSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What is broken how, on which stage; pictures go to `folder`, which is made if need be.

    warm_s: traffic before the first measurement, in which callers see good answers to fall back on.
    """

    targets: tuple[str, ...]
    seed: int
    rps: float
    outage: OutageSettings
    folder: Path
    as_json: bool
    warm_s: float = 20.0


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """All proofs of one run, and the goal they are held to."""

    proofs: list[Proof]
    goal_percent: float
    seed: int
    rps: float

    @property
    def holds(self) -> bool:
        """Whether every dependency held."""
        return all(proof.holds for proof in self.proofs)


def check_wishes(targets: tuple[str, ...], fault: str) -> None:
    """Raise UnknownScenarioError naming what exists, for what cannot be broken."""
    for target in targets:
        if target not in SERVICES:
            raise UnknownScenarioError(
                f"target '{target}' is unknown; known: {', '.join(SERVICES)}"
            )
    if fault not in FAULTS:
        raise UnknownScenarioError(f"fault '{fault}' is unknown; known: {', '.join(FAULTS)}")


def run_prove(settings: ProveSettings) -> int:
    """Play it; returns the exit code: 0 all held, 1 one did not, 130 interrupted."""
    check_wishes(settings.targets, settings.outage.fault)
    clock = SystemClock()
    console = Console(stderr=settings.as_json)
    display = Display(console, clock, f"Breakwater prove \N{MIDDLE DOT} seed {settings.seed}")
    proofs: list[Proof] = []
    with tempfile.TemporaryDirectory(prefix="breakwater-prove-") as folder:

        async def main() -> bool:
            stage = StageSettings(folder=Path(folder), rps=settings.rps, seed=settings.seed)
            with display:
                display.say("starting platform and fleet")
                async with raise_stage(stage, clock, display.on_fleet) as ready:
                    await _prove_all(ready, settings, proofs, display, clock)
            return True

        finished = run_interruptible(main)
    verdict = Verdict(
        proofs=proofs, goal_percent=GOAL_PERCENT, seed=settings.seed, rps=settings.rps
    )
    print_verdict(verdict, console)
    pictures = write_pictures(verdict, settings.folder)
    console.print(f"pictures: {', '.join(map(str, pictures))}", soft_wrap=True)
    if settings.as_json:
        print(msgspec.json.encode(verdict).decode())  # noqa: T201 - the answer of --json
    if not finished:
        return INTERRUPTED
    return 0 if verdict.holds else NOT_HELD


async def _prove_all(
    stage: Stage, settings: ProveSettings, proofs: list[Proof], display: Display, clock: Clock
) -> None:
    """Each target in turn, adding to `proofs`, so that Ctrl-C keeps what was proven."""
    async with anyio.create_task_group() as group:
        group.start_soon(follow, stage, display, clock)
        display.say(f"{settings.rps:.0f} edge requests a second; warming up")
        await anyio.sleep(settings.warm_s)
        for target in settings.targets:
            proof = await prove_target(stage, target, settings.outage, clock, display.say)
            proofs.append(proof)
            display.note(_line(proof), "green" if proof.holds else "red")
        group.cancel_scope.cancel()


def print_verdict(verdict: Verdict, console: Console) -> None:
    """One row for each run, and what counts as held."""
    table = Table(
        "broken", "with", "starts/s", "streams", "edge", "instead", "refused", "held", "named",
        box=None, padding=(0, 1, 0, 0),
    )  # fmt: skip
    for proof in verdict.proofs:
        _add(table, proof, proof.kept, "fallbacks")
        if proof.bare is not None:
            _add(table, proof, proof.bare, "none")
    if verdict.proofs:
        console.print(f"every instance broken, by: {verdict.proofs[0].fault}")
    console.print(table)
    console.print(
        "starts/s: before, then while it was broken; streams: for those who came to watch, and "
        "edge: requests answered well, as shares of before; instead: calls a second that a "
        "fallback answered; refused: by an open breaker. "
        f"Held: both shares at least {verdict.goal_percent:.0f} %, and starts/s not lower than "
        f"before by more than chance allows ({CHANCE:.0f} standard errors). "
        "Named: by the platform, meanwhile."
    )
    for proof in verdict.proofs:
        if proof.target in _NO_FALLBACK:
            console.print(_NO_FALLBACK[proof.target])


def write_pictures(verdict: Verdict, folder: Path) -> list[Path]:
    """An SVG and a PNG for each dependency; returns their paths."""
    from breakwater.drill.proof_picture import proof_svg  # noqa: PLC0415 - numpy, at the end only
    from breakwater.render import png  # noqa: PLC0415 - as above

    written = []
    folder.mkdir(parents=True, exist_ok=True)
    for proof in verdict.proofs:
        svg = proof_svg(proof)
        stem = folder / f"prove-{proof.target}-{proof.fault}"
        for path, content in (
            (stem.with_suffix(".svg"), svg.encode()),
            (stem.with_suffix(".png"), png(svg)),
        ):
            path.write_bytes(content)
            written.append(path)
    return written


def _add(table: Table, proof: Proof, run: Run, fallbacks: str) -> None:
    holding = run.holding
    style = "dim" if fallbacks == "none" else ("green" if holding.holds else "red")
    table.add_row(
        proof.target,
        fallbacks,
        f"{run.before.sps:.1f}\N{RIGHTWARDS ARROW}{run.down.sps:.1f}",
        f"{holding.starts_percent:.1f}%",
        f"{holding.edge_percent:.1f}%",
        f"{run.down.fallbacks:.1f}",
        f"{run.down.short_circuited:.1f}",
        "yes" if holding.holds else "no",
        "yes" if run.named == proof.target else run.named or "-",
        style=style,
    )


def _line(proof: Proof) -> str:
    kept = proof.kept.holding
    text = (
        f"{proof.target} down: {kept.starts_percent:.1f} % of the streams, "
        f"{kept.edge_percent:.1f} % of the edge"
    )
    if proof.bare is not None:
        text += f"; without fallbacks {proof.bare.holding.starts_percent:.1f} %"
    return text
