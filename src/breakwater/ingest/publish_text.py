"""Reading publish JSON: bytes to columns, in two ways that agree.

`scanned` reads the shape that clients send with compiled loops; `separated` and `decoded` read
everything else, and say what is wrong with it. All are pure. Format: docs/formats/publish.md.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from breakwater.ingest.columns import Columns, columns_over
from breakwater.ingest.errors import InputError
from breakwater.ingest.spelling import MOST_PAIRS, PairSpans, pair_spans

if TYPE_CHECKING:
    from types import ModuleType

_SHORTEST_PAIR: Final = 5  # "":""
_SHORTEST_METRIC: Final = 36  # {"tags":{},"timestamp":1,"value":1},
_LONGEST_TEXT: Final = 32_768
_FURTHEST_MS: Final = 1 << 62
_NO_TAGS: Final = msgspec.Raw(b"{}")
_NO_VALUES: Final = msgspec.Raw(b"null")

_T = TypeVar("_T")


class PublishText(NamedTuple):
    """What a payload says: its common tags as they were written, and its metrics."""

    common: bytes
    columns: Columns


class SeparatedText(NamedTuple):
    """A payload taken apart but not read: common tags and metrics as they were written."""

    common: bytes
    metrics: Sequence[msgspec.Raw]


class _Metric(msgspec.Struct):
    tags: msgspec.Raw
    value: float | str | None = None
    timestamp: int | float | None = None
    start: int | float | None = None
    values: msgspec.Raw = _NO_VALUES


class _Payload(msgspec.Struct):
    metrics: list[msgspec.Raw]
    tags: msgspec.Raw = _NO_TAGS


_PAYLOAD: Final = msgspec.json.Decoder(_Payload)
_METRICS: Final = msgspec.json.Decoder(list[_Metric])


def load_scanner() -> "ModuleType":
    """The compiled loops; they bring numba, which takes a moment."""
    from breakwater.ingest.kernels import json_text  # noqa: PLC0415 - numba only when it is needed

    return json_text


def scanned(body: bytes) -> PublishText | None:
    """The payload if it has the usual shape, else None. About 0.6 ns a byte."""
    data = np.frombuffer(body, dtype=np.uint8)
    most = len(body) // _SHORTEST_METRIC + 1
    spans = np.empty((most, 2), dtype=np.int64)
    stamps = np.empty(most, dtype=np.int64)
    values = np.empty(most, dtype=np.float64)
    common = np.full(2, -1, dtype=np.int64)
    count = load_scanner().scan_publish(data, spans, stamps, values, common)
    if count < 0:
        return None
    begin, end = common.tolist()
    tags = bytes(_NO_TAGS) if begin < 0 else body[begin:end]
    return PublishText(tags, Columns(data, spans[:count], stamps[:count], values[:count]))


def split_tags(text: NDArray[np.uint8], spans: NDArray[np.int64]) -> PairSpans:
    """The pairs of the series that the spans of a text spell as JSON objects of strings.

    A pair goes from the quote before its key to the quote behind its value. None of a series that
    is something else, or that has strings other than ASCII without escapes. About 1 ns a byte.
    """
    sizes = spans[:, 1] - spans[:, 0]
    pairs = np.empty((int(sizes.sum()) // _SHORTEST_PAIR + 1, 2), dtype=np.int64)
    counts = np.empty(len(spans), dtype=np.int64)
    found = load_scanner().split_tags(text, spans, pairs, counts, MOST_PAIRS)
    return pair_spans(pairs[:found], counts)


def separated(body: bytes) -> SeparatedText:
    """Any payload, taken apart; raises InputError for what is none."""
    payload = _decoded(_PAYLOAD, body)
    return SeparatedText(bytes(payload.tags), payload.metrics)


def decoded(metrics: Sequence[msgspec.Raw]) -> Columns:
    """Columns of metrics as `separated` gives them; raises InputError naming what is wrong."""
    found = _decoded(_METRICS, b"[%b]" % b",".join(metrics))
    raws = [bytes(metric.tags) for metric in found]
    plain = _plain_columns(found)
    if plain is not None:
        return columns_over(raws, *plain)
    pairs = [_datapoint(metric) for metric in found]
    stamps = np.array([timestamp for timestamp, _ in pairs], dtype=np.int64)
    return columns_over(raws, stamps, np.array([value for _, value in pairs], dtype=np.float64))


def joined(parts: Sequence[Columns]) -> Columns:
    """Several columns as one."""
    if not parts:
        return columns_over([], np.empty(0, dtype=np.int64), np.empty(0))
    offsets = np.cumsum([0, *(len(part.text) for part in parts[:-1])])
    return Columns(
        np.concatenate([part.text for part in parts]),
        np.concatenate([part.spans + at for part, at in zip(parts, offsets, strict=True)]),
        np.concatenate([part.stamps for part in parts]),
        np.concatenate([part.values for part in parts]),
    )


def shown(raw: bytes) -> str:
    """Text for a message, cut when it is long."""
    text = raw.decode("utf-8", "replace")
    return text if len(text) <= 200 else f"{text[:200]}..."


def _decoded(decoder: msgspec.json.Decoder[_T], body: bytes) -> _T:
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"not a publish payload: {error}") from error


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


def _datapoint(metric: _Metric) -> tuple[int, float]:
    timestamp = metric.timestamp if metric.timestamp is not None else metric.start
    value = _first(metric.values) if metric.value is None else metric.value
    if timestamp is None or value is None:
        raise InputError(
            f"a metric needs 'timestamp' (ms) and 'value' (tags={shown(bytes(metric.tags))})"
        )
    try:
        return min(max(int(timestamp), -_FURTHEST_MS), _FURTHEST_MS), float(value)
    except (ValueError, OverflowError) as error:
        raise InputError(
            f"not a datapoint: {shown(str(error).encode())}; 'value' is a number or \"NaN\" "
            f"(tags={shown(bytes(metric.tags))})"
        ) from error


def _first(values: msgspec.Raw) -> float | str | None:
    """The first of the values that older clients send, who send one."""
    if len(bytes(values)) > _LONGEST_TEXT:
        raise InputError(f"'values' has more than {_LONGEST_TEXT} bytes; one value is expected")
    try:
        found = msgspec.json.decode(values, type=list[float | str] | None)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InputError(f"'values' is not a list with one value: {error}") from error
    return found[0] if found else None
