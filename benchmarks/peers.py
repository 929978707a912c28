"""Engines as processes that take remote write and answer queries: ours and two from Debian.

Each is started in a folder of its own on loopback, bound to the first core while it takes data
and let onto all cores for queries; the client keeps to the last core.
"""

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple, Self

import httptools
import numpy as np
from numpy.typing import NDArray

from benchmarks.fleet_data import MINUTES, STEP_MS

_PATIENCE_S: Final = 120.0
_READ_BYTES: Final = 1 << 20
_LITTLE_LOG_BYTES: Final = 2 << 20
_MEMORY_LOOKED_AT_S: Final = 11.0
"""The platform looks once in ten seconds whether it can give memory back."""
_TICKS: Final = os.sysconf("SC_CLK_TCK")
FIRST_CORE: Final = {0}
ALL_CORES: Final = set(range(os.cpu_count() or 1))
LAST_CORE: Final = {max(ALL_CORES)}

Lines = Mapping[str, NDArray[np.float64]]


class Question(NamedTuple):
    """One query in both languages; `by` is the label its lines differ in, empty for one line."""

    name: str
    stack: str
    promql: str
    by: str
    listed_ms: tuple[float, float, float] | None = None


class Answer(NamedTuple):
    """Lines by the value of the label they differ in; how long it took; time in the engine."""

    lines: Lines
    seconds: float
    engine_seconds: float | None


class Connection:
    """One kept-alive HTTP connection for what is sent, and another for what is asked.

    Questions are asked in bare bytes and their answers read by llhttp: the standard library's
    client takes a tenth of a millisecond for itself, which would be put down to the engine.
    """

    def __init__(self, port: int) -> None:
        self._http = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE_S)
        self._http.connect()
        self._http.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._asking = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_S)
        self._asking.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._host = f"127.0.0.1:{port}"

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Send a body; raises RuntimeError with the answer when it was not taken."""
        self._http.request("POST", path, body, dict(headers))
        answer = self._http.getresponse()
        text = answer.read()
        if answer.status not in (200, 202, 204):
            raise RuntimeError(f"{path}: {answer.status} {text[:300]!r}")

    def turned_away_s(self) -> float:
        """Seconds until a request for nothing that exists is answered: what HTTP alone takes."""
        return self._asked("/nothing-is-here")[1]

    def get(self, path: str, **parameters: str) -> tuple[bytes, float]:
        """The answer to a query and the seconds until all of it was there."""
        target = f"{path}?{urllib.parse.urlencode(parameters)}" if parameters else path
        answer, taken_s = self._asked(target)
        if answer.status != http.HTTPStatus.OK:
            raise RuntimeError(f"{target}: {answer.status} {answer.body[:300]!r}")
        return answer.body, taken_s

    def _asked(self, target: str) -> "tuple[_Read, float]":
        request = f"GET {target} HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode()
        answer = _Read()
        began_s = time.perf_counter()
        self._asking.sendall(request)
        while not answer.is_whole:
            answer.take(self._asking.recv(_READ_BYTES))
        return answer, time.perf_counter() - began_s


class _Read:
    """An answer as it comes in."""

    def __init__(self) -> None:
        self.is_whole = False
        self._parts: list[bytes] = []
        self._parser = httptools.HttpResponseParser(self)

    def take(self, received: bytes) -> None:
        """More bytes of it; raises RuntimeError when there are none to come."""
        if not received:
            raise RuntimeError("the engine closed the connection in the middle of an answer")
        self._parser.feed_data(received)

    def on_body(self, part: bytes) -> None:
        """A part of the body, told by the parser."""
        self._parts.append(part)

    def on_message_complete(self) -> None:
        """All of it is there, told by the parser."""
        self.is_whole = True

    @property
    def status(self) -> int:
        """The status code."""
        return int(self._parser.get_status_code())

    @property
    def body(self) -> bytes:
        """The body, once it is whole."""
        return b"".join(self._parts)


class Engine:
    """One running server; what differs between engines is in the subclasses."""

    name = ""
    write_path = "/api/v1/write"
    program = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / self.name
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.data = self.folder / "data"
        self.port = _free_port()
        self._log = (self.folder / "log").open("wb")
        self.process = self._start()

    @classmethod
    def is_installed(cls) -> bool:
        """Whether there is a program to run."""
        return shutil.which(cls.program) is not None

    def command(self) -> list[str]:
        """What to run."""
        raise NotImplementedError

    def settle(self) -> None:
        """Wait until what was written can be read and has found its place on disk."""

    def fetch(
        self, connection: Connection, question: Question, start_ms: int
    ) -> tuple[bytes, float]:
        """The answer to a question over the whole window as it comes, and its seconds."""
        return connection.get(
            "/api/v1/query_range",
            query=question.promql,
            start=str(start_ms // 1000),
            end=str((start_ms + (MINUTES - 1) * STEP_MS) // 1000),
            step="60",
            nocache="1",
        )

    def ask(self, connection: Connection, question: Question, start_ms: int) -> Answer:
        """The answer to a question, read."""
        body, seconds = self.fetch(connection, question, start_ms)
        return Answer(_prometheus_lines(body, question.by, start_ms), seconds, None)

    @property
    def cpu_s(self) -> float:
        """CPU seconds the process has used."""
        stat = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(stat[11]) + int(stat[12])) / _TICKS

    @property
    def memory_bytes(self) -> int:
        """Resident memory of the process."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * 4096

    @property
    def disk_bytes(self) -> int:
        """What it keeps on disk, in allocated blocks."""
        files = [path for path in self.data.rglob("*") if path.is_file()]
        return sum(512 * path.stat().st_blocks for path in files)

    def bind(self, cores: set[int]) -> None:
        """Let the process run on these cores only."""
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), cores)

    def __enter__(self) -> Self:
        """Wait until it listens."""
        due_s = time.monotonic() + _PATIENCE_S
        while time.monotonic() < due_s:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended; see {self.folder / 'log'}")
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            time.sleep(0.05)
        raise RuntimeError(f"{self.name} does not listen after {_PATIENCE_S:g} s")

    def __exit__(self, *_: object) -> None:
        """End the process and remove what it kept."""
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self) -> subprocess.Popen[bytes]:
        # Go sizes itself by the cores it is started on; tell it of those it gets for queries.
        env = {**os.environ, "GOMAXPROCS": str(len(ALL_CORES))}
        return subprocess.Popen(
            self.command(),
            stdout=self._log,
            stderr=self._log,
            env=env,
            preexec_fn=lambda: os.sched_setaffinity(0, FIRST_CORE),  # noqa: PLW1509 - no threads yet
        )


