"""`breakwater registry` in a terminal."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import msgspec
import pytest
from click.testing import CliRunner
from tests.registry.instances import instance
from tests.registry.registry_server import DEADLINE_S, Served, served

from breakwater.model import CalleeReport, CallerReport, InstanceKey, ViewChange
from breakwater.registry import InstanceStatus, LeaseInfo, RegistrySettings
from breakwater.registry.commands import registry as registry_command

TERMS = LeaseInfo(renewal_interval_s=1_200, duration_s=3_600)


@pytest.fixture
def place() -> Iterator[Served]:
    """A server with two instances; one has metadata that looks like markup."""
    with served(RegistrySettings(probing=False)) as place:
        metadata = {"zone": "a", "note": "[red]x[/red]"}
        place.registry.register("RANKER", instance(metadata=metadata, lease=TERMS))
        place.registry.register("FEATURES", instance("features:1", "FEATURES", lease=TERMS))
        yield place


def run(*words: str, url: str, columns: int = 200) -> tuple[int, str]:
    """Exit code and output of one command, on a wide terminal."""
    env = {"COLUMNS": str(columns), "BREAKWATER_URL": url}
    done = CliRunner(env=env).invoke(registry_command, words, standalone_mode=False)
    code = done.return_value if isinstance(done.return_value, int) else done.exit_code
    return code, done.output or str(done.exception)


def test_list(place: Served) -> None:
    """A table of all instances, or of one service, sorted by service, with Eureka's figures."""
    code, output = run("list", url=place.url)
    assert code == 0
    assert output.index("features:1") < output.index("ranker-a-1")
    assert "127.0.0.1:9101" in output
    assert "2 instances of 2 services; revision " in output
    assert "Eureka's figures: 3 clients expected, 0 renewals in the last minute" in output
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


def test_a_narrow_terminal_folds_and_cuts_nothing(place: Served) -> None:
    """In 80 columns every row still has its address and its state."""
    _, output = run("list", url=place.url, columns=80)
    assert max(map(len, output.splitlines()[:7])) <= 80
    assert "127.0.0.1:9101" in output
    assert "…" not in output


def test_show(place: Served) -> None:
    """One service or one instance, with lease, evidence and metadata, markup shown as it is."""
    saw = CalleeReport(service="ranker", instance_id="ranker-a-1", calls=7, breaker="open")
    caller = InstanceKey(service="gateway", instance_id="g-1")
    place.directory.judge.take(CallerReport(caller=caller, window_s=1.0, callees=[saw]))
    code, output = run("show", "ranker", url=place.url)
    assert code == 0
    assert "3600 s, renewed every 1200 s" in output
    assert "[red]x[/red]" in output
    assert "gateway/g-1" in output
    assert "breaker open" in output
    code, output = run("show", "features", "features:1", url=place.url)
    assert (code, "features:1" in output) == (0, True)
    code, output = run("show", "features", "features:1", "--json", url=place.url)
    assert json.loads(output)["instance"]["instance_id"] == "features:1"
    code, output = run("show", "ranker", "--json", url=place.url)
    assert [each["instance"]["instance_id"] for each in json.loads(output)] == ["ranker-a-1"]


def test_unknown_names(place: Served) -> None:
    """Whom nobody registered is said so, with who is there, and the exit code is not 0."""
    assert run("show", "nobody", url=place.url) == (1, "no application NOBODY is registered")
    told = "no instance x of ranker is registered; there are: ranker-a-1"
    for words in (("show", "ranker", "x"), ("drop", "ranker", "x"), ("pin", "ranker", "x")):
        assert run(*words, url=place.url) == (1, told)


def test_no_server() -> None:
    """Where nothing listens the message says so."""
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
    for words in (("list",), ("watch",), ("acts",), ("pin", "a", "b")):
        code, output = run(*words, url=url)
        assert (code, f"no platform answers at {url}" in output) == (1, True)


def test_drain_and_undo(place: Served) -> None:
    """A drain is carried out, listed with who and why, and undone by its id."""
    code, output = run(
        "drain", "ranker", "ranker-a-1", "--reason", "deploy", "--actor", "ann", "--for", "10m",
        url=place.url,
    )  # fmt: skip
    assert (code, output.startswith("drain of ranker/ranker-a-1 until ")) == (0, True)
    act_id = output.split()[-1]
    assert place.registry.lease("RANKER", "ranker-a-1").info.status == "OUT_OF_SERVICE"
    code, output = run("acts", url=place.url)
    assert all(word in output for word in (act_id, "drain", "ann", "deploy"))
    assert json.loads(run("acts", "--json", url=place.url)[1])["acts"][0]["id"] == act_id
    assert "drain by ann: deploy" in run("show", "ranker", "ranker-a-1", url=place.url)[1]
    assert run("undo", act_id, url=place.url) == (0, "undone: drain of ranker/ranker-a-1\n")
    assert run("acts", url=place.url) == (0, "no act is in force\n")
    assert "ended" in run("acts", "--all", url=place.url)[1]
    code, output = run("undo", act_id, url=place.url)
    assert (code, "has ended already" in output) == (1, True)


