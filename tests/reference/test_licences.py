"""Licences: who is refused and why, and which tokens are believed."""

import base64
import json

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey

from breakwater.reference.accounts import Account
from breakwater.reference.entitlements import LicenceRequest, decide
from breakwater.reference.errors import LicenceRefusedError, UntrustedLicenceError
from breakwater.reference.licences import KEY_PERIOD_MS, LIFETIME_S, Authority, derive_key
from breakwater.testing import FakeClock

REQUEST = LicenceRequest(
    account="a1", session="s1", title="t0001", device="tv", title_regions=("eu", "na")
)


def _account(plan: str = "standard", region: str = "eu") -> Account:
    return Account(id="a1", plan=plan, region=region, rating="adult", profiles=("a1-p1",))


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still."""
    return FakeClock()


@pytest.fixture
def authority(clock: FakeClock) -> Authority:
    """A licence service's signing side."""
    return Authority("secret", clock)


@pytest.mark.parametrize(
    ("plan", "device", "height"),
    [("basic", "tv", 720), ("standard", "tv", 1080), ("premium", "tv", 2160),
     ("premium", "phone", 720), ("premium", "browser", 1080)],
)  # fmt: skip
def test_the_lower_of_plan_and_device_bounds_the_picture(
    plan: str, device: str, height: int
) -> None:
    """A grant never allows more lines than either the plan or the device."""
    request = LicenceRequest(
        account="a1", session="s1", title="t1", device=device, title_regions=("eu",)
    )
    assert decide(request, _account(plan), 0).max_height == height


@pytest.mark.parametrize(
    ("plan", "region", "device", "earlier", "reason"),
    [
        ("lapsed", "eu", "tv", 0, "no_entitlement"),
        ("standard", "ap", "tv", 0, "region"),
        ("standard", "eu", "toaster", 0, "device"),
        ("standard", "eu", "tv", 2, "too_many_streams"),
        ("basic", "eu", "tv", 1, "too_many_streams"),
        ("premium", "eu", "tv", 4, "too_many_streams"),
    ],
)
def test_each_rule_refuses_with_its_reason(
    plan: str, region: str, device: str, earlier: int, reason: str
) -> None:
    """The first rule that forbids the stream is the reason given."""
    request = LicenceRequest(
        account="a1", session="s1", title="t1", device=device, title_regions=("eu", "na")
    )
    with pytest.raises(LicenceRefusedError) as refused:
        decide(request, _account(plan, region), earlier)
    assert refused.value.reason == reason


@pytest.mark.parametrize(("plan", "limit"), [("basic", 1), ("standard", 2), ("premium", 4)])
def test_exactly_the_plans_streams_run_at_once(plan: str, limit: int) -> None:
    """Of many simultaneous starts, judged by order, exactly the plan's number passes."""
    granted = 0
    for earlier in range(6):
        try:
            decide(REQUEST, _account(plan), earlier)
        except LicenceRefusedError:
            continue
        granted += 1
    assert granted == limit


def test_a_licence_says_what_was_granted(authority: Authority, clock: FakeClock) -> None:
    """Claims carry account, session, title, height and the time it ends."""
    token = authority.issue(REQUEST, decide(REQUEST, _account(), 0))
    claims = authority.verify(token, session="s1")
    assert (claims.sub, claims.sid, claims.title, claims.height) == ("a1", "s1", "t0001", 1080)
    assert claims.exp - claims.iat == LIFETIME_S
    assert claims.iat == clock.now_ms() // 1000


def test_another_instance_with_the_secret_believes_it(authority: Authority) -> None:
    """Instances share a secret, not memory."""
    token = authority.issue(REQUEST, decide(REQUEST, _account(), 0))
    assert Authority("secret", FakeClock()).verify(token, session="s1").sub == "a1"


def test_a_licence_of_another_secret_is_forged(authority: Authority) -> None:
    """A token with the right shape and key name but another key is refused."""
    token = Authority("other", FakeClock()).issue(REQUEST, decide(REQUEST, _account(), 0))
    with pytest.raises(UntrustedLicenceError) as refused:
        authority.verify(token, session="s1")
    assert refused.value.reason == "forged"


