"""Restarting every copy of a service under load: real processes, a real registry, a real client."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest
from benchmarks.registry_nodes import Node, free_ports, wait_until

from breakwater.sdk import Service
from breakwater.sdk.errors import CallError

pytestmark = pytest.mark.slow

DEADLINE_S = 60.0
SERVER = """
import asyncio, os, uvicorn
from breakwater.sdk import Service

async def app(scope, receive, send):
    await asyncio.sleep(0.02)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": os.environ["BREAKWATER_INSTANCE"].encode()})

uvicorn.run(
    Service.from_env().asgi(app), host="127.0.0.1", port=int(os.environ["BREAKWATER_PORT"]),
    log_level="warning", timeout_graceful_shutdown=5,
)
"""


class Copy:
    """One copy of the service, which can be restarted."""

    def __init__(self, program: Path, port: int, url: str) -> None:
        self.name = f"ranker-{port}"
        self._argv = [sys.executable, str(program)]
        self._environment = {
            **os.environ,
            "BREAKWATER_SERVICE": "ranker",
            "BREAKWATER_INSTANCE": self.name,
            "BREAKWATER_PORT": str(port),
            "BREAKWATER_URL": url,
            "BREAKWATER_METRICS": "none",
        }
        self.start()

    def start(self) -> None:
        """Start it."""
        self._process = subprocess.Popen(self._argv, env=self._environment)

    def end(self, how: signal.Signals) -> int:
        """End it; its exit code."""
        self._process.send_signal(how)
        return self._process.wait(DEADLINE_S)


@contextmanager
def copies(folder: Path, registry: Node, count: int) -> Iterator[list[Copy]]:
    """So many copies, all listed; none is left at the end."""
    program = folder / "server.py"
    program.write_text(SERVER)
    made = [Copy(program, port, registry.url) for port in free_ports(count)]
    try:
        wait_until(lambda: all(one.name in registry.native() for one in made))
        yield made
    finally:
        for one in made:
            one.end(signal.SIGKILL)


def test_nobody_notices_a_rolling_restart(tmp_path: Path) -> None:
    """Each copy ends by SIGTERM and comes back; of all calls meanwhile not one fails."""
    registry = Node(tmp_path / "registry", free_ports(1)[0])
    registry.start()
    try:
        with copies(tmp_path, registry, 3) as running:
            caller = Caller(registry.url)
            worker = threading.Thread(target=anyio.run, args=(caller.run,))
            worker.start()
            try:
                for one in running:
                    caller.await_answers_of(one.name)
                    assert one.end(signal.SIGTERM) in {0, -signal.SIGTERM}
                    assert one.name not in registry.native()
                    one.start()
                    await_listed(registry, one.name)
                    caller.await_answers_of(one.name)
            finally:
                caller.is_over = True
                worker.join(DEADLINE_S)
    finally:
        registry.end()
    assert caller.failures == []
    assert caller.answers > 100


def await_listed(registry: Node, name: str) -> None:
    """Wait until the registry has the copy."""
    wait_until(lambda: name in registry.native())


class Caller:
    """Calls all the time, ten calls at once, each tried at most twice."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._by_copy: dict[str, int] = {}
        self.failures: list[str] = []
        self.is_over = False

    @property
    def answers(self) -> int:
        """How many calls were answered."""
        return sum(self._by_copy.values())

    def await_answers_of(self, name: str) -> None:
        """Wait until that copy has answered some more calls."""
        wanted = self._by_copy.get(name, 0) + 5
        wait_until(lambda: self._by_copy.get(name, 0) >= wanted or self.failures)

    async def run(self) -> None:
        """Call until it is over."""
        async with Service("edge", url=self._url, metrics="none") as service:
            client = service.client("ranker", timeout_s=5.0, retries=1)

            async def call() -> None:
                while not self.is_over:
                    try:
                        name = (await client.get("/rank")).body.decode()
                    except CallError as error:
                        self.failures.append(str(error))
                    else:
                        self._by_copy[name] = self._by_copy.get(name, 0) + 1

            async with anyio.create_task_group() as group:
                for _ in range(10):
                    group.start_soon(call)
