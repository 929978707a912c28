import msgspec
import numpy as np
import pytest
from tests.diagnosis.simulation import Fault, simulate

from breakwater.diagnosis import Diagnosis, Kind, Verdict, diagnose
from breakwater.diagnosis.recovery import has_recovered
from breakwater.diagnosis.thresholds import Thresholds
from breakwater.model import Status
from breakwater.topology import STATUSES

_START = 85
_CASES = [
    Fault("latency", "ranker", _START),
    Fault("latency", "gateway", _START),
    Fault("errors", "licence", _START),
    Fault("errors", "features", _START),
    Fault("hang", "session", _START),
    Fault("hang", "playback", _START),
    Fault("slow_edge", "account", _START, caller="gateway"),
    Fault("slow_edge", "session", _START, caller="playback"),
    Fault("cpu_burn", "personalization", _START, zone="a"),
    Fault("freeze", "manifest", _START, zone="b"),
    Fault("freeze", "gateway", _START, zone="a"),
    Fault("crash", "account", _START, zone="a"),
]


@pytest.mark.parametrize("fault", _CASES, ids=lambda fault: f"{fault.kind}-{fault.service}")
def test_the_broken_service_is_named_with_its_kind(fault: Fault) -> None:
    """Whatever breaks, wherever it sits in the call tree, it is first, and the kind is right."""
    judged = diagnose(simulate(_CASES.index(fault), fault))
    assert judged.verdict is Verdict.CULPRIT
    assert judged.culprit is not None
    assert (judged.culprit.service, judged.culprit.kind) == (fault.service, Kind(fault.kind))
    if fault.zone:
        assert judged.culprit.instance == f"{fault.service}-{fault.zone}-1"
    if fault.caller:
        assert judged.culprit.edge == f"{fault.caller}->{fault.service}"


@pytest.mark.parametrize("fault", _CASES[:4], ids=lambda fault: f"{fault.kind}-{fault.service}")
def test_the_onset_is_dated_with_an_interval(fault: Fault) -> None:
    """The interval holds the true moment and is a few seconds wide."""
    window = simulate(_CASES.index(fault), fault)
    judged = diagnose(window)
    truth = int(window.end_ms[fault.start]) - window.step_ms
    assert judged.onset_low_ms is not None
    assert judged.onset_high_ms is not None
    assert judged.onset_low_ms - 1000 <= truth <= judged.onset_high_ms + 1000
    assert judged.onset_high_ms - judged.onset_low_ms <= 6000


@pytest.mark.parametrize("seed", range(5))
def test_a_healthy_fleet_accuses_nobody(seed: int) -> None:
    """Noise alone is never a change."""
    assert diagnose(simulate(seed)).verdict is Verdict.NOTHING_WRONG


@pytest.mark.parametrize("factor", [0.4, 1.8, 3.0])
def test_more_or_fewer_requests_accuse_nobody(factor: float) -> None:
    """Traffic alone, up or down, is told apart from harm."""
    judged = diagnose(simulate(7, surge=(_START, factor)))
    assert judged.verdict is Verdict.TRAFFIC_ONLY
    assert judged.culprit is None


def test_a_starved_host_is_nobodys_fault() -> None:
    """When every service slows down at once no single one is named."""
    judged = diagnose(simulate(8, slow_from=_START))
    assert judged.verdict is Verdict.NO_SINGLE_SERVICE
    assert judged.culprit is None
    assert judged.suspects


def test_too_short_a_window_is_not_enough_evidence() -> None:
    """Ten steps say nothing, and the headline says how many are needed."""
    judged = diagnose(simulate(9, steps=10))
    assert judged.verdict is Verdict.NOT_ENOUGH_EVIDENCE
    assert "at least" in judged.headline


def test_a_change_without_a_baseline_is_not_enough_evidence() -> None:
    """A fault that was there nearly from the start cannot be compared with anything."""
    judged = diagnose(simulate(10, Fault("errors", "licence", 5), steps=60))
    assert judged.verdict is Verdict.NOT_ENOUGH_EVIDENCE


