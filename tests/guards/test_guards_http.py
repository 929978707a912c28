"""The routes and the command line, over a real socket."""

import json
import struct
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from structlog.testing import capture_logs
from tests.guards.hosts import platform, recorded_hosts

from breakwater.guards.commands import guard
from breakwater.sdk import SettingsError
from breakwater.terminal import RefusedError

DEADLINE_S = 20.0


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A platform that watches the recorded hosts."""
    with (
        capture_logs(),
        recorded_hosts() as instances,
        platform(instances, tmp_path) as where,
    ):
        yield where


def answer_of(url: str, path: str, method: str = "GET", told: Any = None) -> tuple[int, Any, bytes]:
    """Status, headers and body."""
    request = urllib.request.Request(
        url + path, method=method, data=None if told is None else json.dumps(told).encode()
    )
    try:
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


@pytest.mark.parametrize("path", ["/turbine.stream", "/turbine/turbine.stream"])
def test_turbine_stream(url: str, path: str) -> None:
    """Both paths give the aggregate as Turbine's readers expect it."""
    with urllib.request.urlopen(f"{url}{path}?cluster=CATALOGUE", timeout=DEADLINE_S) as answer:
        assert answer.headers["content-type"] == "text/event-stream;charset=UTF-8"
        assert answer.headers["cache-control"].startswith("no-cache, no-store")
        while b'"reportingHosts":3' not in (line := answer.readline()):
            assert line in (b"\n", b": ping\n") or line.startswith(b"data: {")


def test_unknown_clusters_are_not_found(url: str) -> None:
    """A cluster nobody registered is 404, in the shape of all errors."""
    for path in ("/turbine.stream?cluster=ranker", "/api/v1/guards?service=ranker"):
        status, _, body = answer_of(url, path)
        assert status == 404
        assert "services: catalogue" in json.loads(body)["message"]


@pytest.mark.slow
def test_view_in_three_forms(url: str) -> None:
    """The view is given as JSON, as SVG and as PNG."""
    status, _, body = answer_of(url, "/api/v1/guards")
    assert status == 200
    names = {each["name"] for each in json.loads(body)["services"][0]["commands"]}
    assert {"AccountById", "Ranker"} < names
    _, headers, svg = answer_of(url, "/api/v1/guards?service=catalogue&format=svg&theme=dark")
    assert headers["content-type"] == "image/svg+xml"
    assert b"Guarded calls of catalogue" in svg
    _, headers, picture = answer_of(url, "/api/v1/guards?format=png")
    assert headers["content-type"] == "image/png"
    width, height = struct.unpack(">II", picture[16:24])
    assert (width, height > 600) == (1920, True)
    for query in ("format=gif", "theme=pink"):
        assert answer_of(url, f"/api/v1/guards?{query}")[0] == 400


def test_settings_over_http(url: str) -> None:
    """A setting is put, seen by the service, listed and taken back."""
    told = {"key": "breaker.open_s", "value": 5, "service": "gateway", "actor": "kim"}
    status, _, body = answer_of(url, "/api/v1/guards/config", "PUT", told)
    assert status == 200, body
    assert json.loads(body)["value"] == 5.0
    _, _, body = answer_of(url, "/api/v1/guards/config?service=gateway&instance=g-1")
    config = json.loads(body)
    assert config["default"] == {"breaker.open_s": 5.0}
    waiting = f"/api/v1/guards/config?service=gateway&revision={config['revision']}&wait_s=0.01"
    assert json.loads(answer_of(url, waiting)[2]) == config
    _, _, body = answer_of(url, "/api/v1/guards/settings?service=gateway")
    assert [each["actor"] for each in json.loads(body)["settings"]] == ["kim"]
    path = "/api/v1/guards/config?key=breaker.open_s&service=gateway"
    assert answer_of(url, path, "DELETE")[0] == 200
    assert answer_of(url, path, "DELETE")[0] == 404
    assert json.loads(answer_of(url, "/api/v1/guards/settings")[2]) == {"settings": []}


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"key": "breaker.open_seconds", "value": 5}, "nearest: breaker.open_s"),
        ({"key": "breaker.mode", "value": "ajar"}, "forced_open"),
        ({"value": 5}, "key"),
        ({"key": "timeout_s", "value": 5, "scope": "galaxy"}, "scopes: default, group, command"),
        ({"key": "timeout_s", "value": 5, "owner": "me"}, "fields: key"),
        ([], "object"),
    ],
)
def test_bad_settings_are_refused(url: str, told: Any, says: str) -> None:
    """What cannot be is 400, and the message says what is allowed."""
    status, _, body = answer_of(url, "/api/v1/guards/config", "PUT", told)
    assert status == 400
    assert says in json.loads(body)["message"]


