"""Stale-if-error: the last good answer stands in while there is no new one.

Every good answer is kept for its key. A call that fails is then answered with the last good one,
if that is not older than `ttl_s` + `max_stale_s`; it counts as a fallback and says how old it is.
With `ttl_s` set, an answer that is still fresh is used instead of a call (RFC 5861's pair of
freshness and `stale-if-error`, for any function).
"""

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

import msgspec

from breakwater.sdk.guard.config import StaleConfig
from breakwater.sdk.guard.roles import Answer


class StaleStats(msgspec.Struct, frozen=True, kw_only=True):
    """Keys kept of at most so many; answers found stale, found fresh, and looked for in vain."""

    entries: int
    max_entries: int
    stale: int
    fresh: int
    missed: int
    evicted: int


class StaleCache:
    """The last good answers of one command; all methods take well under a microsecond.

    Keys should be plain values (strings, numbers, tuples of them): they are compared under a lock.
    """

    name = "stale-if-error"

    def __init__(self, config: StaleConfig) -> None:
        self.config = config
        self._oldest_s = config.ttl_s + config.max_stale_s
        self._entries: OrderedDict[Hashable, tuple[Any, float]] = OrderedDict()
        self._lock = threading.RLock()
        self._stale = self._fresh = self._missed = self._evicted = 0

    def keep(self, key: Hashable, value: Any, now_s: float) -> None:
        """This is the newest answer for the key."""
        entries = self._entries
        with self._lock:
            entries[key] = (value, now_s)
            entries.move_to_end(key)
            while len(entries) > self.config.max_entries:
                entries.popitem(last=False)
                self._evicted += 1

    def fresh(self, key: Hashable, now_s: float) -> Answer | None:
        """The last good answer if it may be used instead of a call."""
        if self.config.ttl_s <= 0:
            return None
        with self._lock:
            found = self._entries.get(key)
            if found is None or now_s - found[1] > self.config.ttl_s:
                return None
            self._fresh += 1
        return Answer(found[0], max(0.0, now_s - found[1]))

    def find(self, key: Hashable, now_s: float) -> Answer | None:
        """The last good answer if it may stand in for a call that failed."""
        with self._lock:
            found = self._entries.get(key)
            if found is not None and now_s - found[1] > self._oldest_s:
                del self._entries[key]
                found = None
            if found is None:
                self._missed += 1
                return None
            self._stale += 1
        return Answer(found[0], max(0.0, now_s - found[1]))

    def forget(self, key: Hashable | None = None) -> None:
        """Drop the answer of one key, or of all."""
        with self._lock:
            if key is None:
                self._entries.clear()
            else:
                self._entries.pop(key, None)

    def stats(self) -> StaleStats:
        """What is kept and how it was used."""
        with self._lock:
            return StaleStats(
                entries=len(self._entries),
                max_entries=self.config.max_entries,
                stale=self._stale,
                fresh=self._fresh,
                missed=self._missed,
                evicted=self._evicted,
            )
