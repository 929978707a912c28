"""Asking a process over HTTP whether it can take traffic."""

from typing import Final
from urllib.parse import SplitResult, urlsplit

import anyio
import msgspec

from breakwater.fleet.errors import InvalidSpecError

_MAX_STATUS_LINE_BYTES: Final = 4096


class ReadinessAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What one question brought: ready or not, and in words why not."""

    is_ready: bool
    why: str = ""


def parse_ready_url(url: str) -> SplitResult:
    """The parts of `url`; InvalidSpecError unless it is `http://host[:port]/path`."""
    parts = urlsplit(url)
    try:
        is_usable = parts.scheme == "http" and parts.hostname and (parts.port or 80)
    except ValueError:
        is_usable = False
    if not is_usable:
        raise InvalidSpecError(f"ready_url '{url}' must look like http://host:port/path")
    return parts


async def ask(url: str, *, timeout_s: float) -> ReadinessAnswer:
    """GET `url` once; ready means that it answered HTTP 200 within `timeout_s`."""
    try:
        with anyio.fail_after(timeout_s):
            line = await _status_line(parse_ready_url(url))
    except TimeoutError:
        return ReadinessAnswer(is_ready=False, why=f"no answer within {timeout_s:g} s")
    except OSError:
        return ReadinessAnswer(is_ready=False, why="nothing listens there yet")
    words = line.split(None, 2)
    if len(words) >= 2 and words[0].startswith(b"HTTP/") and words[1] == b"200":
        return ReadinessAnswer(is_ready=True)
    shown = line[:80].decode("latin-1").strip() or "nothing"
    return ReadinessAnswer(is_ready=False, why=f"it answered '{shown}'")


async def is_taken(url: str, *, timeout_s: float = 1.0) -> bool:
    """Whether something accepts connections at `url` already."""
    parts = parse_ready_url(url)
    try:
        with anyio.fail_after(timeout_s):
            stream = await anyio.connect_tcp(parts.hostname or "", parts.port or 80)
    except (OSError, TimeoutError):
        return False
    await stream.aclose()
    return True


async def _status_line(parts: SplitResult) -> bytes:
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    request = f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n"
    async with await anyio.connect_tcp(parts.hostname or "", parts.port or 80) as stream:
        await stream.send(request.encode("ascii", "replace"))
        received = b""
        while b"\n" not in received and len(received) < _MAX_STATUS_LINE_BYTES:
            try:
                received += await stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                break
    return received.partition(b"\n")[0]
