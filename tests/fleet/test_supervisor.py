"""The supervisor with real processes: small Python programs that listen, sleep or fail."""

import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest

from breakwater.fleet import (
    DuplicateProcessError,
    FleetEvent,
    FleetEventKind,
    InvalidSpecError,
    ProcessState,
    RestartBudget,
    StartFailedError,
    Supervisor,
    SupervisorStoppedError,
    UnknownProcessError,
)
from breakwater.model import ProcessSpec, SystemClock

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
DEADLINE_S = 20.0

SLEEPER = "import signal; signal.pause()"
STUBBORN = (
    "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "print('deaf', file=open(sys.argv[1], 'w'), flush=True);"
    "[signal.pause() for _ in iter(int, 1)]"
)
SERVER = """
import http.server, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(int(sys.argv[2])); self.end_headers()
    def log_message(self, *a): pass
print('listening', flush=True)
http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), Answer).serve_forever()
"""


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """Every rule holds on both event loops."""
    return ("asyncio", {"use_uvloop": request.param == "uvloop"})


class Watcher:
    """Collects events and lets a test wait for one."""

    def __init__(self) -> None:
        self.events: list[FleetEvent] = []
        self._news = anyio.Event()

    def __call__(self, event: FleetEvent) -> None:
        """Keep the event and wake who waits."""
        self.events.append(event)
        self._news.set()
        self._news = anyio.Event()

    async def until(self, matches: Callable[[FleetEvent], bool]) -> FleetEvent:
        """Return the first event that matches, within the deadline."""
        with anyio.fail_after(DEADLINE_S):
            while True:
                for event in self.events:
                    if matches(event):
                        return event
                await self._news.wait()


def python(name: str, program: str, *args: str, ready_url: str | None = None) -> ProcessSpec:
    """A process that runs a bare interpreter on `program`."""
    return ProcessSpec(
        name=name,
        service=name.partition("-")[0],
        argv=[sys.executable, "-I", "-S", "-c", program, *args],
        ready_url=ready_url,
    )


