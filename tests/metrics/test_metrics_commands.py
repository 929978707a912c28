"""`breakwater metrics` in a terminal, against a real server."""

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from click.testing import CliRunner
from starlette.applications import Starlette

from breakwater.metrics import MetricsEngine, MetricsSettings
from breakwater.metrics.commands import metrics
from breakwater.metrics.http import routes
from breakwater.model import SystemClock

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The address of a server that holds two apps for a few seconds."""
    engine = MetricsEngine(MetricsSettings(), SystemClock())
    now_ms = engine.clock.now_ms() // 1000 * 1000
    for ago in range(5):
        for name in ("api", "www"):
            tags = {"name": "calls", "nf.app": name}
            engine.write_series(tags, now_ms - ago * 1000, 10.0 - ago)
    listener = socket.create_server(("127.0.0.1", 0))
    app = Starlette(routes=routes(engine))
    config = uvicorn.Config(app, log_level="error", ws="none", lifespan="off", loop="asyncio")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(20)
    listener.close()


def run(*words: str, url: str) -> tuple[int, str]:
    """Exit code and output of one command, on a wide terminal."""
    env = {"COLUMNS": "200", "BREAKWATER_URL": url}
    done = CliRunner(env=env).invoke(metrics, words)
    return done.exit_code, done.output or str(done.exception)


BY_APP = "name,calls,:eq,(,nf.app,),:by"


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("a.png", b"\x89PNG"),
        ("a.svg", b"<svg"),
        ("a.csv", b'"timestamp","api","www"'),
        ("a.txt", b'"timestamp"\t"api"'),
        ("a.json", b'{"start":'),
    ],
)
def test_the_ending_of_the_file_chooses_the_format(
    url: str, tmp_path: Path, name: str, start: bytes
) -> None:
    """And its size is told."""
    file = tmp_path / name
    code, output = run("graph", BY_APP, "--from", "e-1m", "--out", str(file), url=url)
    assert (code, output) == (0, f"{file}: {file.stat().st_size} bytes.\n")
    assert file.read_bytes().startswith(start)


def test_other_parameters_are_set_by_name(url: str) -> None:
    """`--out -` prints JSON."""
    words = ("--set", "cq=nf.app,www,:eq", "--tz", "UTC", "--step", "1s", "--out", "-")
    code, output = run("graph", BY_APP, "--from", "e-2s", *words, url=url)
    assert (code, json.loads(output)["legend"]) == (0, ["www"])
    assert "NAME=VALUE" in run("graph", "1", "--set", "stack", url=url)[1]
    assert "must end in one of .png .svg" in run("graph", "1", "--out", "a.gif", url=url)[1]
    assert "must end in one of" in run("graph", "1", "--out", "plain", url=url)[1]


def test_lines_are_printed_with_their_numbers(url: str) -> None:
    """And as a row of bars; more than --limit are counted."""
    code, output = run("query", BY_APP, "--from", "e-10s", "--step", "1s", url=url)
    assert code == 0
    for shown in ("api", "www", "6.0", "8.0", "10.0", "points of 1 s each"):
        assert shown in output
    assert any(bar in output for bar in "▁▂▃▄▅▆▇█")
    assert "1 of 2 lines are shown" in run("query", BY_APP, "--limit", "1", url=url)[1]
    assert "No line" in run("query", "name,none,:eq,(,x,),:by", url=url)[1]
    assert "-" in run("query", "name,none,:eq", url=url)[1]
    as_json = run("query", BY_APP, "--json", url=url)[1]
    assert json.loads(as_json)["legend"] == ["api", "www"]
    off_grid = run("query", "1", "--step", "7s", "--from", "e-1m", url=url)[1]
    assert "Note: the step is 10s instead of 7s." in off_grid


def test_tags_are_listed(url: str) -> None:
    """Keys one a line; values with how many series carry them."""
    assert run("tags", url=url) == (0, "name\nnf.app\n")
    code, output = run("tags", "nf.app", "--query", "nf.app,www,:eq", url=url)
    assert code == 0
    assert "www" in output
    assert "api" not in output
    assert json.loads(run("tags", "--json", url=url)[1]) == ["name", "nf.app"]
    assert json.loads(run("tags", "name", "--json", url=url)[1])[0]["count"] == 2
    assert run("tags", "none", url=url) == (0, "No series has the key 'none'.\n")


def test_cardinality_is_shown(url: str) -> None:
    """Where the series come from."""
    code, output = run("cardinality", url=url)
    assert code == 0
    for shown in ("2 series", "nf.app", "calls", "api"):
        assert shown in output
    assert json.loads(run("cardinality", "--json", url=url)[1])["series"] == 2
