"""What the guides show is run as it stands."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

GUIDES = Path(__file__).parents[2] / "docs" / "how-to"


def blocks(name: str) -> list[str]:
    """The Python blocks of a guide."""
    return re.findall(r"```python\n(.*?)```", (GUIDES / name).read_text(), re.DOTALL)


def shown_tests() -> dict[str, Callable[[], None]]:
    """The tests that the guide to tests shows, by name."""
    namespace: dict[str, Any] = {"__name__": "guide"}
    exec(compile("\n".join(blocks("test-guarded-code.md")), "guide", "exec"), namespace)
    return {name: made for name, made in namespace.items() if name.startswith("test_")}


SHOWN = shown_tests()


@pytest.mark.parametrize("name", SHOWN)
def test_the_tests_shown_pass(name: str) -> None:
    """Each of them, with the code under test that is shown before it."""
    SHOWN[name]()


def test_the_guide_shows_tests() -> None:
    """There is something to run."""
    assert len(SHOWN) == 4


@pytest.mark.slow
def test_the_replacement_shown_works() -> None:
    """The program with another import, and the one with none."""
    program, stand_in = blocks("replace-tenacity.md")
    after = "\nimport tenacity, pybreaker\nprint(tenacity.__name__, pybreaker.__name__)"
    for text, wanted in ((program, ""), (stand_in + after, "breakwater.sdk.shims.tenacity ")):
        done = subprocess.run(
            [sys.executable, "-c", text], capture_output=True, text=True, check=False, timeout=60
        )
        assert done.stderr == ""
        assert done.stdout.startswith(wanted)
