"""Smile, the binary spelling of JSON that Java's Spectator client sends, turned into JSON text.

What it stands for is written out as it is read, so that nothing but text is ever held: back
references cannot make more of it than `limit_bytes`. Source: the Smile format specification 1.0.5
(FasterXML). Binary values are refused, JSON has none.
"""

import struct
from collections.abc import Callable
from typing import Final

import msgspec

from breakwater.ingest.errors import InputError, PayloadTooLargeError

_HEADER: Final = b":)\n"
_SHARES_NAMES, _SHARES_VALUES = 0x01, 0x02
_MOST_SHARED: Final = 1024
_LONGEST_SHARED: Final = 64
_DEEPEST: Final = 64
_MOST_DIGIT_BYTES: Final = 64
_END_OF_STRING: Final = b"\xfc"
_END_OF_CONTENT: Final = 0xFF
_OPEN_LIST, _CLOSE_LIST, _OPEN, _CLOSE = 0xF8, 0xF9, 0xFA, 0xFB

_JSON: Final = msgspec.json.Encoder()
_LITERALS: Final = {0x20: b'""', 0x21: b"null", 0x22: b"false", 0x23: b"true"}


def json_of_smile(data: bytes, limit_bytes: int) -> bytes:
    """The JSON text of a Smile document; raises InputError, PayloadTooLargeError beyond the limit.

    Floats that JSON cannot spell become the texts "NaN", "Infinity" and "-Infinity". About 0.3 us
    a value. Pure.
    """
    if data[:3] != _HEADER or len(data) < 4:
        raise InputError("not a Smile document: it does not begin with ':)' and a line feed")
    if data[3] >> 4:
        raise InputError(f"Smile version {data[3] >> 4} is not known; expected 0")
    return _Reader(data, limit_bytes).document()


