"""`breakwater demo`, `breakwater drill`, `breakwater prove` and `breakwater gameday`."""

import sys
from pathlib import Path

import click


@click.command()
@click.option("--fault", help="Kind of fault; drawn from the seed when left out.")
@click.option("--target", help="Service to break, or CALLER->CALLEE for a slow edge.")
@click.option("--seed", type=int, default=1, show_default=True, help="Draws fault and target.")
@click.option("--rps", type=float, default=60.0, show_default=True, help="Edge requests a second.")
@click.option("--keep", is_flag=True, help="Leave fleet and platform running until Ctrl-C.")
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    default=Path("breakwater-report.html"),
    show_default=True,
    help="Where the report goes; pictures go beside it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end.")
def demo(
    fault: str | None,
    target: str | None,
    seed: int,
    rps: float,
    keep: bool,
    report: Path,
    as_json: bool,
) -> None:
    """Start a real fleet, break one thing, and name it from telemetry alone.

    Exit code 0 only if the culprit was named.
    """
    from breakwater.drill.demo import DemoSettings, run_demo  # noqa: PLC0415 - starts heavy rooms
    from breakwater.drill.plan import scenario_for  # noqa: PLC0415

    scenario = scenario_for(fault, target, seed)
    settings = DemoSettings(seed=seed, rps=rps, keep=keep, report=report, as_json=as_json)
    sys.exit(run_demo(scenario, settings))


@click.command()
@click.option("--rounds", type=click.IntRange(1, 1000), default=30, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True, help="Draws faults and targets.")
@click.option("--rps", type=float, default=60.0, show_default=True, help="Edge requests a second.")
@click.option("--fault", help="Play only this kind of fault.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end.")
@click.option(
    "--logs",
    type=click.Path(path_type=Path),
    help="Keep logs and data in this folder; a temporary one otherwise.",
)
def drill(
    rounds: int, seed: int, rps: float, fault: str | None, as_json: bool, logs: Path | None
) -> None:
    """Play many rounds of faults, some of them empty, and score the names."""
    from breakwater.drill.exercise import DrillSettings, run_drill  # noqa: PLC0415 - heavy rooms

    settings = DrillSettings(
        rounds=rounds, seed=seed, rps=rps, fault=fault, as_json=as_json, folder=logs
    )
    sys.exit(run_drill(settings))


@click.command()
@click.option(
    "--target",
    "targets",
    multiple=True,
    help="Dependency to break; may be repeated. [default: each whose calls all have a fallback]",
)
@click.option(
    "--fault",
    default="hang",
    show_default=True,
    help="How every instance is broken: hang, errors, delay or crash.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of the fleet.")
@click.option("--rps", type=float, default=60.0, show_default=True, help="Edge requests a second.")
@click.option(
    "--down",
    "down_s",
    type=click.IntRange(5, 600),
    default=25,
    show_default=True,
    help="Seconds the dependency is down.",
)
@click.option(
    "--contrast/--no-contrast",
    default=True,
    show_default=True,
    help="Play each outage a second time with all fallbacks disabled.",
)
@click.option(
    "--pictures",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("breakwater-prove"),
    show_default=True,
    help="Folder for the pictures.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end.")
def prove(
    targets: tuple[str, ...],
    fault: str,
    seed: int,
    rps: float,
    down_s: int,
    contrast: bool,
    pictures: Path,
    as_json: bool,
) -> None:
    """Break a dependency whole and show that people still get their streams.

    Exit code 0 only if every dependency held: 99 percent of the streams, and of the edge's good
    answers, while it was down.
    """
    from breakwater.drill.outage import OutageSettings  # noqa: PLC0415 - starts heavy rooms
    from breakwater.drill.proof import MASKED  # noqa: PLC0415 - as above
    from breakwater.drill.prove import ProveSettings, run_prove  # noqa: PLC0415 - as above

    settings = ProveSettings(
        targets=targets or MASKED,
        seed=seed,
        rps=rps,
        outage=OutageSettings(fault=fault, down_s=down_s, contrast=contrast),
        folder=pictures,
        as_json=as_json,
    )
    sys.exit(run_prove(settings))


@click.command()
@click.argument("exercise", type=click.Choice(["rolling-restart", "registry-outage"]))
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of the fleet's people.")
@click.option("--rps", type=float, default=60.0, show_default=True, help="Edge requests a second.")
@click.option(
    "--away",
    "away_s",
    type=click.FloatRange(1, 3_600),
    default=60.0,
    show_default=True,
    help="Seconds for which the registry is away.",
)
@click.option(
    "--pictures",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("breakwater-gameday"),
    show_default=True,
    help="Folder for the picture.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end.")
def gameday(
    exercise: str, seed: int, rps: float, away_s: float, pictures: Path, as_json: bool
) -> None:
    """Restart a fleet under load, or lose its registry, and count who noticed.

    Exit code 0 only if nobody did: no stream start failed and, while the registry was away, no
    request at all.
    """
    from breakwater.drill.gameday import Exercise  # noqa: PLC0415 - starts heavy rooms
    from breakwater.drill.rehearse import GameDaySettings, run_gameday  # noqa: PLC0415 - as above

    settings = GameDaySettings(
        exercise=Exercise(exercise),
        seed=seed,
        rps=rps,
        away_s=away_s,
        folder=pictures,
        as_json=as_json,
    )
    sys.exit(run_gameday(settings))
