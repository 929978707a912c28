"""Who is in which cell of an experiment: by hash, so the same everywhere and for ever."""

from collections.abc import Mapping
from hashlib import blake2b


def allocate(account: str, experiment: str, shares: Mapping[str, float]) -> str:
    """The cell of `account`; `shares` are relative sizes, of which one must be above zero.

    Two experiments place the same account independently, because the experiment's name is hashed.
    """
    digest = blake2b(f"{experiment}\0{account}".encode(), digest_size=8).digest()
    point = int.from_bytes(digest) / 2.0**64 * sum(shares.values())
    cell = ""
    for cell, share in shares.items():  # noqa: B007 - the last cell takes the rounding error
        point -= share
        if point < 0.0:
            break
    return cell
