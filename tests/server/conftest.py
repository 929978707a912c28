"""Real servers: `breakwater serve` as a process, on free ports, in a folder of its own."""

import http.client
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

DEADLINE_S = 60.0
SERVE = ("-m", "breakwater.cli", "serve")


class Answer:
    """Status, headers and body of one HTTP answer."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


class RunningServer:
    """A `breakwater serve` process that said it is ready."""

    def __init__(self, process: "subprocess.Popen[str]", ready: dict[str, Any], line: str) -> None:
        self.process = process
        self.ready = ready
        self.line = line
        self.http_port: int = ready["http_port"]
        self.udp_port: int = ready["udp_port"]

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request; a body that is not bytes is sent as JSON."""
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=DEADLINE_S)
        try:
            kind = {} if content is None else {"content-type": "application/json"}
            connection.request(method, path, content, {**kind, **(headers or {})})
            answer = connection.getresponse()
            return Answer(
                answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
            )
        finally:
            connection.close()

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit status."""
        self.process.send_signal(how)
        return self.process.wait(DEADLINE_S)


@contextmanager
def running(folder: Path, *flags: str, program: Sequence[str] = SERVE) -> Iterator[RunningServer]:
    """Start a server in `folder` and stop it, whatever happens."""
    ready_file = folder / "ready.json"
    ready_file.unlink(missing_ok=True)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("BREAKWATER_")}
    with (folder / "stderr").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, *program, "--port", "0", "--udp-port", "0",
             "--data-dir", str(folder / "data"), "--ready-file", str(ready_file),
             "--die-with-parent", *flags],
            cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
    assert process.stdout is not None
    try:
        readable, _, _ = select.select([process.stdout], [], [], DEADLINE_S)
        line = process.stdout.readline() if readable else ""
        assert line, f"the server did not start: {(folder / 'stderr').read_text()}"
        wait_until(ready_file.exists)
        yield RunningServer(process, json.loads(ready_file.read_text()), line)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(DEADLINE_S)
        process.stdout.close()


def wait_until(holds: Callable[[], object], deadline_s: float = DEADLINE_S) -> None:
    """Return as soon as the condition holds; fail at the deadline."""
    pause = threading.Event()
    end = time.monotonic() + deadline_s
    while not holds():
        assert time.monotonic() < end, "the condition did not come true in time"
        pause.wait(0.03)


@pytest.fixture(scope="session")
def start_server() -> Callable[..., AbstractContextManager[RunningServer]]:
    """Starts servers with their own flags."""
    return running


@pytest.fixture(scope="session")
def until() -> Callable[..., None]:
    """Waits for a condition with a deadline."""
    return wait_until


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One server with default settings, shared by the tests that only talk to it."""
    with running(tmp_path_factory.mktemp("server")) as started:
        yield started
