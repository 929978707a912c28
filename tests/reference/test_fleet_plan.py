"""The plan of the fleet."""

import sys
from collections import Counter

import pytest

from breakwater.model import InvalidInputError
from breakwater.reference import fleet_plan
from breakwater.reference.application import SERVICES

URLS = ("http://127.0.0.1:7101", "udp://127.0.0.1:1234")


def test_every_service_runs_in_both_zones_and_the_player_last() -> None:
    """One origin, four appliances, two of all others, one player at the end."""
    specs = fleet_plan(*URLS)
    counts = Counter(spec.service for spec in specs)
    assert set(counts) == set(SERVICES)
    assert (counts.pop("origin"), counts.pop("cdn"), counts.pop("player")) == (1, 4, 1)
    assert set(counts.values()) == {2}
    assert specs[-1].name == "player"
    zones = {s.zone for s in specs if s.service == "gateway"}
    assert zones == {"a", "b"}


def test_names_and_ports_are_distinct_and_the_environment_agrees() -> None:
    """Each process is told its own name, zone and port, and is asked on that port."""
    specs = fleet_plan(*URLS, base_port=9000, seed=7)
    assert [spec.port for spec in specs] == list(range(9000, 9000 + len(specs)))
    assert len({spec.name for spec in specs}) == len(specs)
    for spec in specs:
        assert spec.argv[:4] == [sys.executable, "-m", "breakwater.reference", spec.service]
        assert spec.env["BREAKWATER_INSTANCE"] == spec.name
        assert spec.env["BREAKWATER_SERVICE"] == spec.service
        assert spec.env["BREAKWATER_ZONE"] == spec.zone
        assert spec.env["BREAKWATER_PORT"] == str(spec.port)
        assert spec.env["BREAKWATER_URL"] == URLS[0]
        assert spec.env["BREAKWATER_METRICS"] == URLS[1]
        assert spec.env["BREAKWATER_REFERENCE_SEED"] == "7"
        assert spec.ready_url == f"http://127.0.0.1:{spec.port}/healthcheck"


def test_free_ports_are_distinct() -> None:
    """Base port 0 takes ports from the system, each once."""
    ports = [spec.port for spec in fleet_plan(*URLS, base_port=0)]
    assert len(set(ports)) == len(ports)
    assert min(ports) >= 1024


def test_the_rate_reaches_the_player_alone() -> None:
    """Only the player's command line says how much load there is to be."""
    specs = fleet_plan(*URLS, rps=90.0)
    assert specs[-1].argv[-2:] == ["--rps", "90"]
    assert all("--rps" not in spec.argv for spec in specs[:-1])


@pytest.mark.parametrize(
    ("platform", "metrics", "port"),
    [
        ("127.0.0.1:7101", URLS[1], 8100),
        (URLS[0], "http://127.0.0.1:1234", 8100),
        (URLS[0], "udp://127.0.0.1:x", 8100),
        (*URLS, 80),
        (*URLS, 65530),
    ],
)
def test_unusable_settings_are_refused(platform: str, metrics: str, port: int) -> None:
    """A wrong URL or port is named before any process is started."""
    with pytest.raises(InvalidInputError, match="must"):
        fleet_plan(platform, metrics, base_port=port)
