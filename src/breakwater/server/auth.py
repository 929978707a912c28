"""Who may do what over HTTP.

Without tokens the platform serves this machine alone and lets it do everything, but only under a
loopback name and never for a foreign web page: a browser on this machine could otherwise be made
to call it. With tokens every request but the health check needs one, as `Authorization: Bearer`
or, for classic Eureka clients, as the password of Basic authentication. Settings hold only the
SHA-256 of a token; tokens have 256 random bits, so a slow hash would add nothing.
"""

import base64
import binascii
import hmac
import secrets
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

import msgspec
from starlette.datastructures import Headers

from breakwater.server.errors import UnsafeBindError
from breakwater.server.settings import Role, Settings, Token, is_loopback

RANKS: Final[dict[Role, int]] = {"viewer": 1, "operator": 2, "chaos": 3}
_PREFIX: Final = "bw_"
_READING: Final = frozenset(("GET", "HEAD", "OPTIONS"))


class Rule(msgspec.Struct, frozen=True):
    """Requests with one of `methods` below `prefix` need `role`; None lets everybody in."""

    methods: frozenset[str]
    prefix: str
    role: Role | None


_WRITING: Final = frozenset(("POST", "PUT", "PATCH", "DELETE"))
RULES: Final = (
    Rule(_READING, "/healthcheck", None),
    Rule(frozenset(("DELETE",)), "/api/v1/chaos", "operator"),  # stopping is easier than starting
    Rule(_WRITING, "/api/v1/chaos", "chaos"),
    Rule(_READING, "/", "viewer"),
    Rule(_WRITING, "/", "operator"),
)
"""The first rule that fits a request decides; what no rule names needs `chaos`."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """May the request pass: `status` is 200, 401 or 403, and `message` says why not.

    `holder` is the name of the token it came with, if one was asked for.
    """

    status: int
    message: str = ""
    holder: str = ""


_PASS: Final = Verdict(status=200)


class Doorkeeper:
    """Judges every request against the tokens and the rules; pure but for its counters."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tuple(tokens)
        self.refused = 0

    def judge(self, method: str, path: str, headers: Headers) -> Verdict:
        """Whether this request may pass."""
        verdict = self._judge(method, path, headers)
        self.refused += verdict.status != 200
        return verdict

    def lets_read(self, headers: Headers) -> bool:
        """Whether a web page may read the answer to its request, be it a refusal."""
        return bool(self._tokens) or _local_only(headers).status == HTTPStatus.OK

    def _judge(self, method: str, path: str, headers: Headers) -> Verdict:
        if not self._tokens:
            return _local_only(headers)
        needed = role_for(method, path)
        if needed is None:
            return _PASS
        presented = presented_token(headers)
        if presented is None:
            return Verdict(status=401, message=f"{method} {path} needs a token of role {needed}")
        holder = self._holder(presented)
        if holder is None:
            return Verdict(status=401, message="the token is not known here")
        if RANKS[holder.role] < RANKS[needed]:
            return Verdict(
                status=403,
                message=f"{method} {path} needs role {needed}; "
                f"the token '{holder.name}' has role {holder.role}",
            )
        return Verdict(status=200, holder=holder.name)

    def _holder(self, presented: str) -> Token | None:
        digest = digest_of(presented)
        found = None
        for token in self._tokens:
            if hmac.compare_digest(token.sha256, digest):
                found = token
        return found


def role_for(method: str, path: str) -> Role | None:
    """The role a request needs; None when it needs none."""
    for rule in RULES:
        inside = path == rule.prefix or path.startswith(f"{rule.prefix.rstrip('/')}/")
        if method in rule.methods and inside:
            return rule.role
    return "chaos"


def presented_token(headers: Headers) -> str | None:
    """The token a request carries, or None."""
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    credentials = credentials.strip()
    if scheme.lower() == "bearer":
        return credentials or None
    if scheme.lower() != "basic":
        return None
    try:
        pair = base64.b64decode(credentials, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    return pair.partition(":")[2] or None


def _local_only(headers: Headers) -> Verdict:
    host = _name_in(f"//{headers.get('host', '')}")
    if host and not _is_here(host):
        return Verdict(
            status=403,
            message=f"host '{host}' is not this machine; set tokens to serve other names",
        )
    origin = headers.get("origin")
    if origin is not None and not _is_here(_name_in(origin)):
        return Verdict(status=403, message=f"pages from {origin} may not call this server")
    return _PASS


_is_here: Final = lru_cache(maxsize=256)(is_loopback)


@lru_cache(maxsize=256)
def _name_in(address: str) -> str:
    """The host name in an address; one that cannot be read stands for itself, and is no name."""
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return address.removeprefix("//")


def new_token() -> str:
    """A fresh token with 256 random bits."""
    return _PREFIX + secrets.token_urlsafe(32)


def digest_of(token: str) -> str:
    """What the settings keep of a token."""
    return sha256(token.encode()).hexdigest()


def check_bind(settings: Settings) -> None:
    """Raise UnsafeBindError when something would listen beyond this machine without a token."""
    if settings.tokens:
        return
    for name, host in (
        ("server.host", settings.server.host),
        ("ingest.host", settings.ingest.host),
        ("registry.dns_host", settings.registry.dns_host),
    ):
        if not is_loopback(host):
            raise UnsafeBindError(
                f"{name} is {host}, which other machines can reach, and tokens is empty; "
                "make a token with `breakwater token NAME --role operator` and put it into the "
                "settings, or listen on 127.0.0.1"
            )
