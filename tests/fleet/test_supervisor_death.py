"""Whatever happens to the supervisor's own process, no process of its fleet stays behind."""

import os
import random
import secrets
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
DEADLINE_S = 20.0

HOST = """
import sys
from pathlib import Path
import anyio
from breakwater.fleet import Supervisor
from breakwater.model import ProcessSpec, SystemClock

async def main():
    show = lambda e: print(e.kind.value, e.pid, flush=True)
    async with Supervisor(Path(sys.argv[1]), SystemClock(), on_event=show, grace_s=2.0) as fleet:
        victim = [sys.executable, "-I", "-S", "-c", "import signal; signal.pause()"]
        await fleet.start(
            [ProcessSpec(name=f"v-{i}", service="v", argv=victim) for i in range(6)],
            max_parallel=2,
        )
        print("all", 0, flush=True)
        await anyio.sleep_forever()

anyio.run(main, backend_options={"use_uvloop": sys.argv[2] == "uvloop"})
"""


def marked(marker: str) -> list[int]:
    """Pids of all processes whose environment carries the marker."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                environment = (folder / "environ").read_bytes()
            except OSError:
                continue
            if marker.encode() in environment:
                found.append(int(folder.name))
    return found


class Host:
    """A supervisor in its own process and process group, with a marked environment."""

    def __init__(self, folder: Path, loop: str) -> None:
        self.marker = f"BREAKWATER_TEST_MARK={secrets.token_hex(8)}"
        name, _, value = self.marker.partition("=")
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOST, str(folder), loop],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, name: value},
        )

    def read_lines(self, count: int) -> list[str]:
        """Block until `count` event lines came."""
        assert self.process.stdout is not None
        return [self.process.stdout.readline().decode() for _ in range(count)]

    def assert_all_gone(self) -> None:
        """Fail unless every marked process ends within the deadline."""
        deadline = time.monotonic() + DEADLINE_S
        # A process between fork and exec shows no environment: look until two looks find none.
        looks_without = 0
        while looks_without < 2:
            left = marked(self.marker)
            looks_without = 0 if left else looks_without + 1
            for pid in left:
                assert ends_before(deadline, pid), f"process {pid} stayed behind"


def ends_before(deadline: float, pid: int) -> bool:
    """Wait for the end of any process; False when it outlives the deadline."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    ended, _, _ = select.select([pidfd], [], [], max(0.0, deadline - time.monotonic()))
    os.close(pidfd)
    return bool(ended)


@pytest.fixture(params=["asyncio", "uvloop"])
def host(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Host]:
    """Start the supervisor of one test, and clean up after it whatever happened."""
    made = Host(tmp_path, request.param)
    yield made
    for pid in marked(made.marker):
        os.kill(pid, signal.SIGKILL)
    made.process.wait()
    assert made.process.stdout is not None
    made.process.stdout.close()


@pytest.mark.parametrize("lines", [1, 5, 13])
def test_sigkill_of_the_supervisor_takes_its_fleet_along(host: Host, lines: int) -> None:
    """Kill -9 of the supervisor, during the start or after it, leaves no process."""
    host.read_lines(lines)
    assert marked(host.marker)
    host.process.kill()
    host.process.wait()
    host.assert_all_gone()


def test_sigkill_reaches_frozen_processes(host: Host) -> None:
    """A process that was frozen dies with its supervisor all the same."""
    pids = [int(line.split()[1]) for line in host.read_lines(13)]
    for pid in {*pids} - {0}:
        os.kill(pid, signal.SIGSTOP)
    host.process.kill()
    host.process.wait()
    host.assert_all_gone()


@pytest.mark.parametrize("seed", range(6))
def test_interrupt_at_any_moment_leaves_none(host: Host, seed: int) -> None:
    """Ctrl-C to the supervisor's group, once or twice, at a random moment, leaves no process."""
    rng = random.Random(seed)
    host.read_lines(rng.randrange(14) if seed else 0)
    for _ in range(rng.choice((1, 2))):
        try:
            host.process.wait(timeout=rng.uniform(0.0, 0.1))
        except subprocess.TimeoutExpired:
            os.killpg(host.process.pid, signal.SIGINT)
    host.process.wait(timeout=DEADLINE_S)
    host.assert_all_gone()
