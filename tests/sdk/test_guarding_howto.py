"""The snippets of the how-to on databases, queues and gRPC do what they say."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.sdk.databases import redis

TEXT = Path(__file__).parents[2] / "docs" / "how-to" / "guard-databases-queues-grpc.md"
pytestmark = pytest.mark.slow


def run(heading: str, **other: str) -> dict[str, Any]:
    """Run the Python of one section; other: what it has to be changed in, here."""
    section = TEXT.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2]
    found = re.search(r"```python\n(.*?)```", section.partition("\n## ")[0], re.DOTALL)
    assert found is not None, heading
    code = found[1]
    for before, after in other.items():
        assert before in code
        code = code.replace(before, after)
    names: dict[str, Any] = {"__name__": "snippet"}
    exec(compile(code, f"{TEXT}: {heading}", "exec"), names)
    return names


@pytest.fixture
def port() -> Iterator[int]:
    """Where Redis listens."""
    with redis() as found:
        yield found


def test_a_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table is made and counted under guard."""
    monkeypatch.chdir(tmp_path)
    names = run("A database")
    assert names["service"].guards.get("titles-db").stats().calls["success"] >= 2
    names["engine"].dispose()


def test_a_cache(port: int) -> None:
    """A session that is not there is None, and so is one when the cache is gone."""
    names = run("A cache", **{"6379": str(port)})
    assert names["session"] is None
    names["cache"].close()


def test_a_queue() -> None:
    """A message is published under guard."""
    names = run("A queue")
    assert names["service"].guards.get("jobs").stats().calls["success"] == 1


def test_grpc() -> None:
    """A price comes over a guarded channel."""
    names = run("gRPC")
    assert names["price"] == b"9.99"
    names["channel"].close()


def test_anything_else() -> None:
    """A function of one's own."""
    assert run("Anything else")["cover"] == b"..."
