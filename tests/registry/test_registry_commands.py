"""`breakwater registry` in a terminal."""

import json
import socket
from collections.abc import Iterator

import pytest
from click.testing import CliRunner
from tests.registry.instances import instance
from tests.registry.registry_server import Served, served

from breakwater.registry.commands import registry as registry_command


@pytest.fixture(scope="module")
def place() -> Iterator[Served]:
    """A server with two instances; one has metadata that looks like markup."""
    with served() as place:
        place.registry.register("RANKER", instance(metadata={"zone": "a", "note": "[red]x[/red]"}))
        place.registry.register("FEATURES", instance("features:1", "FEATURES"))
        yield place


def run(*words: str, url: str) -> tuple[int, str]:
    """Exit code and output of one command, on a wide terminal."""
    done = CliRunner(env={"COLUMNS": "200", "BREAKWATER_URL": url}).invoke(registry_command, words)
    return done.exit_code, done.output or str(done.exception)


def test_list(place: Served) -> None:
    """A table of all instances, or of one service, sorted by service."""
    code, output = run("list", url=place.url)
    assert code == 0
    assert output.index("features:1") < output.index("ranker-a-1")
    assert "127.0.0.1:9101" in output
    code, output = run("list", "--service", "ranker", url=place.url)
    assert "ranker-a-1" in output
    assert "features:1" not in output
    code, output = run("list", "--service", "nobody", url=place.url)
    assert (code, output) == (0, "No instance of nobody is registered.\n")


def test_list_as_json(place: Served) -> None:
    """--json prints the view as the server gave it."""
    code, output = run("list", "--json", url=place.url)
    assert code == 0
    assert {one["service"] for one in json.loads(output)["instances"]} == {"ranker", "features"}


def test_show(place: Served) -> None:
    """One service or one instance, with lease and metadata, markup shown as it is."""
    code, output = run("show", "ranker", url=place.url)
    assert code == 0
    assert "15 s, renewed every 5 s" in output
    assert "[red]x[/red]" in output
    code, output = run("show", "features", "features:1", url=place.url)
    assert (code, "features:1" in output) == (0, True)
    code, output = run("show", "features", "features:1", "--json", url=place.url)
    assert json.loads(output)["instance"]["instanceId"] == "features:1"


def test_unknown_service(place: Served) -> None:
    """A service nobody registered is said so, and the exit code is not 0."""
    code, output = run("show", "nobody", url=place.url)
    assert (code, output) == (1, "no application NOBODY is registered")


def test_no_server() -> None:
    """Where nothing listens the message says so."""
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
    code, output = run("list", url=url)
    assert (code, f"no platform answers at {url}" in output) == (1, True)
