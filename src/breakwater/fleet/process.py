"""One operating-system process that belongs to this supervisor and to nobody else.

It leads its own session, so the terminal's Ctrl-C does not reach it and a signal to its group
reaches everything it started. It is watched through a pidfd: no thread, no polling, and no pid
that could have been handed to a stranger in the meantime.
"""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final, Self

import anyio
import msgspec
import psutil

from breakwater.fleet.records import ProcessRecord, ProcessState
from breakwater.model import ProcessSpec

_LAUNCHER: Final = [sys.executable, "-I", "-S", str(Path(__file__).with_name("child.py"))]
_ROTATE_ABOVE_BYTES: Final = 16 << 20
_TAIL_BYTES: Final = 8192
_TAIL_LINES: Final = 12
_LINE_CHARS: Final = 240
_ENDED: Final = (ProcessState.EXITED, 0.0, 0)


class LogPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where the output of one run begins in its log file."""

    path: Path
    start: int


class OwnedProcess:
    """A started process: its handle, its output, how it ended.

    `ended` is set once it is dead, reaped, and the rest of its process group killed.
    """

    def __init__(
        self, spec: ProcessSpec, popen: subprocess.Popen[bytes], *, report: int, log: LogPlace
    ) -> None:
        self.spec = spec
        self.pid = popen.pid
        self.started_ms = 0
        self.is_ready = False
        self.is_end_asked = False
        self.ended = anyio.Event()
        self._popen = popen
        self._pidfd = os.pidfd_open(popen.pid)
        self._report: int | None = report
        self._log = log
        self._watch = anyio.CancelScope(shield=True)

    @classmethod
    def spawn(cls, spec: ProcessSpec, log_path: Path) -> Self:
        """Start `spec`, its output appended to `log_path`; OSError when that cannot be done.

        The process dies when the calling thread ends (prctl(2)): call from the thread of the
        event loop that runs the supervisor.
        """
        if log_path.exists() and log_path.stat().st_size > _ROTATE_ABOVE_BYTES:
            log_path.replace(log_path.with_suffix(".log.1"))
        with log_path.open("ab") as file:
            log = LogPlace(path=log_path, start=file.tell())
            report, told = os.pipe()
            try:
                popen = subprocess.Popen(  # noqa: S603 - running what the spec names is the purpose
                    [*_LAUNCHER, str(os.getpid()), str(told), *spec.argv],
                    env={**os.environ, **spec.env},
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=(told,),
                )
            except OSError:
                os.close(report)
                raise
            finally:
                os.close(told)
        try:
            return cls(spec, popen, report=report, log=log)
        except OSError:  # no descriptor left to watch it by: then it must not run either
            os.close(report)
            popen.kill()
            popen.wait()
            raise

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended, as far as is known."""
        return not self.ended.is_set()

    @property
    def exit_code(self) -> int | None:
        """The program's exit code, minus the signal that ended it, or None while it lives."""
        code: int | None = self._popen.returncode
        return code

    async def launched(self) -> bool:
        """Wait until the program itself runs, bound to this process's life; False if it cannot."""
        if self._report is None:
            return self.is_alive
        report, self._report = self._report, None
        try:
            await anyio.wait_readable(report)
            return os.read(report, 1) == b""
        finally:
            os.close(report)

    async def watch(self) -> bool:
        """Return True once it has ended, even when the caller is cancelled; False if abandoned."""
        with self._watch:
            await anyio.wait_readable(self._pidfd)
            # The dead leader still holds its number, so the group cannot be somebody else's yet.
            self.signal(signal.SIGKILL)
            self._popen.wait()
            self.ended.set()
        os.close(self._pidfd)
        if self._report is not None:
            os.close(self._report)
            self._report = None
        return not self.is_alive

    def abandon(self) -> None:
        """Stop watching a process that the kernel does not end."""
        self._watch.cancel()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process and all it started; nothing happens when it has ended."""
        if self._popen.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def ask_to_end(self) -> None:
        """SIGTERM, and SIGCONT so that a frozen one can obey it."""
        self.is_end_asked = True
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL to the whole group."""
        self.is_end_asked = True
        self.signal(signal.SIGKILL)

    def how_it_ended(self) -> str:
        """The end in words, for example `exited 1` or `was ended by SIGKILL`."""
        code = self.exit_code
        if code is None:
            return "still runs"
        if code >= 0:
            return f"exited {code}"
        try:
            return f"was ended by {signal.Signals(-code).name}"
        except ValueError:
            return f"was ended by signal {-code}"

    def tail(self) -> list[str]:
        """The last lines this run wrote, at most twelve of at most 240 characters."""
        try:
            with self._log.path.open("rb") as log:
                size = log.seek(0, os.SEEK_END)
                log.seek(max(self._log.start, size - _TAIL_BYTES))
                text = log.read(_TAIL_BYTES).decode("utf-8", "replace")
        except OSError as error:
            return [f"(its log cannot be read: {error})"]
        lines = [line.rstrip()[:_LINE_CHARS] for line in text.splitlines() if line.strip()]
        return lines[-_TAIL_LINES:]

    def record(self, restarts: int) -> ProcessRecord:
        """The process as the kernel sees it at this moment."""
        state, cpu_s, rss_bytes = self._usage() if self.is_alive else _ENDED
        return ProcessRecord(
            name=self.spec.name,
            service=self.spec.service,
            pid=self.pid,
            started_ms=self.started_ms,
            state=state,
            cpu_s=cpu_s,
            rss_bytes=rss_bytes,
            restarts=restarts,
            log_path=str(self._log.path),
            exit_code=self.exit_code,
        )

    def _usage(self) -> tuple[ProcessState, float, int]:
        state = ProcessState.READY if self.is_ready else ProcessState.STARTING
        try:
            process = psutil.Process(self.pid)
            with process.oneshot():
                times, rss_bytes = process.cpu_times(), process.memory_info().rss
                if process.status() == psutil.STATUS_STOPPED:
                    state = ProcessState.FROZEN
        except psutil.NoSuchProcess:  # a zombie too: dead, and about to be reaped
            return _ENDED
        return state, times.user + times.system, rss_bytes
