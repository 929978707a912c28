"""The platform's end of the dead-man: as long as it is held, the frozen may stay frozen."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

import anyio

from breakwater.chaos.errors import VictimError
from breakwater.chaos.fault import ProcessAct

_DEADMAN: Final = [sys.executable, "-I", "-S", str(Path(__file__).with_name("deadman.py"))]
_START_TIMEOUT_S: Final = 10.0
_END_TIMEOUT_S: Final = 5.0


class Lifeline:
    """A running dead-man for the victims of one fault."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self._popen = popen

    @classmethod
    async def start(cls, victims: Sequence[ProcessAct], ttl_s: float) -> Self:
        """Return once the dead-man holds its victims; VictimError when it does not start.

        It lives in a session of its own, so that what ends the platform's process group leaves it.
        """
        try:
            popen = _launch(victims, ttl_s)
        except OSError as error:
            raise VictimError(
                f"the dead-man cannot be started, nothing was frozen: {error}"
            ) from error
        lifeline = cls(popen)
        if not await lifeline._is_ready():
            await lifeline.release()
            raise VictimError("the dead-man did not start, nothing was frozen")
        return lifeline

    @property
    def is_held(self) -> bool:
        """Whether the dead-man still lives."""
        return self._popen.poll() is None

    async def release(self) -> None:
        """Close the pipe, which makes the dead-man continue its victims and end; reap it."""
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        self._popen.stdin.close()
        self._popen.stdout.close()
        if self._popen.poll() is None:
            pidfd = os.pidfd_open(self._popen.pid)
            try:
                with anyio.move_on_after(_END_TIMEOUT_S):
                    await anyio.wait_readable(pidfd)
            finally:
                os.close(pidfd)
            self._popen.kill()
        self._popen.wait()

    async def _is_ready(self) -> bool:
        assert self._popen.stdout is not None
        with anyio.move_on_after(_START_TIMEOUT_S):
            await anyio.wait_readable(self._popen.stdout)
            return os.read(self._popen.stdout.fileno(), 16) == b"ready\n"
        return False


def _launch(victims: Sequence[ProcessAct], ttl_s: float) -> subprocess.Popen[bytes]:
    names = [f"{victim.pid}:{victim.started_ticks}" for victim in victims]
    return subprocess.Popen(  # noqa: S603 - our own file, numbers as arguments
        [*_DEADMAN, f"{ttl_s:.3f}", *names],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd="/",
    )
