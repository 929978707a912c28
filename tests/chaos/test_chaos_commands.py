"""`breakwater chaos` against a real server."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from structlog.testing import capture_logs
from tests.chaos.chaos_fakes import MemoryJournal, instance, serving, view

from breakwater.chaos import Chaos, ChaosSettings
from breakwater.chaos.commands import chaos as command
from breakwater.model import SystemClock
from breakwater.terminal import NoAnswerError, RefusedError

FLEET = view(*(instance("ranker", n) for n in (1, 2)), instance("gateway", 1))


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A platform whose chaos may act."""
    loose = ChaosSettings(leashed=False)
    chaos = Chaos(
        lambda: FLEET, tmp_path / "u", MemoryJournal(), SystemClock(), loose, new_id=lambda: "f-1"
    )
    with capture_logs(), serving(chaos) as where:  # the platform's log would mix with the output
        yield where
    chaos._chronicle.close()


def run(url: str, *words: str) -> Result:
    """Run the command against the platform, named by the environment."""
    return CliRunner().invoke(command, words, env={"BREAKWATER_URL": url, "COLUMNS": "200"})


def test_inject_list_and_undo(url: str) -> None:
    """The three commands say what is touched, until when, and how to end it."""
    done = run(url, *"inject slow_edge --service ranker --caller gateway --delay-ms 200".split())
    assert done.exit_code == 0, done.output
    assert "f-1: delay by 200 ms calls from gateway to ranker" in done.output
    assert "breakwater chaos undo f-1" in done.output
    listed = run(url, "list").output
    assert "active" in listed
    assert "from gateway to ranker" in listed
    assert run(url, "undo", "f-1").output.startswith("f-1 undone: delay by 200 ms")
    assert run(url, "list", "--active").output == "no faults\n"
    assert run(url, "undo", "--all").output == "no fault was running\n"


def test_json_is_the_platforms_answer(url: str) -> None:
    """With --json every command prints one JSON value."""
    wanted = "inject latency --service ranker --percent 5 --header a=b --reason why --json"
    fault = json.loads(run(url, *wanted.split()).output)
    assert fault["request"]["headers"] == {"a": "b"}
    assert fault["request"]["percent"] == 5.0
    assert fault["request"]["actor"]
    assert json.loads(run(url, "list", "--json").output)["faults"][0]["id"] == "f-1"
    assert json.loads(run(url, "undo", "--all", "--json").output)["undone"][0]["id"] == "f-1"


def test_a_dry_run_only_tells(url: str) -> None:
    """--dry-run prints the targets and starts nothing."""
    told = run(url, *"inject cpu_burn --service ranker --instance ranker-1 --dry-run".split())
    assert told.output == "would burn CPU on 2 threads of ranker-1\n"
    assert run(url, "list").output == "no faults\n"


@pytest.mark.parametrize(
    ("words", "status", "match"),
    [
        ("inject nonsense --service ranker", 2, "'latency', 'errors', 'hang', 'slow_edge'"),
        ("inject hang", 2, "--service"),
        ("inject hang --service rankr", 1, "registered: gateway, ranker"),
        ("inject hang --service ranker --header x", 2, "must look like NAME=VALUE"),
        ("inject hang --service ranker --delay-ms 5", 1, "takes no delay_ms"),
        ("inject hang --service ranker --point disk", 2, "'cache', 'database', 'queue', 'pool'"),
        ("inject hang --service ranker --peer titles", 1, "give the caller"),
        ("inject hang --service ranker --percent 0", 1, "percent is 0, must be above 0"),
        ("inject hang --service ranker --duration 0", 1, "duration_s is 0, must be at least 1"),
        ("undo", 2, "either the id of a fault or --all"),
        ("undo f-9 --all", 2, "either the id of a fault or --all"),
        ("undo f-9", 1, "there is no fault 'f-9'"),
        ("list --server ftp://x", 1, "must begin with http"),
    ],
)
def test_mistakes_are_answered_in_one_message(
    url: str, words: str, status: int, match: str
) -> None:
    """Usage errors are click's own; refusals are errors that carry the platform's words."""
    done = run(url, *words.split())
    assert done.exit_code == status
    assert match in (done.output if status == 2 else str(done.exception))
    assert status == 2 or isinstance(done.exception, RefusedError)


def test_a_platform_that_is_not_there_is_said_so() -> None:
    """Without a platform the error names the address and how to start one."""
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        done = run(f"http://127.0.0.1:{unheard.getsockname()[1]}", "list")
    assert isinstance(done.exception, NoAnswerError)
    assert "no platform answers at http://127.0.0.1" in str(done.exception)
    assert "breakwater serve" in str(done.exception)
