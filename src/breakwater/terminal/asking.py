"""One request to a running platform."""

import http.client
import urllib.error
import urllib.request
from typing import Final

import msgspec

from breakwater.terminal.errors import NoAnswerError, RefusedError

_TIMEOUT_S: Final = 30.0
_SHOWN_CHARS: Final = 1000


def ask(
    server: str, path: str, *, token: str = "", method: str = "GET", told: object = None
) -> bytes:
    """The body that `server` answers to a request of `path`; `told` is sent as JSON.

    Waits 30 s at most for each part of the answer. Proxies of the environment are passed by: a
    platform stands near the fleet. Raises RefusedError and NoAnswerError.
    """
    if not server.startswith(("http://", "https://")):
        raise RefusedError(f"--server is '{server}', must begin with http:// or https://")
    request = urllib.request.Request(  # noqa: S310 - the scheme is checked above
        server.rstrip("/") + path,
        method=method,
        data=None if told is None else msgspec.json.encode(told),
        headers={"accept": "application/json", "content-type": "application/json"},
    )
    if token:
        request.add_header("authorization", f"Bearer {token}")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_TIMEOUT_S) as answer:
            body: bytes = answer.read()
    except urllib.error.HTTPError as error:
        with error:
            told_why = _reason(error)
        raise (RefusedError if error.code < 500 else NoAnswerError)(told_why) from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise NoAnswerError(
            f"no platform answers at {server} ({error}); start one with `breakwater serve`, "
            "or name another place with --server or BREAKWATER_URL"
        ) from error
    return body


def _reason(error: urllib.error.HTTPError) -> str:
    """The platform's own words: the message of its JSON, or its plain text."""
    try:
        body = error.read(_SHOWN_CHARS * 100)
    except (OSError, http.client.HTTPException):
        body = b""
    try:
        return str(msgspec.json.decode(body)["message"])
    except (msgspec.DecodeError, KeyError, TypeError):
        text = body[:_SHOWN_CHARS].decode(errors="replace").strip()
    if text and "html" not in error.headers.get("content-type", ""):
        return text
    return f"the platform answered {error.code} {error.reason}"
