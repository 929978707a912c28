"""Reading the body of a request: packed or not, and in which of two spellings."""

import zlib
from typing import Final

from starlette.requests import Request

from breakwater.registry.answers import JSON, XML
from breakwater.registry.errors import InvalidInstanceError, PayloadTooLargeError
from breakwater.registry.json_codec import JsonCodec
from breakwater.registry.xml_codec import XmlCodec
from breakwater.web import bounded_body

_GZIP_WINDOW: Final = 16 + zlib.MAX_WBITS


async def unpacked_body(request: Request, limit_bytes: int) -> bytes:
    """The body, unpacked if it came as gzip.

    Raises BodyTooLargeError beyond `limit_bytes`, PayloadTooLargeError if it is so once unpacked.
    """
    body = await bounded_body(request, limit_bytes)
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding in {"", "identity"}:
        return body
    if encoding in {"gzip", "x-gzip"}:
        return _unpacked(body, limit_bytes)
    raise InvalidInstanceError(f"Content-Encoding {encoding} is not taken; send identity or gzip")


def _unpacked(body: bytes, limit_bytes: int) -> bytes:
    unpacker = zlib.decompressobj(_GZIP_WINDOW)
    try:
        plain = unpacker.decompress(body, limit_bytes + 1)
    except zlib.error as error:
        raise InvalidInstanceError(f"the body is not gzip: {error}") from None
    if len(plain) > limit_bytes:
        raise PayloadTooLargeError(f"the body is larger than {limit_bytes} bytes once unpacked")
    if not unpacker.eof:
        raise InvalidInstanceError("the gzip body ends too early")
    return plain


def codec_of_body(request: Request, body: bytes) -> JsonCodec | XmlCodec | None:
    """What reads `body`, by its declared type or else by its first character; None if neither."""
    declared = request.headers.get("content-type", "").lower()
    if "json" in declared:
        return JSON
    if "xml" in declared:
        return XML
    start = body.lstrip()[:1]
    if start in {b"{", b"["}:
        return JSON
    return XML if start == b"<" else None