def server(name: str, *, status: int = 200) -> ProcessSpec:
    """A process that listens and answers every request with `status`."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/healthcheck"
    return python(name, SERVER, str(port), str(status), ready_url=url)


def free_port() -> int:
    """A port nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_running(pid: int) -> bool:
    """Whether a process of this pid exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def told(tmp_path: Path) -> Callable[[], Awaitable[str]]:
    """What a process writes to the pipe `tmp_path / "told"`, once it has closed it."""
    pipe = tmp_path / "told"
    os.mkfifo(pipe)

    async def read() -> str:
        with anyio.fail_after(DEADLINE_S):
            return await anyio.to_thread.run_sync(pipe.read_text, abandon_on_cancel=True)

    return read


async def until_stopped(pid: int) -> None:
    """Return once a child stands still, within the deadline; it can be waited for as before."""
    how = os.WSTOPPED | os.WNOWAIT
    with anyio.fail_after(DEADLINE_S):
        await anyio.to_thread.run_sync(os.waitid, os.P_PID, pid, how, abandon_on_cancel=True)


async def until_ended(pidfd: int) -> None:
    """Return once any process has ended, within the deadline."""
    with anyio.fail_after(DEADLINE_S):
        await anyio.wait_readable(pidfd)
    os.close(pidfd)


async def test_start_returns_when_all_are_ready_and_the_block_leaves_none(tmp_path: Path) -> None:
    """Start ends when every ready_url answered 200, and leaving the block ends every process."""
    seen = Watcher()
    async with Supervisor(tmp_path, SystemClock(), on_event=seen) as fleet:
        await fleet.start([server("a-1"), server("a-2"), python("b-1", SLEEPER)])
        records = fleet.processes()
        assert [r.state for r in records] == [ProcessState.READY] * 3
        assert all(r.rss_bytes > 0 and is_running(r.pid) for r in records)
        assert fleet.alive() == ["a-1", "a-2", "b-1"]
    assert not any(is_running(r.pid) for r in records)
    assert fleet.alive() == []
    assert [r.state for r in fleet.processes()] == [ProcessState.EXITED] * 3
    kinds = [e.kind for e in seen.events]
    assert {kinds.count(k) for k in FleetEventKind} == {0, 3}
    assert (fleet.stats().started, fleet.stats().exited, fleet.stats().exited_unasked) == (3, 3, 0)


async def test_no_more_than_max_parallel_start_at_once(tmp_path: Path) -> None:
    """With max_parallel=1 each process is ready before the next one is started."""
    seen = Watcher()
    async with Supervisor(tmp_path, SystemClock(), on_event=seen) as fleet:
        await fleet.start([server("a-1"), server("a-2")], max_parallel=1)
    order = [(e.kind.value, e.name) for e in seen.events[:4]]
    assert order == [("starting", "a-1"), ("ready", "a-1"), ("starting", "a-2"), ("ready", "a-2")]


async def test_an_exit_before_readiness_fails_the_start_with_the_last_lines(tmp_path: Path) -> None:
    """The error names the process, its exit code and what it wrote last; the others are ended."""
    failing = python(
        "bad-1",
        "print('port is taken'); raise SystemExit(3)",
        ready_url=f"http://127.0.0.1:{free_port()}/",
    )
    async with Supervisor(tmp_path, SystemClock()) as fleet:
        with pytest.raises(StartFailedError, match=r"bad-1 exited 3 before it was ready") as caught:
            await fleet.start([python("ok-1", SLEEPER), failing])
        assert caught.value.tail == ("port is taken",)
        assert fleet.alive() == []
        assert fleet.processes() == []


async def test_a_program_that_cannot_be_run_is_told(tmp_path: Path) -> None:
    """A missing executable ends as a failed start that says so."""
    spec = ProcessSpec(name="x", service="x", argv=["/no/such/program"])
    async with Supervisor(tmp_path, SystemClock()) as fleet:
        with pytest.raises(StartFailedError, match="No such file"):
            await fleet.start([spec])


async def test_a_process_that_is_never_ready_fails_at_the_deadline(tmp_path: Path) -> None:
    """Answers other than 200 do not count as ready; at the deadline the start fails."""
    async with Supervisor(tmp_path, SystemClock()) as fleet:
        with pytest.raises(StartFailedError, match=r"sick-1 was not ready after 1 s"):
            await fleet.start([server("sick-1", status=503)], deadline_s=1.0)
        assert fleet.alive() == []


async def test_an_occupied_port_is_not_mistaken_for_readiness(tmp_path: Path) -> None:
    """When something already listens at ready_url, the process is not started."""
    spec = server("a-1")
    async with Supervisor(tmp_path, SystemClock()) as fleet:
        await fleet.start([spec])
        twin = python("a-2", SLEEPER, ready_url=spec.ready_url)
        with pytest.raises(StartFailedError, match="something else already listens"):
            await fleet.start([twin])
        assert fleet.alive() == ["a-1"]


async def test_a_stubborn_process_is_killed_after_the_grace(
    tmp_path: Path, told: Callable[[], Awaitable[str]]
) -> None:
    """Whoever ignores SIGTERM is ended by SIGKILL, and counted."""
    async with Supervisor(tmp_path, SystemClock(), grace_s=0.2) as fleet:
        await fleet.start([python("deaf-1", STUBBORN, str(tmp_path / "told"))])
        assert await told() == "deaf\n"
    assert fleet.processes()[0].exit_code == -signal.SIGKILL
    assert fleet.stats().killed_after_grace == 1


async def test_a_frozen_process_is_shown_and_ends_by_sigterm(tmp_path: Path) -> None:
    """A stopped process is reported frozen, and is continued so that it can obey SIGTERM."""
    async with Supervisor(tmp_path, SystemClock(), grace_s=DEADLINE_S) as fleet:
        await fleet.start([python("a-1", SLEEPER)])
        os.kill(fleet.processes()[0].pid, signal.SIGSTOP)
        await until_stopped(fleet.processes()[0].pid)
        assert fleet.processes()[0].state is ProcessState.FROZEN
    assert fleet.processes()[0].exit_code == -signal.SIGTERM


async def test_the_end_of_a_process_ends_what_it_started(
    tmp_path: Path, told: Callable[[], Awaitable[str]]
) -> None:
    """When the leader dies, its whole process group is killed."""
    program = (
        "import subprocess, sys, signal;"
        "c = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()']);"
        "print(c.pid, file=open(sys.argv[1], 'w'), flush=True); signal.pause()"
    )
    async with Supervisor(tmp_path, SystemClock()) as fleet:
        await fleet.start([python("p-1", program, str(tmp_path / "told"))])
        started = os.pidfd_open(int(await told()))
        os.kill(fleet.processes()[0].pid, signal.SIGKILL)
        await until_ended(started)


async def test_the_dead_stay_dead_by_default_and_restart_brings_them_back(tmp_path: Path) -> None:
    """Without a budget an unasked exit is only told; restart() starts a new process."""
    seen = Watcher()
    async with Supervisor(tmp_path, SystemClock(), on_event=seen) as fleet:
        await fleet.start([server("a-1")])
        old = fleet.processes()[0].pid
        os.kill(old, signal.SIGKILL)
        event = await seen.until(lambda e: e.kind is FleetEventKind.EXITED)
        assert (event.expected, event.detail) == (False, "was ended by SIGKILL")
        assert fleet.alive() == []
        await fleet.restart("a-1")
        record = fleet.processes()[0]
        assert record.pid != old
        assert (record.state, record.restarts) == (ProcessState.READY, 1)
        assert seen.events[-1].kind is FleetEventKind.RESTARTED


async def test_a_running_process_is_replaced_by_restart(tmp_path: Path) -> None:
    """restart() ends the old process before the new one is started on the same port."""
    async with Supervisor(tmp_path, SystemClock()) as fleet:
        await fleet.start([server("a-1")])
        old = fleet.processes()[0].pid
        await fleet.restart("a-1")
        assert not is_running(old)
        assert fleet.alive() == ["a-1"]


async def test_a_restart_that_fails_leaves_the_process_dead(tmp_path: Path) -> None:
    """A restarted process that ends before it is ready is told as a failed start."""
    flag = tmp_path / "second"
    port = free_port()
    program = (
        f"import os, sys; p = {str(flag)!r}\n"
        "if os.path.exists(p): sys.exit(4)\n"
        f"open(p, 'w').close()\n{SERVER}"
    )
    spec = python("a-1", program, str(port), "200", ready_url=f"http://127.0.0.1:{port}/")
    async with Supervisor(tmp_path, SystemClock()) as fleet:
        await fleet.start([spec])
        with pytest.raises(StartFailedError, match="exited 4 before it was ready"):
            await fleet.restart("a-1")
        assert fleet.alive() == []


async def test_a_restart_that_is_never_ready_leaves_the_process_dead(tmp_path: Path) -> None:
    """At the deadline of a restart the process is killed and the failure told."""
    flag = tmp_path / "second"
    port = free_port()
    program = (
        f"import os, sys; p = {str(flag)!r}\n"
        "sys.argv[2] = '503' if os.path.exists(p) else '200'\n"
        f"open(p, 'w').close()\n{SERVER}"
    )
    spec = python("a-1", program, str(port), "-", ready_url=f"http://127.0.0.1:{port}/")
    async with Supervisor(tmp_path, SystemClock()) as fleet:
        await fleet.start([spec])
        with pytest.raises(StartFailedError, match="a-1 was not ready after 1 s"):
            await fleet.restart("a-1", deadline_s=1.0)
        assert fleet.alive() == []


async def test_a_log_that_cannot_be_opened_fails_the_start(tmp_path: Path) -> None:
    """Without a log file the process is not started, and the error names the file."""
    (tmp_path / "a-1.log").mkdir()
    async with Supervisor(tmp_path, SystemClock()) as fleet:
        with pytest.raises(StartFailedError, match=r"a-1 could not be started.*a-1\.log"):
            await fleet.start([python("a-1", SLEEPER)])
        assert fleet.stats().started == 0


async def test_a_large_log_is_moved_aside(tmp_path: Path) -> None:
    """A log above 16 MiB is kept as .log.1 and a new one begun."""
    with (tmp_path / "a-1.log").open("wb") as log:
        log.truncate((16 << 20) + 1)
    async with Supervisor(tmp_path, SystemClock()) as fleet:
        await fleet.start([python("a-1", SLEEPER)])
    assert (tmp_path / "a-1.log.1").stat().st_size > 16 << 20
    assert (tmp_path / "a-1.log").stat().st_size < 1000


async def test_a_budget_restarts_what_died_until_it_is_spent(tmp_path: Path) -> None:
    """Within a budget of one, the first unasked exit is repaired and the second is not."""
    seen = Watcher()
    budget = RestartBudget(times=1, first_wait_s=0.0)
    async with Supervisor(tmp_path, SystemClock(), on_event=seen, restarts=budget) as fleet:
        await fleet.start([server("a-1")])
        os.kill(fleet.processes()[0].pid, signal.SIGKILL)
        await seen.until(lambda e: e.kind is FleetEventKind.RESTARTED)
        second = fleet.processes()[0].pid
        os.kill(second, signal.SIGKILL)
        await seen.until(lambda e: e.kind is FleetEventKind.EXITED and e.pid == second)
        assert fleet.alive() == []
        assert fleet.stats().restarts == 1


async def test_kill_is_not_undone_by_the_budget(tmp_path: Path) -> None:
    """A process killed on request stays dead although a budget is left."""
    budget = RestartBudget(times=5, first_wait_s=0.0)
    async with Supervisor(tmp_path, SystemClock(), restarts=budget) as fleet:
        await fleet.start([python("a-1", SLEEPER)])
        await fleet.kill("a-1")
        assert fleet.processes()[0].exit_code == -signal.SIGKILL
        assert fleet.stats().started == 1


async def test_one_process_can_be_ended_in_good_order(tmp_path: Path) -> None:
    """It is sent SIGTERM and stays dead, the others live on."""
    budget = RestartBudget(times=5, first_wait_s=0.0)
    async with Supervisor(tmp_path, SystemClock(), restarts=budget) as fleet:
        await fleet.start([python("a-1", SLEEPER), python("a-2", SLEEPER)])
        await fleet.end("a-1")
        assert fleet.processes()[0].exit_code == -signal.SIGTERM
        assert fleet.alive() == ["a-2"]
        assert fleet.stats().started == 2


async def test_an_error_in_the_block_passes_unwrapped_and_leaves_none(tmp_path: Path) -> None:
    """The block's own exception comes out as it is, after everything was stopped."""
    pids = []
    with pytest.raises(LookupError, match="mine"):  # noqa: PT012 - the block is what is tested
        async with Supervisor(tmp_path, SystemClock()) as fleet:
            await fleet.start([python("a-1", SLEEPER)])
            pids = [r.pid for r in fleet.processes()]
            raise LookupError("mine")
    assert not any(is_running(pid) for pid in pids)