def test_pin_and_unpin(place: Served) -> None:
    """An instance is pinned until it is unpinned; that it was not pinned is an answer of no."""
    assert run("pin", "ranker", "ranker-a-1", url=place.url)[0] == 0
    assert place.directory.judge.is_pinned("RANKER", "ranker-a-1")
    assert run("unpin", "ranker", "ranker-a-1", url=place.url)[0] == 0
    assert not place.directory.judge.is_pinned("RANKER", "ranker-a-1")
    assert run("unpin", "ranker", "ranker-a-1", url=place.url) == (
        1,
        "ranker/ranker-a-1: it is not pinned\n",
    )


def test_override_and_its_removal(place: Served) -> None:
    """A status is set and taken back, be it set here or by Eureka's own means."""
    lease = place.registry.lease("RANKER", "ranker-a-1")
    code, output = run("override", "ranker", "ranker-a-1", "down", "--json", url=place.url)
    assert (code, json.loads(output)["status"], lease.info.status) == (0, "DOWN", "DOWN")
    assert run("override", "ranker", "ranker-a-1", "--remove", url=place.url)[0] == 0
    assert lease.info.status == "UP"
    place.registry.override_status("RANKER", "ranker-a-1", InstanceStatus.OUT_OF_SERVICE)
    code, output = run("override", "ranker", "ranker-a-1", "--remove", url=place.url)
    assert (code, output) == (0, "removed the override of ranker/ranker-a-1\n")
    assert lease.info.status == "UP"
    assert run("override", "ranker", "ranker-a-1", "--remove", url=place.url)[0] == 1
    code, output = run("override", "ranker", "ranker-a-1", url=place.url)
    assert (code, output) == (1, "name either a STATUS or --remove")


def test_drop(place: Served) -> None:
    """A dropped instance is gone; held out, it is back out of service only."""
    code, output = run("drop", "ranker", "ranker-a-1", url=place.url)
    assert (code, output) == (
        0,
        "dropped ranker/ranker-a-1; it is back when it registers again\n",
    )
    assert len(place.registry) == 1
    code, output = run("drop", "features", "features:1", "--hold", "2h", url=place.url)
    assert (code, len(place.registry)) == (0, 0)
    code, output = run("drop", "features", "features:1", "--hold", "0", url=place.url)
    assert (code, "must be a time up to 30 days" in output) == (1, True)


@pytest.mark.slow
def test_waiting_for_quiet(place: Served) -> None:
    """`--wait` ends when no caller reports calls any more, or when its time is over."""
    caller = InstanceKey(service="gateway", instance_id="g-1")

    def told(calls: int) -> CallerReport:
        saw = CalleeReport(service="ranker", instance_id="ranker-a-1", calls=calls)
        return CallerReport(caller=caller, window_s=1.0, callees=[saw])

    place.directory.judge.take(told(5))
    words = ("drain", "ranker", "ranker-a-1", "--wait", "--timeout")
    code, output = run(*words, "1s", url=place.url)
    assert (code, "still called after 1 s, by gateway" in output) == (1, True)
    place.directory.judge.take(told(0))
    code, output = run(*words, "1s", url=place.url)
    assert (code, "no caller calls it any more, 1 s after" in output) == (0, True)


@pytest.mark.slow
def test_watch(place: Served) -> None:
    """Every change is told as it happens: lines for people, one JSON object a line for programs."""
    command = [sys.executable, "-m", "breakwater.cli", "registry", "watch", "--count", "2"]
    watchers = {
        word: subprocess.Popen(
            [*command, word, "--server", place.url], stdout=subprocess.PIPE, text=True
        )
        for word in ("--lines", "--json")
    }
    try:
        waiting = threading.Event()
        deadline = threading.Timer(DEADLINE_S, waiting.set)
        deadline.start()
        while place.directory.native.waiters < 2 and not waiting.wait(0.01):
            pass
        deadline.cancel()
        run("drop", "ranker", "ranker-a-1", url=place.url)
        told = {word: each.communicate(timeout=DEADLINE_S)[0] for word, each in watchers.items()}
    finally:
        for each in watchers.values():
            each.kill()
            each.wait()
    assert [line.split()[1:4] for line in told["--lines"].splitlines()] == [
        ["+", "features", "features:1"],
        ["+", "ranker", "ranker-a-1"],
        ["-", "ranker", "ranker-a-1"],
    ]
    whole, left = (
        msgspec.json.decode(line, type=ViewChange) for line in told["--json"].splitlines()
    )
    assert (whole.since, left.since) == (None, whole.revision)
    assert [key.instance_id for key in left.gone] == ["ranker-a-1"]


@pytest.mark.slow
def test_watch_in_a_terminal(place: Served) -> None:
    """A person sees a table that is drawn anew with each change."""
    command = [sys.executable, "-m", "breakwater.cli", "registry", "watch", "--count", "1"]
    ours, theirs = os.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    try:
        subprocess.run(
            [*command, "--server", place.url],
            stdout=theirs,
            env=env,
            check=True,
            timeout=DEADLINE_S,
        )
        output = os.read(ours, 65_536).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert "127.0.0.1:9101" in output
    assert "2 instances of 2 services; revision " in output


def test_peers(place: Served) -> None:
    """A registry without peers says so, under its own name."""
    name = json.loads(run("peers", "--json", url=place.url)[1])["name"]
    assert run("peers", url=place.url) == (0, f"{name} has no peers\n")
