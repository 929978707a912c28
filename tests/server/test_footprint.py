"""Memory is given back only where nothing is lost by it."""

import ctypes
import gc
import sys
from collections.abc import Callable
from pathlib import Path

import numba
import pytest

from breakwater.server import footprint
from breakwater.testing import FakeClock


def compiled() -> Callable[[int], int]:
    """A function that was never compiled before."""

    @numba.njit(nogil=True)
    def twice(number: int) -> int:
        return 2 * number

    found: Callable[[int], int] = twice
    return found


linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@linux_only
def test_only_what_is_as_in_its_file_is_dropped() -> None:
    """Parts of the compiler are found, and none of them may be written to."""
    parts = list(footprint.clean_parts("libllvmlite"))
    assert sum(size for _, size in parts) > 10_000_000
    writable = set()
    with Path("/proc/self/maps").open() as maps:
        for line in maps:
            bounds, permissions = line.split()[:2]
            if "w" in permissions:
                writable.add(int(bounds.split("-")[0], 16))
    assert not writable & {start for start, _ in parts}
    assert list(footprint.clean_parts("no-such-library")) == []


@linux_only
def test_the_compiler_works_after_a_trim() -> None:
    """What was dropped is read again when it is needed, and memory was really given back."""
    assert compiled()(2) == 4
    before = footprint.resident_bytes()
    footprint.trim()
    assert footprint.resident_bytes() < before - 10_000_000
    assert compiled()(21) == 42


@linux_only
def test_a_trim_waits_until_the_process_has_grown() -> None:
    """It looks once in ten seconds, and does something only when there is something to do."""
    clock = FakeClock()
    watch = footprint.Footprint(clock)
    watch.maintain()
    assert watch.stats().trims == 1
    clock.advance(20)
    watch.maintain()
    held = ctypes.create_string_buffer(64 << 20)
    ctypes.memset(held, 1, len(held))
    watch.maintain()
    assert watch.stats().trims == 1
    clock.advance(20)
    watch.maintain()
    assert watch.stats().trims == 2
    del held
    gc.collect()
