"""The journal as its HTTP clients see it."""

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from breakwater.journal import Journal
from breakwater.journal.http import routes
from breakwater.model import ChangeKind
from breakwater.storage import ControlDatabase
from breakwater.testing import FakeClock

URL = "/api/v1/changes"
NOW_MS = 1_700_000_000_000


@pytest.fixture
def client() -> Iterator[TestClient]:
    """A client of an empty journal."""
    database = ControlDatabase(None)
    with TestClient(Starlette(routes=routes(Journal(database, FakeClock(NOW_MS))))) as client:
        yield client
        assert client.portal is not None
        client.portal.call(database.close)


def told(**fields: Any) -> dict[str, Any]:
    """The smallest change that can be told, with `fields` added."""
    return {"kind": "deploy", "target": "ranker"} | fields


def test_telling_and_asking(client: TestClient) -> None:
    """A change is answered 201 with its number, and found by the next question."""
    answer = client.post(URL, json=told(actor="ann", detail={"version": "7"}))
    assert answer.status_code == 201
    change = answer.json()
    assert change == {
        "kind": "deploy",
        "target": "ranker",
        "start_ms": NOW_MS,
        "end_ms": None,
        "actor": "ann",
        "source": "api",
        "detail": {"version": "7"},
        "id": 1,
    }
    assert client.get(URL).json() == {"changes": [change], "limit_reached": False}
    assert client.get(f"{URL}/1").json() == change


def test_asking_for_some(client: TestClient) -> None:
    """Window, kinds (repeated or with commas), target and limit choose."""
    for number, kind in enumerate(("deploy", "config", "flag")):
        client.post(URL, json=told(kind=kind, start_ms=NOW_MS + number))

    def found(query: str) -> list[str]:
        return [one["kind"] for one in client.get(f"{URL}?{query}").json()["changes"]]

    assert found(f"start={NOW_MS + 1}") == ["flag", "config"]
    assert found(f"end={NOW_MS}") == ["deploy"]
    assert found("kind=flag&kind=deploy") == found("kind=FLAG,deploy") == ["flag", "deploy"]
    assert found("target=nobody") == []
    assert client.get(f"{URL}?limit=2").json()["limit_reached"] is True


def test_ending(client: TestClient) -> None:
    """PATCH and POST .../end both give an end, now unless told; the first one stands."""
    for _ in range(3):
        client.post(URL, json=told(kind="fault", start_ms=NOW_MS - 10))
    assert client.patch(f"{URL}/1", json={"end_ms": NOW_MS - 5}).json()["end_ms"] == NOW_MS - 5
    assert client.patch(f"{URL}/1", json={"end_ms": NOW_MS - 4}).json()["end_ms"] == NOW_MS - 5
    assert client.post(f"{URL}/2/end").json()["end_ms"] == NOW_MS
    assert client.patch(f"{URL}/3", content=b" ").json()["end_ms"] == NOW_MS
    assert client.patch(f"{URL}/3", json={"end_ms": NOW_MS - 11}).status_code == 200
    for missing in ("4", "x", "0", "-1", str(2**70)):
        assert client.get(f"{URL}/{missing}").status_code in {400, 404}
    assert client.post(f"{URL}/4/end").status_code == 404


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "the body is not a change"),
        (b"[" * 50_000, "the body is not a change"),
        (b'{"kind":"\xff"}', "the body is not a change"),
        (b"{}", "missing required field `kind`"),
        (b'{"kind":"deploy"}', "missing required field `target`"),
        (b'{"kind":"deploy","target":"a","colour":"red"}', "unknown field `colour`"),
        (b'{"kind":"deploy","target":7}', "`$.target`"),
        (b'{"kind":"deploy","target":"a","detail":{"a":1}}', "Expected `str`"),
        (b'{"kind":"deploy","target":"a","start_ms":1700000000}', "seconds, perhaps?"),
        (b'{"kind":"deploy","target":"a","start_ms":5000000000000000}', "must be milliseconds"),
        (b'{"kind":"deploy","target":""}', "target must be 1 to 256"),
    ],
)
def test_bad_changes(client: TestClient, body: bytes, message: str) -> None:
    """What is wrong is answered 400 with the reason, and nothing is stored."""
    answer = client.post(URL, content=body)
    assert (answer.status_code, answer.json()["type"]) == (400, "error")
    assert message in answer.json()["message"]
    assert client.get(URL).json()["changes"] == []


def test_an_unknown_kind_lists_the_kinds(client: TestClient) -> None:
    """Whoever mistypes a kind is told all of them, when telling and when asking."""
    for answer in (client.post(URL, json=told(kind="party")), client.get(f"{URL}?kind=party")):
        assert answer.status_code == 400
        assert all(kind in answer.json()["message"] for kind in ChangeKind)


@pytest.mark.parametrize("query", ["start=x", "end=1.5", "limit=0", "limit=x", "start=5&end=4"])
def test_bad_questions(client: TestClient, query: str) -> None:
    """A parameter that cannot be used is answered 400 and named."""
    answer = client.get(f"{URL}?{query}")
    assert answer.status_code == 400
    assert answer.json()["message"]


def test_large_bodies(client: TestClient) -> None:
    """More than 64 KiB is answered 413 whatever it holds."""
    answer = client.post(URL, content=b" " * 65_537)
    assert answer.status_code == 413


def test_a_disk_that_takes_nothing(client: TestClient) -> None:
    """While nothing can be stored the answer is 503, so that the caller may come again."""
    database = ControlDatabase(None)
    assert client.portal is not None
    client.portal.call(database.close)
    with TestClient(Starlette(routes=routes(Journal(database, FakeClock())))) as other:
        assert other.post(URL, json=told()).status_code == 503
        assert other.get(URL).status_code == 503
