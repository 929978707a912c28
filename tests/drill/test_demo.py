import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.slow

_DEMO = [sys.executable, "-m", "breakwater.cli", "demo"]


def _processes_of(root: Path) -> list[str]:
    """Command lines of living processes that were given this folder for temporary files."""
    found = []
    for process in psutil.process_iter():
        try:
            mine = process.environ().get("TMPDIR") == str(root)
            if mine and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline()))
        except psutil.Error:  # ended meanwhile, or not ours to look at
            continue
    return found


@contextmanager
def _telling(folder: Path) -> Iterator[tuple[socket.socket, dict[str, str]]]:
    """A socket to which every Python process of this environment sends its command line."""
    address = str(folder / "told")
    (folder / "sitecustomize.py").write_text(
        "import socket, sys\n"
        "with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:\n"
        f"    told.sendto(' '.join(sys.orig_argv).encode(), {address!r})\n"
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(address)
        yield told, {"PYTHONPATH": str(folder)}


def _wait_for(condition: str, told: socket.socket, deadline_s: float) -> None:
    """Wait until a process of the demo begins with `condition` in its command line."""
    end = time.monotonic() + deadline_s
    seen = ""
    while condition not in seen:
        told.settimeout(max(end - time.monotonic(), 0.001))
        seen = told.recv(65_536).decode()


def test_the_demo_names_what_it_broke(tmp_path: Path) -> None:
    """Real platform, real fleet, real fault: exit code 0, a report, and nothing left running."""
    report = tmp_path / "report.html"
    options = ["--fault", "errors", "--target", "licence", "--rps", "40", "--json"]
    played = subprocess.run(
        [*_DEMO, *options, "--report", str(report)],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert played.returncode == 0, played.stderr[-3000:]
    record = json.loads(played.stdout)
    assert (record["named"], record["kind_named"]) == ("licence", "errors")
    assert "licence answers with errors" in report.read_text()
    assert report.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert _processes_of(tmp_path) == []


@pytest.mark.parametrize("moment", ["serve", "reference"])
def test_ctrl_c_leaves_no_process_behind(tmp_path: Path, moment: str) -> None:
    """Interrupted while platform or fleet come up, the demo takes everything with it."""
    hook = tmp_path / "hook"
    hook.mkdir()
    with _telling(hook) as (told, environment):
        demo = subprocess.Popen(
            [*_DEMO, "--report", str(tmp_path / "report.html")],
            env={**os.environ, **environment, "TMPDIR": str(tmp_path)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            _wait_for(moment, told, 60)
            os.killpg(demo.pid, signal.SIGINT)
            assert demo.wait(timeout=30) == 130
        finally:
            demo.kill()
            demo.wait()
    assert _processes_of(tmp_path) == []
