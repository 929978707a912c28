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
        if started_ticks(pid) == ticks:  # read after the pidfd is held, so both mean one process
            return pidfd
    except (FileNotFoundError, ProcessLookupError):
        pass
    os.close(pidfd)
    return None


def main() -> int:
    """Hold the victims, report ready, wait, continue them."""
    ttl_s = float(sys.argv[1])
    pairs = (victim.split(":") for victim in sys.argv[2:])
    held = [hold(int(pid), int(ticks)) for pid, ticks in pairs]
    try:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, _leave)
        os.write(1, b"ready\n")
        select.select([0], [], [], ttl_s)
    finally:
        for pidfd in held:
            if pidfd is not None:
                _continue(pidfd)
    return 0


def _leave(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def _continue(pidfd: int) -> None:
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGCONT)
    except (ProcessLookupError, PermissionError) as error:
        os.write(2, f"{error}\n".encode())


if __name__ == "__main__":
    sys.exit(main())
