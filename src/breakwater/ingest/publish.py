"""Publish: batches of finished datapoints, `{"tags": {common}, "metrics": [...]}`.

The tags of a metric are looked up as the bytes they came in, so for a series that was seen before
nothing is read but its timestamp and its value. Two spellings of one tag map cost two entries of
that table and lead to the same series. Smile is turned into JSON first. Format:
docs/formats/publish.md.
"""

from collections.abc import Mapping
from typing import Final

import anyio.lowlevel
import anyio.to_thread
import msgspec

from breakwater.ingest.errors import InputError, PayloadTooLargeError
from breakwater.ingest.handles import LONGEST_BYTES, Hashes
from breakwater.ingest.intake import Intake, Reach, Taken
from breakwater.ingest.publish_text import (
    PublishText,
    decoded,
    joined,
    scanned,
    separated,
    shown,
    split_tags,
)
from breakwater.ingest.settings import IngestSettings
from breakwater.ingest.sink import Sink
from breakwater.ingest.smile import json_of_smile
from breakwater.ingest.spelling import Bytes, PairTable, ReadPair, Refusal, Spans, Spelled
from breakwater.ingest.tag_rules import TagRules
from breakwater.model import Clock

_READ_AT_ONCE: Final = 5_000
_WORTH_A_THREAD_BYTES: Final = 64 << 10

_TAGS: Final = msgspec.json.Decoder(dict[str, str])


class PublishStats(msgspec.Struct, frozen=True, kw_only=True):
    """What the publisher has taken and refused, counted since it was made.

    unusual: payloads that were read the slow way. known_tags: spellings of tags in the table.
    """

    payloads: int
    unusual: int
    datapoints: int
    no_value: int
    known_tags: int
    known_bytes: int
    refused: dict[str, int]


class Publisher:
    """Decodes publish payloads and writes their datapoints to a sink.

    Bounded by `max_payload_bytes` and `max_known_tags`. Not thread-safe, but payloads may be taken
    side by side by tasks of one loop.
    """

    def __init__(self, settings: IngestSettings, sink: Sink, clock: Clock) -> None:
        self._settings = settings
        reach = Reach(max_age_ms=settings.max_age_ms, max_ahead_ms=settings.max_ahead_ms)
        self._intake = Intake(_Recording(sink), clock, reach, most_known=settings.max_known_tags)
        self._rules = TagRules()
        self._pairs = PairTable(self._rules, _read_pair)
        self._payloads = self._unusual = 0

    async def publish(self, body: bytes, *, is_smile: bool = False) -> Taken:
        """Store one payload's datapoints, in turns of some milliseconds.

        A metric with bad tags, no room, a value that is infinite, or a timestamp too far from now
        is refused alone; the others are stored. Raises InputError or PayloadTooLargeError for
        a payload that cannot be read; then nothing of it is stored.
        """
        limit = self._settings.max_payload_bytes
        if len(body) > limit:
            raise PayloadTooLargeError("the payload", limit)
        if is_smile:
            body = await _json_of(body, limit)
        if not body.strip():
            raise InputError("empty payload; expected a JSON object with 'metrics'")
        text = await self._read(body)
        self._payloads += 1
        if not len(text.columns.stamps):
            raise InputError("empty payload; 'metrics' holds no metric")
        spelling = _JsonTags(_common_tags(text.common), self._pairs, self._rules)
        return await self._intake.take(text.columns, spelling, seed=text.common)

    def stats(self) -> PublishStats:
        """Counts since the start."""
        intake = self._intake.stats()
        return PublishStats(
            payloads=self._payloads,
            unusual=self._unusual,
            datapoints=intake.datapoints,
            no_value=intake.no_value,
            known_tags=intake.known,
            known_bytes=intake.known_bytes,
            refused=intake.refused,
        )

    async def _read(self, body: bytes) -> PublishText:
        """The payload, whatever shape it has; all of it is read before any of it is stored."""
        found = scanned(body)
        if found is not None:
            return found
        self._unusual += 1
        apart = separated(body)
        parts = []
        for start in range(0, len(apart.metrics), _READ_AT_ONCE):
            await anyio.lowlevel.checkpoint()
            parts.append(decoded(apart.metrics[start : start + _READ_AT_ONCE]))
        return PublishText(apart.common, joined(parts))


class _Recording:
    """A sink that is given updates as they happened."""

    def __init__(self, sink: Sink) -> None:
        self.resolve_table = sink.resolve_table
        self.reach_ms = sink.reach_ms
        self.write = sink.record


class _JsonTags:
    """Series spelled as JSON objects of strings, beside common tags."""

    def __init__(self, common: dict[str, str], pairs: PairTable, rules: TagRules) -> None:
        self._common = common
        self._pairs = pairs
        self._rules = rules

    def spelled(self, text: Bytes, spans: Spans, hashes: Hashes) -> Spelled:  # noqa: ARG002 - the port's signature
        """The tags each span means together with the common ones. Below 1 us for known pairs."""
        table = self._pairs
        table.make_room()
        common = [table.place_of(*pair) for pair in self._common.items()]
        laid = table.lay(text, split_tags(text, spans), common)
        lines, refusals = table.lay_odd(laid, text, spans, lambda raw: self._checked(_one_of(raw)))
        return Spelled(table.pairs, lines, refusals)

    def shown(self, raw: bytes) -> str:
        """The text as it came."""
        return f"tags={shown(raw)}"

    def _checked(self, own: dict[str, str] | Refusal) -> Mapping[str, str] | Refusal:
        if isinstance(own, Refusal):
            return own
        tags = {**self._common, **own} if self._common else own
        broken = self._rules.broken_by(tags)
        return tags if broken is None else Refusal(*broken)


def _read_pair(raw: bytes) -> ReadPair | None:
    """A pair that is spelled as JSON has it, by itself."""
    try:
        read = _TAGS.decode(b"{%b}" % raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return ReadPair(*next(iter(read.items()))) if len(read) == 1 else None


def _one_of(raw: bytes) -> dict[str, str] | Refusal:
    try:
        return _TAGS.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        return Refusal("InvalidTags", str(error))


def _common_tags(raw: bytes) -> dict[str, str]:
    if len(raw) > LONGEST_BYTES:
        raise InputError(
            f"the common 'tags' have {len(raw)} bytes; at most {LONGEST_BYTES} are allowed"
        )
    try:
        return _TAGS.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InputError(f"the common 'tags' are not a map of strings: {error}") from error


async def _json_of(body: bytes, limit: int) -> bytes:
    if len(body) < _WORTH_A_THREAD_BYTES:
        return json_of_smile(body, limit)
    return await anyio.to_thread.run_sync(json_of_smile, body, limit)
