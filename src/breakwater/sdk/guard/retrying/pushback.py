"""What a failed call says about coming again: Retry-After, gRPC push-back.

Errors of any library are read by the attributes they are known for, nothing is imported:
`retry_after_s` (a number; our own errors), `retry_after` (seconds, a timedelta, or the text of the
header), the header `retry-after` in `headers` or `response.headers` (seconds or an HTTP date,
RFC 9110 §10.2.3; `retry-after-ms` as well), and the trailing metadatum `grpc-retry-pushback-ms` of
a gRPC error (proposal A6: negative or unreadable means: do not come again).
"""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

MAX_S: Final = 86_400.0 * 7
"""What is longer is taken as this, so that no arithmetic overflows."""

_SECONDS: Final = re.compile(r"\d{1,9}(?:\.\d{1,6})?", re.ASCII)
_INTEGER: Final = re.compile(r"-?\d{1,12}", re.ASCII)
_GRPC: Final = "grpc-retry-pushback-ms"


class PushBack(msgspec.Struct, frozen=True):
    """Come again after `seconds`; None: not at all. is_exact: neither earlier nor later (gRPC)."""

    seconds: float | None
    is_exact: bool = False


def push_back_of(error: BaseException | None, now_ms: int) -> PushBack | None:
    """What the error says about coming again, None if nothing that can be read.

    now_ms: wall time, against which an HTTP date is read. Unreadable HTTP values say nothing;
    an unreadable gRPC value says no. Takes about a microsecond for errors without any.
    """
    if error is None:
        return None
    for said in (getattr(error, "retry_after_s", None), getattr(error, "retry_after", None)):
        seconds = _seconds(said, now_ms)
        if seconds is not None:
            return PushBack(seconds)
    for holder in (error, getattr(error, "response", None)):
        seconds = _from_headers(getattr(holder, "headers", None), now_ms)
        if seconds is not None:
            return PushBack(seconds)
    return _from_trailers(getattr(error, "trailing_metadata", None))


def parse_retry_after(text: str, now_ms: int) -> float | None:
    """Seconds that a Retry-After value asks for, 0 if its date has passed, None if unreadable."""
    text = text.strip()
    if _SECONDS.fullmatch(text):
        return min(float(text), MAX_S)
    if "," not in text and ":" not in text:
        return None
    from datetime import UTC  # noqa: PLC0415 - needed for the rare HTTP date only
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - slow to import, as above

    try:
        date = parsedate_to_datetime(text)
        if date.tzinfo is None:
            date = date.replace(tzinfo=UTC)
        seconds = date.timestamp() - now_ms / 1000.0
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), MAX_S)


def _seconds(said: Any, now_ms: int) -> float | None:
    if said is None or isinstance(said, bool):
        return None
    if isinstance(said, str):
        return parse_retry_after(said, now_ms)
    if hasattr(said, "total_seconds"):
        said = said.total_seconds()
    if isinstance(said, int | float) and math.isfinite(said):
        return min(max(float(said), 0.0), MAX_S)
    return None


def _from_headers(headers: Any, now_ms: int) -> float | None:
    """Headers of whichever library; those with plain dicts may spell the name as they like."""
    if not isinstance(headers, Mapping):
        return None
    for name in ("retry-after-ms", "Retry-After-Ms"):
        value = headers.get(name)
        if isinstance(value, str) and _SECONDS.fullmatch(value.strip()):
            return min(float(value) / 1000.0, MAX_S)
    for name in ("retry-after", "Retry-After"):
        value = headers.get(name)
        if isinstance(value, str):
            return parse_retry_after(value, now_ms)
    return None


def _from_trailers(trailers: Any) -> PushBack | None:
    """Push-back in the trailing metadata of a gRPC error: a method in grpc and in grpc.aio."""
    if callable(trailers):
        trailers = trailers()
    if not isinstance(trailers, Iterable):
        return None
    for pair in trailers:
        if not isinstance(pair, tuple) or len(pair) != 2:  # of some other library
            return None
        key, value = pair
        if key == _GRPC:
            text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
            if not _INTEGER.fullmatch(text) or int(text) < 0:
                return PushBack(None, is_exact=True)
            return PushBack(min(int(text) / 1000.0, MAX_S), is_exact=True)
    return None
