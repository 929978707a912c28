"""Every call of the fleet is declared, guarded, and bounded by what its caller can wait."""

import ast
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import msgspec
import pytest
from tests.reference.local_fleet import account_on, bearer, local_fleet

import breakwater.reference
from breakwater.reference import fleet_plan
from breakwater.reference.admission import SHEDDING
from breakwater.reference.application import SERVICES, World, build
from breakwater.reference.edges import EDGES, client_of, edges_of, edges_to, upstream_of
from breakwater.reference.errors import UnknownEdgeError
from breakwater.reference.players import CRITICALITY
from breakwater.sdk import Service

_ROOT = Path(breakwater.reference.__file__).parent
_LIBRARIES = {"aiohttp", "httpx", "requests", "urllib3", "grpc", "redis", "sqlalchemy", "sqlite3"}
_BESIDE = {("steering", "cdn"), ("licence", "session")}
"""Calls that nobody waits for, and whose callee asks nobody in turn to answer them."""


def _built(name: str) -> Service:
    """A service of the fleet with its part, not started."""
    service = Service(name, instance=f"{name}-a-1", url="none", metrics="none")
    build(name, service, World(seed=1, secret="s", instance=f"{name}-a-1"))
    return service


def _sources() -> Iterator[tuple[Path, ast.Module]]:
    for path in _ROOT.rglob("*.py"):
        yield path, ast.parse(path.read_text())


@pytest.mark.parametrize("name", SERVICES)
def test_each_edge_of_a_service_is_a_command_of_its_registry(name: str) -> None:
    """Whom a service calls is what is declared, each by one guard that goes by its declaration."""
    service = _built(name)
    found = {command.dependency: command for command in service.guards}
    assert set(found) == {edge.callee for edge in edges_of(name)}
    assert len(service.guards) == len(found)
    for edge in edges_of(name):
        assert found[edge.callee].config == edge.config
        assert found[edge.callee].config.timeout_s is not None


def test_the_edges_are_those_of_the_plan() -> None:
    """Both ends of an edge are processes of the fleet, and nobody but the player is uncalled."""
    planned = {spec.service for spec in fleet_plan("http://127.0.0.1:1", "udp://127.0.0.1:1")}
    ends = {name for edge in EDGES for name in edge}
    assert ends == planned
    assert {name for name in planned if not edges_to(name)} == {"player"}


def test_no_module_of_the_fleet_calls_past_its_guard() -> None:
    """No client library is imported, and clients are made in one place only."""
    for path, tree in _sources():
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            assert not {name.partition(".")[0] for name in names} & _LIBRARIES, path
            if isinstance(node, ast.Attribute) and node.attr == "client":
                assert path.name == "edges.py"


def test_an_edge_that_is_not_declared_cannot_be_called() -> None:
    """The answer names whom the service does call."""
    service = Service("licence", url="none", metrics="none")
    with pytest.raises(UnknownEdgeError, match="it calls account, session"):
        client_of(service, "ranker")


@pytest.mark.parametrize("pair", EDGES)
def test_a_hop_has_less_time_than_whoever_waits_for_it(pair: tuple[str, str]) -> None:
    """The deepest guard speaks first: its caller still has time for the fallback."""
    limit_s = EDGES[pair].config.timeout_s
    assert limit_s is not None
    for edge in edges_of(pair[1]):
        if {pair, (edge.caller, edge.callee)} & _BESIDE:
            continue
        assert edge.config.timeout_s is not None
        assert edge.config.timeout_s < limit_s, edge.name


def test_calls_are_retried_at_one_layer() -> None:
    """On no way through the fleet do two hops try again."""
    for edge in EDGES.values():
        if edge.config.retry is None:
            continue
        assert edge.config.retry.budget.mode != "none"
        way = {edge.caller, *upstream_of(edge.caller)}
        above = [one for one in EDGES.values() if one.callee in way]
        assert all(one.config.retry is None for one in above), edge.name


def test_only_pure_answers_are_hedged() -> None:
    """A second copy goes to the ranker, which keeps nothing of a request."""
    hedged = {edge.name for edge in EDGES.values() if edge.config.hedge is not None}
    assert hedged == {"personalization->ranker"}


def test_the_licence_has_nothing_to_fall_back_on() -> None:
    """Neither those who ask for one nor those it asks are answered by anything else."""
    for edge in (*edges_to("licence"), *edges_of("licence")):
        assert edge.instead == ""
        assert edge.config.stale is None


def test_the_gateway_refuses_starts_last() -> None:
    """What a player asks of the edge has a class, and a start under way the highest."""
    config = SHEDDING["gateway"]
    shares = {kind: getattr(config, level.value) for kind, level in CRITICALITY.items()}
    assert shares["started"] > shares["play"] > shares["home"] > shares["heartbeat"]
    assert set(shares) == {"home", "play", "started", "heartbeat", "stop"}


@pytest.mark.anyio
async def test_a_last_good_answer_is_a_fallback_and_survives_its_callee() -> None:
    """Who a token was is remembered by the guard; the record says that a fallback answered."""
    async with local_fleet("gateway", "account", absent=["session"]) as fleet:
        gateway = fleet.services["gateway"]
        headers = bearer(account_on("basic"))
        command = next(c for c in gateway.guards if c.name == "account-2")
        assert command.config.stale is not None
        reply = await fleet.client("gateway").get("/v1/home", headers=headers)
        resolver = gateway.runtime.resolver
        known = gateway.instances("account")
        gone = [msgspec.structs.replace(one, port=1) for one in known]
        resolver.pin("account", gone)
        later = await fleet.client("gateway").get("/v1/home", headers=headers)
        assert later.json()["account"] == reply.json()["account"] != "guest"
        stats = next(c for c in gateway.stats().clients if c.calls and c.service == "account")
        assert stats.fallbacks == 1


@pytest.mark.anyio
async def test_every_process_shows_its_guards_to_dashboards() -> None:
    """The stream of a service names each of its commands, those of one instance among them."""
    async with local_fleet("gateway", absent=["account", "session", "features"]) as fleet:
        await fleet.client("gateway").get("/v1/home", headers=bearer("a1"))
        gateway = fleet.services["gateway"]
        address = next(i for i in fleet.caller.instances("gateway"))
        url = f"http://{address.host}:{address.port}/hystrix.stream"
        seen: set[str] = set()
        wanted = {command.name for command in gateway.guards}
        assert any("@" in name for name in wanted)
        async with aiohttp.ClientSession() as session, session.get(url) as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            while not wanted <= seen:
                line = await stream.content.readline()
                assert line
                if line.startswith(b"data:"):
                    told = msgspec.json.decode(line[5:])
                    seen.add(told["name"])
