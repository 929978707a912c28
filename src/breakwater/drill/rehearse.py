"""A game day before an audience: a stage, an exercise, a verdict and a picture."""

import tempfile
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console

from breakwater.drill.display import Display
from breakwater.drill.gameday import Exercise, GameDay, play
from breakwater.drill.signals import run_interruptible
from breakwater.drill.stage import StageSettings, raise_stage
from breakwater.model import SystemClock

INTERRUPTED: Final = 130
NOT_HELD: Final = 1


class GameDaySettings(msgspec.Struct, frozen=True, kw_only=True):
    """Which exercise, on which stage; the picture goes to `folder`, which is made if need be."""

    exercise: Exercise
    seed: int
    rps: float
    away_s: float
    folder: Path
    as_json: bool
    warm_s: float = 20.0


def run_gameday(settings: GameDaySettings) -> int:
    """Play it; returns the exit code: 0 nobody noticed, 1 somebody did, 130 interrupted."""
    settings.folder.mkdir(parents=True, exist_ok=True)  # before minutes are spent on what it holds
    clock = SystemClock()
    console = Console(stderr=settings.as_json)
    title = f"Breakwater game day \N{MIDDLE DOT} {settings.exercise}"
    display = Display(console, clock, title)
    with tempfile.TemporaryDirectory(prefix="breakwater-gameday-") as folder:

        async def main() -> GameDay:
            stage = StageSettings(folder=Path(folder), rps=settings.rps, seed=settings.seed)
            with display:
                display.say("starting platform and fleet")
                async with raise_stage(stage, clock, display.on_fleet) as ready:
                    return await play(
                        ready,
                        settings.exercise,
                        clock,
                        display.say,
                        away_s=settings.away_s,
                        warm_s=settings.warm_s,
                    )

        day = run_interruptible(main)
    if day is None:
        return INTERRUPTED
    _tell(day, settings, console)
    return 0 if day.holds else NOT_HELD


def _tell(day: GameDay, settings: GameDaySettings, console: Console) -> None:
    from breakwater.drill.gameday_picture import gameday_svg, said  # noqa: PLC0415 - numpy, at last
    from breakwater.render import png  # noqa: PLC0415 - as above

    style = "green" if day.holds else "red"
    console.print(f"{'held' if day.holds else 'NOT held'}: {said(day)}", style=style)
    if settings.as_json:
        print(msgspec.json.encode(day).decode())  # noqa: T201 - the answer of --json
    stem = settings.folder / f"gameday-{day.exercise}"
    svg = gameday_svg(day)
    stem.with_suffix(".svg").write_text(svg)
    stem.with_suffix(".png").write_bytes(png(svg))
    console.print(f"picture: {stem.with_suffix('.png')}", soft_wrap=True)