def test_bad_questions_are_refused(url: str) -> None:
    """Parameters that are missing or unreadable are 400."""
    for path in ("/api/v1/guards/config", "/api/v1/guards/config?service=s&wait_s=x"):
        assert answer_of(url, path)[0] == 400
    assert answer_of(url, "/api/v1/guards/config", "DELETE")[0] == 400
    assert answer_of(url, "/api/v1/guards/config?key=x&scope=y", "DELETE")[0] == 400
    assert answer_of(url, "/api/v1/guards/config", "PUT", "x" * 70_000)[0] == 413


def run(url: str, *words: str) -> Result:
    """Run the command against the platform, named by the environment."""
    return CliRunner().invoke(guard, words, env={"BREAKWATER_URL": url, "COLUMNS": "220"})


def test_list_shows_the_worst_first(url: str) -> None:
    """The table names each command with its circuit, rates and latencies; the worst is on top."""
    output = run(url, "list", "--service", "catalogue").output
    rows = [line for line in output.splitlines() if "catalogue" in line]
    assert "Ranker" in rows[0]
    assert "open" in rows[0]
    assert "100 %" in rows[0]
    assert any("AccountById" in row and "28.2" in row and "60 ms" in row for row in rows)
    found = json.loads(run(url, "list", "--json").output)
    assert found["services"][0]["service"] == "catalogue"


def test_show_tells_all_of_one(url: str) -> None:
    """One command is shown with every count; an unknown one ends with 1."""
    output = run(url, "show", "AccountById").output
    assert "counts Success" in output
    assert "282" in output
    (found,) = json.loads(run(url, "show", "AccountById", "--json").output)
    assert found["hosts"] == 3
    missing = CliRunner().invoke(
        guard, ["show", "Nobody"], env={"BREAKWATER_URL": url}, standalone_mode=False
    )
    assert missing.return_value == 1
    assert "no instance that reports" in missing.output


@pytest.mark.slow
def test_watch_looks_again(url: str) -> None:
    """`watch` prints as often as it is told, as a table or as one JSON value a line."""
    lines = run(url, *"watch --json --count 2 --every 0.2".split()).output.splitlines()
    assert [bool(json.loads(line)["services"]) for line in lines] == [True, True]
    assert "Ranker" in run(url, *"watch --count 1".split()).output


def test_set_config_and_unset(url: str) -> None:
    """Settings are made, listed and taken back from the terminal."""
    done = run(
        url,
        *"set breaker.mode forced_open --command Account --service gateway --for 60".split(),
        "--reason",
        "drill",
    )
    assert done.exit_code == 0, done.output
    assert 'breaker.mode = "forced_open" for command Account of gateway until' in done.output
    run(url, *"set bulkhead none --actor kim".split())
    listed = run(url, "config").output
    assert "drill" in listed
    assert "kim" in listed
    assert "null" in listed
    config = json.loads(run(url, *"config --service gateway --effective --json".split()).output)
    assert config["default"] == {"bulkhead": None}
    assert config["commands"] == {"Account": {"breaker.mode": "forced_open"}}
    assert json.loads(run(url, "config", "--json").output)["settings"][0]["key"] == "bulkhead"
    gone = run(url, *"unset breaker.mode --command Account --service gateway".split())
    assert gone.output.startswith("taken back: breaker.mode")
    run(url, "unset", "bulkhead", "--json")
    assert run(url, "config").output.startswith("nothing is set")


def test_mistakes_at_the_keyboard(url: str) -> None:
    """What cannot be is refused in one sentence that says what can."""
    assert isinstance(run(url, "set", "timeout_s", "soon").exception, SettingsError)
    assert isinstance(run(url, "unset", "timeout_s").exception, RefusedError)
    for words in ("set timeout_s 1 --group a --command b", "config --effective"):
        assert run(url, *words.split()).exit_code == 2
