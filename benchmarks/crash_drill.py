"""Does a platform that is killed at any moment keep every datapoint it acknowledged?

Run with `python -m benchmarks.crash_drill [--rounds 200] [--seed N] [--folder DIR]`. Each round
starts `breakwater serve`, compares what the last rounds were answered with what is there, lets
several publishers send through HTTP, and kills the process at a random moment. Every datapoint
has a place and a value of its own, so that one lost, changed or invented would be seen.
"""

import argparse
import http.client
import json
import os
import random
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

Point = tuple[str, str, int]
"""Worker, series, stamp in milliseconds."""

PUBLISHERS: Final = 4
_BATCH: Final = 25
_STEP_MS: Final = 1000
_DEADLINE_S: Final = 60.0
_KEPT_ROUNDS: Final = 3
_FLAGS: Final = (
    "metrics.block_slots=10",
    "metrics.raw_blocks=2",
    "metrics.snapshot_every_s=1",
    "metrics.max_lines=200000",
    "metrics.max_points=50000000",
)


class Outcome(NamedTuple):
    """What a drill found; `lost` and `invented` must be empty."""

    rounds: int
    acknowledged: int
    unanswered: int
    lost: list[Point]
    invented: list[Point]
    damaged: list[str]


class Server:
    """A `breakwater serve` process and the one way to ask it something."""

    def __init__(self, process: "subprocess.Popen[str]", port: int) -> None:
        self.process = process
        self.port = port

    def ask(self, path: str) -> Any:  # Any: decoded JSON
        """GET; the decoded answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_DEADLINE_S)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 200:
                raise RuntimeError(f"{path} was answered {answer.status}: {body[:200]!r}")
            return json.loads(body)
        finally:
            connection.close()


@contextmanager
def server(folder: Path) -> Generator[Server, None, None]:
    """A server that is ready; killed at the end."""
    ready = folder / "ready.json"
    ready.unlink(missing_ok=True)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("BREAKWATER_")}
    settings = [word for flag in _FLAGS for word in ("--set", flag)]
    with (folder / "stderr").open("a") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "breakwater.cli", "serve", "--port", "0", "--udp-port", "0",
             "--data-dir", str(folder / "data"), "--ready-file", str(ready),
             "--die-with-parent", *settings],
            cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True,
        )  # fmt: skip
    assert process.stdout is not None
    try:
        readable, _, _ = select.select([process.stdout], [], [], _DEADLINE_S)
        if not readable or not process.stdout.readline():
            raise RuntimeError(f"no start: {(folder / 'stderr').read_text()[-2000:]}")
        while not ready.exists():
            time.sleep(0.005)
        yield Server(process, json.loads(ready.read_text())["http_port"])
    finally:
        process.kill()
        process.wait(_DEADLINE_S)
        process.stdout.close()


class Publisher:
    """Sends batches until nobody answers; remembers what was acknowledged and what was not."""

    def __init__(self, name: str, port: int, first_value: float) -> None:
        self.name = name
        self.acknowledged: dict[Point, float] = {}
        self.unanswered: dict[Point, float] = {}
        self.problem = ""
        self._port = port
        self._value = first_value
        self._second = 0
        self._used = 0

    def run(self) -> None:
        """Publish until the connection breaks."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_DEADLINE_S)
        try:
            while self._publish(connection):
                pass
        except (OSError, http.client.HTTPException):
            return
        finally:
            connection.close()

    def _publish(self, connection: http.client.HTTPConnection) -> bool:
        batch = self._batch()
        metrics = [
            {"tags": {"name": "drill", "worker": self.name, "no": series},
             "timestamp": stamp, "value": value}
            for (_, series, stamp), value in batch.items()
        ]  # fmt: skip
        self.unanswered.update(batch)
        connection.request("POST", "/api/v1/publish", json.dumps({"metrics": metrics}))
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            self.problem = f"publish was answered {answer.status}: {body[:200]!r}"
            return False
        for point in batch:
            del self.unanswered[point]
        self.acknowledged.update(batch)
        return True

    def _batch(self) -> dict[Point, float]:
        """Datapoints nobody sent before: another series for each batch of a second."""
        second = time.time_ns() // 1_000_000_000
        if second != self._second:
            self._second, self._used = second, 0
        batch = {}
        for _ in range(_BATCH):
            self._value += 1
            batch[self.name, f"n{self._used}", second * _STEP_MS] = self._value
            self._used += 1
        return batch


