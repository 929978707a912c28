"""Hashes that are the same in every process: for subsets and sticky keys (rendezvous hashing).

Each pair of a key and an instance has a score; the highest wins. If an instance leaves, only the
keys that it had go elsewhere, evenly over the rest; if one comes, it takes an even part of all.
Weights: Schindelhauer and Schomaker (2005), -weight / ln(hash).
"""

from math import log
from typing import Final

_ALL: Final = (1 << 64) - 1


def seed_of(text: str) -> int:
    """64 bits of the text."""
    from hashlib import blake2b  # noqa: PLC0415 - most services have neither subsets nor sticky keys

    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


def mixed(one: int, other: int) -> int:
    """64 bits of a pair of seeds, by the finaliser of splitmix64 (Steele et al., 2014)."""
    bits = one ^ other
    bits = ((bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9) & _ALL
    bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & _ALL
    return bits ^ (bits >> 31)


def score(key: int, seed: int, weight: float) -> float:
    """What an instance of this seed and weight bids for a key; the highest wins."""
    return -weight / log((mixed(key, seed) + 1) / (_ALL + 2))
