"""Bind the life of a program to the life of its supervisor, then become that program.

Run by path, as `python -I -S child.py SUPERVISOR_PID FD PROGRAM [ARGUMENT ...]`, so that it costs
one bare interpreter start. It exists because the kernel's parent-death signal must be asked for in
the child itself, between fork and exec, where running Python code inside a threaded parent's fork
is not safe. The request survives exec; it is dropped for set-user-id programs (prctl(2)).

FD is the write end of a pipe: it closes when the program runs, and carries `!` when it cannot.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_CANNOT_RUN = 127


def main() -> int:
    """Ask for SIGKILL at the supervisor's death and exec the program; 127 when that fails."""
    supervisor, report, argv = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    os.set_inheritable(report, False)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
        return _fail(report, f"cannot bind to the supervisor: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != supervisor:
        return _CANNOT_RUN  # it died before the request was in place: nobody would end us
    try:
        os.execvp(argv[0], argv)  # noqa: S606 - becoming the given program is the purpose
    except OSError as error:
        return _fail(report, f"cannot run '{argv[0]}': {error.strerror}")


def _fail(report: int, reason: str) -> int:
    print(reason, file=sys.stderr)  # noqa: T201 - standard error is the log of this process
    os.write(report, b"!")
    return _CANNOT_RUN


if __name__ == "__main__":
    sys.exit(main())
