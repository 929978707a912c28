"""Smile documents made as Jackson makes them: shared names, and shared values when asked for."""

import struct
from typing import Any


def smile(document: Any, *, share_names: bool = True, share_values: bool = False) -> bytes:
    """A document of plain Python values, header and all."""
    return _Writer(share_names=share_names, share_values=share_values).document(document)


class _Writer:
    def __init__(self, *, share_names: bool, share_values: bool) -> None:
        self.flags = share_names | share_values << 1
        self.names = _Shared() if share_names else None
        self.values = _Shared() if share_values else None

    def document(self, document: Any) -> bytes:
        return b":)\n" + bytes([self.flags]) + self.value(document)

    def value(self, value: Any) -> bytes:
        if isinstance(value, dict):
            members = b"".join(self.name(k) + self.value(v) for k, v in value.items())
            return b"\xfa" + members + b"\xfb"
        if isinstance(value, list):
            return b"\xf8" + b"".join(map(self.value, value)) + b"\xf9"
        if isinstance(value, str):
            return self.text(value)
        return _scalar(value)

    def name(self, name: str) -> bytes:
        raw = name.encode()
        if not raw:
            return b"\x20"
        if self.names is not None and name in self.names.places:
            place = self.names.places[name]
            return bytes([0x40 + place]) if place < 64 else bytes([0x30 | place >> 8, place & 0xFF])
        is_short = len(raw) <= (64 if raw.isascii() else 56)
        if not is_short:
            return b"\x34" + raw + b"\xfc"
        if self.names is not None:
            self.names.add(name)
        return bytes([0x7F + len(raw) if raw.isascii() else 0xBE + len(raw)]) + raw

    def text(self, text: str) -> bytes:
        raw = text.encode()
        if not raw:
            return b"\x20"
        if self.values is not None and text in self.values.places:
            place = self.values.places[text]
            return bytes([1 + place]) if place < 31 else bytes([0xEC | place >> 8, place & 0xFF])
        if len(raw) > 64:
            return (b"\xe0" if raw.isascii() else b"\xe4") + raw + b"\xfc"
        if self.values is not None:
            self.values.add(text)
        return bytes([0x3F + len(raw) if raw.isascii() else 0x7E + len(raw)]) + raw


class _Shared:
    """Texts written so far, as Jackson keeps them.

    It begins anew when full, and never refers to a place that ends in FE or FF, though it is taken.
    """

    def __init__(self) -> None:
        self.places: dict[str, int] = {}
        self.count = 0

    def add(self, text: str) -> None:
        if self.count == 1024:
            self.places.clear()
            self.count = 0
        if self.count & 0xFF < 0xFE:
            self.places[text] = self.count
        self.count += 1


def _scalar(value: Any) -> bytes:
    if value is None or isinstance(value, bool):
        return {None: b"\x21", False: b"\x22", True: b"\x23"}[value]
    if isinstance(value, float):
        return b"\x29" + groups(struct.pack(">d", value), 10)
    if -16 <= value <= 15:
        return bytes([0xC0 | zigzag(value)])
    if -(2**63) <= value < 2**63:
        is_short = -(2**31) <= value < 2**31
        return (b"\x24" if is_short else b"\x25") + varint(zigzag(value))
    size = value.bit_length() // 8 + 1
    return b"\x26" + varint(size) + safe(value.to_bytes(size, "big", signed=True))


def zigzag(number: int) -> int:
    """Small numbers for small ones of either sign."""
    return number * 2 if number >= 0 else -number * 2 - 1


def varint(number: int) -> bytes:
    """Seven bits a byte, the highest first; the last byte is marked and holds six."""
    out = [number & 0x3F | 0x80]
    number >>= 6
    while number:
        out.append(number & 0x7F)
        number >>= 7
    return bytes(reversed(out))


def groups(raw: bytes, count: int) -> bytes:
    """`count` groups of seven bits, padded before the first."""
    number = int.from_bytes(raw, "big")
    return bytes(number >> 7 * place & 0x7F for place in reversed(range(count)))


def safe(raw: bytes) -> bytes:
    """Groups of seven bits; the last holds what is left, in its lowest bits."""
    bits = "".join(f"{byte:08b}" for byte in raw)
    return bytes(int(bits[start : start + 7], 2) for start in range(0, len(bits), 7))
