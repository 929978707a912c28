"""Faults of processes: real victims are frozen, killed, thawed, or left alone."""

import contextlib
import ctypes
import os
import signal
from collections.abc import Iterator

import anyio
import msgspec
import psutil
import pytest
from tests.chaos.chaos_fakes import (
    Victim,
    children_running,
    instance,
    request,
    view,
)
from tests.chaos.fault_bench import Bench

from breakwater.chaos import (
    FaultState,
    UndoFailedError,
    VictimError,
    lifeline,
)
from breakwater.chaos.deadman import started_ticks

pytestmark = pytest.mark.anyio


@pytest.mark.slow
async def test_a_frozen_process_stands_still_until_it_is_undone(
    bench: Bench, victim: Victim
) -> None:
    """Freeze stops exactly the registered process; undo continues it and ends the dead-man."""
    chaos = bench.chaos()
    fault = await chaos.inject(request("freeze"))
    victim.wait_for("T")
    assert fault.acts[0].pid == victim.pid
    assert children_running(f"{victim.pid}:")
    await chaos.undo(fault.id)
    assert victim.is_free
    assert children_running(f"{victim.pid}:") == []


@pytest.mark.slow
async def test_a_crash_kills_the_process_and_says_it_is_not_undone(
    bench: Bench, victim: Victim
) -> None:
    """Crash is SIGKILL; its undo only ends the record."""
    chaos = bench.chaos()
    fault = await chaos.inject(request("crash"))
    assert victim.process.wait(timeout=20) == -signal.SIGKILL
    assert "started again" in fault.note
    assert (await chaos.undo(fault.id)).state is FaultState.UNDONE


@pytest.mark.slow
async def test_the_death_of_the_dead_man_ends_the_freeze(bench: Bench, victim: Victim) -> None:
    """Without a dead-man nobody would thaw the victim after a crash, so it is thawed at once."""
    chaos = bench.chaos()
    fault = await chaos.inject(request("freeze"))
    victim.wait_for("T")
    (deadman,) = children_running(f"{victim.pid}:")
    os.kill(deadman, signal.SIGKILL)
    with anyio.fail_after(20):
        while chaos.find(fault.id).state is FaultState.ACTIVE:
            await chaos.maintain()
    assert victim.is_free


@contextlib.contextmanager
def traced(pid: int) -> Iterator[None]:
    """Hold a stopped process in a tracing stop, which SIGCONT does not end."""
    libc = ctypes.CDLL(None, use_errno=True)
    attach, detach = 16, 17
    assert libc.ptrace(attach, pid, None, None) == 0, os.strerror(ctypes.get_errno())
    os.waitpid(pid, 0)
    try:
        yield
    finally:
        assert libc.ptrace(detach, pid, None, None) == 0, os.strerror(ctypes.get_errno())


@pytest.mark.slow
async def test_an_undo_that_fails_is_tried_until_it_succeeds(bench: Bench, victim: Victim) -> None:
    """A victim that stays stopped keeps its fault active and the others are undone."""
    chaos = bench.chaos()
    frozen = await chaos.inject(request("freeze"))
    slow = await chaos.inject(request("latency"))
    victim.wait_for("T")
    with traced(victim.pid):
        with pytest.raises(UndoFailedError, match=rf"{frozen.id}.*pid {victim.pid}"):
            await chaos.undo_all()
        assert chaos.find(slow.id).state is FaultState.UNDONE
        await chaos.maintain()
        assert chaos.find(frozen.id).state is FaultState.ACTIVE
        bench.crash()
        again = bench.chaos()
        with pytest.raises(UndoFailedError, match=frozen.id):
            await again.recover()
    await again.maintain()
    assert again.find(frozen.id).state is FaultState.UNDONE
    assert bench.open_on_disk() == set()
    for running in chaos._running.values():
        assert running.lifeline is not None
        await running.lifeline.release()