class _Reader:
    """One pass over a document; `at` is the next byte, `out` the text so far."""

    def __init__(self, data: bytes, limit_bytes: int) -> None:
        self._data = data
        self._limit = limit_bytes
        self._at = 4
        self._out = bytearray()
        self._names: list[bytes] | None = [] if data[3] & _SHARES_NAMES else None
        self._values: list[bytes] | None = [] if data[3] & _SHARES_VALUES else None
        self._closing: list[int] = []

    def document(self) -> bytes:
        """The text of the one value of the document."""
        try:
            self._value(self._token())
            while self._closing:
                self._step()
                if len(self._out) > self._limit:
                    raise PayloadTooLargeError("the payload as JSON", self._limit)
            rest = self._data[self._at :]
        except IndexError as error:
            raise InputError(f"the Smile document ends early, after {self._at} bytes") from error
        if rest and rest[0] != _END_OF_CONTENT:
            raise InputError(f"{len(rest)} bytes follow the Smile document")
        return bytes(self._out)

    def _step(self) -> None:
        """Read the next member of the innermost object or list, or its end."""
        out, closing = self._out, self._closing[-1]
        token = self._token()
        if token == closing:
            self._closing.pop()
            if out[-1] == 0x2C:
                del out[-1]
            out += b"}" if closing == _CLOSE else b"]"
            out += b"," if self._closing else b""
            return
        if closing == _CLOSE:
            out += self._name(token)
            out += b":"
            token = self._token()
        self._value(token)

    def _token(self) -> int:
        token = self._data[self._at]
        self._at += 1
        return token

    def _value(self, token: int) -> None:
        """Write the value that a token begins, and a comma when it is a member of something."""
        if token in (_OPEN, _OPEN_LIST):
            if len(self._closing) >= _DEEPEST:
                raise InputError(f"the Smile document is nested deeper than {_DEEPEST}")
            self._out += b"{" if token == _OPEN else b"["
            self._closing.append(_CLOSE if token == _OPEN else _CLOSE_LIST)
            return
        self._out += self._scalar(token)
        self._out += b"," if self._closing else b""

    def _scalar(self, token: int) -> bytes:
        if 0x40 <= token <= 0xBF:
            return self._short_string(token)
        if 0xC0 <= token <= 0xDF:
            return b"%d" % _signed(token & 0x1F)
        if token in _LITERALS:
            return _LITERALS[token]
        if token in _NUMBERS:
            return _NUMBERS[token](self)
        return self._rare_string(token)

    def _rare_string(self, token: int) -> bytes:
        """A reference to a string, or a long one."""
        if 0x01 <= token <= 0x1F:
            return self._shared(self._values, token - 1, "value")
        if 0xEC <= token <= 0xEF:
            return self._shared(self._values, (token & 3) << 8 | self._token(), "value")
        if token in (0xE0, 0xE4):
            return _quoted(self._to_end_of_string())
        raise InputError(f"Smile token 0x{token:02X} is not expected (byte {self._at - 1})")

    def _name(self, token: int) -> bytes:
        if 0x40 <= token <= 0x7F:
            return self._shared(self._names, token - 0x40, "name")
        if 0x80 <= token <= 0xF7:
            size = token - 0x7F if token < 0xC0 else token - 0xC0 + 2
            return self._share(self._names, self._take(size))
        if 0x30 <= token <= 0x33:
            return self._shared(self._names, (token & 3) << 8 | self._token(), "name")
        if token == 0x34:
            return _quoted(self._to_end_of_string())
        if token == 0x20:
            return b'""'
        raise InputError(f"Smile token 0x{token:02X} is no name (byte {self._at - 1})")

    def _short_string(self, token: int) -> bytes:
        size = token - 0x3F if token < 0x80 else token - 0x80 + 2
        raw = self._take(size)
        if size > _LONGEST_SHARED:
            return _quoted(raw)
        return self._share(self._values, raw)

    def _share(self, shared: list[bytes] | None, raw: bytes) -> bytes:
        """The string as JSON, remembered when the document refers back to such strings."""
        text = _quoted(raw)
        if shared is not None:
            if len(shared) >= _MOST_SHARED:
                shared.clear()
            shared.append(text)
        return text

    def _shared(self, shared: list[bytes] | None, place: int, what: str) -> bytes:
        if shared is None or place >= len(shared):
            raise InputError(f"the Smile document has no shared {what} {place} (byte {self._at})")
        return shared[place]

    def _take(self, size: int) -> bytes:
        raw = self._data[self._at : self._at + size]
        if len(raw) < size:
            raise InputError(f"the Smile document ends early, after {len(self._data)} bytes")
        self._at += size
        return raw

    def _to_end_of_string(self) -> bytes:
        end = self._data.find(_END_OF_STRING, self._at)
        if end < 0:
            raise InputError(f"a string does not end (byte {self._at})")
        raw = self._data[self._at : end]
        self._at = end + 1
        return raw

    def _varint(self) -> int:
        number = 0
        for _ in range(10):
            byte = self._token()
            if byte & 0x80:
                return number << 6 | byte & 0x3F
            number = number << 7 | byte
        raise InputError(f"a number does not end (byte {self._at})")

    def whole(self) -> bytes:
        """A whole number of up to 64 bits."""
        return b"%d" % _signed(self._varint())

    def _big(self) -> int:
        """A whole number of any size, as the bytes of its two's complement in groups of 7 bits."""
        size = self._varint()
        if size > _MOST_DIGIT_BYTES:
            raise InputError(f"a number of {size} bytes; at most {_MOST_DIGIT_BYTES} are read")
        groups, bits = 0, 8 * size
        count = -(-bits // 7)
        for place, group in enumerate(self._take(count)):
            used = 7 if place < count - 1 else bits - 7 * (count - 1)
            groups = groups << used | group & (1 << used) - 1
        return int.from_bytes(groups.to_bytes(size, "big"), "big", signed=True)

    def big_whole(self) -> bytes:
        """A whole number of any size."""
        return b"%d" % self._big()

    def big_decimal(self) -> bytes:
        """A whole number of any size times a power of ten."""
        scale = _signed(self._varint())
        return b"%de%d" % (self._big(), -scale)

    def float32(self) -> bytes:
        """A number of 32 bits."""
        return _spelled(struct.unpack(">f", _joined(self._take(5), 4))[0])

    def float64(self) -> bytes:
        """A number of 64 bits."""
        return _spelled(struct.unpack(">d", _joined(self._take(10), 8))[0])


_NUMBERS: Final[dict[int, Callable[[_Reader], bytes]]] = {
    0x24: _Reader.whole,
    0x25: _Reader.whole,
    0x26: _Reader.big_whole,
    0x28: _Reader.float32,
    0x29: _Reader.float64,
    0x2A: _Reader.big_decimal,
}


def _signed(number: int) -> int:
    """A number from its zigzag form."""
    return number >> 1 ^ -(number & 1)


def _joined(groups: bytes, size: int) -> bytes:
    """Groups of seven bits as `size` bytes; what is before the last of their bits is padding."""
    number = 0
    for group in groups:
        number = number << 7 | group & 0x7F
    return (number & (1 << 8 * size) - 1).to_bytes(size, "big")


def _spelled(value: float) -> bytes:
    if value - value == 0.0:  # finite
        return b"%r" % value
    return b'"NaN"' if value != value else b'"Infinity"' if value > 0 else b'"-Infinity"'  # noqa: PLR0124 - NaN is unequal to itself


def _quoted(raw: bytes) -> bytes:
    try:
        return _JSON.encode(raw.decode())
    except UnicodeDecodeError as error:
        raise InputError(f"a string is not UTF-8: {error}") from error
