"""What may be broken, decided without touching anything."""

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.chaos.chaos_fakes import MACHINE, instance, request, view

from breakwater.chaos import (
    BlastRadiusError,
    ChaosKind,
    ChaosSettings,
    Fault,
    FaultRequest,
    FaultState,
    InvalidFaultError,
    Plan,
    ProcessAct,
    UnknownTargetError,
    VictimError,
    decide,
)
from breakwater.chaos.decision import PROCESS_KINDS, TAKES, hit_instances
from breakwater.model import BreakwaterError, FaultKind, FaultRule, InstanceView

NOW_MS = 1_700_000_000_000
FLEET = view(*(instance("ranker", n) for n in (1, 2)), instance("gateway", 1))


def plan(
    wanted: FaultRequest,
    *,
    of: InstanceView = FLEET,
    active: tuple[Fault, ...] = (),
    settings: ChaosSettings | None = None,
    draw: float = 0.0,
) -> Plan:
    """Decide with the defaults of these tests."""
    return decide(
        wanted,
        view=of,
        active=active,
        settings=settings or ChaosSettings(),
        machine=MACHINE,
        fault_id="f-1",
        now_ms=NOW_MS,
        draw=draw,
    )


def running(wanted: FaultRequest, made: Plan, fault_id: str = "f-0") -> Fault:
    """The fault that carrying out the plan would give."""
    return Fault(
        id=fault_id,
        state=FaultState.ACTIVE,
        started_ms=NOW_MS,
        ends_ms=NOW_MS + 1,
        request=wanted,
        targets=made.targets,
        acts=made.acts,
    )


def test_latency_is_an_inbound_delay_at_the_service() -> None:
    """Latency becomes one rule where the service receives calls, in the scope asked for."""
    made = plan(
        request(
            "latency",
            caller="gateway",
            endpoint="/rank",
            percent=30,
            delay_ms=250,
            jitter_ms=20,
            headers={"x-user": "7"},
            duration_s=90,
        )
    )
    assert made.rules == [
        FaultRule(
            id="f-1",
            point="inbound",
            kind=FaultKind.DELAY,
            service="ranker",
            peer="gateway",
            endpoint="/rank",
            percent=30.0,
            delay_ms=250.0,
            jitter_ms=20.0,
            headers={"x-user": "7"},
            expires_ms=NOW_MS + 90_000,
        )
    ]
    what = "delay by 250 ms 30% of calls from gateway to ranker on /rank"
    assert [t.what for t in made.targets] == [what]
    assert made.acts == []


def test_slow_edge_is_an_outbound_delay_at_the_caller() -> None:
    """A slow edge is put where the caller sends, so the callee's own clock does not see it."""
    made = plan(request("slow_edge", caller="gateway", instance="gateway-1"))
    (rule,) = made.rules
    assert (rule.point, rule.kind, rule.service) == ("outbound", FaultKind.DELAY, "gateway")
    assert (rule.peer, rule.instance) == ("ranker", "gateway-1")
    assert rule.delay_ms > 0


@pytest.mark.parametrize(("kind", "rule"), [("errors", FaultKind.ERROR), ("hang", FaultKind.HANG)])
def test_errors_and_hang_are_inbound(kind: str, rule: FaultKind) -> None:
    """Errors and hangs act where the service receives calls, and delay nothing."""
    (made,) = plan(request(kind, instance="ranker-2")).rules
    assert (made.point, made.kind, made.instance) == ("inbound", rule, "ranker-2")
    assert made.delay_ms == 0


@pytest.mark.parametrize(
    ("kind", "point", "peer", "what"),
    [
        ("latency", "database", "titles", "delay by 500 ms calls from ranker to titles"),
        ("errors", "cache", None, "answer 500 to calls from ranker to its caches"),
        ("hang", "pool", "titles", "hang calls from ranker to titles for a connection"),
        ("hang", "queue", None, "hang calls from ranker to its queues"),
        ("errors", "outbound", "gateway", "answer 500 to calls from ranker to gateway"),
    ],
)
def test_what_a_service_asks_of_others_can_be_broken(
    kind: str, point: str, peer: str | None, what: str
) -> None:
    """With a point the rule acts where the service asks, and the peer needs no registration."""
    made = plan(request(kind, point=point, peer=peer))
    (rule,) = made.rules
    assert (rule.point, rule.service, rule.peer) == (point, "ranker", peer)
    assert [touch.what for touch in made.targets] == [what]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"kind": "latency", "peer": "titles"}, "give the caller"),
        ({"kind": "hang", "point": "inbound", "peer": "titles"}, "give the caller"),
        ({"kind": "errors", "point": "database", "caller": "gateway"}, "give the peer"),
        ({"kind": "hang", "point": "cache", "headers": {"a": "b"}}, "no headers go with"),
        ({"kind": "freeze", "point": "database"}, "takes no point"),
        ({"kind": "slow_edge", "caller": "gateway", "point": "cache"}, "takes no point"),
    ],
)
def test_points_and_their_ends_must_agree(given: dict[str, Any], reason: str) -> None:
    """A caller goes with what is received, a peer with what is asked; others have no point."""
    with pytest.raises(InvalidFaultError, match=reason):
        plan(request(**given))


