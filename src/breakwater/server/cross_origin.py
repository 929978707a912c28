"""Web pages of other origins: what a browser is told before it lets one read an answer.

A page may read what the doorkeeper would let it ask for: without tokens only pages of this
machine, with tokens every page, because it has to bring the token itself. No answer allows
credentials that a browser would add of its own accord, and only reading is offered: a page that
wants to send JSON, or to delete, is stopped by its browser.
"""

from typing import Final

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Message, Scope, Send

_EXPOSED: Final = "retry-after, x-breakwater-cost, x-breakwater-status, x-nflx-atlas-next-offset"
_ALLOWED: Final = {
    "access-control-allow-methods": "GET, HEAD",
    "access-control-allow-headers": "authorization, breakwater-caller, content-type",
    "access-control-max-age": "600",
}


def origin_of(scope: Scope) -> bytes | None:
    """The origin of the page that asks; None when no page does."""
    return next((value for name, value in scope["headers"] if name == b"origin"), None)


def preflight(scope: Scope) -> Response | None:
    """The answer to a browser that asks whether a page may ask; None for any other request.

    It carries no token, so it is answered before one is looked for.
    """
    headers = Headers(scope=scope)
    if scope["method"] != "OPTIONS" or "access-control-request-method" not in headers:
        return None
    return Response(status_code=204, headers=_ALLOWED)


def readable_by(origin: bytes, send: Send) -> Send:
    """`send` with the headers by which pages of that origin may read the answer."""
    more = (
        (b"access-control-allow-origin", origin),
        (b"access-control-expose-headers", _EXPOSED.encode()),
        (b"vary", b"origin"),
    )

    async def told(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *more]}
        await send(message)

    return told
