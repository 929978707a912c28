"""Memory of this process that nobody needs any more, given back to the operating system.

Python and C hand freed memory back only from the end of their heaps, and a library stays resident
as far as it was ever touched: of the compiler behind numba that is 70 MB, which nobody needs once
the loops are compiled. Everything here is a hint: where it cannot be done, nothing happens.
"""

import ctypes
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from breakwater.model import Clock

_COMPILER: Final = "libllvmlite"
_WORTH_BYTES: Final = 16 << 20
_EVERY_S: Final = 10.0
_DONTNEED: Final = getattr(mmap, "MADV_DONTNEED", None)
_SELF: Final = Path("/proc/self")


class FootprintStats(msgspec.Struct, frozen=True, kw_only=True):
    """How often memory was given back, and what was resident after the last time."""

    trims: int
    settled_bytes: int


class Footprint:
    """Looks at the memory of the process now and then, and gives back what it can.

    To be used from one thread at a time; a trim takes some 10 to 20 ms.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due_s = 0.0
        self._trims = self._settled_bytes = 0

    def maintain(self) -> None:
        """Trim when the process has grown by 16 MB since; looks once in ten seconds."""
        now_s = self._clock.monotonic_s()
        if now_s < self._due_s:
            return
        self._due_s = now_s + _EVERY_S
        if resident_bytes() > self._settled_bytes + _WORTH_BYTES:
            self.trim()

    def trim(self) -> None:
        """Give back what can be given back now."""
        trim()
        self._trims += 1
        self._settled_bytes = resident_bytes()

    def stats(self) -> FootprintStats:
        """Counts since the start."""
        return FootprintStats(trims=self._trims, settled_bytes=self._settled_bytes)


def trim() -> None:
    """Give back the free parts of the heap, and the code of the compiler."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(ctypes.c_size_t(0))
    if _DONTNEED is None or not hasattr(libc, "madvise"):
        return
    for start, size in clean_parts(_COMPILER):
        libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(size), ctypes.c_int(_DONTNEED))


def resident_bytes() -> int:
    """Memory of the process that is in RAM; 0 where that is not told."""
    try:
        pages = int((_SELF / "statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * mmap.PAGESIZE


def clean_parts(library: str) -> Iterator[tuple[int, int]]:
    """Start and size of the parts of a loaded library of which every byte is as in its file.

    Those are mappings that nobody may write to and of which no page was ever made a copy; when
    they are dropped and needed after all, they are read from the file again.
    """
    start = size = 0
    try:
        lines = (_SELF / "smaps").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        first, *rest = line.split()
        if not first.endswith(":"):
            is_library = len(rest) == 5 and Path(rest[4]).name.startswith(library)
            is_wanted = is_library and rest[0] in ("r--p", "r-xp")
            low, high = (int(bound, 16) for bound in first.split("-"))
            start, size = low, high - low if is_wanted else 0
        elif first == "Anonymous:" and size and rest[0] == "0":
            yield start, size
