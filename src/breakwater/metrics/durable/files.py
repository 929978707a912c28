"""Files of the metrics folder: their names, and writing them so that a crash leaves whole ones."""

import fcntl
import os
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from breakwater.metrics.durable.records import Part
from breakwater.metrics.errors import FolderInUseError

LOG_MAGIC: Final = b"BWMTRLOG"
SNAPSHOT_MAGIC: Final = b"BWMTRSNP"
BLOCK_MAGIC: Final = b"BWMTRBLK"
_NAME: Final = re.compile(r"(log|snapshot)-(\d{10})")
_UNFINISHED: Final = ".unfinished"
_BATCH: Final = 256


def log_path(folder: Path, number: int) -> Path:
    """The log segment of that number."""
    return folder / f"log-{number:010d}"


def snapshot_path(folder: Path, number: int) -> Path:
    """The snapshot that holds everything before log segment `number`."""
    return folder / f"snapshot-{number:010d}"


def block_name(block: int, number: int) -> str:
    """The name of the file of one block, first written for snapshot `number`."""
    return f"block-{block}-{number:010d}"


def numbers(folder: Path, kind: str) -> list[int]:
    """Numbers of the log segments or snapshots there are, ascending."""
    found = (_NAME.fullmatch(each.name) for each in folder.iterdir())
    return sorted(int(match[2]) for match in found if match is not None and match[1] == kind)


def remove_others(folder: Path, kept: frozenset[str]) -> None:
    """Remove every block, snapshot, log segment and unfinished file whose name is not in `kept`."""
    for each in list(folder.iterdir()):
        is_ours = each.name.startswith(("log-", "snapshot-", "block-"))
        if is_ours and each.name not in kept:
            each.unlink(missing_ok=True)


def write_all(fd: int, parts: Iterable[Part]) -> int:
    """Write every byte of `parts`; returns how many there were. Raises OSError."""
    batch: list[Part] = []
    written = 0
    for part in parts:
        batch.append(part)
        if len(batch) >= _BATCH:
            written += _write(fd, b"".join(batch))
            batch = []
    return written + _write(fd, b"".join(batch))


def _write(fd: int, data: bytes) -> int:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]
    return len(data)


def write_whole(
    path: Path, parts: Iterable[Part], *, may_go_on: Callable[[], bool] = lambda: True
) -> bool:
    """Write a file that is there whole or not at all, whenever the machine stops.

    Returns False, with nothing written, when `may_go_on` says so on the way. Raises OSError.
    """
    unfinished = path.with_name(path.name + _UNFINISHED)
    fd = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    is_done = False
    try:
        is_done = _write_while(fd, parts, may_go_on)
        if is_done:
            os.fsync(fd)
            unfinished.replace(path)
            sync_folder(path.parent)
    finally:
        os.close(fd)
        if not is_done:
            with suppress(OSError):
                unfinished.unlink()
    return is_done


def _write_while(fd: int, parts: Iterable[Part], may_go_on: Callable[[], bool]) -> bool:
    for part in parts:
        if not may_go_on():
            return False
        _write(fd, bytes(part))
    return True


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def lock_folder(folder: Path) -> int:
    """The descriptor that holds the folder until it is closed; FolderInUseError if it is held."""
    fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise FolderInUseError(
            f"the metrics folder {folder} is held by another running platform; stop it, or give "
            "this one a data folder of its own"
        ) from None
    return fd
