"""`make bench-metrics`: the engine beside Prometheus and VictoriaMetrics, same data, same client.

200,000 series (1000 nodes x 200 metrics, 8 tags) x 180 one-minute points are sent to each over
remote write; then the same questions are asked over HTTP and the answers compared. Servers run on
the first core while they take data and on all for queries; the client runs on the last. A peer
that is not installed is left out. A few figures of the machine itself come first, beside the same
where the targets were written. `--json FILE` writes the figures too.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from benchmarks.fleet_data import (
    MINUTES,
    SERIES,
    STEP_MS,
    Kind,
    PublishBatch,
    RemoteWriteBatch,
    Values,
    batches,
)
from benchmarks.machine import MachineFigure, machine_figures
from benchmarks.peers import (
    ALL_CORES,
    LAST_CORE,
    Answer,
    Breakwater,
    Connection,
    Engine,
    Lines,
    Prometheus,
    Publishing,
    Question,
    VictoriaMetrics,
)
from benchmarks.readers import read_while_writing
from benchmarks.sending import Request, sent

_ENGINES: Final[tuple[type[Engine], ...]] = (Breakwater, Prometheus, VictoriaMetrics)
_REMOTE_WRITE: Final = {
    "Content-Type": "application/x-protobuf",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}
_SAMPLES: Final = 30_000
_PUBLISHED: Final = 10_000
_PUBLISHED_MINUTES: Final = 20
_LEAST_RUNS: Final = 9
_MOST_RUNS: Final = 201
_ASKED_S: Final = 3.0

QUESTIONS: Final = (
    Question("sum of one metric (1000 series)", "name,m7,:eq,:sum", "sum(m7)", "", (2.3, 21, 14)),
    Question(
        "sum of 10 series",
        "name,m7,:eq,nf_cluster,app3-cluster3,:eq,:and,:sum",
        'sum(m7{nf_cluster="app3-cluster3"})',
        "",
        (0.46, 1.6, 1.3),
    ),
    Question(
        "by cluster (100 lines)",
        "name,m7,:eq,:sum,(,nf_cluster,),:by",
        "sum by (nf_cluster) (m7)",
        "nf_cluster",
        (6.4, 54, 21),
    ),
    Question(
        "by node (1000 lines)",
        "name,m7,:eq,:sum,(,nf_node,),:by",
        "sum by (nf_node) (m7)",
        "nf_node",
        (11.9, 365, 99),
    ),
    Question(
        "prefix regex over 111 metrics",
        "name,m1,:re,:sum",
        'sum({__name__=~"m1.*"})',
        "",
        (457, 3790, 1524),
    ),
    Question(
        "one app by name (200 lines)",
        "nf_app,app3,:eq,:sum,(,name,),:by",
        'sum by (__name__) ({nf_app="app3"})',
        "name",
        (38, 124, 60),
    ),
    Question(
        "sum of everything (36 M points)",
        "name,m,:re,:sum",
        'sum({__name__=~"m.*"})',
        "",
        (1795, 6106, 3019),
    ),
)
"""The query rows; `listed_ms` are of another machine: Atlas in-process, then the two peers."""

Figures = dict[str, Any]


def main() -> None:
    """Measure every engine in turn, then print the table."""
    parser = argparse.ArgumentParser(prog="benchmarks.metrics", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    parser.add_argument("--values", choices=["realistic", "random", "both"], default="both")
    parser.add_argument("--engines", default=",".join(engine.name for engine in _ENGINES))
    options = parser.parse_args()
    os.sched_setaffinity(0, LAST_CORE)
    machine = machine_figures()
    _print_machine(machine)
    kinds: list[Kind] = ["realistic", "random"] if options.values == "both" else [options.values]
    chosen = [engine for engine in _ENGINES if engine.name in options.engines.split(",")]
    for engine in chosen:
        if not engine.is_installed():
            _say(f"{engine.name} is not installed and left out: apt-get install {engine.program}")
    found: dict[str, dict[str, Figures]] = {}
    with tempfile.TemporaryDirectory(prefix="breakwater-bench-") as folder:
        for kind in kinds:
            engines = [engine for engine in chosen if engine.is_installed()]
            found[kind] = _compared([_measured(each, Path(folder), kind) for each in engines])
            _print_table(kind, found[kind])
    if options.json:
        about = {each.name: each._asdict() for each in machine}
        encoded = msgspec.json.encode({"machine": about, **found})
        options.json.write_bytes(msgspec.json.format(encoded, indent=1))


def _measured(engine: type[Engine], folder: Path, kind: Kind) -> Figures:
    """Everything about one engine and one kind of values."""
    _say(f"{engine.name}, {kind} values")
    start_ms = (int(time.time() * 1000) - Breakwater.late_ms) // STEP_MS * STEP_MS + STEP_MS
    figures: Figures = {"name": engine.name}
    with engine(folder) as server:
        figures["memory, empty"] = server.memory_bytes
        figures |= _loaded(server, start_ms, kind)
        server.settle()
        figures["memory, loaded"] = server.memory_bytes
        figures["disk"] = server.disk_bytes
        server.bind(ALL_CORES)
        figures["empty answer, ms"] = _empty_answer_ms(server)
        figures["answers"] = {each.name: _asked(server, each, start_ms) for each in QUESTIONS}
        figures["memory, after queries"] = server.memory_bytes
        if isinstance(server, Breakwater) and kind == "realistic":
            figures["readers"] = read_while_writing(server, QUESTIONS[:6], start_ms)
    if engine is Breakwater and kind == "realistic":
        with Publishing(folder) as server:
            figures |= _published(server, start_ms)
    return figures


def _loaded(server: Engine, start_ms: int, kind: Kind) -> Figures:
    """Send all minutes by remote write; the first minute is the first sight of every series."""
    values = Values(kind)
    encoders = [RemoteWriteBatch(part.start, len(part)) for part in batches(_SAMPLES)]

    def minute(number: int) -> Iterator[Request]:
        column = values.next()
        for encoder in encoders:
            body = encoder.encoded(start_ms + number * STEP_MS, column)
            yield server.write_path, body, _REMOTE_WRITE

    def rest() -> Iterator[Request]:
        for number in range(1, MINUTES):
            yield from minute(number)

    first_s, _ = sent(server, lambda: minute(0))
    wall_s, cpu_s = sent(server, rest)
    samples = SERIES * (MINUTES - 1)
    return {
        "first sight, s": first_s,
        "remote write, samples/s": samples / wall_s,
        "remote write, samples/CPU-s": samples / cpu_s,
    }


def _published(server: Engine, start_ms: int) -> Figures:
    """Publish JSON: series nobody has seen, then the same ones for some minutes."""
    values = Values("realistic")
    encoders = [PublishBatch(part.start, len(part), "p") for part in batches(_PUBLISHED)]
    headers = {"Content-Type": "application/json"}

    def minutes(first: int, last: int) -> Iterator[Request]:
        for number in range(first, last):
            column = values.next()
            for encoder in encoders:
                body = encoder.encoded(start_ms + (MINUTES + number) * STEP_MS, column)
                yield "/api/v1/publish", body, headers

    first_s, _ = sent(server, lambda: minutes(-1, 0))
    wall_s, cpu_s = sent(server, lambda: minutes(0, _PUBLISHED_MINUTES))
    samples = SERIES * _PUBLISHED_MINUTES
    return {
        "publish first sight, s": first_s,
        "publish, datapoints/s": samples / wall_s,
        "publish, datapoints/CPU-s": samples / cpu_s,
    }


def _asked(server: Engine, question: Question, start_ms: int) -> Figures:
    """A question asked some times over one connection."""
    connection = Connection(server.port)
    answers: list[Answer] = [server.ask(connection, question, start_ms)]
    end_s = time.monotonic() + _ASKED_S
    while len(answers) <= _LEAST_RUNS or (len(answers) <= _MOST_RUNS and time.monotonic() < end_s):
        answers.append(server.ask(connection, question, start_ms))
    took = [answer.seconds for answer in answers[1:]]
    engine = [answer.engine_seconds for answer in answers[1:] if answer.engine_seconds is not None]
    return {
        "median_ms": 1000 * float(np.median(took)),
        "least_ms": 1000 * min(took),
        "first_ms": 1000 * answers[0].seconds,
        "engine_ms": 1000 * float(np.median(engine)) if engine else None,
        "lines": answers[-1].lines,
    }


def _empty_answer_ms(server: Engine) -> float:
    """What HTTP alone takes, from a request to the last byte of a small answer."""
    connection = Connection(server.port)
    took = [connection.turned_away_s() for _ in range(_MOST_RUNS)]
    return 1000 * float(np.median(took))


def _compared(measured: list[Figures]) -> dict[str, Figures]:
    """Check that every engine gave the same lines as the first, then drop the lines."""
    for figures in measured:
        for name, asked in figures["answers"].items():
            _check_same(name, measured[0]["answers"][name]["lines"], asked["lines"])
            figures["same answers"] = True
    for figures in measured:
        for asked in figures["answers"].values():
            asked["lines"] = len(asked["lines"])
    return {figures["name"]: figures for figures in measured}


def _check_same(name: str, first: Lines, other: Lines) -> None:
    if first.keys() != other.keys():
        raise RuntimeError(f"'{name}': lines differ: {sorted(first)[:3]} and {sorted(other)[:3]}")
    for key, values in first.items():
        np.testing.assert_allclose(other[key], values, rtol=1e-9, err_msg=f"'{name}' {key}")


class _Table:
    """Rows of figures, one column an engine, then ours relative to the best of the others."""

    def __init__(self, title: str, found: dict[str, Figures]) -> None:
        self._names = list(found)
        heads = "".join(f"{name:>14s}" for name in found)
        print(f"\n{title:45s}{heads}{'ratio':>10s}")

    def row(self, title: str, values: list[float | None], *, more_is_better: bool = False) -> None:
        """Print one row."""
        shown = "".join(f"{'-' if v is None else f'{v:,.4g}':>14s}" for v in values)
        ours, *rest = values
        others = [value for value in rest if value is not None]
        ratio = ""
        if others and ours is not None and self._names[0] == Breakwater.name:
            ratio = f"{ours / (max(others) if more_is_better else min(others)):.2f}x"
        print(f"{title:45s}{shown}{ratio:>10s}")


def _print_machine(found: list[MachineFigure]) -> None:
    print(f"{'this machine':45s}{'here':>14s}{'listed':>14s}{'slower by':>10s}")
    for each in found:
        listed = "-" if each.listed is None else f"{each.listed:,.4g}"
        slower = "" if each.slower is None else f"{each.slower:.2f}x"
        print(f"{each.name:45s}{each.value:>14,.4g}{listed:>14s}{slower:>10s}", flush=True)


def _print_table(kind: Kind, found: dict[str, Figures]) -> None:
    table = _Table(f"{kind} values", found)
    all_of = list(found.values())
    for title in ("remote write, samples/s", "remote write, samples/CPU-s"):
        table.row(title, [each[title] for each in all_of], more_is_better=True)
    table.row("first sight of 200 k series, s", [each["first sight, s"] for each in all_of])
    for title in ("memory, empty", "memory, loaded", "memory, after queries"):
        table.row(f"{title}, MB", [each[title] / 1e6 for each in all_of])
    table.row("memory a series, B", [each["memory, loaded"] / SERIES for each in all_of])
    table.row("disk a sample, B", [each["disk"] / (SERIES * MINUTES) for each in all_of])
    table.row("an empty answer over HTTP, ms", [each["empty answer, ms"] for each in all_of])
    for question in QUESTIONS:
        asked = [each["answers"][question.name] for each in all_of]
        table.row(f"{question.name}, ms", [each["median_ms"] for each in asked])
        if asked[0]["engine_ms"] is not None:
            table.row("    in the engine", [each["engine_ms"] for each in asked])
    for title, value in found.get(Breakwater.name, {}).items():
        if title.startswith("publish"):
            table.row(title, [value])
        if title == "readers":
            for name, figure in value.items():
                table.row(f"readers: {name}", [figure])


def _say(text: str) -> None:
    print(f"... {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
