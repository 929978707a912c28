"""Ending when the parent ends, so that a demo or a test that is killed leaves no server behind."""

import ctypes
import os
import signal

from breakwater.server.errors import InvalidSettingError

_PR_SET_PDEATHSIG = 1


def die_with_parent(expected_parent: int) -> None:
    """Ask the kernel for SIGTERM at the parent's death (Linux, prctl(2)).

    expected_parent: pid of the parent when this process began; if it is gone already, the process
    ends itself. Raises InvalidSettingError where the kernel has no such call.
    """
    try:
        prctl = ctypes.CDLL(None, use_errno=True).prctl
    except (OSError, AttributeError) as error:
        raise InvalidSettingError("--die-with-parent needs Linux") from error
    if prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0) != 0:
        reason = os.strerror(ctypes.get_errno())
        raise InvalidSettingError(f"--die-with-parent is not possible here: {reason}")
    if os.getppid() != expected_parent:
        os.kill(os.getpid(), signal.SIGTERM)
