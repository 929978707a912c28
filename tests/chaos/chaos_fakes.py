"""What the chaos tests share: a journal in memory, a registry of given instances, real victims."""

import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import uvicorn
from starlette.applications import Starlette
from tests.announcing import AnnouncingServer

from breakwater.chaos import Chaos, ChaosKind, FaultRequest, Machine
from breakwater.chaos.deadman import started_ticks, stat_fields
from breakwater.chaos.http import routes
from breakwater.model import Change, ChangeKind, Instance, InstanceView

DEADLINE_S = 20.0
MACHINE = Machine(hosts=frozenset({"here", "10.0.0.1"}), booted_s=1_000_000.0, ticks_per_s=100)


class MemoryJournal:
    """Keeps changes in a list; `failure` is raised instead while it is set."""

    def __init__(self) -> None:
        self.stored: list[Change] = []
        self.failure: Exception | None = None

    async def record(self, change: Change) -> Change:
        """Keep the change and number it."""
        if self.failure is not None:
            raise self.failure
        change = msgspec.structs.replace(change, id=len(self.stored))
        self.stored.append(change)
        return change

    async def close(self, change_id: int, end_ms: int | None = None) -> Change:
        """Set the end of a kept change."""
        if self.failure is not None:
            raise self.failure
        change = self.stored[change_id]
        if change.end_ms is None:
            self.stored[change_id] = msgspec.structs.replace(change, end_ms=end_ms)
        return self.stored[change_id]

    async def changes(self, *, kinds: Sequence[ChangeKind], limit: int) -> list[Change]:
        """The kept changes, newest first."""
        if self.failure is not None:
            raise self.failure
        return [change for change in reversed(self.stored) if change.kind in kinds][:limit]


def instance(service: str, number: int, **more: object) -> Instance:
    """An instance of this machine whose process is made up."""
    fields: dict[str, object] = {
        "service": service,
        "instance_id": f"{service}-{number}",
        "host": "here",
        "port": 8000 + number,
        "metadata": {"pid": str(1000 + number), "pid_started": str(500 + number)},
    }
    return msgspec.convert(fields | more, Instance)


def view(*instances: Instance) -> InstanceView:
    """A registry that holds these."""
    return InstanceView(revision=1, instances=list(instances))


def request(kind: ChaosKind | str, service: str = "ranker", **more: object) -> FaultRequest:
    """A request as it would come over HTTP."""
    return msgspec.convert({"kind": str(kind), "service": service, **more}, FaultRequest)


@contextmanager
def serving(chaos: Chaos) -> Iterator[str]:
    """The URL of a real server with the routes of chaos, on a free port of loopback."""
    app = Starlette(routes=routes(chaos))
    config = uvicorn.Config(app, log_level="critical", lifespan="off", ws="none")
    listens = threading.Event()
    server = AnnouncingServer(config, listens.set)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            assert listens.wait(DEADLINE_S)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


class Victim:
    """A real process that sleeps, registered as the only instance of `ranker`."""

    def __init__(self, instance_id: str = "ranker-1") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", "import signal; signal.pause()"]
        )
        self.pid = self.process.pid
        self.instance = Instance(
            service="ranker",
            instance_id=instance_id,
            host="127.0.0.1",
            port=1,
            metadata={"pid": str(self.pid), "pid_started": str(started_ticks(self.pid))},
        )

    @property
    def state(self) -> str:
        """The kernel's letter: T is stopped, Z dead, S asleep."""
        return stat_fields(self.pid)[0]

    @property
    def is_free(self) -> bool:
        """Whether it lives and nobody holds it; just woken up it may be running, not asleep."""
        return self.state not in "tTZX"

    def wait_for(self, *states: str) -> None:
        """Block until the process is in one of the states, within the deadline."""
        deadline = time.monotonic() + DEADLINE_S
        while self.state not in states:
            assert time.monotonic() < deadline, f"state is {self.state}, not one of {states}"
            select.select([], [], [], 0.005)


@contextmanager
def victims(count: int) -> Iterator[list[Victim]]:
    """So many victims, gone at the end whatever state they are in."""
    started = [Victim(f"ranker-{number}") for number in range(1, count + 1)]
    try:
        yield started
    finally:
        for victim in started:
            victim.process.kill()
            victim.process.wait()


def children_running(script: str) -> list[int]:
    """Pids of the processes of this machine with an argument that begins with `script`."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            command = (folder / "cmdline").read_bytes() if folder.name.isdigit() else b""
        except OSError:
            continue
        is_one = any(word.startswith(script.encode()) for word in command.split(b"\0"))
        if is_one and int(folder.name) != os.getpid():
            found.append(int(folder.name))
    return found


def kill_all(pids: list[int]) -> None:
    """SIGKILL these, those that are gone aside."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
