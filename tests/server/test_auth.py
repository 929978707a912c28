"""Who may do what."""

import base64

import msgspec
import pytest
from starlette.datastructures import Headers

from breakwater.server import UnsafeBindError
from breakwater.server.auth import (
    RANKS,
    Doorkeeper,
    check_bind,
    digest_of,
    new_token,
    presented_token,
    role_for,
)
from breakwater.server.settings import Role, Settings, Token

SECRETS: dict[Role, str] = {role: new_token() for role in RANKS}
TOKENS = [Token(name=role, role=role, sha256=digest_of(SECRETS[role])) for role in RANKS]


def bearer(token: str) -> Headers:
    """The usual way to present a token."""
    return Headers({"authorization": f"Bearer {token}"})


def test_tokens_are_long_and_kept_as_digests() -> None:
    """A token has 256 random bits; its digest is what settings accept."""
    assert len({new_token() for _ in range(100)}) == 100
    assert len(new_token()) >= 43
    Token(name="x", role="viewer", sha256=digest_of(new_token()))


@pytest.mark.parametrize(
    ("method", "path", "role"),
    [
        ("GET", "/healthcheck", None),
        ("GET", "/healthcheckx", "viewer"),
        ("GET", "/api/v1/graph", "viewer"),
        ("GET", "/eureka/apps", "viewer"),
        ("GET", "/api/v1/chaos/faults", "viewer"),
        ("POST", "/api/v1/publish", "operator"),
        ("POST", "/eureka/apps/X", "operator"),
        ("PUT", "/eureka/v2/apps/X/1", "operator"),
        ("POST", "/api/v1/changes", "operator"),
        ("POST", "/api/v1/chaos/faults", "chaos"),
        ("DELETE", "/api/v1/chaos/faults", "operator"),
        ("DELETE", "/api/v1/chaos/faults/7", "operator"),
        ("TRACE", "/", "chaos"),
        ("POST", "/healthcheck", "operator"),
    ],
)
def test_roles_by_method_and_path(method: str, path: str, role: Role | None) -> None:
    """Reading needs viewer, writing operator, breaking chaos; stopping a fault only operator."""
    assert role_for(method, path) == role


@pytest.mark.parametrize("held", RANKS)
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/api/v1/tags"), ("POST", "/api/v1/publish"), ("POST", "/api/v1/chaos/faults")],
)
def test_a_role_includes_the_ones_before(held: Role, method: str, path: str) -> None:
    """Exactly the requests of one's rank and below pass; the others get 403 and the reason."""
    needed = role_for(method, path)
    assert needed is not None
    verdict = Doorkeeper(TOKENS).judge(method, path, bearer(SECRETS[held]))
    assert verdict.status == (200 if RANKS[held] >= RANKS[needed] else 403)
    assert verdict.status == 200 or f"needs role {needed}" in verdict.message


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer"},
        {"authorization": "Bearer bw_wrong"},
        {"authorization": "Basic !"},
        {"authorization": "Basic Og=="},
        {"authorization": "Digest x"},
    ],
)
def test_without_a_known_token_nothing_passes(headers: dict[str, str]) -> None:
    """Missing, malformed and wrong credentials are 401, and counted."""
    keeper = Doorkeeper(TOKENS)
    assert keeper.judge("GET", "/api/v1/tags", Headers(headers)).status == 401
    assert keeper.refused == 1


def test_a_verdict_names_the_holder() -> None:
    """Who came in is known by the name of the token, for those who share what there is."""
    doorkeeper = Doorkeeper(TOKENS)
    assert doorkeeper.judge("GET", "/api/v1/graph", bearer(SECRETS["viewer"])).holder == "viewer"
    assert Doorkeeper([]).judge("GET", "/api/v1/graph", Headers({})).holder == ""


def test_health_needs_no_token() -> None:
    """Load balancers carry no credentials."""
    assert Doorkeeper(TOKENS).judge("GET", "/healthcheck", Headers()).status == 200


def test_token_as_password() -> None:
    """Classic Eureka clients put user:password into the address; the password is the token."""
    pair = base64.b64encode(f"anyone:{SECRETS['operator']}".encode()).decode()
    headers = Headers({"authorization": f"Basic {pair}"})
    assert presented_token(headers) == SECRETS["operator"]
    assert Doorkeeper(TOKENS).judge("POST", "/eureka/apps/X", headers).status == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "127.0.0.1:7101"}, 200),
        ({"host": "localhost:7101"}, 200),
        ({"host": "[::1]:7101"}, 200),
        ({}, 200),
        ({"host": "evil.example:7101"}, 403),
        ({"host": "127.0.0.1", "origin": "https://evil.example"}, 403),
        ({"host": "127.0.0.1", "origin": "null"}, 403),
        ({"host": "127.0.0.1", "origin": "http://localhost:5173"}, 200),
    ],
)
def test_without_tokens_only_this_machine_is_served(headers: dict[str, str], status: int) -> None:
    """A browser lured by a foreign page or a rebound name can do nothing here."""
    assert Doorkeeper([]).judge("POST", "/api/v1/chaos/faults", Headers(headers)).status == status


@pytest.mark.parametrize("section", ["server", "ingest"])
def test_open_ports_need_a_token(section: str) -> None:
    """Neither HTTP nor UDP listens beyond the machine before there is a token."""
    settings = Settings()
    opened = msgspec.structs.replace(getattr(settings, section), host="0.0.0.0")
    exposed = msgspec.structs.replace(settings, **{section: opened})
    with pytest.raises(UnsafeBindError, match=f"{section}.host"):
        check_bind(exposed)
    check_bind(msgspec.structs.replace(exposed, tokens=TOKENS))
    check_bind(settings)
