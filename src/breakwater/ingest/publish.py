"""Publish JSON: batches of finished datapoints, `{"tags": {common}, "metrics": [...]}`.

The tags of a metric are kept as raw bytes and looked up as they are, so for a series that was
seen before nothing is parsed but its timestamp and its value. Two spellings of one tag map cost
two entries of that table and lead to the same series. Format: docs/formats/publish.md.
"""

import zlib
from collections import Counter as Tally
from collections.abc import Generator, Iterable, Iterator
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from breakwater.ingest.errors import InputError, PayloadTooLargeError
from breakwater.ingest.settings import IngestSettings
from breakwater.ingest.sink import Sink
from breakwater.model import Clock, InvalidTagsError, LimitExceededError, validate_tags
from breakwater.model.tags import MAX_USER_TAGS

_SHOWN_MESSAGES = 5
_MOST_COMMON_TAGS = 10_000
_MOST_VALID_PAIRS = 100_000
_MOST_KNOWN_BYTES = 512 << 20
_LONGEST_TAGS = 32_768
_SLICE = 5_000
_NEW_AT_ONCE = 500
_READ_AT_ONCE_BYTES = 2 << 20
_UNKNOWN = -2
_NO_TAGS = msgspec.Raw(b"{}")
_NO_VALUES = msgspec.Raw(b"null")

_T = TypeVar("_T")


class _Metric(msgspec.Struct):
    tags: msgspec.Raw
    value: float | str | None = None
    timestamp: int | float | None = None
    start: int | float | None = None
    values: msgspec.Raw = _NO_VALUES


class _Payload(msgspec.Struct):
    metrics: list[_Metric]
    tags: msgspec.Raw = _NO_TAGS


class _UnreadPayload(msgspec.Struct):
    metrics: list[msgspec.Raw]
    tags: msgspec.Raw = _NO_TAGS


class _Slice(msgspec.Struct):
    """Some metrics of a payload as columns: raw tags, timestamps in ms, values."""

    raws: list[bytes]
    timestamps: NDArray[np.int64]
    values: NDArray[np.float64]

    def pieces(self, size: int) -> "Iterator[_Slice]":
        """The same metrics, `size` at a time."""
        for start in range(0, len(self.raws), size):
            taken = slice(start, start + size)
            yield _Slice(self.raws[taken], self.timestamps[taken], self.values[taken])


class PublishResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one payload; `messages` explains at most five of the refused metrics."""

    accepted: int
    refused: int
    messages: list[str]


class PublishStats(msgspec.Struct, frozen=True, kw_only=True):
    """What the publisher has taken and refused, counted since it was made."""

    payloads: int
    datapoints: int
    known_tags: int
    refused: dict[str, int]


class Publisher:
    """Decodes publish payloads and writes their datapoints to a sink.

    About 2 million datapoints a second and core for known series (benchmarks/metrics_engine.py).
    Bounded by `max_payload_bytes` and `max_known_tags`. Not thread-safe.
    """

    def __init__(self, settings: IngestSettings, sink: Sink, clock: Clock) -> None:
        self._settings = settings
        self._sink = sink
        self._clock = clock
        self._decoder = msgspec.json.Decoder(_Payload)
        self._unread_decoder = msgspec.json.Decoder(_UnreadPayload)
        self._metrics_decoder = msgspec.json.Decoder(list[_Metric])
        self._tags_decoder = msgspec.json.Decoder(dict[str, str])
        self._known: dict[bytes, dict[bytes, int]] = {}
        self._known_count = self._known_bytes = 0
        self._valid_pairs: set[tuple[str, str]] = set()
        self._payloads = self._datapoints = 0
        self._refused: Tally[str] = Tally()

    def publish(self, body: bytes, *, is_gzip: bool = False) -> PublishResult:
        """Store one payload's datapoints; raises InputError or PayloadTooLargeError, else stores.

        A metric with bad tags, no room, a value that is infinite, or a timestamp too far from now
        is refused alone; the others of the payload are stored.
        """
        turns = self.turns(body, is_gzip=is_gzip)
        while True:
            try:
                next(turns)
            except StopIteration as done:
                result: PublishResult = done.value
                return result

    def turns(self, body: bytes, *, is_gzip: bool = False) -> Generator[None, None, PublishResult]:
        """`publish` in turns of some ten milliseconds, for a caller with other things to do.

        Turns of several payloads may alternate. Nothing is stored before all of it was read.
        """
        limit = self._settings.max_payload_bytes
        if len(body) > limit:
            raise PayloadTooLargeError("the payload", limit)
        if is_gzip:
            body = _inflate(body, limit)
            yield
        if not body.strip():
            raise InputError("empty payload; expected a JSON object with 'metrics'")
        count, common, slices = yield from self._read(body)
        common_tags = self._common_tags(common)
        accepted = 0
        problems: list[str] = []
        for part in slices:
            known = self._known.get(common, {})
            unknown = sum(raw not in known for raw in part.raws)
            for piece in part.pieces(_NEW_AT_ONCE if unknown > _NEW_AT_ONCE else _SLICE):
                yield
                accepted += self._store(piece, common, common_tags, problems)
        return PublishResult(
            accepted=accepted,
            refused=count - accepted,
            messages=problems[:_SHOWN_MESSAGES],
        )

    def _read(self, body: bytes) -> Generator[None, None, tuple[int, bytes, list[_Slice]]]:
        """Number of metrics, common tags and slices of a payload; a large one is read in turns."""
        slices: list[_Slice] = []
        if len(body) <= _READ_AT_ONCE_BYTES:
            payload = _decoded(self._decoder, body)
            count, tags = len(payload.metrics), payload.tags
            starts = range(0, count, _SLICE)
            slices = [_columns(payload.metrics[start : start + _SLICE]) for start in starts]
        else:
            unread = _decoded(self._unread_decoder, body)
            count, tags = len(unread.metrics), unread.tags
            for start in range(0, count, _SLICE):
                yield
                raws = b",".join(unread.metrics[start : start + _SLICE])
                slices.append(_columns(_decoded(self._metrics_decoder, b"[%b]" % raws)))
        self._payloads += 1
        if not count:
            raise InputError("empty payload; 'metrics' holds no metric")
        return count, bytes(tags), slices

    def stats(self) -> PublishStats:
        """Counts since the start."""
        return PublishStats(
            payloads=self._payloads,
            datapoints=self._datapoints,
            known_tags=self._known_count,
            refused=dict(self._refused),
        )

    def _common_tags(self, raw: bytes) -> dict[str, str]:
        if len(raw) > _LONGEST_TAGS:
            raise InputError(
                f"the common 'tags' have {len(raw)} bytes; at most {_LONGEST_TAGS} are allowed"
            )
        try:
            return self._tags_decoder.decode(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise InputError(f"the common 'tags' are not a map of strings: {error}") from error

    def _store(
        self, part: _Slice, common: bytes, common_tags: dict[str, str], problems: list[str]
    ) -> int:
        """Store what can be stored of a slice; returns how many datapoints that were."""
        if len(self._known) > _MOST_COMMON_TAGS:
            self._forget()
        known = self._known.setdefault(common, {})
        usable = self._check_age(part, problems) & self._check_values(part, problems)
        handles = np.array([known.get(raw, _UNKNOWN) for raw in part.raws], dtype=np.int64)

        def resolve(positions: Iterable[int]) -> None:
            for position in positions:
                handles[position] = self._resolve(part.raws[position], known, common_tags, problems)

        resolve(np.flatnonzero((handles == _UNKNOWN) & usable))
        usable &= handles >= 0
        stale = self._write(handles, part, usable)
        if len(stale):
            resolve(stale)
            again = np.zeros(len(handles), dtype=np.bool_)
            again[stale] = True
            usable &= handles >= 0
            self._write(handles, part, again & usable)
        accepted = int(usable.sum())
        self._datapoints += accepted
        return accepted

    def _write(
        self, handles: NDArray[np.int64], part: _Slice, usable: NDArray[np.bool_]
    ) -> NDArray[np.intp]:
        if usable.all():
            return self._sink.write(handles, part.timestamps, part.values)
        positions = np.flatnonzero(usable)
        stale = self._sink.write(
            handles[positions], part.timestamps[positions], part.values[positions]
        )
        return positions[stale]

    def _check_age(self, part: _Slice, problems: list[str]) -> NDArray[np.bool_]:
        """Which datapoints are near enough to now, for the settings and for the sink."""
        now_ms = self._clock.now_ms()
        timestamps = part.timestamps
        _, furthest = self._sink.reach_ms(now_ms)
        newest = min(now_ms + self._settings.max_ahead_ms, furthest)
        too_new = timestamps > newest
        latest = int(timestamps[~too_new].max(initial=0))
        oldest = max(now_ms - self._settings.max_age_ms, self._sink.reach_ms(latest)[0])
        too_old = timestamps < oldest
        why = f"is not within [{oldest - now_ms:+d}, {newest - now_ms:+d}] ms of {now_ms}"
        self._refuse_all("DataTooOld", too_old, part, problems, why=why, column=timestamps)
        self._refuse_all("DataFromFuture", too_new, part, problems, why=why, column=timestamps)
        return ~(too_old | too_new)

    def _check_values(self, part: _Slice, problems: list[str]) -> NDArray[np.bool_]:
        infinite = np.isinf(part.values)
        why = "is not a value; expected a finite number or 'NaN' for none"
        self._refuse_all("InfiniteValue", infinite, part, problems, why=why, column=part.values)
        return ~infinite

    def _refuse_all(
        self,
        rule: str,
        found: NDArray[np.bool_],
        part: _Slice,
        problems: list[str],
        *,
        why: str,
        column: NDArray[np.int64] | NDArray[np.float64],
    ) -> None:
        count = int(found.sum())
        if not count:
            return
        self._refused[rule] += count
        for position in np.flatnonzero(found)[: max(_SHOWN_MESSAGES - len(problems), 0)]:
            shown = _shown(part.raws[position])
            problems.append(f"{rule}: {column[position]} {why} (tags={shown})")

    def _resolve(
        self, raw: bytes, known: dict[bytes, int], common: dict[str, str], problems: list[str]
    ) -> int:
        if len(raw) > _LONGEST_TAGS:
            reason = f"the tags have {len(raw)} bytes; at most {_LONGEST_TAGS} are allowed"
            return self._refuse("InvalidTags", reason, raw, problems)
        try:
            tags = {**common, **self._tags_decoder.decode(raw)}
            self._validate(tags)
            handle = self._sink.resolve(tags)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            return self._refuse("InvalidTags", str(error), raw, problems)
        except InvalidTagsError as error:
            return self._refuse(error.rule, str(error), raw, problems)
        except LimitExceededError as error:
            return self._refuse("TooManySeries", str(error), raw, problems)
        most = self._settings.max_known_tags
        if self._known_count >= most or self._known_bytes > _MOST_KNOWN_BYTES:
            self._forget()
        known[raw] = handle
        self._known_count += 1
        self._known_bytes += len(raw)
        return handle

    def _validate(self, tags: dict[str, str]) -> None:
        """Check tags, leaving out pairs that were checked before: series share most of them."""
        valid = self._valid_pairs
        unchecked = dict(pair for pair in tags.items() if pair not in valid)
        if len(tags) > MAX_USER_TAGS or "name" not in tags:
            validate_tags(tags)
        else:
            validate_tags({"name": tags["name"], **unchecked})
        if len(valid) > _MOST_VALID_PAIRS:
            valid.clear()
        valid.update(unchecked.items())

    def _forget(self) -> None:
        self._known = {}
        self._known_count = self._known_bytes = 0

    def _refuse(self, rule: str, reason: str, raw: bytes, problems: list[str]) -> int:
        self._refused[rule] += 1
        if len(problems) < _SHOWN_MESSAGES:
            problems.append(f"{rule}: {reason} (tags={_shown(raw)})")
        return -1


def _decoded(decoder: msgspec.json.Decoder[_T], body: bytes) -> _T:
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"not a publish payload: {error}") from error


def _columns(metrics: list[_Metric]) -> _Slice:
    raws = [bytes(metric.tags) for metric in metrics]
    plain = _plain_columns(metrics)
    if plain is not None:
        return _Slice(raws, *plain)
    pairs = [_datapoint(metric) for metric in metrics]
    return _Slice(
        raws,
        np.array([timestamp for timestamp, _ in pairs], dtype=np.int64),
        np.array([value for _, value in pairs], dtype=np.float64),
    )


def _datapoint(metric: _Metric) -> tuple[int, float]:
    timestamp = metric.timestamp if metric.timestamp is not None else metric.start
    value = _first(metric.values) if metric.value is None else metric.value
    if timestamp is None or value is None:
        raise InputError(
            f"a metric needs 'timestamp' (ms) and 'value' (tags={_shown(bytes(metric.tags))})"
        )
    try:
        return min(max(int(timestamp), -(1 << 62)), 1 << 62), float(value)
    except (ValueError, OverflowError) as error:
        raise InputError(
            f"not a datapoint: {_shown(str(error).encode())}; 'value' is a number or \"NaN\" "
            f"(tags={_shown(bytes(metric.tags))})"
        ) from error


def _first(values: msgspec.Raw) -> float | str | None:
    """The first of the values that older clients send, who send one."""
    if len(bytes(values)) > _LONGEST_TAGS:
        raise InputError(f"'values' has more than {_LONGEST_TAGS} bytes; one value is expected")
    try:
        found = msgspec.json.decode(values, type=list[float | str] | None)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InputError(f"'values' is not a list with one value: {error}") from error
    return found[0] if found else None


def _shown(raw: bytes) -> str:
    text = raw.decode("utf-8", "replace")
    return text if len(text) <= 200 else f"{text[:200]}..."


def _inflate(body: bytes, limit: int) -> bytes:
    inflater = zlib.decompressobj(31)
    try:
        inflated = inflater.decompress(body, limit + 1)
    except zlib.error as error:
        raise InputError(f"not gzip data: {error}") from error
    if len(inflated) > limit:
        raise PayloadTooLargeError("the inflated payload", limit)
    if not inflater.eof:
        raise InputError("the gzip data ends early")
    if inflater.unused_data:
        raise InputError(
            f"{len(inflater.unused_data)} bytes follow the gzip data; send one gzip member"
        )
    return inflated


def _plain_columns(
    metrics: list[_Metric],
) -> tuple[NDArray[np.int64], NDArray[np.float64]] | None:
    """Stamps and values at once, or None when a datapoint of them needs a closer look."""
    values = [metric.value for metric in metrics]
    if None in values:  # numpy would take None for NaN
        return None
    try:
        return (
            np.array([metric.timestamp for metric in metrics], dtype=np.int64),
            np.array(values, dtype=np.float64),
        )
    except (TypeError, ValueError, OverflowError):
        return None
