"""Reading a Prometheus remote write request: snappy around protobuf, to columns.

Both steps are pure and bounded: what would unpack to too much is refused by the length it declares,
and samples are counted while they are found. Format: docs/formats/remote-write.md.
"""

from typing import TYPE_CHECKING, Final, NamedTuple

import cramjam
import numpy as np
from numpy.typing import NDArray

from breakwater.ingest.columns import Columns
from breakwater.ingest.errors import InputError, PayloadTooLargeError, TooManySamplesError
from breakwater.ingest.spelling import MOST_PAIRS, PairSpans, pair_spans

if TYPE_CHECKING:
    from types import ModuleType

_LENGTH_BYTES: Final = 5
_SHORTEST_SAMPLE: Final = 2
_LABEL: Final = 0x0A


class WriteRequest(NamedTuple):
    """The samples of a request, spelled by the bytes of their labels, and what else was in it."""

    columns: Columns
    series: int
    exemplars: int
    histograms: int
    metadata: int


def load_scanner() -> "ModuleType":
    """The compiled loops; they bring numba, which takes a moment."""
    from breakwater.ingest.kernels import protobuf  # noqa: PLC0415 - numba only when it is needed

    return protobuf


def declared_bytes(body: bytes) -> int:
    """How much a snappy block says it unpacks to; raises InputError."""
    try:
        length, _ = _varint(body[:_LENGTH_BYTES], 0)
    except InputError as error:
        raise InputError("the body is not a snappy block") from error
    return length


def unpacked(body: bytes, limit_bytes: int) -> bytes:
    """A snappy block unpacked; raises InputError, PayloadTooLargeError by the declared length."""
    if declared_bytes(body) > limit_bytes:
        raise PayloadTooLargeError("the unpacked request", limit_bytes)
    try:
        return bytes(cramjam.snappy.decompress_raw(body))
    except cramjam.DecompressionError as error:
        raise InputError(f"the body is not a snappy block: {error}") from error


def read_write_request(data: bytes, most: int) -> WriteRequest:
    """A protobuf WriteRequest as columns; raises InputError, TooManySamplesError beyond `most`.

    About 1 ns a byte. What the labels say is not looked at: see `labels_of`.
    """
    scanner = load_scanner()
    room = min(len(data) // _SHORTEST_SAMPLE, most)
    text = np.frombuffer(data, dtype=np.uint8)
    spans = np.empty((room, 2), dtype=np.int64)
    stamps = np.empty(room, dtype=np.int64)
    values = np.empty(room, dtype=np.float64)
    tally = np.zeros(6, dtype=np.int64)
    count = scanner.scan_write_request(text, spans, stamps, values, tally)
    found = tally.tolist()
    if count == scanner.TOO_MANY:
        raise TooManySamplesError(most)
    if count == scanner.SCATTERED:
        raise InputError(
            f"the labels of a series do not lie side by side (byte {found[scanner.PLACE]})"
        )
    if count < 0:
        raise InputError(f"not a protobuf WriteRequest (byte {found[scanner.PLACE]})")
    return WriteRequest(
        Columns(text, spans[:count], stamps[:count], values[:count]),
        series=found[scanner.SERIES],
        exemplars=found[scanner.EXEMPLARS],
        histograms=found[scanner.HISTOGRAMS],
        metadata=found[scanner.METADATA],
    )


def split_labels(text: NDArray[np.uint8], spans: NDArray[np.int64]) -> PairSpans:
    """The label messages of the series that the spans of a text spell. About 10 ns a label.

    None of a series that is not made of labels, or of too many.
    """
    sizes = spans[:, 1] - spans[:, 0]
    labels = np.empty((int(sizes.sum()) // 2 + 1, 2), dtype=np.int64)
    counts = np.empty(len(spans), dtype=np.int64)
    found = load_scanner().split_labels(text, spans, labels, counts, MOST_PAIRS)
    return pair_spans(labels[:found], counts)


def labels_of(raw: bytes) -> list[bytes]:
    """The label messages in the bytes that spell one series; raises InputError."""
    labels = []
    at, end = 0, len(raw)
    while at < end:
        if raw[at] != _LABEL:
            raise InputError("the labels of a series are not protobuf")
        length, at = _varint(raw, at + 1)
        labels.append(raw[at : at + length])
        at += length
        if len(labels) > MOST_PAIRS:
            raise InputError(f"a series has more than {MOST_PAIRS} labels")
    if at > end:
        raise InputError("the labels of a series end too early")
    return labels


def label_of(message: bytes) -> tuple[bytes, bytes]:
    """Name and value in a label message; raises InputError. A part that is missing is empty."""
    parts = {1: b"", 2: b""}
    at, end = 0, len(message)
    while at < end:
        key, at = _varint(message, at)
        if key & 7 != 2:
            raise InputError("a label has a field that is not a string")
        length, at = _varint(message, at)
        parts[key >> 3] = message[at : at + length]
        at += length
        if at > end:
            raise InputError("a label ends too early")
    return parts[1], parts[2]


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    for place in range(at, min(at + 10, len(data))):
        byte = data[place]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, place + 1
        shift += 7
    raise InputError("a number ends too early")