class Drill:
    """Rounds of sending and killing on one data folder."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder = folder
        self._random = random.Random(seed)
        self._acknowledged: dict[Point, float] = {}
        self._unanswered: dict[Point, float] = {}
        self._round_starts_ms: list[int] = []
        self._value = 0.0
        self._seen: set[Point] = set()
        self.lost: list[Point] = []
        self.invented: list[Point] = []
        self.damaged: list[str] = []

    def run(self, rounds: int) -> Outcome:
        """So many kills, a check after each, and one of everything at the end."""
        for _ in range(rounds):
            with server(self._folder) as started:
                self._check(started, self._since(_KEPT_ROUNDS))
                self._send_and_kill(started)
        with server(self._folder) as started:
            self._check(started, self._since(rounds))
        return Outcome(
            rounds=rounds,
            acknowledged=len(self._acknowledged),
            unanswered=len(self._unanswered),
            lost=self.lost,
            invented=self.invented,
            damaged=self.damaged,
        )

    def _since(self, rounds: int) -> int:
        starts = self._round_starts_ms[-rounds:]
        return starts[0] if starts else time.time_ns() // 1_000_000 - _STEP_MS

    def _send_and_kill(self, started: Server) -> None:
        self._round_starts_ms.append(time.time_ns() // 1_000_000_000 * _STEP_MS)
        publishers = []
        for number in range(PUBLISHERS):
            self._value += 1e6
            publishers.append(Publisher(f"w{number}", started.port, self._value))
        threads = [threading.Thread(target=each.run) for each in publishers]
        for thread in threads:
            thread.start()
        time.sleep(self._random.uniform(0.05, 2.5))
        started.process.send_signal(signal.SIGKILL)
        for thread in threads:
            thread.join()
        for each in publishers:
            if each.problem:
                raise RuntimeError(each.problem)
            for point, value in each.unanswered.items():
                if point not in self._acknowledged:  # sent twice within one second of two rounds
                    self._unanswered[point] = value
            for point, value in each.acknowledged.items():
                self._acknowledged[point] = value

    def _check(self, started: Server, since_ms: int) -> None:
        recovered = started.ask("/api/v1/stats")["metrics"]["durability"]["recovered"]
        self.damaged += recovered["damaged"]
        found = self._found(started, since_ms)
        for point, value in found.items():
            if value not in (self._acknowledged.get(point), self._unanswered.get(point)):
                self.invented.append(point)
        for point, value in self._acknowledged.items():
            if point[2] >= since_ms and found.get(point) not in (value, self._late(point)):
                self.lost.append(point)

    def _late(self, point: Point) -> float:
        """What may have replaced an acknowledged value: one that was sent and not answered."""
        return self._unanswered.get(point, -1.0)

    def _found(self, started: Server, since_ms: int) -> dict[Point, float]:
        found: dict[Point, float] = {}
        end_ms = time.time_ns() // 1_000_000 + 2 * _STEP_MS
        for number in range(PUBLISHERS):
            worker = f"w{number}"
            query = f"name,drill,:eq,worker,{worker},:eq,:and,(,no,),:by"
            for first in range(since_ms - _STEP_MS, end_ms, 60 * _STEP_MS):
                last = min(first + 60 * _STEP_MS, end_ms)
                window = f"s={first}&e={last}&step=1s&format=std.json"
                graph = started.ask(f"/api/v1/graph?q={query}&{window}")
                _collect(graph, worker, found)
        return found


def _collect(graph: dict[str, Any], worker: str, found: dict[Point, float]) -> None:
    names = [tags["no"] for tags in graph["metrics"]]
    for position, line in enumerate(graph["values"]):
        stamp = graph["start"] + position * graph["step"]
        for name, value in zip(names, line, strict=True):
            if value != "NaN":
                found[worker, name, stamp] = value


def main() -> int:
    """Run a drill; exit 1 when anything was lost or invented."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where the files go; default: a temporary one")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        outcome = Drill(Path(name), asked.seed).run(asked.rounds)
    print(
        f"{outcome.rounds} kills, {outcome.acknowledged} datapoints acknowledged, "
        f"{outcome.unanswered} sent without an answer: {len(outcome.lost)} lost, "
        f"{len(outcome.invented)} invented; {len(outcome.damaged)} torn tails cut"
    )
    for kind, points in (("lost", outcome.lost), ("invented", outcome.invented)):
        for point in points[:10]:
            print(f"{kind}: {point}")
    return 1 if outcome.lost or outcome.invented else 0


if __name__ == "__main__":
    sys.exit(main())
