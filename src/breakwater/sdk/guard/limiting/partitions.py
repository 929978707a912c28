"""Shares of a limit that classes of callers are guaranteed.

The rules of the partitioned limiters in Netflix's concurrency-limits: a share bites only once
all places together are taken. Until then any class may use what the others leave; after, a class
below its share still gets in, so that the total may for a while be above the limit by what the
others took too much. A class without a share is a class with none: it gets in while there is
room, and never beyond.
"""

from collections.abc import Mapping
from math import ceil

import msgspec


class PartitionStats(msgspec.Struct, frozen=True, kw_only=True):
    """One class of callers: its places by right, those it uses, and its calls refused."""

    share: float
    limit: int
    in_use: int
    rejected: int


class Partition:
    """One class of callers; mutated only by the `Places` it belongs to, under its lock."""

    __slots__ = ("in_use", "limit", "rejected", "share")

    def __init__(self, share: float) -> None:
        self.share = share
        self.limit = 0
        self.in_use = 0
        self.rejected = 0

    def resize(self, total: int) -> None:
        """Its places by right of `total`: rounded up and at least one, none without a share."""
        self.limit = max(1, ceil(total * self.share)) if self.share > 0 else 0

    def stats(self) -> PartitionStats:
        """How full it is."""
        return PartitionStats(
            share=self.share, limit=self.limit, in_use=self.in_use, rejected=self.rejected
        )


class Partitions:
    """All classes of callers of one limit; `unknown` stands for those without a share."""

    __slots__ = ("_named", "unknown")

    def __init__(self, shares: Mapping[str, float], total: int) -> None:
        self._named = {name: Partition(share) for name, share in shares.items()}
        self.unknown = Partition(0.0)
        self.resize(total)

    def resize(self, total: int) -> None:
        """The limit they share is now `total`."""
        for partition in self._named.values():
            partition.resize(total)

    def find(self, name: str) -> Partition:
        """The class of this name, or the unknown one."""
        return self._named.get(name, self.unknown)

    def stats(self) -> dict[str, PartitionStats]:
        """How full each is; the unknown ones under the empty name."""
        named = {name: partition.stats() for name, partition in self._named.items()}
        return {**named, "": self.unknown.stats()}