class Breakwater(Engine):
    """This project, as `breakwater serve` runs it."""

    name = "breakwater"
    program = sys.executable

    late_ms = (MINUTES + 10) * STEP_MS
    snapshot_every_s = 10  # so that the disk has settled soon after the load

    def command(self) -> list[str]:
        """The platform with a clock that is late by the length of the data."""
        settings = {
            "data_dir": self.data,
            "server.port": self.port,
            "ingest.port": 0,
            "ingest.max_ahead_ms": 2 * self.late_ms,
            "metrics.step_ms": STEP_MS,
            "metrics.retention_s": (MINUTES + 60) * STEP_MS // 1000,
            "metrics.max_ahead_steps": MINUTES + 20,
            "metrics.max_series_per_name": 1_000_000,
            "metrics.max_series_per_app": 1_000_000,
            "metrics.snapshot_every_s": self.snapshot_every_s,
        }
        assignments = [f"{name}={value}" for name, value in settings.items()]
        ready = str(self.folder / "ready.json")
        module = "benchmarks.late_server"
        return [self.program, "-m", module, str(self.late_ms), ready, *assignments]

    def settle(self) -> None:
        """Wait until two snapshots hold all of the load, and memory does not fall any more."""
        connection, due_s = Connection(self.port), time.monotonic() + _PATIENCE_S
        least, since_s = self.memory_bytes, time.monotonic()
        while True:
            stats = json.loads(connection.get("/api/v1/stats")[0])["metrics"]["durability"]
            kept_bytes = stats["kept_log_bytes"] + stats["log"]["waiting_bytes"]
            now_s, memory = time.monotonic(), self.memory_bytes
            if kept_bytes > _LITTLE_LOG_BYTES or memory < 0.99 * least:
                least, since_s = memory, now_s
            if now_s > since_s + _MEMORY_LOOKED_AT_S:
                return
            if now_s > due_s:
                raise RuntimeError(f"{kept_bytes} bytes of log are still there: {stats}")
            time.sleep(0.5)

    def fetch(
        self, connection: Connection, question: Question, start_ms: int
    ) -> tuple[bytes, float]:
        """The answer of the graph endpoint."""
        return connection.get(
            "/api/v1/graph",
            q=question.stack,
            s=str(start_ms - STEP_MS),
            e=str(start_ms + (MINUTES - 1) * STEP_MS),
            step="1m",
            format="std.json",
        )

    def ask(self, connection: Connection, question: Question, start_ms: int) -> Answer:
        """The answer, read; its explanation says what the engine took."""
        body, seconds = self.fetch(connection, question, start_ms)
        found = json.loads(body)
        values = np.array(found["values"], dtype=np.float64).T
        names = [line.get(question.by, "") for line in found["metrics"]]
        engine_s = found.get("explain", {}).get("dataFetchTime")
        return Answer(
            dict(zip(names, values, strict=True)),
            seconds,
            None if engine_s is None else engine_s / 1000,
        )


class Publishing(Breakwater):
    """This project with the pace of snapshots it has by default, for one way in alone."""

    snapshot_every_s = 300


class Prometheus(Engine):
    """Debian's `prometheus`."""

    name = "prometheus"
    program = "prometheus"

    def command(self) -> list[str]:
        """Nothing to scrape, remote write on, limits out of the way."""
        (self.folder / "empty.yml").write_text("scrape_configs: []\n")
        return [
            self.program,
            f"--config.file={self.folder / 'empty.yml'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            f"--storage.tsdb.path={self.data}",
            "--web.enable-remote-write-receiver",
            "--query.max-samples=500000000",
            "--log.level=warn",
        ]

    def settle(self) -> None:
        """Give it time for what it does after a load."""
        time.sleep(10)


class VictoriaMetrics(Engine):
    """Debian's `victoria-metrics`."""

    name = "victoria"
    program = "victoria-metrics"

    def command(self) -> list[str]:
        """Limits out of the way."""
        return [
            self.program,
            f"-httpListenAddr=127.0.0.1:{self.port}",
            f"-storageDataPath={self.data}",
            "-search.maxUniqueTimeseries=2000000",
            "-search.maxSamplesPerQuery=2000000000",
            "-search.latencyOffset=0s",
            "-loggerLevel=WARN",
        ]

    def settle(self) -> None:
        """Flush, and give it time to merge."""
        Connection(self.port).get("/internal/force_flush")
        time.sleep(10)


def _prometheus_lines(body: bytes, by: str, start_ms: int) -> Lines:
    lines = {}
    label = "__name__" if by == "name" else by
    for each in json.loads(body)["data"]["result"]:
        values = np.full(MINUTES, np.nan)
        for stamp_s, text in each["values"]:
            values[(int(stamp_s) * 1000 - start_ms) // STEP_MS] = float(text)
        lines[each["metric"].get(label, "")] = values
    return lines


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
