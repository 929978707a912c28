"""Publish JSON: batches of finished datapoints, `{"tags": {common}, "metrics": [...]}`.

The tags of a metric are kept as raw bytes and looked up as they are, so for a series that was
seen before nothing is parsed but its timestamp and its value. Two spellings of one tag map cost
two entries of that table and lead to the same series. Format: docs/formats/publish.md.
"""

import zlib
from collections import Counter as Tally

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
_UNKNOWN = -2
_NO_TAGS = msgspec.Raw(b"{}")


class _Metric(msgspec.Struct):
    tags: msgspec.Raw
    value: float | str | None = None
    timestamp: int | float | None = None
    start: int | float | None = None
    values: list[float | str] | None = None


class _Payload(msgspec.Struct):
    metrics: list[_Metric]
    tags: msgspec.Raw = _NO_TAGS


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
        self._tags_decoder = msgspec.json.Decoder(dict[str, str])
        self._known: dict[bytes, dict[bytes, int]] = {}
        self._known_count = 0
        self._valid_pairs: set[tuple[str, str]] = set()
        self._payloads = self._datapoints = 0
        self._refused: Tally[str] = Tally()

    def publish(self, body: bytes, *, is_gzip: bool = False) -> PublishResult:
        """Store one payload's datapoints; raises InputError or PayloadTooLargeError, else stores.

        A metric with bad tags, no room, or a timestamp too far from now is refused alone; the
        others of the payload are stored.
        """
        limit = self._settings.max_payload_bytes
        if len(body) > limit:
            raise PayloadTooLargeError("the payload", limit)
        if is_gzip:
            body = _inflate(body, limit)
        if not body.strip():
            raise InputError("empty payload; expected a JSON object with 'metrics'")
        try:
            payload = self._decoder.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise InputError(f"not a publish payload: {error}") from error
        common = bytes(payload.tags)
        return self._store(payload.metrics, common, self._common_tags(common))

    def stats(self) -> PublishStats:
        """Counts since the start."""
        return PublishStats(
            payloads=self._payloads,
            datapoints=self._datapoints,
            known_tags=self._known_count,
            refused=dict(self._refused),
        )

    def _common_tags(self, raw: bytes) -> dict[str, str]:
        try:
            return self._tags_decoder.decode(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise InputError(f"the common 'tags' are not a map of strings: {error}") from error

    def _store(
        self, metrics: list[_Metric], common: bytes, common_tags: dict[str, str]
    ) -> PublishResult:
        self._payloads += 1
        if not metrics:
            raise InputError("empty payload; 'metrics' holds no metric")
        if len(self._known) > _MOST_COMMON_TAGS:
            self._forget()
        known = self._known.setdefault(common, {})
        problems: list[str] = []
        timestamps, values = _columns(metrics)
        usable = self._check_age(metrics, timestamps, problems)
        raws = [bytes(metric.tags) for metric in metrics]
        handles = np.array([known.get(raw, _UNKNOWN) for raw in raws], dtype=np.int64)
        for position in np.flatnonzero(handles == _UNKNOWN):
            handles[position] = self._resolve(raws[position], known, common_tags, problems)
        usable &= handles >= 0
        stale = self._write(handles, timestamps, values, usable)
        if len(stale):
            for position in stale:
                handles[position] = self._resolve(raws[position], known, common_tags, problems)
            again = np.zeros(len(metrics), dtype=np.bool_)
            again[stale] = True
            usable &= handles >= 0
            self._write(handles, timestamps, values, again & usable)
        accepted = int(usable.sum())
        self._datapoints += accepted
        return PublishResult(
            accepted=accepted,
            refused=len(metrics) - accepted,
            messages=problems[:_SHOWN_MESSAGES],
        )

    def _write(
        self,
        handles: NDArray[np.int64],
        timestamps: NDArray[np.int64],
        values: NDArray[np.float64],
        usable: NDArray[np.bool_],
    ) -> NDArray[np.intp]:
        if usable.all():
            return self._sink.write(handles, timestamps, values)
        positions = np.flatnonzero(usable)
        stale = self._sink.write(handles[positions], timestamps[positions], values[positions])
        return positions[stale]

    def _check_age(
        self, metrics: list[_Metric], timestamps: NDArray[np.int64], problems: list[str]
    ) -> NDArray[np.bool_]:
        now_ms = self._clock.now_ms()
        too_old = timestamps < now_ms - self._settings.max_age_ms
        too_new = timestamps > now_ms + self._settings.max_ahead_ms
        for reason, found in (("DataTooOld", too_old), ("DataFromFuture", too_new)):
            count = int(found.sum())
            if count:
                self._refused[reason] += count
                problems.extend(
                    f"{reason}: {timestamps[position]} is not within "
                    f"[-{self._settings.max_age_ms}, +{self._settings.max_ahead_ms}] ms of "
                    f"{now_ms} (tags={_shown(bytes(metrics[position].tags))})"
                    for position in np.flatnonzero(found)[:_SHOWN_MESSAGES]
                )
        return ~(too_old | too_new)

    def _resolve(
        self, raw: bytes, known: dict[bytes, int], common: dict[str, str], problems: list[str]
    ) -> int:
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
        if self._known_count >= self._settings.max_known_tags:
            self._forget()
        known[raw] = handle
        self._known_count += 1
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
        self._known_count = 0

    def _refuse(self, rule: str, reason: str, raw: bytes, problems: list[str]) -> int:
        self._refused[rule] += 1
        if len(problems) < _SHOWN_MESSAGES:
            problems.append(f"{rule}: {reason} (tags={_shown(raw)})")
        return -1


def _columns(metrics: list[_Metric]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    try:
        return (
            np.array([metric.timestamp for metric in metrics], dtype=np.int64),
            np.array([metric.value for metric in metrics], dtype=np.float64),
        )
    except (TypeError, ValueError, OverflowError):
        pairs = [_datapoint(metric) for metric in metrics]
    return (
        np.array([timestamp for timestamp, _ in pairs], dtype=np.int64),
        np.array([value for _, value in pairs], dtype=np.float64),
    )


def _datapoint(metric: _Metric) -> tuple[int, float]:
    timestamp = metric.timestamp if metric.timestamp is not None else metric.start
    value = metric.value
    if value is None and metric.values:
        value = metric.values[0]
    if timestamp is None or value is None:
        raise InputError(
            f"a metric needs 'timestamp' (ms) and 'value' (tags={_shown(bytes(metric.tags))})"
        )
    try:
        return min(max(int(timestamp), -(1 << 62)), 1 << 62), float(value)
    except (ValueError, OverflowError) as error:
        raise InputError(
            f"not a datapoint: {error}; 'value' is a number or \"NaN\" "
            f"(tags={_shown(bytes(metric.tags))})"
        ) from error


def _shown(raw: bytes) -> str:
    text = raw.decode("utf-8", "replace")
    return text if len(text) <= 200 else f"{text[:200]}..."


def _inflate(body: bytes, limit: int) -> bytes:
    inflater = zlib.decompressobj(31)
    try:
        inflated = inflater.decompress(body, limit)
    except zlib.error as error:
        raise InputError(f"not gzip data: {error}") from error
    if inflater.unconsumed_tail:
        raise PayloadTooLargeError("the inflated payload", limit)
    if not inflater.eof:
        raise InputError("the gzip data ends early")
    return inflated
