"""The recordings, read as the platform reads instances."""

from pathlib import Path
from typing import Final

import msgspec

from breakwater.guards.events import EventParser
from breakwater.guards.merging import Aggregate

FOLDER: Final = Path(__file__).parent / "recordings"
HOSTS: Final = ("host-a", "host-b", "host-c")


def stream_of(host: str) -> bytes:
    """What a host sent."""
    return (FOLDER / f"{host}.stream").read_bytes()


def played(*hosts: str, at_s: float = 0.0, step: int = 977) -> tuple[Aggregate, int]:
    """The aggregate after these recordings came in, in small pieces; and events refused."""
    aggregate = Aggregate(stale_s=10.0)
    refused = 0
    for host in hosts or HOSTS:
        parser, stream = EventParser(1 << 18), stream_of(host)
        for start in range(0, len(stream), step):
            for data in parser.feed(stream[start : start + step]):
                try:
                    message = msgspec.json.decode(data)
                except msgspec.DecodeError:
                    refused += 1
                    continue
                refused += not aggregate.put(host, message, at_s)
    return aggregate, refused
