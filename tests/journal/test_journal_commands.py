"""`breakwater changes` in a terminal, against a real server."""

import json
import socket
import threading
from collections.abc import Iterator

import pytest
import uvicorn
from click.testing import CliRunner
from starlette.applications import Starlette

from breakwater.journal import Journal
from breakwater.journal.commands import age_ms, changes
from breakwater.journal.http import routes
from breakwater.model import SystemClock
from breakwater.storage import ControlDatabase

pytestmark = pytest.mark.slow


@pytest.fixture
def url() -> Iterator[str]:
    """The address of a server with an empty journal in memory."""
    listener = socket.create_server(("127.0.0.1", 0))
    app = Starlette(routes=routes(Journal(ControlDatabase(None), SystemClock())))
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
    env = {"COLUMNS": "200", "BREAKWATER_URL": url, "USER": "ann"}
    done = CliRunner(env=env).invoke(changes, words)
    return done.exit_code, done.output or str(done.exception)


def test_add_list_end(url: str) -> None:
    """A change is written down, shown in a table, and ended."""
    assert run("list", url=url) == (0, "No change is known from the last 1h.\n")
    code, output = run(
        "add", "fault", "ranker", "--detail", "kind=[b]delay", "--ago", "5m", url=url
    )
    assert (code, output) == (0, "Change 1: fault of ranker.\n")
    code, output = run("list", "--kind", "fault", "--target", "ranker", url=url)
    assert code == 0
    for shown in ("fault", "ranker", "ann", "cli", "kind=[b]delay"):
        assert shown in output
    code, output = run("end", "1", url=url)
    assert (code, output.startswith("Change 1 ended 20")) == (0, True)


def test_json(url: str) -> None:
    """--json prints what the server said."""
    code, output = run("add", "deploy", "ranker", "--actor", "bob", "--json", url=url)
    assert (code, json.loads(output)["actor"]) == (0, "bob")
    run("add", "deploy", "features", url=url)
    code, output = run("list", "--limit", "1", "--json", url=url)
    assert json.loads(output)["limit_reached"] is True
    code, output = run("list", "--limit", "1", url=url)
    assert "The 1 newest are shown" in output


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["add", "party", "x"], 2, "deploy"),
        (["add", "deploy", ""], 1, "target must be 1 to 256"),
        (["add", "deploy", "x", "--detail", "nothing"], 2, "KEY=VALUE"),
        (["list", "--since", "soon"], 2, "is not an age such as 90s"),
        (["end", "99"], 1, "there is no change 99"),
        (["list", "--server", "ftp://x"], 1, "must begin with http"),
    ],
)
def test_mistakes(url: str, words: list[str], code: int, told: str) -> None:
    """A mistake is told in plain words and the exit code is not 0."""
    found = run(*words, url=url)
    assert found[0] == code
    assert told in found[1]


def test_no_server() -> None:
    """Where nothing listens the message says so."""
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
    code, output = run("list", url=url)
    assert (code, f"no platform answers at {url}" in output) == (1, True)


def test_ages() -> None:
    """An age is a number and a unit."""
    assert [age_ms(text) for text in ("5ms", "90s", "15m", "2h", "1d")] == [
        5,
        90_000,
        900_000,
        7_200_000,
        86_400_000,
    ]