def test_cpu_burn_is_a_rule_for_one_instance() -> None:
    """A burn goes to the one instance that was drawn."""
    (rule,) = plan(request("cpu_burn", threads=3), draw=0.99).rules
    assert (rule.point, rule.kind) == ("process", FaultKind.BURN)
    assert (rule.instance, rule.threads) == ("ranker-2", 3)


@pytest.mark.parametrize(("kind", "sent"), [("freeze", "stop"), ("crash", "kill")])
def test_freeze_and_crash_are_signals_to_the_registered_process(kind: str, sent: str) -> None:
    """The act carries pid and start time from the instance's registration."""
    made = plan(request(kind, instance="ranker-2"))
    assert made.rules == []
    assert made.acts == [
        ProcessAct(signal=sent, instance="ranker-2", pid=1002, started_ticks=502)  # type: ignore[arg-type]  # parametrized literal
    ]


def test_a_start_time_in_seconds_is_turned_into_ticks_with_slack() -> None:
    """Registered seconds since the epoch, known by their point, allow for a set wall clock."""
    meta = {"pid": "77", "pid_started": f"{MACHINE.booted_s + 12.34:.2f}"}
    fleet = view(instance("ranker", 1, metadata=meta), instance("ranker", 2))
    (act,) = plan(request("freeze", instance="ranker-1"), of=fleet).acts
    assert (act.started_ticks, act.slack_ticks) == (1234, 200)


def test_a_share_above_the_limit_needs_all_instances_asked_for() -> None:
    """One of one instance is more than half, so it is refused unless all_instances is said."""
    with pytest.raises(BlastRadiusError, match=r"1 of 1 instances of 'gateway'.*all_instances"):
        plan(request("freeze", "gateway"))
    assert len(plan(request("freeze", "gateway", all_instances=True)).acts) == 1
    assert len(plan(request("crash", all_instances=True)).acts) == 2


def test_running_process_faults_count_into_the_share() -> None:
    """With one of two frozen, and even gone from the registry, the other may not be hit too."""
    first = request("freeze", instance="ranker-1")
    frozen = running(first, plan(first))
    for fleet in (FLEET, view(instance("ranker", 2))):
        with pytest.raises(BlastRadiusError, match="2 of 2"):
            plan(request("crash"), of=fleet, active=(frozen,))


def test_an_instance_is_hit_once() -> None:
    """A second process fault on the same instance is refused, however it is asked for."""
    first = request("freeze", instance="ranker-1")
    frozen = running(first, plan(first))
    for again in (request("crash", instance="ranker-1"), request("crash", all_instances=True)):
        with pytest.raises(BlastRadiusError, match="runs on ranker-1 already"):
            plan(again, active=(frozen,))


def test_only_instances_that_are_up_are_drawn() -> None:
    """The draw leaves out instances that are not UP; none UP is a refusal."""
    down = instance("ranker", 1, status="DOWN")
    fleet = view(down, instance("ranker", 2))
    assert plan(request("freeze"), of=fleet).acts[0].instance == "ranker-2"
    with pytest.raises(BlastRadiusError, match="no instance of 'ranker' is UP"):
        plan(request("freeze"), of=view(down))


def test_duration_and_number_are_bounded() -> None:
    """Longer than the longest, or more than so many at once, is refused with the bound."""
    with pytest.raises(BlastRadiusError, match="is 601, the longest allowed is 600"):
        plan(request("hang", duration_s=601))
    some = request("hang")
    active = tuple(running(some, plan(some), f"f-{n}") for n in range(3))
    with pytest.raises(BlastRadiusError, match=r"3 faults run already \(f-0, f-1, f-2\)"):
        plan(some, active=active)


def test_unknown_targets_are_answered_with_the_known() -> None:
    """Unknown service, caller and instance: each error lists what is registered."""
    with pytest.raises(UnknownTargetError, match="no service 'rankr'; registered: gateway, ranker"):
        plan(request("hang", "rankr"))
    with pytest.raises(UnknownTargetError, match="no service 'edge'; registered: gateway, ranker"):
        plan(request("slow_edge", caller="edge"))
    with pytest.raises(UnknownTargetError, match=r"'ranker-9'; registered: ranker-1, ranker-2"):
        plan(request("freeze", instance="ranker-9"))
    with pytest.raises(UnknownTargetError, match="registered: none"):
        plan(request("hang"), of=view())


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"host": "10.9.9.9"}, "runs on host '10.9.9.9'"),
        ({"metadata": {}}, "registered without its process"),
        ({"metadata": {"pid": "x", "pid_started": "1"}}, "registered without its process"),
        ({"metadata": {"pid": "9", "pid_started": "inf."}}, "registered without its process"),
        ({"metadata": {"pid": "9", "pid_started": "1.e999"}}, "registered without its process"),
        ({"metadata": {"pid": "1", "pid_started": "1"}}, "pid 1, must be above 1"),
        ({"metadata": {"pid": "-1", "pid_started": "1"}}, "pid -1, must be above 1"),
    ],
)
def test_a_process_that_cannot_be_reached_is_refused(change: dict[str, object], match: str) -> None:
    """Another host, no pid, or a pid that means everybody: a clear refusal."""
    fleet = view(instance("ranker", 1, **change), instance("ranker", 2))
    with pytest.raises(VictimError, match=match):
        plan(request("freeze", instance="ranker-1"), of=fleet)


