"""The series and values that engines are compared on: 1000 nodes x 200 metrics, 8 tags, by minute.

Requests are stamped out of templates: everything but time and value is the same in each, so that
a client on one core can keep up with a server on another. Series come node by node, as agents
send them.
"""

from typing import Final, Literal

import cramjam
import numpy as np
from numpy.typing import NDArray

Kind = Literal["realistic", "random"]
Bytes = NDArray[np.uint8]

NODES: Final = 1000
METRICS: Final = 200
SERIES: Final = NODES * METRICS
STEP_MS: Final = 60_000
MINUTES: Final = 180
_APPS: Final = 20
_CLUSTERS: Final = 100
_SHARED: Final = 1024
_VALUE_TEXT: Final = b"100.00"


def tags(series: int, prefix: str = "m") -> dict[str, str]:
    """The eight tags of a series."""
    node, metric = divmod(series, METRICS)
    cluster = node % _CLUSTERS
    return {
        "name": f"{prefix}{metric}",
        "nf.app": f"app{cluster % _APPS}",
        "nf.cluster": f"app{cluster % _APPS}-cluster{cluster}",
        "nf.node": f"i-{node:017x}",
        "nf.region": "us-east-1",
        "nf.stack": ("main", "canary")[node % 10 == 0],
        "nf.zone": f"us-east-1{'cde'[node % 3]}",
        "statistic": "count" if metric % 2 == 0 else "gauge",
    }


class Values:
    """One value a series and minute, the same at every run.

    realistic: even metrics are rates, whole events a minute as events a second; odd ones are
    gauges that wander, with two decimals. random: doubles in [0, 1), which no codec can shorten.
    """

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._random = np.random.default_rng(20_260_101)
        self._level = 50.0 + 1000.0 * self._random.random(SERIES)
        self._is_rate = np.arange(SERIES) % 2 == 0

    def next(self) -> NDArray[np.float64]:
        """Values of all series at the next minute."""
        if self._kind == "random":
            return self._random.random(SERIES)
        noise = self._random.standard_normal(SERIES)
        events = np.maximum(np.round(self._level + 10 * noise), 0) / 60.0
        self._level[~self._is_rate] += noise[~self._is_rate]
        return np.where(self._is_rate, events, np.round(self._level, 2))


class RemoteWriteBatch:
    """WriteRequests of up to `size` series from `first` on, one sample each, snappy-compressed."""

    def __init__(self, first: int, size: int, prefix: str = "m") -> None:
        self.first, self.size = first, size
        pieces, stamps, values, at = [], [], [], 0
        for series in range(first, first + size):
            labels = b"".join(_label(*pair) for pair in sorted(_labels(series, prefix).items()))
            # A sample: its value as fixed64, its time as a varint of six bytes.
            body = labels + _delimited(2, b"\x09" + bytes(8) + b"\x10" + bytes(6))
            piece = _delimited(1, body)
            pieces.append(piece)
            at += len(piece)
            stamps.append(at - 6)
            values.append(at - 15)
        self._body: Bytes = np.frombuffer(b"".join(pieces), dtype=np.uint8).copy()
        self._stamps = np.array(stamps)[:, None] + np.arange(6)
        self._values = np.array(values)[:, None] + np.arange(8)

    def encoded(self, stamp_ms: int, values: NDArray[np.float64]) -> bytes:
        """The request body with the values of all series of the fleet at one time."""
        self._body[self._stamps] = np.frombuffer(_varint(stamp_ms), dtype=np.uint8)
        mine = values[self.first : self.first + self.size]
        self._body[self._values] = mine.astype("<f8").view(np.uint8).reshape(-1, 8)
        return bytes(cramjam.snappy.compress_raw(self._body.tobytes()))


class PublishBatch:
    """Publish payloads of up to `size` series from `first` on; values are 100.00 to 999.99."""

    def __init__(self, first: int, size: int, prefix: str = "m") -> None:
        self.first, self.size = first, size
        pieces, stamps, values, at = [b'{"tags":{},"metrics":['], [], [], 22
        for series in range(first, first + size):
            pairs = ",".join(f'"{k}":"{v}"' for k, v in tags(series, prefix).items())
            head = f'{"," if series > first else ""}{{"tags":{{{pairs}}},"timestamp":'.encode()
            piece = head + b"1" * 13 + b',"value":' + _VALUE_TEXT + b"}"
            stamps.append(at + len(head))
            values.append(at + len(head) + 22)
            pieces.append(piece)
            at += len(piece)
        self._body: Bytes = np.frombuffer(b"".join(pieces) + b"]}", dtype=np.uint8).copy()
        self._stamps = np.array(stamps)[:, None] + np.arange(13)
        self._values = np.array(values)[:, None] + np.arange(6)

    def encoded(self, stamp_ms: int, values: NDArray[np.float64]) -> bytes:
        """The payload with values at one time, brought into 100.00 to 999.99."""
        self._body[self._stamps] = np.frombuffer(str(stamp_ms).encode(), dtype=np.uint8)
        mine = values[self.first : self.first + self.size]
        cents = 10_000 + (np.abs(mine) * 100).astype(np.int64) % 90_000
        digits = cents[:, None] // np.array([10_000, 1_000, 100, 1, 10, 1]) % 10 + ord("0")
        digits[:, 3] = ord(".")
        self._body[self._values] = digits.astype(np.uint8)
        return self._body.tobytes()


def batches(size: int) -> list[range]:
    """The series of the fleet in pieces of `size`."""
    return [range(start, min(start + size, SERIES)) for start in range(0, SERIES, size)]


def _labels(series: int, prefix: str) -> dict[str, str]:
    """Tags as Prometheus writes them."""
    named = {key.replace(".", "_"): value for key, value in tags(series, prefix).items()}
    named["__name__"] = named.pop("name")
    return named


def _label(name: str, value: str) -> bytes:
    return _delimited(1, _delimited(1, name.encode()) + _delimited(2, value.encode()))


def _delimited(field: int, body: bytes) -> bytes:
    return bytes([field << 3 | 2]) + _varint(len(body)) + body


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
