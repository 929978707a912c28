"""The bounds of what is taken in, each with a default that suits one machine."""

from typing import Literal

import msgspec


class IngestSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits of the line protocol and of the publish endpoint.

    max_meters: meters alive at once; lines of further ones are counted and dropped.
    meter_ttl_s: a meter without an update for so long is forgotten.
    gauge_ttl_s: how long a gauge keeps reporting its last value when the line names no TTL.
    max_payload_bytes: of one publish or remote write request as sent; a publish request may not
    be larger after inflation either.
    max_write_bytes, max_write_samples: of one remote write request, unpacked.
    remote_write_counters: `raw` stores the totals of Prometheus counters as they are; `rate` takes
    series named *_total, *_count, *_sum and *_bucket as totals and stores their rates.
    max_age_ms, max_ahead_ms: how far from now the timestamp of a published datapoint may be.
    max_known_tags: distinct spellings of series remembered, by publish and remote write each.
    """

    host: str = "127.0.0.1"
    port: int = 1234
    receive_buffer_bytes: int = 16 << 20
    max_meters: int = 200_000
    meter_ttl_s: float = 900.0
    gauge_ttl_s: float = 900.0
    max_age_gauges: int = 1000
    max_payload_bytes: int = 8 << 20
    max_write_bytes: int = 64 << 20
    max_write_samples: int = 500_000
    remote_write_counters: Literal["raw", "rate"] = "raw"
    max_age_ms: int = 120_000
    max_ahead_ms: int = 60_000
    max_known_tags: int = 2_000_000
