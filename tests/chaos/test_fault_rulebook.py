"""Rules by service and the long poll for them."""

from itertools import pairwise

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakwater.chaos import TooManyWaitersError
from breakwater.chaos.rulebook import RuleBook
from breakwater.model import FaultKind, FaultRule
from breakwater.testing import FakeClock

pytestmark = pytest.mark.anyio


def book(clock: FakeClock, *, max_waiters: int = 10) -> RuleBook:
    """An empty rule book."""
    return RuleBook(clock, max_wait_s=20.0, max_waiters=max_waiters)


def rule(service: str, *, instance: str | None = None, expires_ms: int = 1 << 60) -> FaultRule:
    """A hang at a service."""
    return FaultRule(
        id="f-1",
        point="inbound",
        kind=FaultKind.HANG,
        service=service,
        instance=instance,
        expires_ms=expires_ms,
    )


def test_a_service_sees_its_own_rules_and_an_instance_those_for_it() -> None:
    """Rules for another service or another instance are not handed out."""
    rules = book(FakeClock())
    every, one, other = rule("a"), rule("a", instance="a-1"), rule("b")
    rules.put("f-1", [every, one, other])
    assert rules.rules_for("a", "a-1").rules == [every, one]
    assert rules.rules_for("a", "a-2").rules == [every]
    assert rules.rules_for("a", None).rules == [every, one]
    assert rules.rules_for("c", "c-1").rules == []


def test_an_expired_rule_is_not_handed_out() -> None:
    """At its expiry a rule is gone, also before anybody has dropped it."""
    clock = FakeClock()
    rules = book(clock)
    rules.put("f-1", [rule("a", expires_ms=clock.now_ms() + 1000)])
    clock.advance(1.0)
    assert rules.rules_for("a", None).rules == []


@given(st.lists(st.sampled_from(["put a", "put b", "drop", "tick"]), max_size=30))
def test_revisions_grow_with_every_change_and_only_with_it(steps: list[str]) -> None:
    """A service's revision rises exactly when its rules are put or dropped."""
    clock = FakeClock()
    rules = book(clock)
    held: str | None = None
    for step in steps:
        before = {s: rules.rules_for(s, None).revision for s in "ab"}
        changed = set()
        if step.startswith("put"):
            changed = {step[-1], *((held,) if held else ())}
            rules.drop("f-1")
            held = step[-1]
            rules.put("f-1", [rule(held)])
        elif step == "drop":
            changed = {held} if held else set()
            held = None
            rules.drop("f-1")
        else:
            clock.advance(0.5)
        after = {s: rules.rules_for(s, None).revision for s in "ab"}
        assert {s for s in "ab" if after[s] > before[s]} == changed
        assert all(after[s] >= before[s] for s in "ab")


def test_a_later_run_starts_above_the_revisions_of_an_earlier_one() -> None:
    """A service that kept a revision over a restart of the platform sees another number."""
    clock = FakeClock()
    earlier = book(clock)
    for _ in range(5):
        earlier.put("f-1", [rule("a")])
    seen = [earlier.rules_for("a", None).revision]
    clock.advance(1.0)
    seen.append(book(clock).rules_for("a", None).revision)
    assert all(low < high for low, high in pairwise(seen))


async def test_another_revision_is_answered_at_once() -> None:
    """Who asks with no or an old revision does not wait."""
    rules = book(FakeClock())
    with anyio.fail_after(5):
        assert (await rules.wait("a", None, None, 20.0)).rules == []
        assert (await rules.wait("a", None, -1, 20.0)).rules == []


async def test_the_current_revision_waits_for_a_change_of_that_service() -> None:
    """A change wakes the waiter with the new rules; a change elsewhere does not."""
    rules = book(FakeClock())
    got = []

    async def poll() -> None:
        revision = rules.rules_for("a", None).revision
        got.append(await rules.wait("a", "a-1", revision, 20.0))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(poll)
            await anyio.wait_all_tasks_blocked()
            rules.put("f-2", [rule("b")])
            await anyio.wait_all_tasks_blocked()
            assert got == []
            assert rules.waiters == 1
            rules.put("f-1", [rule("a")])
    assert got[0].rules == [rule("a")]
    assert rules.waiters == 0


async def test_a_wait_ends_in_time_with_the_same_revision() -> None:
    """Without a change the poll is answered after its time, with what is in force."""
    rules = book(FakeClock())
    revision = rules.rules_for("a", None).revision
    assert (await rules.wait("a", None, revision, 0.01)).revision == revision


async def test_too_many_waiters_are_refused_and_close_answers_the_rest() -> None:
    """Open polls are bounded; closing answers all at once."""
    rules = book(FakeClock(), max_waiters=1)
    revision = rules.rules_for("a", None).revision
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(rules.wait, "a", None, revision, 20.0)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(TooManyWaitersError, match="at most 1"):
                await rules.wait("a", None, revision, 20.0)
            rules.close()
