"""Which instance owns a key when every instance keeps its own part of the state.

Rendezvous hashing: every caller computes the same owner from the same list, and losing one of n
instances moves only that instance's 1/n of the keys. Cost: one short hash per instance.
Source: Thaler and Ravishankar, "Using name-based mappings to increase hit rates" (1998).
"""

import hashlib
from collections.abc import Iterable


def owner(key: str, instance_ids: Iterable[str]) -> str | None:
    """The instance that keeps the state of `key`, or None when no instance is known."""
    return max(instance_ids, key=lambda instance: (weight(key, instance), instance), default=None)


def weight(key: str, instance_id: str) -> int:
    """A number every process computes alike for this pair, uniform over 64 bits."""
    digest = hashlib.blake2b(f"{key}\0{instance_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest)