async def test_cancellation_during_start_leaves_none(tmp_path: Path) -> None:
    """A start that is cancelled half way stops what it had started."""
    with anyio.CancelScope() as scope:
        async with Supervisor(tmp_path, SystemClock(), on_event=lambda _: scope.cancel()) as fleet:
            await fleet.start([server(f"sick-{i}", status=503) for i in range(3)])
    assert scope.cancelled_caught
    assert fleet.stats().started > 0
    assert fleet.alive() == []


async def test_a_broken_display_fails_the_block_and_leaves_none(tmp_path: Path) -> None:
    """An exception from on_event ends the block once, and everything is stopped."""

    def broken(event: FleetEvent) -> None:
        if event.kind is FleetEventKind.EXITED:
            raise ArithmeticError("display")

    with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012 - the block is what is tested
        async with Supervisor(tmp_path, SystemClock(), on_event=broken) as fleet:
            await fleet.start([python("a-1", SLEEPER), python("a-2", SLEEPER)])
            os.kill(fleet.processes()[0].pid, signal.SIGKILL)
            await anyio.sleep_forever()
    assert caught.group_contains(ArithmeticError, match="display")
    assert fleet.alive() == []


async def test_stop_then_start_again(tmp_path: Path) -> None:
    """After stop() the same names can be started anew."""
    async with Supervisor(tmp_path, SystemClock()) as fleet:
        spec = python("a-1", SLEEPER)
        await fleet.start([spec])
        with pytest.raises(DuplicateProcessError, match="a-1"):
            await fleet.start([spec])
        await fleet.stop()
        assert fleet.alive() == []
        await fleet.start([spec])
        assert fleet.alive() == ["a-1"]


