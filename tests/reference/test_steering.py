"""How appliances are ranked, and what is remembered of them."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakwater.model import Instance
from breakwater.reference.steering import (
    MISSED_POLLS,
    REPORT_MEMORY_S,
    Appliance,
    Fleetwatch,
    SteeringAnswer,
    answer,
    rank,
    static_order,
)
from breakwater.testing import FakeClock


def _appliance(name: str, zone: str = "a", **known: float) -> Appliance:
    appliance = Appliance(id=name, zone=zone, url=f"http://{name}")
    return msgspec.structs.replace(appliance, **known)


def _order(*appliances: Appliance, zone: str = "a", viewer: str = "v") -> list[str]:
    return [line.instance for line in rank(appliances, zone=zone, viewer=viewer)]


def test_the_own_zone_comes_first() -> None:
    """Equal in all else, the near appliance wins."""
    near, far = _appliance("x", "a"), _appliance("y", "b")
    assert _order(near, far) == _order(far, near) == ["x", "y"]
    assert _order(near, far, zone="b") == ["y", "x"]


def test_overload_outweighs_nearness() -> None:
    """A near appliance well over its capacity gives way to an idle far one."""
    assert _order(_appliance("x", "a", load=1.2), _appliance("y", "b")) == ["y", "x"]
    assert _order(_appliance("x", "a", load=0.7), _appliance("y", "b")) == ["x", "y"]


def test_cost_decides_between_equals() -> None:
    """A clearly dearer appliance comes after a cheap one of the same zone."""
    assert _order(_appliance("x", cost=0.8), _appliance("y", cost=0.1)) == ["y", "x"]


@pytest.mark.parametrize("sick", [{"missed_polls": MISSED_POLLS}, {"reported_failures": 3.0}])
def test_a_sick_appliance_is_the_last_resort(sick: dict[str, float]) -> None:
    """However near, it comes after every healthy one, but is not left out."""
    order = _order(_appliance("x", "a", **sick), _appliance("y", "b", load=1.5))
    assert order == ["y", "x"]


def test_equal_appliances_share_the_viewers() -> None:
    """Viewers spread about evenly over two equal appliances, each keeping its own."""
    pair = (_appliance("x"), _appliance("y"))
    first = [_order(*pair, viewer=f"v{n}")[0] for n in range(1000)]
    assert 420 < first.count("x") < 580
    assert _order(*pair, viewer="v1") == _order(*reversed(pair), viewer="v1")


APPLIANCES = st.lists(
    st.builds(
        Appliance,
        id=st.text("abc", min_size=1, max_size=6),
        zone=st.sampled_from("ab"),
        url=st.just("http://x"),
        load=st.floats(0, 5),
        cost=st.floats(0, 1),
        missed_polls=st.integers(0, 5),
        reported_failures=st.floats(0, 9),
    ),
    max_size=8,
    unique_by=lambda a: a.id,
)


@given(APPLIANCES, st.sampled_from(["a", "b", ""]))
def test_a_ranking_loses_nobody_and_sick_ones_come_last(
    appliances: list[Appliance], zone: str
) -> None:
    """Every appliance is in the answer once, and no healthy one comes after a sick one."""
    order = _order(*appliances, zone=zone)
    assert sorted(order) == sorted(a.id for a in appliances)
    healthy = {a.id: a.is_healthy for a in appliances}
    flags = [healthy[name] for name in order]
    assert flags == sorted(flags, reverse=True)


def test_the_answer_reads_like_an_hls_steering_manifest() -> None:
    """VERSION, TTL, RELOAD-URI and PATHWAY-PRIORITY in upper case; pathways are zones."""
    ranked = rank([_appliance("x", "a"), _appliance("y", "b")], zone="b", viewer="v")
    told = msgspec.json.decode(msgspec.json.encode(answer(ranked)))
    assert told["VERSION"] == 1
    assert told["TTL"] > 0
    assert told["RELOAD-URI"] == "/v1/steering"
    assert told["PATHWAY-PRIORITY"] == ["b", "a"]
    assert [line["instance"] for line in told["APPLIANCES"]] == ["y", "x"]
    assert msgspec.convert(told, SteeringAnswer) == answer(ranked)


def _instance(name: str, zone: str) -> Instance:
    return Instance(service="cdn", instance_id=name, host="127.0.0.1", port=1, zone=zone)


def test_the_static_order_needs_the_registry_alone() -> None:
    """Without any knowledge of load or health the order is by nearness."""
    order = static_order([_instance("x", "a"), _instance("y", "b")], zone="b", viewer="v")
    assert [line.instance for line in order.appliances] == ["y", "x"]
    assert order.appliances[0].url == "http://127.0.0.1:1"


def test_a_missed_poll_counts_until_one_is_answered() -> None:
    """Health is lost after MISSED_POLLS in a row and comes back with one answer."""
    watch = Fleetwatch(FakeClock(), {"a": 0.5})
    assert watch.see([_instance("x", "a")]) == ["x"]
    for _ in range(MISSED_POLLS):
        assert watch.appliances()[0].is_healthy
        watch.note_missed("x")
    assert not watch.appliances()[0].is_healthy
    watch.note_load("x", 0.25)
    known = watch.appliances()[0]
    assert (known.is_healthy, known.load, known.cost) == (True, 0.25, 0.5)


def test_what_players_report_is_forgotten_in_time() -> None:
    """Three complaints at once make an appliance sick; they fade within the memory."""
    clock = FakeClock()
    watch = Fleetwatch(clock, {})
    watch.see([_instance("x", "a")])
    for _ in range(3):
        watch.note_reported("x")
    assert not watch.appliances()[0].is_healthy
    clock.advance(REPORT_MEMORY_S / 2)
    assert watch.appliances()[0].is_healthy
    clock.advance(REPORT_MEMORY_S)
    assert watch.appliances()[0].reported_failures == 0.0


def test_who_left_the_registry_is_forgotten() -> None:
    """Knowledge is kept for those still listed and dropped for the others."""
    watch = Fleetwatch(FakeClock(), {})
    watch.see([_instance("x", "a"), _instance("y", "b")])
    watch.note_load("x", 0.5)
    watch.note_load("gone", 0.5)
    watch.note_reported("gone")
    watch.see([_instance("x", "a")])
    assert [(a.id, a.load) for a in watch.appliances()] == [("x", 0.5)]
