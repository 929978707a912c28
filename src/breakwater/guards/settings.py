"""Bounds of watching guards, and of configuring them."""

import msgspec


class GuardSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much is watched, and how many may wait.

    interval_s: between two messages of the aggregate. max_watchers: of `/turbine.stream`, all
    clusters together. max_streams: instances whose streams are read at once, over all clusters.
    stale_s: an instance or a command that says nothing for so long is left out. linger_s: how long
    streams are still read after the last watcher left. first_s: how long a view waits for
    instances that have said nothing yet. max_event_bytes: of one event of an instance.
    connect_s: how long a connection to an instance may take.
    max_settings: kept in the book. max_wait_s, max_waiters: of the long poll for settings.
    """

    interval_s: float = 0.5
    max_watchers: int = 32
    max_streams: int = 256
    stale_s: float = 10.0
    linger_s: float = 15.0
    first_s: float = 2.5
    max_event_bytes: int = 1 << 18
    connect_s: float = 2.0
    max_settings: int = 10_000
    max_wait_s: float = 60.0
    max_waiters: int = 2_000
