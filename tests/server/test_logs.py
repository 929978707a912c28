"""Log events never stop what they tell about."""

import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import structlog
from breakwater.server.logs import configure_logs
configure_logs("info")
structlog.get_logger("x").error("metrics.log_failed", reason="No space left on device")
print("went on")
"""


@pytest.mark.slow
def test_a_full_disk_under_the_log_stops_nobody() -> None:
    """What standard error cannot take is dropped, and the program goes on."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", CODE],
            stdout=subprocess.PIPE,
            stderr=full,
            text=True,
            check=False,
        )
    assert done.stdout == "went on\n"
