"""What the tests of publish and remote write share: how to make them, and how to wait for them."""

import json
from functools import partial
from typing import Any

import anyio
import msgspec
from tests.ingest.memory_sink import MemorySink

from breakwater.ingest import IngestSettings, Publisher, RemoteWriter, Taken
from breakwater.testing import FakeClock

T0 = 1_700_000_000_000


def publisher(sink: MemorySink, clock: FakeClock, **settings: Any) -> Publisher:
    """A publisher with some limits changed."""
    return Publisher(msgspec.structs.replace(IngestSettings(), **settings), sink, clock)


def published(one: Publisher, body: bytes, *, is_smile: bool = False) -> Taken:
    """What becomes of a payload."""
    return anyio.run(partial(one.publish, body, is_smile=is_smile))


def remote_writer(sink: MemorySink, clock: FakeClock, **settings: Any) -> RemoteWriter:
    """A remote writer with some limits changed."""
    return RemoteWriter(msgspec.structs.replace(IngestSettings(), **settings), sink, clock)


def written(one: RemoteWriter, body: bytes) -> Taken:
    """What becomes of a remote write request."""
    return anyio.run(one.write, body)


def payload(*metrics: dict[str, Any], **common: str) -> bytes:
    """A publish payload as JSON."""
    return json.dumps({"tags": common, "metrics": metrics}).encode()


def metric(value: Any = 1.0, at: int = T0, **tags: str) -> dict[str, Any]:
    """One metric of a payload."""
    return {"tags": tags, "timestamp": at, "value": value}
