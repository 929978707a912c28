"""The page on guarding a call: its examples run, and print what it says."""

import re
from pathlib import Path

import pytest

from breakwater.sdk.guard.travel import defaults

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "guard-a-call.md"


@pytest.mark.slow
def test_the_examples_of_the_page_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All in one program, each block of output after the code that prints it."""
    monkeypatch.setattr(defaults, "_made", [])
    blocks = re.findall(r"```(python|text)\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict[str, object] = {"__name__": "page"}
    printed = ""
    assert len(blocks) > 20
    for kind, body in blocks:
        if kind == "python":
            exec(compile(body, str(PAGE), "exec"), names)
            printed = capsys.readouterr().out
        else:
            assert printed == body
