"""Remote write requests made by hand: the protobuf wire form, and snappy around it."""

import struct
from collections.abc import Iterable, Mapping

import cramjam

Samples = Iterable[tuple[int, float]]


def varint(number: int) -> bytes:
    """An unsigned number, seven bits a byte, the lowest first; a negative one as 64 bits."""
    number &= 2**64 - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def delimited(field: int, body: bytes) -> bytes:
    """A field of bytes."""
    return varint(field << 3 | 2) + varint(len(body)) + body


def label(name: str, value: str) -> bytes:
    """A label as a field of a series."""
    return delimited(1, delimited(1, name.encode()) + delimited(2, value.encode()))


def sample(stamp_ms: int, value: float) -> bytes:
    """A sample as a field of a series."""
    body = b"\x09" + struct.pack("<d", value) + b"\x10" + varint(stamp_ms)
    return delimited(2, body)


def series(labels: Mapping[str, str], *samples: tuple[int, float]) -> bytes:
    """A series as a field of a request."""
    spelled = b"".join(label(name, value) for name, value in labels.items())
    return delimited(1, spelled + b"".join(sample(*each) for each in samples))


def packed(*fields: bytes) -> bytes:
    """A request as it is sent."""
    return bytes(cramjam.snappy.compress_raw(b"".join(fields)))
