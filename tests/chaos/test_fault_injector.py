"""Starting and ending faults: the order of acts, on a real ledger, and undoing them all."""

import errno
import os

import anyio
import pytest
from tests.chaos.chaos_fakes import (
    Victim,
    request,
    victims,
    view,
)
from tests.chaos.fault_bench import Bench

from breakwater.chaos import (
    BlastRadiusError,
    ChaosSettings,
    FaultState,
    LeashedError,
    UndoFailedError,
    UnknownFaultError,
)
from breakwater.model import ChangeKind

pytestmark = pytest.mark.anyio


async def test_a_leashed_chaos_shows_the_targets_and_touches_nothing(
    bench: Bench, victim: Victim
) -> None:
    """By default the plan comes back in the refusal, with the way to unleash."""
    chaos = bench.chaos(ChaosSettings(max_share=1.0))
    with pytest.raises(LeashedError, match=r"freeze ranker-1.*chaos\.leashed = false") as caught:
        await chaos.inject(request("freeze"))
    assert caught.value.plan.targets == chaos.preview(request("freeze")).targets
    assert victim.is_free
    assert (bench.journal.stored, bench.open_on_disk(), chaos.faults()) == ([], set(), [])
    assert (chaos.stats().refused, chaos.stats().started) == (1, 0)


async def test_a_rule_fault_is_in_force_until_it_is_undone(bench: Bench) -> None:
    """Rules, journal and ledger follow a fault from start to undo."""
    chaos = bench.chaos()
    fault = await chaos.inject(request("latency", actor="me", reason="why", duration_s=30))
    assert fault.state is FaultState.ACTIVE
    assert fault.ends_ms == fault.started_ms + 30_000
    (rule,) = chaos.rules_for("ranker", "ranker-1").rules
    assert (rule.id, rule.expires_ms) == (fault.id, fault.ends_ms)
    (change,) = bench.journal.stored
    assert (change.kind, change.target, change.end_ms) == (ChangeKind.FAULT, "ranker", None)
    assert (change.actor, change.detail["kind"], change.id) == ("me", "latency", fault.change_id)
    assert bench.open_on_disk() == {fault.id}
    bench.clock.advance(5.0)
    undone = await chaos.undo(fault.id)
    assert (undone.state, undone.ended_ms) == (FaultState.UNDONE, fault.started_ms + 5_000)
    assert chaos.rules_for("ranker", "ranker-1").rules == []
    assert bench.journal.stored[0].end_ms == undone.ended_ms
    assert bench.open_on_disk() == set()
    assert await chaos.undo(fault.id) == undone
    assert chaos.faults() == [undone]
    assert chaos.faults(active_only=True) == []


async def test_every_fault_ends_at_its_time(bench: Bench) -> None:
    """Maintain expires what is due and nothing earlier."""
    chaos = bench.chaos()
    fault = await chaos.inject(request("hang", duration_s=10))
    bench.clock.advance(9.9)
    await chaos.maintain()
    assert chaos.find(fault.id).state is FaultState.ACTIVE
    bench.clock.advance(0.2)
    await chaos.maintain()
    assert chaos.find(fault.id).state is FaultState.EXPIRED
    assert bench.journal.stored[0].end_ms is not None
    assert (chaos.stats().expired, chaos.stats().active) == (1, 0)


async def test_run_maintains_by_itself(bench: Bench) -> None:
    """The platform's task ends due faults without being asked."""
    chaos = bench.chaos()
    fault = await chaos.inject(request("hang", duration_s=1))
    revision = chaos.rules_for("ranker").revision
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(chaos.run)
            bench.clock.advance(2.0)
            await chaos.wait_rules("ranker", None, revision, 20.0)
            tasks.cancel_scope.cancel()
    assert chaos.find(fault.id).state is FaultState.EXPIRED


@pytest.mark.slow
async def test_the_button_undoes_everything(bench: Bench) -> None:
    """undo_all ends rules and continues every frozen process."""
    with victims(2) as two:
        bench.view = view(*(v.instance for v in two))
        chaos = bench.chaos()
        await chaos.inject(request("freeze", all_instances=True))
        await chaos.inject(request("latency"))
        for v in two:
            v.wait_for("T")
        assert len(await chaos.undo_all()) == 2
        assert all(v.is_free for v in two)
        assert chaos.rules_for("ranker").rules == []
        assert await chaos.undo_all() == []


@pytest.mark.slow
async def test_a_machine_without_descriptors_keeps_no_other_fault_running(
    bench: Bench, victim: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thaw that the system refuses is told and tried again; the other faults end now."""
    chaos = bench.chaos()
    frozen = await chaos.inject(request("freeze"))
    slow = await chaos.inject(request("latency"))
    victim.wait_for("T")

    def refused(_pid: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as short:
        short.setattr(os, "pidfd_open", refused)
        with pytest.raises(UndoFailedError, match="Too many open"):
            await chaos.undo_all()
    assert chaos.find(slow.id).state is FaultState.UNDONE
    assert chaos.find(frozen.id).state is FaultState.ACTIVE
    await chaos.maintain()
    assert chaos.find(frozen.id).state is FaultState.UNDONE
    assert victim.is_free


async def test_unknown_faults_are_named(bench: Bench) -> None:
    """Undo of an unknown id lists what runs."""
    chaos = bench.chaos()
    fault = await chaos.inject(request("latency"))
    with pytest.raises(UnknownFaultError, match=rf"'f-99'; running: {fault.id}"):
        await chaos.undo("f-99")


async def test_requests_at_once_respect_the_limits(bench: Bench) -> None:
    """Starts are taken one after the other, so a burst cannot exceed the number allowed."""
    chaos = bench.chaos()
    refused = []

    async def start() -> None:
        try:
            await chaos.inject(request("latency"))
        except BlastRadiusError as error:
            refused.append(error)

    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(start)
    assert chaos.stats().active == 3
    assert len(refused) == 5
