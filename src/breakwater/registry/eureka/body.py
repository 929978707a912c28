"""In which of two spellings the body of a request comes."""

from starlette.requests import Request

from breakwater.registry.eureka.forms import JSON, XML
from breakwater.registry.spelling.json_codec import JsonCodec
from breakwater.registry.spelling.xml_codec import XmlCodec


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
