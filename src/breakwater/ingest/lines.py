"""The spectatord line protocol: what a line says about which meter.

A line is `type[,option]:name[,key=value...]:amount`. Everything before the amount names the meter
and repeats in every update of it, so it is parsed once and remembered as raw bytes by the
aggregator; this module is the part that runs once a meter. Format: docs/formats/line-protocol.md.
"""

import re
from enum import StrEnum

import msgspec

from breakwater.ingest.errors import LineError
from breakwater.model import InvalidTagsError, sanitize, validate_tags

UPDATES = re.compile(
    rb"^([^:\n]+:[^:\n]+):([-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)", re.MULTILINE
)
"""Finds (meter, amount) pairs of well-formed lines; what follows the amount is passed over."""


class MeterKind(StrEnum):
    """The meter types of the protocol, by their letter."""

    COUNTER = "c"
    MONOTONIC = "C"
    MONOTONIC_UINT = "U"
    MONOTONIC_SAMPLED = "X"
    GAUGE = "g"
    MAX_GAUGE = "m"
    AGE_GAUGE = "A"
    TIMER = "t"
    PERCENTILE_TIMER = "T"
    DISTRIBUTION = "d"
    PERCENTILE_DISTRIBUTION = "D"


_KINDS = {kind.value: kind for kind in MeterKind}
_WITH_OPTION = frozenset((MeterKind.GAUGE, MeterKind.MONOTONIC_SAMPLED))


class MeterName(msgspec.Struct, frozen=True, kw_only=True):
    """What the part of a line before the amount says; `option` is a TTL (g) or a time (X)."""

    kind: MeterKind
    tags: dict[str, str]
    option: int | None = None

    def identity(self) -> tuple[str, ...]:
        """Equal for two spellings of one meter, whatever the order of their tags."""
        flat = [part for pair in sorted(self.tags.items()) for part in pair]
        return (self.kind.value, *flat)


def parse_meter(raw: bytes) -> MeterName:
    """Parse `type[,option]:name[,key=value...]`.

    Characters outside the tag alphabet become `_`. Raises LineError whose reason is one of
    no_name, unknown_type, bad_option, bad_tag, or the name of the tag rule that is broken.
    """
    head, separator, identity = raw.decode("utf-8", "replace").partition(":")
    if not separator or not identity:
        raise LineError("no_name")
    letter, _, option_text = head.strip().partition(",")
    kind = _KINDS.get(letter)
    if kind is None:
        raise LineError("unknown_type")
    option = _option(kind, option_text)
    tags = _tags(identity)
    try:
        validate_tags(tags)
    except InvalidTagsError as error:
        raise LineError(error.rule) from error
    return MeterName(kind=kind, tags=tags, option=option)


def _option(kind: MeterKind, text: str) -> int | None:
    if not text:
        if kind is MeterKind.MONOTONIC_SAMPLED:
            raise LineError("bad_option")
        return None
    if kind not in _WITH_OPTION or not (text.isascii() and text.isdigit()) or len(text) > 15:
        raise LineError("bad_option")
    return int(text)


def _tags(identity: str) -> dict[str, str]:
    name, *pairs = identity.split(",")
    tags = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key or not value:
            raise LineError("bad_tag")
        tags[sanitize(key)] = sanitize(value)
    tags["name"] = sanitize(name.strip())
    return tags
