"""`breakwater diagnose`: the diagnosis run over recorded incidents, with the score."""

import time
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from breakwater.diagnosis.petshop import PetShopIncident, load_petshop
from breakwater.diagnosis.recorded import rank_recorded


class IncidentScore(msgspec.Struct, frozen=True, kw_only=True):
    """What was ranked for one incident, beside the truth; `ms` is the time the ranking took."""

    path: str
    truth: str | None
    ranked: list[str]
    ms: float


class DiagnosisScore(msgspec.Struct, frozen=True, kw_only=True):
    """All incidents of a run; `top1` and `top3` are shares of the incidents with a known truth."""

    incidents: list[IncidentScore]
    top1: float
    top3: float
    ms_per_incident: float


@click.group()
def diagnose() -> None:
    """Name the broken service in recorded incidents."""


@diagnose.command()
@click.argument(
    "folders",
    nargs=-1,
    required=True,
    metavar="DIR...",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def petshop(folders: tuple[Path, ...], *, as_json: bool) -> None:
    """Rank the suspects of PetShop incidents; DIR is a scenario or one issue folder."""
    result = score(found for folder in folders for found in load_petshop(folder))
    if as_json:
        click.echo(msgspec.json.encode(result))
    else:
        _print_table(result)


def score(incidents: Iterator[PetShopIncident]) -> DiagnosisScore:
    """Rank every incident and compare with its truth."""
    scores = []
    for found in incidents:
        started = time.perf_counter()
        ranking = rank_recorded(found.incident)
        elapsed_ms = (time.perf_counter() - started) * 1000
        scores.append(
            IncidentScore(
                path=str(found.path),
                truth=found.truth,
                ranked=ranking.ranked,
                ms=round(elapsed_ms, 3),
            )
        )
    judged = [entry for entry in scores if entry.truth is not None]

    def share(places: int) -> float:
        hits = sum(entry.truth in entry.ranked[:places] for entry in judged)
        return round(hits / len(judged), 4) if judged else 0.0

    return DiagnosisScore(
        incidents=scores,
        top1=share(1),
        top3=share(3),
        ms_per_incident=round(sum(entry.ms for entry in scores) / max(len(scores), 1), 3),
    )


def _print_table(result: DiagnosisScore) -> None:
    from rich.console import Console  # noqa: PLC0415 - only this answer needs a table
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, pad_edge=False)
    table.add_column("incident", no_wrap=True)
    table.add_column("place", justify="right")
    table.add_column("ms", justify="right")
    table.add_column("suspects, the broken one in bold", overflow="fold")
    for entry in result.incidents:
        place = entry.ranked.index(entry.truth) + 1 if entry.truth in entry.ranked else 0
        shown = entry.ranked[: max(place, 1)][:3]
        table.add_row(
            "/".join(Path(entry.path).parts[-3:]),
            str(place or "-"),
            f"{entry.ms:.1f}",
            " > ".join(f"[b]{escape(n)}[/b]" if n == entry.truth else escape(n) for n in shown),
            style=None if place == 1 else "yellow",
        )
    console = Console()
    console.print(table)
    console.print(
        f"{len(result.incidents)} incidents: top-1 {result.top1:.2f}, top-3 {result.top3:.2f}, "
        f"{result.ms_per_incident:.1f} ms each"
    )
