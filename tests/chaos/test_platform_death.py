"""The dead-man for real: the platform's process is killed while a victim is frozen."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.chaos.chaos_fakes import Victim, children_running, kill_all, victims

from breakwater.chaos.ledger import replay

pytestmark = pytest.mark.slow

PLATFORM = """
import sys
from pathlib import Path
import anyio
from breakwater.chaos import Chaos, ChaosSettings
from breakwater.model import SystemClock
from tests.chaos.chaos_fakes import MemoryJournal, instance, request, view

async def main():
    folder, pid, ticks, duration_s = sys.argv[1:]
    one = instance("ranker", 1, host="127.0.0.1", metadata={"pid": pid, "pid_started": ticks})
    settings = ChaosSettings(leashed=False, max_share=1.0)
    ledger = Path(folder) / "undo.ledger"
    chaos = Chaos(lambda: view(one), ledger, MemoryJournal(), SystemClock(), settings)
    fault = await chaos.inject(request("freeze", duration_s=float(duration_s)))
    print(fault.id, flush=True)
    await anyio.sleep_forever()

anyio.run(main)
"""


class Platform:
    """A process that froze the victim and holds its lifeline."""

    def __init__(self, folder: Path, victim: Victim, duration_s: float) -> None:
        meta = victim.instance.metadata
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                PLATFORM,
                str(folder),
                meta["pid"],
                meta["pid_started"],
                str(duration_s),
            ],
            stdout=subprocess.PIPE,
            start_new_session=True,
            cwd=Path(__file__).parents[2],
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:  # a log line may come first
            if line.startswith(b"f-"):
                break

    def end(self) -> None:
        """Clean up whatever the test left."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def victim() -> Iterator[Victim]:
    """A real process, and no dead-man of it left behind."""
    with victims(1) as (one,):
        yield one
        kill_all(children_running(f"{one.pid}:"))


@pytest.mark.parametrize("whole_group", [False, True])
def test_a_frozen_victim_runs_again_when_the_platform_is_killed(
    tmp_path: Path, victim: Victim, *, whole_group: bool
) -> None:
    """Kill -9 of the platform, or of its whole process group, thaws the victim."""
    platform = Platform(tmp_path, victim, 600.0)
    try:
        victim.wait_for("T")
        if whole_group:
            os.killpg(platform.process.pid, signal.SIGKILL)
        else:
            platform.process.kill()
        victim.wait_for("S")
        victim_record = f"{victim.pid}:"
        while children_running(victim_record):
            platform.process.wait()
        assert len(replay((tmp_path / "undo.ledger").read_bytes()).open) == 1
    finally:
        platform.end()


def test_a_frozen_victim_runs_again_when_the_platform_itself_is_frozen(
    tmp_path: Path, victim: Victim
) -> None:
    """A platform that hangs cannot thaw: the dead-man does so after the fault's time."""
    platform = Platform(tmp_path, victim, 1.0)
    try:
        victim.wait_for("T")
        platform.process.send_signal(signal.SIGSTOP)
        victim.wait_for("S")
    finally:
        platform.end()


def test_a_dead_man_is_not_disturbed_while_it_thaws(victim: Victim) -> None:
    """A signal in the middle of the thawing does not keep it from being done."""
    script = """
import os, signal, sys
from breakwater.chaos import deadman
send = signal.pidfd_send_signal
def disturbed(pidfd, number):
    os.kill(os.getpid(), signal.SIGTERM)
    send(pidfd, number)
signal.pidfd_send_signal = disturbed
sys.exit(deadman.main())
"""
    meta = victim.instance.metadata
    os.kill(victim.pid, signal.SIGSTOP)
    victim.wait_for("T")
    subprocess.run(
        [sys.executable, "-c", script, "600", f"{meta['pid']}:{meta['pid_started']}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=60,
    )
    victim.wait_for("S")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_dead_man_that_is_asked_to_end_thaws_first(
    tmp_path: Path, victim: Victim, number: signal.Signals
) -> None:
    """Ending the dead-man politely never leaves a frozen process behind."""
    platform = Platform(tmp_path, victim, 600.0)
    try:
        victim.wait_for("T")
        (deadman,) = children_running(f"{victim.pid}:")
        os.kill(deadman, number)
        victim.wait_for("S")
    finally:
        platform.end()