@pytest.mark.parametrize(
    ("spec", "match"),
    [
        (ProcessSpec(name="../x", service="x", argv=["true"]), "letters, digits"),
        (ProcessSpec(name="x", service="x", argv=[]), "empty argv"),
        (ProcessSpec(name="x", service="x", argv=["true"], ready_url="https://h/"), "http://host"),
        (
            ProcessSpec(name="x", service="x", argv=["true"], ready_url="http://h:x/"),
            "http://host",
        ),
    ],
)
async def test_unusable_specs_are_refused_before_anything_starts(
    tmp_path: Path, spec: ProcessSpec, match: str
) -> None:
    """A bad name, an empty argv or an odd ready_url is refused with what is allowed."""
    async with Supervisor(tmp_path, SystemClock()) as fleet:
        with pytest.raises(InvalidSpecError, match=match):
            await fleet.start([python("ok-1", SLEEPER), spec])
        assert fleet.stats().started == 0


async def test_unknown_names_are_answered_with_the_known(tmp_path: Path) -> None:
    """Kill and restart of an unknown process name the processes there are."""
    async with Supervisor(tmp_path, SystemClock()) as fleet:
        await fleet.start([python("a-1", SLEEPER)])
        with pytest.raises(UnknownProcessError, match="started here: a-1"):
            await fleet.kill("b-1")
        with pytest.raises(UnknownProcessError, match="started here: a-1"):
            await fleet.restart("b-1")


async def test_nothing_is_started_outside_the_block(tmp_path: Path) -> None:
    """A supervisor that was not entered, or was left, refuses to start."""
    fleet = Supervisor(tmp_path, SystemClock())
    with pytest.raises(SupervisorStoppedError):
        await fleet.start([python("a-1", SLEEPER)])


async def test_logs_are_appended_and_the_tail_is_of_this_run(tmp_path: Path) -> None:
    """A second run keeps the first run's output in the file, but not in its error."""
    program = "import sys; print(sys.argv[1]); raise SystemExit(1)"
    url = f"http://127.0.0.1:{free_port()}/"
    for word in ("first", "second"):
        async with Supervisor(tmp_path, SystemClock()) as fleet:
            with pytest.raises(StartFailedError) as caught:
                await fleet.start([python("a-1", program, word, ready_url=url)])
            assert caught.value.tail == (word,)
    assert (tmp_path / "a-1.log").read_text() == "first\nsecond\n"
