"""Telemetry comes in here: lines over UDP, publish and Prometheus remote write over HTTP.

Lines update meters in memory, and each meter becomes a few datapoints a step; what is published
or written already is datapoints. All end as columns of (series handle, value) in a `Sink`, which
the room above implements. Nothing that comes in can stop the intake: what cannot be used is
counted by reason, and every buffer, table and payload has a bound that is said in
`IngestSettings`. Loops over bytes are compiled (`kernels`), so a series that is known costs no
Python object.
"""

from breakwater.ingest.aggregator import AggregatorStats, LineAggregator
from breakwater.ingest.errors import (
    IngestError,
    InputError,
    LineError,
    ListenError,
    PayloadTooLargeError,
    TooManySamplesError,
    UnknownFormatError,
)
from breakwater.ingest.intake import Taken
from breakwater.ingest.publish import Publisher, PublishStats
from breakwater.ingest.remote_write import RemoteWriter, RemoteWriteStats
from breakwater.ingest.settings import IngestSettings
from breakwater.ingest.sink import Durability, Resolved, Sink
from breakwater.ingest.udp import UdpLineServer, UdpStats
from breakwater.ingest.warming import warm_up

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
    "PublishStats",
    "Publisher",
    "RemoteWriteStats",
    "RemoteWriter",
    "Resolved",
    "Sink",
    "Taken",
    "TooManySamplesError",
    "UdpLineServer",
    "UdpStats",
    "UnknownFormatError",
    "warm_up",
]
