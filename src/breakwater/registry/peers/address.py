"""Where a peer is, from the one URL that names it in the settings."""

from base64 import b64encode
from typing import Final
from urllib.parse import unquote, urlsplit

import msgspec

from breakwater.registry.errors import UnusablePeerError

_CLASSIC: Final = "/eureka/v2"


class PeerAddress(msgspec.Struct, frozen=True, kw_only=True):
    """A peer's addresses; `shown` names it without what only it and we should know.

    classic: where its Eureka protocol begins. own: where ours does, if it is of our kind.
    """

    shown: str
    classic: str
    own: str
    authorization: str = ""


def peer_address(url: str, token: str = "") -> PeerAddress:
    """The peer at `url`, a server alone (`http://host:7101`) or with its Eureka base.

    A user and password in the URL are sent as Basic authentication, else `token` as Bearer.
    Raises UnusablePeerError.
    """
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError as error:
        raise UnusablePeerError(f"registry.peers: {url!r} is no URL: {error}") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query:
        raise UnusablePeerError(
            f"registry.peers: {url!r} must be http://HOST:PORT or https://HOST, a path may follow"
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    root = f"{parts.scheme}://{host}" + (f":{port}" if port else "")
    path = parts.path.rstrip("/")
    above = path.removesuffix("/v2").removesuffix("/eureka")
    return PeerAddress(
        shown=root + path,
        classic=root + (path or _CLASSIC),
        own=root + (above if above != path else ""),
        authorization=_authorization(parts.username, parts.password, token),
    )


def _authorization(user: str | None, password: str | None, token: str) -> str:
    if user is not None or password is not None:
        pair = f"{unquote(user or '')}:{unquote(password or '')}"
        return f"Basic {b64encode(pair.encode()).decode()}"
    return f"Bearer {token}" if token else ""
