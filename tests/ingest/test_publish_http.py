"""The publish endpoint over HTTP."""

import gzip
import json

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from tests.ingest.memory_sink import MemorySink
from tests.ingest.smile_encoding import smile

from breakwater.ingest import IngestSettings, Publisher, RemoteWriter
from breakwater.ingest.http import routes
from breakwater.testing import FakeClock

GOOD = {"tags": {"name": "hits"}, "timestamp": 1_700_000_000_000, "value": 1}
BAD = {"tags": {"nf.app": "x"}, "timestamp": 1_700_000_000_000, "value": 1}


@pytest.fixture
def client(sink: MemorySink, clock: FakeClock) -> TestClient:
    """A client of an application with only this endpoint."""
    settings = IngestSettings(max_payload_bytes=10_000)
    publisher, remote = Publisher(settings, sink, clock), RemoteWriter(settings, sink, clock)
    return TestClient(Starlette(routes=routes(publisher, remote, max_payload_bytes=10_000)))


@pytest.mark.parametrize("path", ["/api/v1/publish", "/api/v1/publish-fast"])
def test_all_stored_is_200_and_empty(client: TestClient, path: str) -> None:
    """Nothing is said when nothing is wrong."""
    answer = client.post(path, json={"metrics": [GOOD]})
    assert (answer.status_code, answer.content) == (200, b"")


def test_some_stored_is_202_with_reasons(client: TestClient) -> None:
    """A partial success counts and explains the rest."""
    answer = client.post("/api/v1/publish", json={"metrics": [GOOD, BAD]})
    assert answer.status_code == 202
    body = answer.json()
    assert (body["type"], body["errorCount"]) == ("partial", 1)
    assert "HasKeyRule" in body["message"][0]


def test_none_stored_is_400(client: TestClient) -> None:
    """A payload of which nothing was stored is an error."""
    answer = client.post("/api/v1/publish", json={"metrics": [BAD]})
    assert (answer.status_code, answer.json()["type"]) == (400, "error")


def test_unreadable_payload_is_400(client: TestClient) -> None:
    """What is no JSON is an error with a message."""
    answer = client.post("/api/v1/publish", content=b"{")
    assert answer.status_code == 400
    assert "not a publish payload" in answer.json()["message"]


def test_too_large_is_413(client: TestClient) -> None:
    """A body beyond the limit is refused with the limit."""
    answer = client.post("/api/v1/publish", content=b" " * 20_000)
    assert answer.status_code == 413
    assert "10000 bytes" in answer.json()["message"]


def test_gzip_is_accepted_and_other_encodings_are_named(client: TestClient) -> None:
    """Gzip is inflated; what is not supported is refused with what is."""
    body = gzip.compress(json.dumps({"metrics": [GOOD]}).encode())
    assert (
        client.post(
            "/api/v1/publish", content=body, headers={"content-encoding": "gzip"}
        ).status_code
        == 200
    )
    answer = client.post("/api/v1/publish", content=body, headers={"content-encoding": "br"})
    assert "identity, gzip" in answer.json()["message"]


def test_a_payload_as_the_java_client_sends_it(client: TestClient, sink: MemorySink) -> None:
    """Smile in gzip, and the answer in JSON."""
    headers = {"content-encoding": "gzip", "content-type": "application/x-jackson-smile"}
    body = gzip.compress(smile({"metrics": [GOOD, BAD]}))
    answer = client.post("/api/v1/publish", content=body, headers=headers)
    assert (answer.status_code, answer.json()["errorCount"]) == (202, 1)
    assert sink.of(name="hits") == {1_700_000_000_000: 1.0}
    answer = client.post("/api/v1/publish", content=body[:-3], headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (400, "error")


def test_what_unpacks_to_too_much_is_413(client: TestClient) -> None:
    """The bound holds after unpacking, and for what Smile stands for."""
    bomb = gzip.compress(b" " * 100_000)
    answer = client.post("/api/v1/publish", content=bomb, headers={"content-encoding": "gzip"})
    assert answer.status_code == 413
    assert "10000 bytes" in answer.json()["message"]
    repeated = smile({"metrics": [{"tags": {"name": "x" * 60}}] * 300}, share_values=True)
    headers = {"content-type": "application/x-jackson-smile"}
    answer = client.post("/api/v1/publish", content=repeated, headers=headers)
    assert (answer.status_code, len(repeated) < 10_000) == (413, True)
