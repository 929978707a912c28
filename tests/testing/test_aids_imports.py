"""The aids are shipped to users of the SDK, who may have nothing else installed."""

import subprocess
import sys

import pytest

import breakwater.testing

PROGRAM = """
import sys
from importlib.abc import MetaPathFinder


class Nothing(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked}:
            raise ModuleNotFoundError(f"not installed: {{name}}", name=name)


sys.meta_path.insert(0, Nothing())
import breakwater.testing as testing

for name in testing.__all__:
    getattr(testing, name)
rehearsal = testing.Rehearsal("x")
command = rehearsal.command("prices")
print(command.call_sync(rehearsal.dependency(5)))
print(rehearsal.run(command.call(rehearsal.dependency(6).call_async)))
"""
BLOCKED = {
    "aiohttp", "anyio", "click", "httpx", "jinja2", "numba", "numpy", "psutil", "pytest", "rich",
    "sqlalchemy", "starlette", "structlog", "tenacity", "pybreaker", "uvicorn", "uvloop",
}  # fmt: skip


@pytest.mark.slow
def test_the_aids_need_no_extra() -> None:
    """Every name can be had, and used, where only msgspec is installed."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(blocked=BLOCKED)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.stdout.split(), done.stderr) == (["5", "6"], "")


def test_unknown_names_are_refused() -> None:
    """As by any module."""
    with pytest.raises(AttributeError, match="has no attribute 'mock'"):
        _ = breakwater.testing.mock
