"""The HTTP face of chaos, over a real socket."""

import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.chaos.chaos_fakes import MemoryJournal, instance, serving, view

from breakwater.chaos import Chaos, ChaosKind, ChaosSettings, Fault, Plan
from breakwater.model import FaultRules, SystemClock

FLEET = view(*(instance("ranker", n) for n in (1, 2)), instance("gateway", 1))


class Client:
    """One request at a time to the server under test."""

    def __init__(self, url: str) -> None:
        self._netloc = url.removeprefix("http://")

    def __call__(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        """Send JSON, or bytes as they are; status and body."""
        connection = http.client.HTTPConnection(self._netloc, timeout=20)
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        try:
            connection.request(method, path, data)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def refused(self, method: str, path: str, body: Any = None) -> tuple[int, str]:
        """Status and message of an answer that must be an error of the house's form."""
        status, answer = self(method, path, body)
        error = json.loads(answer)
        assert error["type"] == "error"
        return status, str(error["message"])


def serve(folder: Path, settings: ChaosSettings) -> Iterator[Client]:
    """A server on a fresh chaos."""
    chaos = Chaos(lambda: FLEET, folder / "undo", MemoryJournal(), SystemClock(), settings)
    with serving(chaos) as url:
        yield Client(url)
    chaos._chronicle.close()


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    """A server whose chaos may act."""
    yield from serve(tmp_path, ChaosSettings(leashed=False, max_wait_s=20.0))


@pytest.fixture
def leashed(tmp_path: Path) -> Iterator[Client]:
    """A server whose chaos may not act."""
    yield from serve(tmp_path, ChaosSettings())


def test_a_fault_is_started_shown_and_undone(client: Client) -> None:
    """POST starts, GET shows, DELETE undoes; each answers with the fault."""
    status, body = client("POST", "/api/v1/chaos/faults", {"kind": "latency", "service": "ranker"})
    assert status == 201
    fault = msgspec.json.decode(body, type=Fault)
    assert fault.request.kind is ChaosKind.LATENCY
    status, body = client("GET", "/api/v1/chaos/faults?active=true")
    assert (status, [f["id"] for f in json.loads(body)["faults"]]) == (200, [fault.id])
    assert json.loads(body)["leashed"] is False
    assert client("GET", f"/api/v1/chaos/faults/{fault.id}")[0] == 200
    status, body = client("DELETE", f"/api/v1/chaos/faults/{fault.id}")
    assert (status, json.loads(body)["state"]) == (200, "undone")
    assert json.loads(client("GET", "/api/v1/chaos/faults?active=true")[1])["faults"] == []


def test_everything_is_undone_at_once(client: Client) -> None:
    """DELETE without an id is the big red button."""
    for kind in ("latency", "hang"):
        client("POST", "/api/v1/chaos/faults", {"kind": kind, "service": "ranker"})
    status, body = client("DELETE", "/api/v1/chaos/faults")
    assert status == 200
    assert [f["state"] for f in json.loads(body)["undone"]] == ["undone", "undone"]


def test_a_dry_run_answers_the_plan_and_starts_nothing(leashed: Client) -> None:
    """With dry_run even a leashed chaos answers what it would touch."""
    wanted = {"kind": "cpu_burn", "service": "ranker", "instance": "ranker-2"}
    status, body = leashed("POST", "/api/v1/chaos/faults?dry_run=true", wanted)
    assert status == 200
    assert msgspec.json.decode(body, type=Plan).targets[0].instance == "ranker-2"
    assert json.loads(leashed("GET", "/api/v1/chaos/faults")[1]) == {"leashed": True, "faults": []}


def test_a_leashed_chaos_refuses_with_the_plan(leashed: Client) -> None:
    """403, the way to unleash, and the resolved targets."""
    wanted = {"kind": "hang", "service": "ranker"}
    status, body = leashed("POST", "/api/v1/chaos/faults", wanted)
    assert status == 403
    assert "chaos.leashed = false" in json.loads(body)["message"]
    assert json.loads(body)["plan"]["targets"][0]["what"] == "hang calls to ranker"


@pytest.mark.parametrize(
    ("body", "status", "match"),
    [
        ({"kind": "hagn", "service": "ranker"}, 400, "kinds: latency, errors, hang, slow_edge"),
        ({"service": "ranker"}, 400, "kinds: latency, errors"),
        (
            {"kind": "hang", "service": "ranker", "point": "process"},
            400,
            "points: inbound, outbound, cache, database, queue, pool",
        ),
        ({"kind": "hang", "service": "ranker", "delay": 1}, 400, "fields: kind, service"),
        ({"kind": "hang", "service": 5}, 400, "Expected `str`"),
        (b"{", 400, "not JSON"),
        (b"\xff\xfe", 400, "not JSON"),
        (b'{"kind":"hang","service":"\xff"}', 400, "not JSON"),
        (b'{"headers":' + b'{"a":' * 9_000, 400, "Expected `str`"),
        ({"kind": "hang", "service": "ranker", "actor": "a\n"}, 400, "printable characters"),
        (b"", 400, "not JSON"),
        ({"kind": "hang", "service": "rankr"}, 404, "registered: gateway, ranker"),
        ({"kind": "hang", "service": "ranker", "percent": 200}, 400, "percent is 200"),
        ({"kind": "hang", "service": "ranker", "duration_s": 9999}, 403, "longest allowed is 600"),
        ({"kind": "freeze", "service": "ranker", "instance": "ranker-1"}, 409, "runs on host"),
        (b'{"kind":"' + b"x" * 70_000, 413, "65536 bytes"),
    ],
)
def test_bad_requests_are_answered_with_what_is_allowed(
    client: Client, body: Any, status: int, match: str
) -> None:
    """Every refusal has its status, says what was wrong, and starts nothing."""
    got, message = client.refused("POST", "/api/v1/chaos/faults", body)
    assert got == status
    assert match in message
    assert json.loads(client("GET", "/api/v1/chaos/faults")[1])["faults"] == []


def test_unknown_faults_are_404(client: Client) -> None:
    """GET and DELETE of an unknown id are answered 404 with the running ones."""
    for method in ("GET", "DELETE"):
        status, message = client.refused(method, "/api/v1/chaos/faults/f-0")
        assert (status, message) == (404, "there is no fault 'f-0'; running: none")


def test_the_long_poll_answers_when_rules_change(client: Client) -> None:
    """A service that holds the current revision gets the new rules as soon as there are any."""
    path = "/api/v1/faults/rules?service=ranker&instance=ranker-1"
    status, body = client("GET", path)
    before = msgspec.json.decode(body, type=FaultRules)
    assert (status, before.rules) == (200, [])
    got: list[FaultRules] = []

    def poll() -> None:
        answer = client("GET", f"{path}&revision={before.revision}&wait_s=20")[1]
        got.append(msgspec.json.decode(answer, type=FaultRules))

    waiter = threading.Thread(target=poll)
    waiter.start()
    client("POST", "/api/v1/chaos/faults", {"kind": "errors", "service": "ranker", "status": 503})
    waiter.join()
    assert got[0].revision > before.revision
    assert [rule.status for rule in got[0].rules] == [503]


@pytest.mark.parametrize(
    ("query", "match"),
    [
        ("", "'service' is missing"),
        ("service=a&revision=x", "'revision' is 'x', must be a whole number"),
        ("service=a&wait_s=nan", "must be a number"),
        ("service=a&revision=1e300", "must be a whole number"),
    ],
)
def test_bad_polls_are_refused(client: Client, query: str, match: str) -> None:
    """A poll without a service or with odd numbers is answered 400."""
    status, message = client.refused("GET", f"/api/v1/faults/rules?{query}")
    assert status == 400
    assert match in message


def test_odd_flags_are_refused(client: Client) -> None:
    """A flag that is neither true nor false is not guessed."""
    status, message = client.refused("GET", "/api/v1/chaos/faults?active=maybe")
    assert (status, "must be true or false" in message) == (400, True)