def test_changed_claims_are_forged(authority: Authority) -> None:
    """Raising one's own height breaks the signature."""
    head, claims, signature = authority.issue(REQUEST, decide(REQUEST, _account(), 0)).split(".")
    told = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    told["height"] = 2160
    changed = base64.urlsafe_b64encode(json.dumps(told).encode()).rstrip(b"=").decode()
    with pytest.raises(UntrustedLicenceError) as refused:
        authority.verify(f"{head}.{changed}.{signature}", session="s1")
    assert refused.value.reason == "forged"


def test_unsigned_and_symmetric_tokens_are_refused(authority: Authority, clock: FakeClock) -> None:
    """Neither `alg: none` nor the public key used as an HMAC secret gets through."""
    kid = f"ref-{clock.now_ms() // KEY_PERIOD_MS:x}"
    claims = {"sub": "a1", "sid": "s1"}
    public = derive_key("secret", clock.now_ms() // KEY_PERIOD_MS).as_pem(private=False)
    symmetric = jwt.encode(
        {"alg": "HS256", "kid": kid}, claims, OctKey.import_key(base64.b64encode(public))
    )
    plain = base64.urlsafe_b64encode(json.dumps({"alg": "none", "kid": kid}).encode()).decode()
    for token in (symmetric, f"{plain.rstrip('=')}.e30."):
        with pytest.raises(UntrustedLicenceError) as refused:
            authority.verify(token, session="s1")
        assert refused.value.reason == "forged"


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "....", "e30.e30.e30", "\u00e9.\u00e9.\u00e9"])
def test_rubbish_is_refused_like_a_forgery(authority: Authority, token: str) -> None:
    """Whatever is not a token is refused, never an unexpected error."""
    with pytest.raises(UntrustedLicenceError):
        authority.verify(token, session="s1")


def test_an_unknown_key_is_refused_by_name(authority: Authority) -> None:
    """A licence whose key is not one of ours is not even tried."""
    token = jwt.encode({"alg": "ES256", "kid": "mine"}, {"sid": "s1"}, ECKey.generate_key())
    with pytest.raises(UntrustedLicenceError) as refused:
        authority.verify(token, session="s1")
    assert refused.value.reason == "unknown_key"


def test_a_licence_ends(authority: Authority, clock: FakeClock) -> None:
    """At its expiry a licence stops counting, to the second."""
    token = authority.issue(REQUEST, decide(REQUEST, _account(), 0))
    clock.advance(LIFETIME_S - 1)
    authority.verify(token, session="s1")
    clock.advance(1)
    with pytest.raises(UntrustedLicenceError) as refused:
        authority.verify(token, session="s1")
    assert refused.value.reason == "expired"


def test_a_licence_is_for_one_session(authority: Authority) -> None:
    """Handing one's licence to another stream does not work."""
    token = authority.issue(REQUEST, decide(REQUEST, _account(), 0))
    with pytest.raises(UntrustedLicenceError) as refused:
        authority.verify(token, session="s2")
    assert refused.value.reason == "other_session"


def test_keys_change_and_the_one_before_still_counts(
    authority: Authority, clock: FakeClock
) -> None:
    """A licence survives one change of key; the public keys are the two that count."""
    clock.advance((KEY_PERIOD_MS - clock.now_ms() % KEY_PERIOD_MS) / 1000 - 1)
    token = authority.issue(REQUEST, decide(REQUEST, _account(), 0))
    before = [key["kid"] for key in authority.public_keys()["keys"]]
    clock.advance(2)
    assert authority.verify(token, session="s1").sub == "a1"
    after = [key["kid"] for key in authority.public_keys()["keys"]]
    assert after[1] == before[0]


def test_published_keys_are_public(authority: Authority) -> None:
    """The key set lets anyone check a licence and nobody make one."""
    token = authority.issue(REQUEST, decide(REQUEST, _account(), 0))
    published = authority.public_keys()["keys"]
    assert all("d" not in key for key in published)
    key = ECKey.import_key({k: v for k, v in published[0].items() if k != "kid"})
    assert jwt.decode(token, key, algorithms=["ES256"]).claims["sub"] == "a1"
