"""A disk that is full, for real: what was acknowledged stays, and writing heals by itself."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).with_name("disk_program.py")


def run(*words: str | Path, command: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run the program that fills a disk, to its end."""
    return subprocess.run(
        [*command, sys.executable, str(PROGRAM), *map(str, words)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    """At the process's file-size limit writes are refused, reads go on; lifted, writes go on."""
    done = run("limit", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "the disk" in done.stdout


def test_a_file_that_may_not_be_written() -> None:
    """A file without write permission can be read, and written as soon as it has it again."""
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to others
        done = run("unwritable", folder)
    assert done.returncode == 0, done.stderr
    assert "read-only; make it, its -wal and its -shm writable" in done.stdout


def can_mount() -> bool:
    """Whether this machine lets us have a small disk of our own, seen by one process only."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    tried = subprocess.run(
        ["unshare", "--mount", "mount", "-t", "tmpfs", "-o", "size=64k", "none", "/mnt"],
        capture_output=True,
        check=False,
    )
    return tried.returncode == 0


@pytest.mark.skipif(not can_mount(), reason="needs the right to mount a small disk")
@pytest.mark.parametrize("kind", ["full", "read-only"])
def test_a_disk_that_takes_nothing(tmp_path: Path, kind: str) -> None:
    """A disk that fills up lets reads go on; one that is read-only heals without a restart."""
    done = run(kind, tmp_path, command=("unshare", "--mount"))
    assert done.returncode == 0, done.stderr
    assert {"full": "the disk is full", "read-only": "cannot be used"}[kind] in done.stdout
