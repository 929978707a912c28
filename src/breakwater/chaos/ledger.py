"""The undo ledger: what was touched and not yet undone, on disk before it is touched.

An append-only file of lines `CRC LENGTH JSON` (docs/formats/undo-ledger.md), each written and
fsynced before the call returns. Whatever byte a crash cuts it at, replay gives exactly the faults
whose begin was complete and whose end was not.
"""

import fcntl
import os
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from breakwater.chaos.errors import LedgerInUseError
from breakwater.chaos.fault import Fault, FaultState

_COMPACT_ABOVE_BYTES: Final = 256 << 10


class Began(msgspec.Struct, frozen=True, kw_only=True, tag_field="entry", tag="begin"):
    """This fault is about to touch its targets; boot: the boot its pids belong to."""

    fault: Fault
    boot: str
    v: int = 1


class Ended(msgspec.Struct, frozen=True, kw_only=True, tag_field="entry", tag="end"):
    """All this fault touched has been undone."""

    fault_id: str
    state: FaultState
    at_ms: int
    v: int = 1


Entry = Began | Ended
_decoder: Final[msgspec.json.Decoder[Entry]] = msgspec.json.Decoder(Entry)


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """What a ledger says: the faults still open by id, its intact length, its damaged lines."""

    open: dict[str, Began]
    intact_bytes: int
    damaged_lines: int


def encode(entry: Entry) -> bytes:
    """One line of the ledger, its newline included."""
    payload = msgspec.json.encode(entry)
    return b"%08x %d %b\n" % (zlib.crc32(payload), len(payload), payload)


def decode(line: bytes) -> Entry | None:
    """The entry of one line without its newline, or None when the line is damaged."""
    try:
        checksum, length, payload = line.split(b" ", 2)
        if len(payload) != int(length) or zlib.crc32(payload) != int(checksum, 16):
            return None
        return _decoder.decode(payload)
    except (ValueError, msgspec.DecodeError):
        return None


def replay(data: bytes) -> Replay:
    """Read a ledger: O(bytes). A last line without its newline was torn off and never counts.

    A damaged line elsewhere is passed over and counted; losing an end only means that something
    is undone twice, which changes nothing.
    """
    intact_bytes = data.rfind(b"\n") + 1
    still_open: dict[str, Began] = {}
    damaged_lines = 0
    for line in data[:intact_bytes].split(b"\n")[:-1]:
        entry = decode(line)
        if entry is None:
            damaged_lines += 1
        elif isinstance(entry, Began):
            still_open[entry.fault.id] = entry
        else:
            still_open.pop(entry.fault_id, None)
    return Replay(open=still_open, intact_bytes=intact_bytes, damaged_lines=damaged_lines)


class Ledger:
    """The open ledger file, locked against every other process; blocking, not thread-safe."""

    def __init__(self, path: Path) -> None:
        """Open or create, cut a torn tail, replay. LedgerInUseError if another process has it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._fd = _open_locked(path)
        self.at_start = replay(path.read_bytes())
        self._size = self.at_start.intact_bytes
        os.ftruncate(self._fd, self._size)
        if self.at_start.intact_bytes > _COMPACT_ABOVE_BYTES:
            self._compact(self.at_start.open.values())
        _sync_folder(path)

    def append(self, entry: Entry) -> None:
        """Return once the entry is on disk; after OSError the ledger is as it was before."""
        line = encode(entry)
        os.ftruncate(self._fd, self._size)  # what an earlier failure may have left half written
        try:
            _write_whole(self._fd, line)
            os.fsync(self._fd)
        except OSError:
            os.ftruncate(self._fd, self._size)
            raise
        self._size += len(line)

    def close(self) -> None:
        """Give the file back, and the lock with it; later calls of append fail."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _compact(self, entries: Iterable[Began]) -> None:
        fresh = self._path.with_suffix(".new")
        with fresh.open("wb") as file:
            file.writelines(encode(entry) for entry in entries)
            file.flush()
            os.fsync(file.fileno())
        fd = _open_locked(fresh)
        fresh.replace(self._path)
        os.close(self._fd)
        self._fd, self._size = fd, os.fstat(fd).st_size


def _write_whole(fd: int, line: bytes) -> None:
    if os.write(fd, line) != len(line):
        raise OSError("only a part of an entry could be written; is the disk full?")


def _open_locked(path: Path) -> int:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise LedgerInUseError(
            f"the undo ledger {path} is held by another running platform; stop it, or give this "
            "one a data folder of its own"
        ) from None
    return fd


def _sync_folder(path: Path) -> None:
    fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
