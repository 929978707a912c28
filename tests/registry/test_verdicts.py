"""What is thought of an instance, as laws: whatever the facts, nobody alive is dropped."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakwater.model import Health
from breakwater.registry.judging.verdicts import (
    Crowd,
    Facts,
    Finding,
    has_lapsed,
    is_late,
    is_proven_dead,
    is_unexplained,
    judge,
    late_after_s,
)

PRESERVE_S = 900.0

any_facts = st.builds(
    Facts,
    lapsed_s=st.floats(-90, 2_000),
    interval_s=st.floats(1, 60),
    lease_s=st.floats(5, 180),
    is_recalled=st.booleans(),
    finding=st.none() | st.sampled_from(Finding),
    was_found=st.booleans(),
    is_contradicted=st.booleans(),
    is_replaced=st.booleans(),
    succeeded=st.integers(0, 3),
    refused=st.integers(0, 3),
    is_cut_off=st.booleans(),
    excused_ago_s=st.floats(0, 200),
    is_pinned=st.booleans(),
)
any_crowd = st.integers(1, 1_000).flatmap(
    lambda known: st.builds(Crowd, known=st.just(known), silent=st.integers(0, known))
)
ALONE = Crowd(known=12, silent=1)
MANY = Crowd(known=12, silent=12)


def facts(silent_s: float, **more: object) -> Facts:
    """An instance with a lease of 15 s, renewed every 5 s, silent for so long."""
    plain = Facts(lapsed_s=silent_s - 15, interval_s=5, lease_s=15)
    return msgspec.structs.replace(plain, **more)


@given(known=any_facts, crowd=any_crowd)
def test_who_renews_is_neither_lost_nor_ended(known: Facts, crowd: Crowd) -> None:
    """An instance that renewed in time, and that nobody is refused by, is shown as it is."""
    renewing = msgspec.structs.replace(
        known, lapsed_s=-known.lease_s, finding=None, refused=0, is_recalled=False
    )
    verdict = judge(renewing, crowd, preserve_s=PRESERVE_S)
    assert (verdict.health, verdict.is_over) == (Health.FRESH, False)


@given(known=any_facts, crowd=any_crowd)
def test_an_address_that_means_nothing_from_here_loses_nobody(known: Facts, crowd: Crowd) -> None:
    """A refusal where the instance was never reached, or renewed regardless, hides nobody in time.

    It may stand behind a translation of addresses: then every probe is refused, and it lives.
    """
    unreachable = msgspec.structs.replace(
        known, lapsed_s=-known.lease_s, finding=Finding.REFUSED, refused=0, is_recalled=False
    )
    for change in ({"was_found": False}, {"is_contradicted": True}):
        hidden = msgspec.structs.replace(unreachable, **change)
        verdict = judge(hidden, crowd, preserve_s=PRESERVE_S)
        assert verdict.health is not Health.LOST
        assert not verdict.is_over


@given(known=any_facts, crowd=any_crowd)
def test_nobody_is_ended_while_the_lease_runs(known: Facts, crowd: Crowd) -> None:
    """Before its deadline an instance may be hidden, but its lease stays."""
    verdict = judge(known, crowd, preserve_s=PRESERVE_S)
    assert has_lapsed(known) or not verdict.is_over
    assert verdict.health is not Health.LOST or is_proven_dead(known)


@given(known=any_facts, crowd=any_crowd)
def test_a_pin_stands_above_the_evidence(known: Facts, crowd: Crowd) -> None:
    """What an operator pinned is neither hidden nor ended."""
    pinned = msgspec.structs.replace(known, is_pinned=True)
    verdict = judge(pinned, crowd, preserve_s=PRESERVE_S)
    assert verdict.health is not Health.LOST
    assert not verdict.is_over


@given(known=any_facts, size=st.integers(1, 1_000))
def test_one_crash_is_ended_at_its_deadline_whatever_the_size(known: Facts, size: int) -> None:
    """One silent instance among any number is ended when its lease is, with or without proof."""
    crashed = msgspec.structs.replace(
        known, lapsed_s=0.0, is_pinned=False, is_cut_off=False, succeeded=0, excused_ago_s=200.0
    )
    assert judge(crashed, Crowd(known=size, silent=1), preserve_s=PRESERVE_S).is_over


@given(known=any_facts, size=st.integers(2, 1_000))
def test_a_mass_lapse_without_proof_ends_nobody(known: Facts, size: int) -> None:
    """When everybody goes silent at once, silence proves nothing."""
    silent = msgspec.structs.replace(
        known,
        finding=None,
        refused=0,
        is_replaced=False,
        lapsed_s=min(known.lapsed_s, PRESERVE_S - 1),
    )
    verdict = judge(silent, Crowd(known=size, silent=size), preserve_s=PRESERVE_S)
    assert not verdict.is_over
    assert verdict.health is not Health.LOST


@given(known=any_facts, crowd=any_crowd)
def test_the_proven_dead_are_ended_whatever_the_ratio(known: Facts, crowd: Crowd) -> None:
    """An instance whose address refuses, and whom nobody reaches, goes with its lease."""
    dead = msgspec.structs.replace(
        known,
        lapsed_s=max(known.lapsed_s, 0.0),
        finding=Finding.REFUSED,
        is_contradicted=False,
        succeeded=0,
        is_pinned=False,
    )
    assert judge(dead, crowd, preserve_s=PRESERVE_S).is_over
    assert not is_unexplained(dead)


@given(known=any_facts, crowd=any_crowd)
def test_time_alone_never_makes_it_more_alive(known: Facts, crowd: Crowd) -> None:
    """With everything else as it is, further silence ends what it would not have spared."""
    later = msgspec.structs.replace(
        known, lapsed_s=known.lapsed_s + 100, excused_ago_s=known.excused_ago_s + 100
    )
    if judge(known, crowd, preserve_s=PRESERVE_S).is_over:
        assert judge(later, crowd, preserve_s=PRESERVE_S).is_over


@pytest.mark.parametrize(
    ("silent_s", "health", "is_over"),
    [
        (0, Health.FRESH, False),
        (7.4, Health.FRESH, False),
        (7.5, Health.LATE, False),
        (14.9, Health.LATE, False),
        (15, Health.DOUBTFUL, True),
    ],
)
def test_the_life_of_a_silent_instance(silent_s: float, health: Health, *, is_over: bool) -> None:
    """It is fresh, late after one and a half intervals, and ended with its lease."""
    verdict = judge(facts(silent_s), ALONE, preserve_s=PRESERVE_S)
    assert (verdict.health, verdict.is_over) == (health, is_over)


@pytest.mark.parametrize(
    ("known", "is_over"),
    [
        ({"finding": Finding.ANSWERS}, False),
        ({"finding": Finding.ACCEPTS}, False),
        ({"finding": Finding.UNREACHABLE}, False),
        ({"finding": Finding.SILENT}, True),
        ({"finding": Finding.SILENT, "is_contradicted": True}, False),
        ({"finding": Finding.ANSWERS, "succeeded": 2, "is_replaced": True}, True),
        ({"finding": Finding.REFUSED}, True),
        ({"refused": 1}, True),
        ({"refused": 1, "succeeded": 1}, False),
        ({"finding": Finding.REFUSED, "succeeded": 1}, False),
        ({"finding": Finding.REFUSED, "is_contradicted": True}, False),
        ({}, False),
    ],
)
def test_evidence_decides_when_many_lapse(known: dict[str, object], *, is_over: bool) -> None:
    """In a crowd each is judged by what callers saw and a probe found."""
    assert judge(facts(15, **known), MANY, preserve_s=PRESERVE_S).is_over is is_over


def test_what_is_kept_without_proof_is_kept_for_so_long() -> None:
    """The unknown go in the end, those a silent peer speaks for no sooner; the living stay."""
    for crowd, known in ((MANY, {}), (ALONE, {"is_cut_off": True})):
        assert not judge(facts(15 + 899, **known), crowd, preserve_s=PRESERVE_S).is_over
        assert judge(facts(15 + 900, **known), crowd, preserve_s=PRESERVE_S).is_over
    answering = facts(15 + 900, finding=Finding.ANSWERS)
    assert not judge(answering, MANY, preserve_s=PRESERVE_S).is_over


@pytest.mark.parametrize(
    ("known", "silent", "is_many"),
    [(1, 1, False), (2, 1, False), (2, 2, True), (12, 1, False), (12, 2, True),
     (13, 2, True), (14, 2, False), (1_000, 150, False), (1_000, 151, True)],
)  # fmt: skip
def test_how_many_are_many(known: int, silent: int, *, is_many: bool) -> None:
    """A crowd is at least two, and more than 15 %."""
    assert Crowd(known=known, silent=silent).is_many is is_many


def test_a_lease_without_slack_is_not_late_at_once() -> None:
    """Who tells an interval longer than a third of the lease is late by the lease's terms."""
    assert late_after_s(30, 90) == 45
    assert late_after_s(30, 15) == 7.5
    assert is_late(facts(7.5, interval_s=30))
