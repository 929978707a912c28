import json
import os
import signal
import subprocess
import sys
import time
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


def _wait_for(condition: str, root: Path, deadline_s: float) -> None:
    """Wait until a process of the demo shows `condition` in its command line."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        if any(condition in line for line in _processes_of(root)):
            return
        time.sleep(0.05)
    pytest.fail(f"no process with '{condition}' within {deadline_s} s")


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
    demo = subprocess.Popen(
        [*_DEMO, "--report", str(tmp_path / "report.html")],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait_for(moment, tmp_path, 60)
        os.killpg(demo.pid, signal.SIGINT)
        assert demo.wait(timeout=30) == 130
    finally:
        demo.kill()
        demo.wait()
    assert _processes_of(tmp_path) == []