@pytest.mark.parametrize("program", ["/bin/false", "/no/such/program"])
async def test_without_a_dead_man_nothing_is_frozen(
    bench: Bench, victim: Victim, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    """A dead-man that does not start means that the freeze is refused and closed again."""
    monkeypatch.setattr(lifeline, "_DEADMAN", [program])
    chaos = bench.chaos()
    with pytest.raises(VictimError, match="nothing was frozen"):
        await chaos.inject(request("freeze"))
    assert victim.is_free
    assert chaos.faults(active_only=True) == []
    assert bench.journal.stored[0].end_ms is not None
    assert bench.open_on_disk() == set()


async def test_a_process_that_has_died_is_not_a_victim(bench: Bench, victim: Victim) -> None:
    """A zombie, and a process that is gone altogether, are refused as gone."""
    chaos = bench.chaos()
    victim.process.kill()
    victim.wait_for("Z")
    with pytest.raises(VictimError, match="is gone"):
        await chaos.inject(request("crash"))
    victim.process.wait()
    with pytest.raises(VictimError, match="is gone"):
        await chaos.inject(request("crash"))


@pytest.mark.slow
async def test_undo_of_a_victim_that_died_meanwhile_succeeds(bench: Bench, victim: Victim) -> None:
    """Nothing is left to thaw when a frozen process was killed."""
    chaos = bench.chaos()
    fault = await chaos.inject(request("freeze"))
    victim.process.kill()
    victim.process.wait()
    assert (await chaos.undo(fault.id)).state is FaultState.UNDONE


async def test_a_pid_of_another_process_is_not_signalled(bench: Bench, victim: Victim) -> None:
    """When pid and start time do not name one living process, nothing is touched or written."""
    chaos = bench.chaos()
    meta = victim.instance.metadata | {"pid_started": "12345"}
    bench.view = view(msgspec.structs.replace(victim.instance, metadata=meta))
    for kind in ("freeze", "crash"):
        with pytest.raises(VictimError, match="another process's"):
            await chaos.inject(request(kind))
    assert victim.is_free
    assert bench.journal.stored == []


async def test_a_start_time_in_seconds_names_the_same_process(bench: Bench, victim: Victim) -> None:
    """An instance registered with seconds since the epoch is held by its exact ticks."""
    ticks = int(victim.instance.metadata["pid_started"])
    started_s = psutil.boot_time() + ticks / os.sysconf("SC_CLK_TCK")
    meta = victim.instance.metadata | {"pid_started": f"{started_s:.2f}"}
    bench.view = view(msgspec.structs.replace(victim.instance, metadata=meta))
    chaos = bench.chaos()
    fault = await chaos.inject(request("freeze"))
    assert (fault.acts[0].started_ticks, fault.acts[0].slack_ticks) == (ticks, 0)
    await chaos.close()


async def test_what_somebody_else_stopped_is_left_alone(bench: Bench, victim: Victim) -> None:
    """A process that is stopped already is refused: undo would continue it behind their back."""
    os.kill(victim.pid, signal.SIGSTOP)
    victim.wait_for("T")
    with pytest.raises(VictimError, match="stopped already"):
        await bench.chaos().inject(request("freeze"))


async def test_the_platform_does_not_freeze_itself(bench: Bench) -> None:
    """An instance registered with the platform's own pid is refused."""
    meta = {"pid": str(os.getpid()), "pid_started": str(started_ticks(os.getpid()))}
    bench.view = view(instance("ranker", 1, host="localhost", metadata=meta))
    with pytest.raises(VictimError, match="platform itself"):
        await bench.chaos().inject(request("freeze"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a process of another user")
async def test_processes_of_another_user_are_left_alone(bench: Bench) -> None:
    """Even as root, only processes of the platform's own user are touched."""
    process = await anyio.open_process(["sleep", "60"], user=65534)
    try:
        meta = {"pid": str(process.pid), "pid_started": str(started_ticks(process.pid))}
        bench.view = view(instance("ranker", 1, host="localhost", metadata=meta))
        with pytest.raises(VictimError, match="belongs to user 65534"):
            await bench.chaos().inject(request("freeze"))
    finally:
        process.kill()
        await process.wait()
        await process.aclose()
