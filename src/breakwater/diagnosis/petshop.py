"""Reading the PetShop incident set: folders of CSV files as the authors publish them.

A scenario is a folder with `graph.csv` (adjacency matrix, rows call columns), `noissue/` (days of
normal operation; may be absent) and `train/` and `test/` with one folder per incident: five rows
of five minutes in `metrics.csv` and, in `target.json`, what was paged on and what was broken.
A row stamped t covers five minutes from t on. Latency is in seconds, availability in percent.
"""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal, get_args

import msgspec
import numpy as np
from numpy.typing import NDArray

from breakwater.diagnosis.errors import RecordedIncidentError
from breakwater.diagnosis.recorded import NodeSeries, RecordedIncident
from breakwater.topology import CallGraph

Array = NDArray[np.float64]
Metric = Literal["latency", "availability"]

_HEADER_ROWS: Final = 3
_HISTORY_ROWS: Final = 144
"""Twelve hours of five-minute rows: long enough for a median, short enough to be recent."""


class _Target(msgspec.Struct):
    node: str
    metric: str
    timestamp: float


class _Cause(msgspec.Struct):
    node: str


class _TargetFile(msgspec.Struct):
    target: _Target
    root_cause: _Cause | None = None


class PetShopIncident(msgspec.Struct, frozen=True, kw_only=True):
    """One incident with the folder it came from and the node that was broken, when recorded."""

    path: Path
    truth: str | None
    incident: RecordedIncident


class _Scenario(msgspec.Struct, frozen=True):
    graph: CallGraph
    history: dict[str, NodeSeries]


def load_petshop(folder: Path) -> Iterator[PetShopIncident]:
    """Yield the incidents below `folder`: a scenario, or one issue folder inside a scenario.

    Raises RecordedIncidentError naming the file that is missing or cannot be read.
    """
    if (folder / "graph.csv").is_file():
        scenario, issues = folder, sorted(folder.glob("*/issue_*/target.json"), key=_natural)
    elif (folder / "target.json").is_file():
        scenario, issues = folder.resolve().parent.parent, [folder / "target.json"]
    else:
        raise RecordedIncidentError(
            f"'{folder}' is neither a scenario (it has no graph.csv) "
            "nor an issue folder (it has no target.json)"
        )
    if not issues:
        raise RecordedIncidentError(f"scenario '{folder}' has no train/ or test/issue_N folder")
    known = _Scenario(_read_graph(scenario / "graph.csv"), _read_history(scenario))
    for target in issues:
        yield _read_issue(target.parent, known)


def _natural(path: Path) -> tuple[str, int]:
    """By `train` or `test`, then by number: issue_2 before issue_10."""
    number = path.parent.name.rpartition("_")[2]
    return path.parent.parent.name, int(number) if number.isdigit() else 0


def _read_issue(folder: Path, scenario: _Scenario) -> PetShopIncident:
    target = _read_target(folder / "target.json")
    stamps, nodes = _read_metrics(folder / "metrics.csv")
    width = float(np.median(np.diff(stamps))) if len(stamps) > 1 else 0.0
    before = stamps + width <= target.target.timestamp
    if not before.any():
        before[0] = True
    if target.target.node not in nodes:
        raise RecordedIncidentError(
            f"{folder / 'target.json'}: paged node '{target.target.node}' "
            "has no column in metrics.csv"
        )
    return PetShopIncident(
        path=folder,
        truth=target.root_cause.node if target.root_cause else None,
        incident=RecordedIncident(
            graph=scenario.graph,
            nodes=nodes,
            history=scenario.history,
            before=before,
            paged=target.target.node,
            metric=_metric(target.target.metric, folder),
        ),
    )


def _metric(text: str, folder: Path) -> Metric:
    for known in get_args(Metric):
        if text == known:
            return known  # type: ignore[no-any-return] # get_args is untyped; members of Metric
    raise RecordedIncidentError(
        f"{folder / 'target.json'}: metric '{text}' is unknown; "
        f"known: {', '.join(get_args(Metric))}"
    )


def _read_target(path: Path) -> _TargetFile:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_TargetFile)
    except (OSError, msgspec.DecodeError) as error:
        raise RecordedIncidentError(f"cannot read {path}: {error}") from error


def _read_history(scenario: Path) -> dict[str, NodeSeries]:
    path = scenario / "noissue" / "metrics.csv"
    if not path.is_file():
        return {}
    _, nodes = _read_metrics(path)
    return {
        name: NodeSeries(
            requests=node.requests[-_HISTORY_ROWS:],
            latency_s=node.latency_s[-_HISTORY_ROWS:],
            failed=node.failed[-_HISTORY_ROWS:],
        )
        for name, node in nodes.items()
    }


def _read_rows(path: Path) -> list[list[str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RecordedIncidentError(f"cannot read {path}: {error}") from error


def _read_graph(path: Path) -> CallGraph:
    rows = _read_rows(path)
    if not rows:
        raise RecordedIncidentError(f"{path} is empty; expected an adjacency matrix")
    columns = rows[0]
    edges = [
        (row[0], columns[at])
        for row in rows[1:]
        for at in range(1, min(len(row), len(columns)))
        if _number(row[at], path) > 0
    ]
    return CallGraph(edges)


def _number(text: str, path: Path) -> float:
    try:
        return float(text) if text.strip() else 0.0
    except ValueError as error:
        raise RecordedIncidentError(f"{path}: '{text}' is not a number") from error


def _read_metrics(path: Path) -> tuple[Array, dict[str, NodeSeries]]:
    """Stamps (s) and the mean latency, failed share and request count of every node."""
    rows = _read_rows(path)
    head = next((at for at, row in enumerate(rows) if row and _is_stamp(row[0])), None)
    if head is None or head < _HEADER_ROWS:
        raise RecordedIncidentError(
            f"{path}: expected three header rows (microservice, metric, statistic) and then rows "
            "that start with a unix timestamp"
        )
    try:
        table = np.array(
            [[float(cell) if cell else np.nan for cell in row] for row in rows[head:] if row]
        )
    except ValueError as error:
        raise RecordedIncidentError(f"{path}: {error}") from error
    columns = dict(
        zip(zip(*(row[1:] for row in rows[:3]), strict=True), table[:, 1:].T, strict=True)
    )
    empty = np.full(len(table), np.nan)
    nodes = {
        name: NodeSeries(
            requests=columns.get((name, "requests", "Sum"), empty),
            latency_s=columns.get((name, "latency", "Average"), empty),
            failed=1 - columns.get((name, "availability", "Average"), empty) / 100,
        )
        for name in dict.fromkeys(rows[0][1:])
    }
    return table[:, 0], nodes


def _is_stamp(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()
