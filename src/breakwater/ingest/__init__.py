"""Telemetry comes in here: spectatord lines over UDP and publish JSON over HTTP.

Lines update meters in memory, and each meter becomes a few datapoints a step; published JSON
already is datapoints. Both end as columns of (series handle, value) in a `Sink`, which the room
above implements. Nothing that comes in can stop the intake: what cannot be used is counted by
reason, and every buffer, table and payload has a bound that is said in `IngestSettings`.
"""

from breakwater.ingest.aggregator import AggregatorStats, LineAggregator
from breakwater.ingest.errors import (
    IngestError,
    InputError,
    LineError,
    ListenError,
    PayloadTooLargeError,
)
from breakwater.ingest.publish import Publisher, PublishResult, PublishStats
from breakwater.ingest.settings import IngestSettings
from breakwater.ingest.sink import Durability, Sink
from breakwater.ingest.udp import UdpLineServer, UdpStats

__all__ = [
    "AggregatorStats",
    "Durability",
    "IngestError",
    "IngestSettings",
    "InputError",
    "LineAggregator",
    "LineError",
    "ListenError",
    "PayloadTooLargeError",
    "PublishResult",
    "PublishStats",
    "Publisher",
    "Sink",
    "UdpLineServer",
    "UdpStats",
]
