"""Where the normalisation of some series stands, and how the log says it.

Format: docs/formats/metrics-log.md.
"""

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Part = bytes | memoryview
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Columns of `Standing.extras`, and of what is lent to sources of rolled-up series.
PARTIAL: Final = 0
"""The sum of the step under way."""
TOTAL: Final = 1
"""The last total."""
COUNTER_MS: Final = 2
"""Its stamp; 0 is none."""
EXTRAS: Final = 3
"""How many columns `extras` has."""

_HEAD: Final = struct.Struct("<IIqqBBBB")
_WIDEST: Final = 1 << 32

# How a column is written.
_SAME: Final = 0
_OFFSETS: Final = 4
_WHOLE: Final = 8


class Standing(NamedTuple):
    """Where series stand; `keys` are their rows, or their serials.

    `last_ms` is the stamp a series has got to, 0 for none, -1 when many were rolled up into it;
    `is_extra` says which of them have more than `last_ms`; for each of those `extras` has a line.
    """

    keys: Ints
    last_ms: Ints
    is_extra: NDArray[np.bool_]
    extras: Floats

    def of(self, chosen: NDArray[np.bool_]) -> "Standing":
        """Some of them."""
        keys, last_ms, is_extra, extras = self
        return Standing(keys[chosen], last_ms[chosen], is_extra[chosen], extras[chosen[is_extra]])


def encode_standing(standing: Standing) -> Iterator[list[Part]]:
    """Payloads of STANDING records: 4 to 36 bytes a series, 12 for totals of one stamp.

    It is one record, unless serials are further apart than 32 bits reach.
    """
    base = int(standing.keys.min())
    is_far = standing.keys - base >= _WIDEST
    if is_far.any():
        yield from encode_standing(standing.of(~is_far))
        yield from encode_standing(standing.of(is_far))
        return
    order = np.argsort(~standing.is_extra, kind="stable")
    keys, last_ms, extras = standing.keys[order], standing.last_ms[order], standing.extras
    partial, total, counter_ms = extras.T
    forms_and_columns = [
        _stamps(last_ms),
        _column(partial, np.zeros(len(partial))),
        _column(total, np.zeros(len(total))),
        _column(counter_ms, last_ms[: len(extras)].astype(np.float64)),
    ]
    forms = [form for form, _ in forms_and_columns]
    head = _HEAD.pack(len(keys), len(extras), base, int(last_ms.min()), *forms)
    yield [head, (keys - base).astype("<u4").tobytes(), *(part for _, part in forms_and_columns)]


def decode_standing(payload: memoryview) -> Standing:
    """What a STANDING record says; raises ValueError when its parts do not fit."""
    count, more, base, first_ms, *forms = _HEAD.unpack_from(payload)
    if more > count:
        raise ValueError(f"{more} of {count} series have more than a stamp")
    if not {*forms} <= {_SAME, _OFFSETS, _WHOLE} or _OFFSETS in forms[1:]:
        raise ValueError(f"columns of forms {forms}")
    columns = _Columns(payload, _HEAD.size)
    keys = columns.take("<u4", count).astype(np.int64) + base
    last_ms = np.full(count, first_ms, dtype=np.int64)
    if forms[0] == _OFFSETS:
        last_ms += columns.take("<u4", count)
    elif forms[0] == _WHOLE:
        last_ms = columns.take("<i8", count).astype(np.int64)
    extras = np.zeros((more, EXTRAS))
    extras[:, COUNTER_MS] = last_ms[:more]
    for place, form in enumerate(forms[1:]):
        if form == _WHOLE:
            extras[:, place] = columns.take("<f8", more)
    return Standing(keys, last_ms, np.arange(count) < more, extras)


def _stamps(last_ms: Ints) -> tuple[int, bytes]:
    offsets = last_ms - int(last_ms.min())
    furthest = int(offsets.max())
    if furthest == 0:
        return _SAME, b""
    if furthest < _WIDEST:
        return _OFFSETS, offsets.astype("<u4").tobytes()
    return _WHOLE, last_ms.astype("<i8").tobytes()


def _column(values: Floats, same: Floats) -> tuple[int, bytes]:
    """A column, left out when it says what is known without it."""
    if np.array_equal(values, same):
        return _SAME, b""
    return _WHOLE, values.astype("<f8").tobytes()


class _Columns:
    """Columns that lie one after the other."""

    def __init__(self, payload: memoryview, at: int) -> None:
        self._payload = payload
        self._at = at

    def take(self, kind: str, count: int) -> NDArray[np.generic]:
        """The next column."""
        column = np.frombuffer(self._payload, dtype=kind, count=count, offset=self._at)
        self._at += column.nbytes
        return column
