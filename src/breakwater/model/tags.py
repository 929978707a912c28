"""Dimensional identity: which tag maps name a series, and what a series is called inside.

The rules are those of the Atlas publish endpoint: `name` is required, keys and values use a small
ASCII alphabet, at most twenty user tags, bounded lengths, and the prefixes `nf.` and `atlas.` are
reserved for the keys listed here.
"""

import re
from collections.abc import Mapping
from typing import Final

from breakwater.model.errors import InvalidInputError

MAX_USER_TAGS: Final = 20
_ALLOWED = re.compile(r"[-._A-Za-z0-9^~]+")
_FORBIDDEN = re.compile(r"[^-._A-Za-z0-9^~]")
_NF_KEYS: Final = frozenset(
    "account ami app asg cluster container country country.rollup job node process region shard1 "
    "shard2 stack subnet task vmtype vpc zone".split()
)
_ATLAS_KEYS: Final = frozenset(("aggr", "dstype", "offset", "legacy"))


class InvalidTagsError(InvalidInputError):
    """A tag map that cannot name a series; `rule` is the name of the rule it breaks."""

    def __init__(self, rule: str, reason: str) -> None:
        super().__init__(reason)
        self.rule = rule


def sanitize(text: str) -> str:
    """Replace every character outside the tag alphabet by `_`, as thin clients do."""
    return text if _ALLOWED.fullmatch(text) else _FORBIDDEN.sub("_", text)


def canonical(tags: Mapping[str, str]) -> str:
    """The one spelling of a tag map: `k=v` pairs sorted by key and joined by commas."""
    return ",".join(f"{key}={tags[key]}" for key in sorted(tags))


def series_id(tags: Mapping[str, str]) -> bytes:
    """The 20-byte identity of a series: SHA-1 of its canonical spelling, as Atlas computes it."""
    from hashlib import sha1  # noqa: PLC0415 - loads OpenSSL, which no service needs

    return sha1(canonical(tags).encode(), usedforsecurity=False).digest()


def validate_tags(tags: Mapping[str, str]) -> None:
    """Raise InvalidTagsError naming the first rule that `tags` break, or return."""
    if "name" not in tags:
        raise InvalidTagsError("HasKeyRule", "missing key 'name'")
    user_tags = 0
    for key, value in tags.items():
        _validate_pair(key, value)
        user_tags += not key.startswith(("nf.", "atlas."))
    if user_tags > MAX_USER_TAGS:
        raise InvalidTagsError(
            "MaxUserTagsRule", f"too many user tags: {user_tags} > {MAX_USER_TAGS}"
        )


def _validate_pair(key: str, value: str) -> None:
    if not 2 <= len(key) <= 60:
        raise InvalidTagsError("KeyLengthRule", f"length of key '{key}' must be 2 to 60")
    low, high = (2, 255) if key == "name" else (1, 120)
    if not low <= len(value) <= high:
        shown = value if len(value) <= 40 else f"{value[:40]}..."
        raise InvalidTagsError(
            "NameValueLengthRule",
            f"length of value '{shown}' for '{key}' must be {low} to {high}, is {len(value)}",
        )
    if not _ALLOWED.fullmatch(key):
        raise InvalidTagsError(
            "ValidCharactersRule", f"key '{key}' has characters outside -._A-Za-z0-9^~"
        )
    if not _ALLOWED.fullmatch(value):
        raise InvalidTagsError(
            "ValidCharactersRule",
            f"value '{value}' for '{key}' has characters outside -._A-Za-z0-9^~",
        )
    _validate_reserved(key)


def _validate_reserved(key: str) -> None:
    for prefix, allowed in (("nf.", _NF_KEYS), ("atlas.", _ATLAS_KEYS)):
        if key.startswith(prefix) and key.removeprefix(prefix) not in allowed:
            raise InvalidTagsError(
                "ReservedKeyRule",
                f"key '{key}' uses the reserved prefix '{prefix}'; "
                f"allowed: {', '.join(prefix + k for k in sorted(allowed))}",
            )
