"""Publish answers when what was stored would survive, and says so when it would not."""

import httpx2 as httpx
import pytest
from starlette.applications import Starlette
from tests.ingest.memory_sink import MemorySink

from breakwater.ingest import IngestSettings, Publisher, RemoteWriter
from breakwater.ingest.http import routes
from breakwater.model import UnavailableError
from breakwater.testing import FakeClock

pytestmark = pytest.mark.anyio


class Disk:
    """A durability that can be full before or after the writing."""

    def __init__(self, clock: FakeClock, sink: MemorySink) -> None:
        self.clock = clock
        self.sink = sink
        self.full_at = ""
        self.waits: list[int] = []

    def check_durable(self) -> None:
        """Refuse when full at the start."""
        if self.full_at == "start":
            raise UnavailableError("datapoints cannot be kept: No space left on device")

    async def wait_durable(self) -> None:
        """Refuse when full at the end."""
        self.waits.append(len(self.sink.points))
        if self.full_at == "end":
            raise UnavailableError("datapoints could not be kept: No space left on device")


@pytest.fixture
def disk() -> Disk:
    """A disk with room."""
    return Disk(FakeClock(), MemorySink())


async def publish(disk: Disk, age_ms: int = 0) -> httpx.Response:
    """One datapoint."""
    publisher = Publisher(IngestSettings(), disk.sink, disk.clock)
    remote = RemoteWriter(IngestSettings(), disk.sink, disk.clock)
    app = Starlette(routes=routes(publisher, remote, durability=disk))
    metric = {"tags": {"name": "requests"}, "timestamp": disk.clock.now_ms() - age_ms, "value": 1.0}
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.post("/api/v1/publish", json={"metrics": [metric]})


async def test_the_answer_comes_after_the_disk(disk: Disk) -> None:
    """200 is given after waiting for what was stored."""
    assert (await publish(disk)).status_code == 200
    assert disk.waits == [1]


async def test_a_full_disk_refuses_before_anything_is_stored(disk: Disk) -> None:
    """503 with the reason and when to come back; nothing is stored."""
    disk.full_at = "start"
    answer = await publish(disk)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert answer.json()["message"] == "datapoints cannot be kept: No space left on device"
    assert disk.sink.points == {}


async def test_a_disk_that_becomes_full_is_no_acknowledgement(disk: Disk) -> None:
    """What could not be kept after all is answered 503."""
    disk.full_at = "end"
    answer = await publish(disk)
    assert answer.status_code == 503
    assert "could not be kept" in answer.json()["message"]


async def test_a_payload_of_nothing_waits_for_nothing(disk: Disk) -> None:
    """When all of it is refused there is nothing to wait for."""
    assert (await publish(disk, age_ms=10**9)).status_code == 400
    assert disk.waits == []
