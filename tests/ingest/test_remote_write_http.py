"""Remote write over HTTP: what is answered, so that a sender does the right thing."""

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from tests.ingest.memory_sink import MemorySink
from tests.ingest.remote_write_encoding import packed, series
from tests.ingest.taking import T0, publisher, remote_writer
from tests.ingest.test_publish_durability import Disk

from breakwater.ingest.http import routes
from breakwater.testing import FakeClock

GOOD = series({"__name__": "up", "job": "api"}, (T0, 1.0))
BAD = series({"job": "api"}, (T0, 1.0))
HEADERS = {
    "content-type": "application/x-protobuf",
    "content-encoding": "snappy",
    "x-prometheus-remote-write-version": "0.1.0",
}


@pytest.fixture
def disk() -> Disk:
    """A disk with room."""
    return Disk(FakeClock(), MemorySink())


@pytest.fixture
def client(disk: Disk) -> TestClient:
    """A client of an application with only these endpoints."""
    made = publisher(disk.sink, disk.clock), remote_writer(disk.sink, disk.clock)
    return TestClient(Starlette(routes=routes(*made, max_payload_bytes=10_000, durability=disk)))


@pytest.mark.parametrize("path", ["/api/v1/write", "/api/v1/push"])
def test_all_stored_is_204_and_empty(client: TestClient, disk: Disk, path: str) -> None:
    """The answer comes after the disk."""
    answer = client.post(path, content=packed(GOOD), headers=HEADERS)
    assert (answer.status_code, answer.content) == (204, b"")
    assert disk.waits == [1]


def test_partly_bad_data_is_400_with_reasons_and_the_rest_is_stored(
    client: TestClient, disk: Disk
) -> None:
    """400 tells a sender not to try again; the reasons are on one line, which it logs."""
    answer = client.post("/api/v1/write", content=packed(GOOD, BAD), headers=HEADERS)
    assert answer.status_code == 400
    body = answer.json()
    assert (body["type"], body["errorCount"]) == ("error", 1)
    assert body["message"].startswith("1 of 2 samples were refused, the others stored: HasKeyRule")
    assert b"\n" not in answer.content
    assert len(disk.sink.points) == 1
    assert disk.waits == [1]


@pytest.mark.parametrize("body", [b"", b"not snappy", packed(b"\x0a\x05abc")])
def test_what_cannot_be_read_is_400(client: TestClient, body: bytes) -> None:
    """Trying again would not help."""
    answer = client.post("/api/v1/write", content=body, headers=HEADERS)
    assert (answer.status_code, answer.json()["type"]) == (400, "error")


def test_too_large_is_413(client: TestClient) -> None:
    """As sent."""
    answer = client.post("/api/v1/write", content=b"x" * 10_001, headers=HEADERS)
    assert answer.status_code == 413


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "application/x-protobuf;proto=io.prometheus.write.v2.Request"},
        {"content-type": "application/json"},
        {"content-encoding": "zstd"},
        {"content-encoding": "gzip"},
    ],
)
def test_another_protocol_is_415(client: TestClient, headers: dict[str, str]) -> None:
    """A sender that knows an older one falls back to it."""
    answer = client.post("/api/v1/write", content=packed(GOOD), headers={**HEADERS, **headers})
    assert answer.status_code == 415
    assert "is not taken; allowed:" in answer.json()["message"]


@pytest.mark.parametrize(
    "kind",
    ["application/x-protobuf; proto=prometheus.WriteRequest", "Application/X-Protobuf", ""],
)
def test_version_one_may_be_named_or_not(client: TestClient, kind: str) -> None:
    """Senders of the first version name no message."""
    headers = {**HEADERS, "content-type": kind}
    assert client.post("/api/v1/write", content=packed(GOOD), headers=headers).status_code == 204


@pytest.mark.parametrize("full_at", ["start", "end"])
def test_what_may_be_tried_again_is_503(client: TestClient, disk: Disk, full_at: str) -> None:
    """A disk that is full now may have room later."""
    disk.full_at = full_at
    answer = client.post("/api/v1/write", content=packed(GOOD), headers=HEADERS)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "No space left" in answer.json()["message"]
