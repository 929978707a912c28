"""Signals to exactly the process that was meant, on this machine, of this user."""

import contextlib
import os
import signal
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import anyio
import msgspec
import psutil

from breakwater.chaos.deadman import hold, started_ticks, stat_fields
from breakwater.chaos.errors import UndoFailedError, VictimError
from breakwater.chaos.fault import Machine, ProcessAct

_STOPPED: Final = frozenset("tT")
_ENDED: Final = frozenset("ZX")
_SIGNALS: Final = {"stop": signal.SIGSTOP, "kill": signal.SIGKILL}
_THAW_CHECKS: Final = 100
_THAW_CHECK_S: Final = 0.01


def boot_id() -> str:
    """The identity of this boot; pids and start ticks mean nothing in another one."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def this_machine() -> Machine:
    """Names, addresses, boot time and tick rate of the machine the platform runs on."""
    addresses = {a.address.partition("%")[0] for nic in psutil.net_if_addrs().values() for a in nic}
    return Machine(
        hosts=frozenset({"localhost", "::1", socket.gethostname(), *addresses}),
        booted_s=psutil.boot_time(),
        ticks_per_s=os.sysconf("SC_CLK_TCK"),
    )


@contextlib.contextmanager
def held(acts: Sequence[ProcessAct]) -> Iterator[dict[ProcessAct, int]]:
    """Exact acts and the pidfds of their victims: the same process, same user, not stopped, not us.

    While they are held no victim's pid can come to mean another process. Raises VictimError.
    """
    with contextlib.ExitStack() as stack:
        pidfds = {}
        for act in acts:
            exact = _exact(act)
            pidfd = hold(exact.pid, exact.started_ticks)
            if pidfd is None:
                raise _gone(act)
            stack.callback(os.close, pidfd)
            _check_victim(exact)
            pidfds[exact] = pidfd
        yield pidfds


def _exact(act: ProcessAct) -> ProcessAct:
    try:
        ticks = started_ticks(act.pid)
    except (FileNotFoundError, ProcessLookupError):
        raise _gone(act) from None
    if abs(ticks - act.started_ticks) > act.slack_ticks:
        raise _gone(act)
    return msgspec.structs.replace(act, started_ticks=ticks, slack_ticks=0)


def _gone(act: ProcessAct) -> VictimError:
    return VictimError(
        f"the process of {act.instance} (pid {act.pid}) is gone, or its pid is another process's "
        "now; nothing was touched"
    )


def strike(act: ProcessAct, pidfd: int) -> None:
    """Send the act's signal through its pidfd; VictimError when the process has just ended."""
    try:
        signal.pidfd_send_signal(pidfd, _SIGNALS[act.signal])
    except (ProcessLookupError, PermissionError) as error:
        raise VictimError(f"{act.instance} (pid {act.pid}) cannot be signalled: {error}") from error


async def thaw(acts: Sequence[ProcessAct]) -> None:
    """Continue every stopped victim that still exists and see that it runs; may be repeated.

    All are tried before UndoFailedError names those that stayed stopped after one second.
    """
    stuck = []
    for act in acts:
        if act.signal != "stop":
            continue
        pidfd = hold(act.pid, act.started_ticks)
        if pidfd is None:
            continue  # it is gone: nothing is left to undo
        try:
            if not await _continue(act.pid, pidfd):
                stuck.append(f"{act.instance} (pid {act.pid})")
        finally:
            os.close(pidfd)
    if stuck:
        raise UndoFailedError(
            f"still stopped after SIGCONT: {', '.join(stuck)}; tried again until it runs, by hand: "
            "kill -CONT <pid>"
        )


async def _continue(pid: int, pidfd: int) -> bool:
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGCONT)
        for _ in range(_THAW_CHECKS):
            if stat_fields(pid)[0] not in _STOPPED:
                return True
            await anyio.sleep(_THAW_CHECK_S)
    except (ProcessLookupError, FileNotFoundError):
        return True
    except PermissionError:
        return False
    return False


def _check_victim(act: ProcessAct) -> None:
    try:
        owner = Path(f"/proc/{act.pid}").stat().st_uid
        state = stat_fields(act.pid)[0]
    except (FileNotFoundError, ProcessLookupError):
        raise _gone(act) from None
    if act.pid == os.getpid():
        raise VictimError(f"{act.instance} (pid {act.pid}) is the platform itself")
    if owner != os.geteuid():
        raise VictimError(
            f"{act.instance} (pid {act.pid}) belongs to user {owner}, the platform runs as user "
            f"{os.geteuid()}; only processes of the same user are touched"
        )
    if state in _ENDED:
        raise _gone(act)
    if state in _STOPPED:
        raise VictimError(
            f"{act.instance} (pid {act.pid}) is stopped already, by somebody else; undoing a "
            "freeze would undo that too"
        )
