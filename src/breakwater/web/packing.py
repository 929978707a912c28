"""Bodies that were packed for the way: unpacked here, and never beyond what is allowed."""

import zlib
from typing import Final

import anyio.to_thread
from starlette.requests import Request

from breakwater.web.bodies import bounded_body
from breakwater.web.errors import BodyTooLargeError, UnreadableBodyError

_GZIP_WINDOW: Final = 16 + zlib.MAX_WBITS
_WORTH_A_THREAD_BYTES: Final = 64 << 10


async def unpacked_body(request: Request, limit_bytes: int) -> bytes:
    """The body of a request, unpacked if it came as gzip.

    Raises BodyTooLargeError beyond `limit_bytes`, as sent or unpacked; UnreadableBodyError for
    another encoding and for what is not one whole gzip member. Large ones are unpacked in a
    thread.
    """
    body = await bounded_body(request, limit_bytes)
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding in {"", "identity"}:
        return body
    if encoding not in {"gzip", "x-gzip"}:
        raise UnreadableBodyError(
            f"content-encoding '{encoding[:40]}' is not supported; allowed: identity, gzip"
        )
    if len(body) < _WORTH_A_THREAD_BYTES:
        return gunzipped(body, limit_bytes)
    return await anyio.to_thread.run_sync(gunzipped, body, limit_bytes)


def gunzipped(body: bytes, limit_bytes: int) -> bytes:
    """One gzip member unpacked; raises BodyTooLargeError, UnreadableBodyError."""
    unpacker = zlib.decompressobj(_GZIP_WINDOW)
    try:
        plain = unpacker.decompress(body, limit_bytes + 1)
    except zlib.error as error:
        raise UnreadableBodyError(f"the body is not gzip: {error}") from error
    if len(plain) > limit_bytes:
        raise BodyTooLargeError(limit_bytes, "once unpacked")
    if not unpacker.eof:
        raise UnreadableBodyError("the gzip body ends too early")
    if unpacker.unused_data:
        raise UnreadableBodyError(
            f"{len(unpacker.unused_data)} bytes follow the gzip data; send one gzip member"
        )
    return plain
