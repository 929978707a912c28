"""Continue frozen processes when the platform that froze them is gone or too late.

Run by path, as `python -I -S deadman.py TTL_S PID:STARTED_TICKS ...`, standard library only. It
holds its victims by pidfd, so a pid that is given to another process later is never signalled,
writes `ready`, and then waits for the end of its standard input, which the platform's death
closes, for TTL_S seconds, or for a signal. In each case it sends SIGCONT to every victim.
"""

import os
import select
import signal
import sys
from types import FrameType


def started_ticks(pid: int) -> int:
    """When a process started, clock ticks since boot: field 22 of /proc/<pid>/stat (proc(5)).

    Raises FileNotFoundError or ProcessLookupError when there is no such process.
    """
    return int(stat_fields(pid)[19])


def stat_fields(pid: int) -> list[str]:
    """Fields 3 and up of /proc/<pid>/stat; the name before them may hold blanks and brackets."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - pathlib doubles the start time
        return file.read().rpartition(")")[2].split()


def hold(pid: int, ticks: int) -> int | None:
    """A pidfd of exactly this process, or None when it is gone or the pid is another's."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    try:
        is_same = started_ticks(pid) == ticks  # read after the pidfd is held: both mean one process
    except (FileNotFoundError, ProcessLookupError):
        is_same = False
    if is_same:
        return pidfd
    os.close(pidfd)
    return None


def main() -> int:
    """Hold the victims, report ready, wait, continue them."""
    ttl_s = float(sys.argv[1])
    pairs = (victim.split(":") for victim in sys.argv[2:])
    held = [hold(int(pid), int(ticks)) for pid, ticks in pairs]
    asked_to_end = _signals_as_bytes()
    try:
        os.write(1, b"ready\n")
        select.select([0, asked_to_end], [], [], ttl_s)
    finally:
        for pidfd in held:
            if pidfd is not None:
                _continue(pidfd)
    return 0


def _signals_as_bytes() -> int:
    """A pipe that polite signals write to: an exception could interrupt the continuing itself."""
    readable, writable = os.pipe()
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _take_note)
    return readable


def _take_note(_number: int, _frame: FrameType | None) -> None:
    """Nothing more: the byte in the pipe ends the wait."""


def _continue(pidfd: int) -> None:
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGCONT)
    except (ProcessLookupError, PermissionError) as error:
        os.write(2, f"{error}\n".encode())


if __name__ == "__main__":
    sys.exit(main())
