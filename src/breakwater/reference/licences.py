"""The signature that makes a licence worth something.

A licence is a JSON Web Token signed with ES256 (RFC 7519, RFC 7518): whoever has the public key
can check it, only the licence service can make one. The signing keys rotate by the hour and are
derived from one secret, so that every instance of the service signs and checks alike.
There is no degraded mode here on purpose: a stale entitlement is worse than an error.
"""

import base64
import hashlib
from typing import Any, Final

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey
from joserfc.util import to_bytes

from breakwater.model import Clock
from breakwater.reference.entitlements import Grant, LicenceRequest
from breakwater.reference.errors import UntrustedLicenceError

LIFETIME_S: Final = 600
KEY_PERIOD_MS: Final = 3_600_000
ISSUER: Final = "licence.reference.breakwater"
_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """What a genuine licence says; times are seconds UTC, as tokens have them."""

    iss: str
    sub: str
    sid: str
    title: str
    device: str
    height: int
    iat: int
    exp: int


class Authority:
    """Signs licences and tells genuine ones from others.

    secret: the fleet's signing secret; two authorities with one secret trust each other.
    A licence stays valid across one change of key, never longer than LIFETIME_S.
    """

    def __init__(self, secret: str, clock: Clock) -> None:
        self._secret = secret
        self._clock = clock
        self._keys: dict[int, ECKey] = {}

    def issue(self, request: LicenceRequest, grant: Grant) -> str:
        """A signed token for a granted request."""
        now_s = self._clock.now_ms() // 1000
        period = self._clock.now_ms() // KEY_PERIOD_MS
        claims = Claims(
            iss=ISSUER,
            sub=request.account,
            sid=request.session,
            title=request.title,
            device=request.device,
            height=grant.max_height,
            iat=now_s,
            exp=now_s + LIFETIME_S,
        )
        header = {"alg": "ES256", "kid": self._kid(period)}
        return jwt.encode(header, msgspec.to_builtins(claims), self._key(period))

    def verify(self, token: str, *, session: str) -> Claims:
        """What the licence says; raises UntrustedLicenceError unless it holds for `session` now."""
        claims = self._signed_claims(token)
        if claims.iss != ISSUER or claims.sid != session:
            raise UntrustedLicenceError("other_session", "the licence is for another session")
        if claims.exp <= self._clock.now_ms() // 1000:
            raise UntrustedLicenceError("expired", f"the licence of session {session} has expired")
        return claims

    def public_keys(self) -> dict[str, Any]:
        """The JSON Web Key Set that checks licences: this period's key and the one before."""
        now = self._clock.now_ms() // KEY_PERIOD_MS
        return {
            "keys": [
                {**self._key(p).as_dict(private=False), "kid": self._kid(p)} for p in (now, now - 1)
            ]
        }

    def _signed_claims(self, token: str) -> Claims:
        now = self._clock.now_ms() // KEY_PERIOD_MS
        # The key is chosen from ours by name, never taken from the token.
        trusted = {self._kid(period): period for period in (now, now - 1)}
        try:
            kid = jwt_header(token).get("kid")
            if kid not in trusted:
                raise UntrustedLicenceError("unknown_key", "the licence names no key of ours")
            decoded = jwt.decode(token, self._key(trusted[kid]), algorithms=["ES256"])
            return msgspec.convert(decoded.claims, Claims)
        except (JoseError, ValueError, msgspec.ValidationError) as error:
            raise UntrustedLicenceError(
                "forged", "the licence was not signed by this fleet"
            ) from error

    def _kid(self, period: int) -> str:
        return f"ref-{period:x}"

    def _key(self, period: int) -> ECKey:
        key = self._keys.get(period)
        if key is None:
            key = derive_key(self._secret, period)
            self._keys = {p: k for p, k in self._keys.items() if p >= period - 1}
            self._keys[period] = key
        return key


def derive_key(secret: str, period: int) -> ECKey:
    """The P-256 signing key of one period; the same secret gives the same key everywhere."""
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415 - heavy, once an hour

    digest = hashlib.sha512(f"{secret}:licence:{period}".encode()).digest()
    scalar = int.from_bytes(digest) % (_ORDER - 1) + 1
    numbers = ec.derive_private_key(scalar, ec.SECP256R1()).private_numbers()
    return ECKey.import_key(
        {
            "kty": "EC",
            "crv": "P-256",
            "x": _base64url(numbers.public_numbers.x),
            "y": _base64url(numbers.public_numbers.y),
            "d": _base64url(scalar),
        }
    )


def jwt_header(token: str) -> dict[str, Any]:
    """The unverified header of a token; raises ValueError when there is none."""
    head = token.split(".", 1)[0]
    try:
        raw = base64.urlsafe_b64decode(to_bytes(head + "=" * (-len(head) % 4)))
        return msgspec.json.decode(raw, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise ValueError("no JSON header") from error


def _base64url(number: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes(32)).rstrip(b"=").decode()