def test_a_burst_of_failures_is_no_incident() -> None:
    """Failures in a single step, however many, are over before anybody could act on them."""
    window = simulate(14, rps=60)
    calls = window.client_calls.copy()
    timeout = STATUSES.index(Status.TIMEOUT)
    calls[:, timeout, 97] += 8
    judged = diagnose(msgspec.structs.replace(window, client_calls=calls))
    assert judged.culprit is None


def test_a_copy_that_fails_rarely_but_always_is_found() -> None:
    """When callers avoid a dead copy its few failed calls drown in the service, not in the copy."""
    window = simulate(15, rps=60)
    at = window.instances.index(("licence", "licence-a-1"))
    edge = window.edges.index(("playback", "licence"))
    refused = STATUSES.index(Status.CONNECTION_ERROR)
    success = STATUSES.index(Status.SUCCESS)
    seen, calls, alive = window.seen_calls.copy(), window.client_calls.copy(), window.alive.copy()
    seen[at, success, 90:] = 0
    alive[at, 90:] = np.nan
    for step in range(90, 100, 2):
        seen[at, refused, step] += 1
        calls[edge, refused, step] += 1
    judged = diagnose(
        msgspec.structs.replace(window, seen_calls=seen, client_calls=calls, alive=alive)
    )
    assert judged.culprit is not None
    assert judged.culprit.instance == "licence-a-1"
    assert judged.culprit.kind is Kind.CRASH
    assert "ipc.server.node,licence-a-1,:eq" in judged.evidence[0].query


def test_evidence_is_short_and_can_be_repeated() -> None:
    """Three to five observations, each with a query of the stack language."""
    judged = diagnose(simulate(0, _CASES[0]))
    assert 3 <= len(judged.evidence) <= 5
    for item in judged.evidence:
        assert item.query.startswith("name,")
        assert np.isfinite([item.before, item.after]).all()


def test_shares_of_the_loss_add_up() -> None:
    """The books are closed: the hops carry the whole loss between them."""
    judged = diagnose(simulate(2, _CASES[2]))
    assert abs(sum(hop.share for hop in judged.hops) - 1) < 1e-6
    assert judged.hops[0].service == "licence"


def test_a_judgement_survives_json() -> None:
    """What programs read is what people read."""
    judged = diagnose(simulate(2, _CASES[2]))
    assert msgspec.json.decode(msgspec.json.encode(judged), type=Diagnosis) == judged


def test_masked_failures_still_name_their_source() -> None:
    """A fallback that keeps users happy does not keep the callee from being named."""
    judged = diagnose(simulate(11, Fault("errors", "ranker", _START)))
    assert judged.culprit is not None
    assert judged.culprit.service == "ranker"


def test_services_that_report_one_side_only_are_told() -> None:
    """Silence of one end is a data gap, not health."""
    window = simulate(12)
    silent = window.edges.index(("gateway", "account"))
    served = window.server_calls.copy()
    served[silent] = 0
    judged = diagnose(msgspec.structs.replace(window, server_calls=served))
    assert any("gateway->account: only the caller reports" in line for line in judged.data_gaps)


def test_a_copy_that_still_fails_has_not_recovered() -> None:
    """One call a second to a dead copy is nothing to the service and everything to the copy."""
    window = simulate(13)
    at = window.instances.index(("licence", "licence-a-1"))
    seen = window.seen_calls.copy()
    seen[at, :, -6:] = 0
    seen[at, STATUSES.index(Status.CONNECTION_ERROR), -6:] = 1
    broken = msgspec.structs.replace(window, seen_calls=seen)
    assert not has_recovered(broken, int(window.end_ms[_START]), Thresholds())


def test_recovery_is_seen_when_the_fault_is_over() -> None:
    """Healthy steps after the fault close it; faulty ones do not."""
    broken = simulate(13, Fault("errors", "licence", _START))
    onset_ms = int(broken.end_ms[_START])
    assert not has_recovered(broken, onset_ms, Thresholds())
    assert has_recovered(simulate(13), onset_ms, Thresholds())