@pytest.mark.parametrize(
    ("wanted", "match"),
    [
        ({"kind": "freeze", "delay_ms": 5}, "takes no delay_ms; it takes instance, all_instances"),
        ({"kind": "hang", "all_instances": True}, "takes no all_instances"),
        ({"kind": "crash", "headers": {"a": "b"}}, "takes no headers"),
        ({"kind": "slow_edge"}, "needs the caller"),
        ({"kind": "crash", "instance": "ranker-1", "all_instances": True}, "not both"),
        ({"kind": "hang", "percent": 0}, "percent is 0, must be above 0 and at most 100"),
        ({"kind": "hang", "percent": 101}, "percent is 101"),
        ({"kind": "latency", "delay_ms": 0}, "delay_ms is 0"),
        ({"kind": "latency", "delay_ms": math.nan}, "delay_ms is nan"),
        ({"kind": "latency", "jitter_ms": -1}, "jitter_ms is -1"),
        ({"kind": "errors", "status": 200}, "status is 200, must be above 399 and at most 599"),
        ({"kind": "cpu_burn", "threads": 17}, "threads is 17"),
        ({"kind": "hang", "duration_s": 0.5}, "duration_s is 0.5, must be at least 1"),
        ({"kind": "hang", "duration_s": math.nan}, "duration_s is nan"),
        ({"kind": "hang", "actor": ""}, "actor must be 1 to 256 printable characters, is ''"),
        ({"kind": "hang", "actor": "a\0"}, "actor must be 1 to 256 printable"),
        ({"kind": "hang", "service": "x" * 257}, "service must be 1 to 256 printable"),
        ({"kind": "hang", "reason": "x" * 501}, "reason has 501 characters"),
        ({"kind": "hang", "headers": {"x" * 501: "y"}}, "headers has 501 characters"),
        ({"kind": "hang", "headers": {str(n): "" for n in range(17)}}, "17 headers given"),
    ],
)
def test_values_without_sense_are_refused(wanted: dict[str, object], match: str) -> None:
    """Every bad value, and every field the kind does not understand, is named in the error."""
    with pytest.raises(InvalidFaultError, match=match):
        plan(msgspec.convert({"service": "ranker", **wanted}, FaultRequest))


FLEETS = st.builds(
    lambda sizes: view(*(instance(s, n) for s, size in sizes.items() for n in range(size))),
    st.fixed_dictionaries({"ranker": st.integers(0, 6), "gateway": st.integers(0, 3)}),
)
REQUESTS = st.builds(
    FaultRequest,
    kind=st.sampled_from(ChaosKind),
    service=st.sampled_from(["ranker", "gateway"]),
    instance=st.none() | st.sampled_from(["ranker-0", "ranker-1", "gateway-0"]),
    caller=st.none() | st.sampled_from(["gateway", "ranker"]),
    duration_s=st.floats(0, 1000),
)


@given(
    fleet=FLEETS,
    wanted=st.lists(REQUESTS, max_size=12),
    share=st.floats(0, 1),
    draw=st.floats(0, 1, exclude_max=True),
)
def test_no_sequence_of_requests_exceeds_the_limits(
    fleet: InstanceView, wanted: list[FaultRequest], share: float, draw: float
) -> None:
    """Whatever is asked in whatever order, faults at once, their length and their share hold."""
    settings = ChaosSettings(max_share=share)
    active: list[Fault] = []
    for number, one in enumerate(wanted):
        try:
            made = plan(one, of=fleet, active=tuple(active), settings=settings, draw=draw)
        except BreakwaterError:
            continue
        assert made.targets
        assert bool(made.acts) != bool(made.rules)
        assert all(NOW_MS < r.expires_ms <= NOW_MS + 600_000 for r in made.rules)
        active.append(running(one, made, f"f-{number}"))
    assert len(active) <= settings.max_faults
    for service in ("ranker", "gateway"):
        hits = [h for f in active if f.request.service == service for h in hit_instances(f)]
        assert len(hits) == len(set(hits))
        assert len(hits) <= share * sum(i.service == service for i in fleet.instances)


def test_every_kind_says_what_it_takes() -> None:
    """The table of fields covers every kind, and process kinds never take a share of calls."""
    assert set(TAKES) == set(ChaosKind)
    assert all("percent" not in TAKES[kind] for kind in PROCESS_KINDS)
