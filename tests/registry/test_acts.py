"""What operators do to instances: durable, in the journal, undone, ended in time, told to peers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from tests.registry.instances import instance

from breakwater.journal import Journal
from breakwater.model import Change, ChangeKind, Health
from breakwater.registry import InstanceStatus, Registry, RegistrySettings, UnknownInstanceError
from breakwater.registry.acting.acts import Act, ActKind, NewAct
from breakwater.registry.acting.book import ActBook
from breakwater.registry.errors import InvalidActError, TooManyActsError, UnknownActError
from breakwater.registry.holding.happenings import Deed, Happening, Origin
from breakwater.registry.judging.judge import Judge
from breakwater.storage import ControlDatabase, StorageUnavailableError
from breakwater.testing import FakeClock

pytestmark = pytest.mark.anyio

APP, ONE = "RANKER", "ranker-a-1"


class Place:
    """A registry with one instance, and the book of acts on it."""

    def __init__(self, clock: FakeClock, database: ControlDatabase | None = None) -> None:
        self.clock = clock
        self.registry = Registry(RegistrySettings(probing=False), clock)
        self.judge = Judge(self.registry, clock)
        self.journal = None if database is None else Journal(database, clock)
        numbers = count(1)
        self.book = ActBook(
            self.registry,
            self.judge,
            clock,
            disk=database,
            journal=self.journal,
            new_id=lambda: f"act-{next(numbers)}",
        )
        self.registry.register(APP, instance())

    async def act(self, kind: ActKind, **more: Any) -> Act:
        """Carry one out, as ann."""
        act, _ = await self.book.carry_out(wanted(kind, **more))
        return act

    @property
    def status(self) -> str:
        """What the instance shows."""
        return self.registry.instance(APP, ONE).status.value

    async def changes(self) -> list[Change]:
        """What the journal holds, the oldest first."""
        assert self.journal is not None
        return (await self.journal.changes())[::-1]


def wanted(kind: ActKind, **more: Any) -> NewAct:
    """An act of ann's."""
    plain: dict[str, Any] = {"service": "ranker", "instance_id": ONE, "actor": "ann"}
    return NewAct(kind=kind, **{**plain, **more})


@pytest.fixture
def place(clock: FakeClock) -> Place:
    """Without a disk."""
    return Place(clock)


@asynccontextmanager
async def kept(folder: Path, clock: FakeClock) -> AsyncIterator[Place]:
    """With a disk in `folder`."""
    async with ControlDatabase(folder / "control.db") as database:
        yield Place(clock, database)


async def test_a_drain_and_its_undo(place: Place) -> None:
    """A drained instance is out of service until that is undone, then what it was."""
    act = await place.act(ActKind.DRAIN, reason="deploy")
    assert place.status == "OUT_OF_SERVICE"
    assert place.book.acts_on(APP, ONE) == [act]
    assert (act.before, act.status, act.is_in_force) == ("UP", "OUT_OF_SERVICE", True)
    over = await place.book.undo(act.id, actor="bob")
    assert (place.status, over.ended_by) == ("UP", "bob")
    assert place.book.acts() == []
    assert place.book.acts(is_ended_too=True) == [over]


async def test_an_act_outlives_the_instance(place: Place) -> None:
    """Whatever registers under the name is treated alike, and no more once the act is over."""
    act = await place.act(ActKind.OVERRIDE, status=InstanceStatus.DOWN)
    for _ in range(2):
        place.registry.cancel(APP, ONE)
        place.registry.register(APP, instance(last_dirty_ms=9_000))
        assert place.status == "DOWN"
    place.registry.cancel(APP, ONE)
    await place.book.undo(act.id, actor="bob")
    place.registry.register(APP, instance(last_dirty_ms=99_000))
    assert place.status == "UP"


async def test_a_drop_lets_it_come_back(place: Place) -> None:
    """A plain drop is over at once: the next renewal is refused, and it registers again."""
    act = await place.act(ActKind.DROP)
    assert (act.ended_by, place.book.acts()) == ("done", [])
    with pytest.raises(UnknownInstanceError):
        place.registry.renew(APP, ONE)
    place.registry.register(APP, instance())
    assert place.status == "UP"
    with pytest.raises(UnknownActError, match="has ended already, by done"):
        await place.book.undo(act.id, actor="ann")


async def test_a_drop_can_hold_it_out(place: Place) -> None:
    """With a time what registers again is out of service until then, at no moment UP."""
    told: list[str] = []

    def hear(happening: Happening) -> None:
        if happening.deed is not Deed.CANCELLED:
            told.append(happening.info.status.value)

    await place.act(ActKind.DROP, for_s=60)
    place.registry.listen(hear)
    place.registry.register(APP, instance())
    place.registry.renew(APP, ONE)
    assert set(told) == {"OUT_OF_SERVICE"}
    place.clock.advance(60)
    await place.book.expire()
    assert place.status == "UP"


async def test_acts_end_by_themselves(place: Place) -> None:
    """`run` ends an act when its time is over, and wakes for one that ends sooner."""
    async with anyio.create_task_group() as group:
        group.start_soon(place.book.run)
        await anyio.wait_all_tasks_blocked()
        up = anyio.Event()

        def hear(happening: Happening) -> None:
            if happening.deed is Deed.OVERRIDE_REMOVED:
                up.set()

        place.registry.listen(hear)
        act = await place.act(ActKind.DRAIN, for_s=0.001)
        place.clock.advance(1)
        with anyio.fail_after(10):
            await up.wait()
            await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    assert place.status == "UP"
    (ended,) = place.book.acts(is_ended_too=True)
    assert (ended.id, ended.ended_by) == (act.id, "its time")


async def test_the_newer_act_replaces_the_older(place: Place) -> None:
    """One status is in force; undoing it gives back what was there before the first."""
    first = await place.act(ActKind.DRAIN)
    second = await place.act(ActKind.OVERRIDE, status=InstanceStatus.DOWN, for_s=60)
    pin = await place.act(ActKind.PIN)
    assert place.status == "DOWN"
    assert {act.id for act in place.book.acts()} == {second.id, pin.id}
    ended = {act.id: act.ended_by for act in place.book.acts(is_ended_too=True)}
    assert ended[first.id] == "replaced"
    await place.book.undo(second.id, actor="ann")
    assert place.status == "UP"


async def test_asking_again_changes_nothing(place: Place) -> None:
    """The same without an end is the act in force; another end is another act."""
    act, is_new = await place.book.carry_out(wanted(ActKind.PIN))
    again, is_new_too = await place.book.carry_out(wanted(ActKind.PIN, actor="bob"))
    assert (again, is_new, is_new_too) == (act, True, False)
    longer = await place.act(ActKind.PIN, for_s=60)
    assert place.book.acts() == [longer]


async def test_a_pin_spares_and_an_unpinned_one_is_judged(place: Place) -> None:
    """A pinned instance outlives its lease; its end by time lets the evidence speak again."""
    await place.act(ActKind.PIN, for_s=100)
    for _ in range(40):
        place.clock.advance(1)
        place.judge.round()
    assert place.judge.health_of(place.registry.lease(APP, ONE)) is Health.DOUBTFUL
    place.clock.advance(60)
    await place.book.expire()
    place.judge.round()
    assert len(place.registry) == 0


async def test_an_override_by_other_means_comes_back(place: Place) -> None:
    """What was set by Eureka's means before an act is in force again after it."""
    place.registry.override_status(APP, ONE, InstanceStatus.DOWN)
    act = await place.act(ActKind.DRAIN)
    await place.book.undo(act.id, actor="ann")
    assert place.registry.lease(APP, ONE).override is InstanceStatus.DOWN


async def test_what_cannot_be_done_is_said(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is not there is told with who is; a status belongs to an override and only to it."""
    for service, name, told in (
        ("ranker", "x", "no instance x of ranker is registered; there are: ranker-a-1"),
        ("nobody", "x", "no instance of nobody is registered; services here: ranker"),
    ):
        with pytest.raises(UnknownInstanceError, match=told):
            await place.act(ActKind.PIN, service=service, instance_id=name)
    for kind, status, told in (
        (ActKind.OVERRIDE, None, "needs a status, one of UP, DOWN"),
        (ActKind.OVERRIDE, InstanceStatus.UNKNOWN, "needs a status"),
        (ActKind.DRAIN, InstanceStatus.UP, "not a drain"),
    ):
        with pytest.raises(InvalidActError, match=told):
            await place.act(kind, status=status)
    with pytest.raises(UnknownActError, match="no act nope is known; in force: none"):
        await place.book.undo("nope", actor="ann")
    monkeypatch.setattr("breakwater.registry.acting.book.MAX_IN_FORCE", 0)
    with pytest.raises(TooManyActsError, match="at most 0 may be"):
        await place.act(ActKind.PIN)
    assert place.book.stats().in_force == 0


@pytest.mark.slow
async def test_every_act_is_in_the_journal(tmp_path: Path, clock: FakeClock) -> None:
    """An act is a change with reason and status before and after; so is its undo, and its end."""
    async with kept(tmp_path, clock) as place:
        act = await place.act(ActKind.DRAIN, reason="deploy of 42")
        clock.advance(5)
        await place.book.undo(act.id, actor="bob")
        await place.act(ActKind.PIN, for_s=10)
        clock.advance(10)
        await place.book.expire()
        drain, undone, pin, ended = await place.changes()
    assert drain == Change(
        id=1,
        kind=ChangeKind.CONFIG,
        target=f"ranker/{ONE}",
        start_ms=act.start_ms,
        end_ms=act.start_ms + 5_000,
        actor="ann",
        source="registry",
        detail={
            "act": "drain",
            "id": "act-1",
            "reason": "deploy of 42",
            "status_before": "UP",
            "status_after": "OUT_OF_SERVICE",
        },
    )
    assert (undone.actor, undone.detail["act"]) == ("bob", "end of drain")
    assert undone.detail["status_after"] == "UP"
    assert pin.end_ms == pin.start_ms + 10_000
    assert (ended.actor, ended.detail["act"]) == ("platform", "end of pin")


@pytest.mark.slow
async def test_acts_survive_a_restart(tmp_path: Path, clock: FakeClock) -> None:
    """What was acknowledged is in force again, but for what ended meanwhile."""
    async with kept(tmp_path, clock) as place:
        drain = await place.act(ActKind.DRAIN)
        pin = await place.act(ActKind.PIN, for_s=10)
    clock.advance(11)
    async with kept(tmp_path, clock) as place:
        assert place.status == "UP"
        await place.book.recall()
        assert place.status == "OUT_OF_SERVICE"
        assert place.judge.is_pinned(APP, ONE)
        assert [act.id for act in await place.book.expire()] == [pin.id]
        assert not place.judge.is_pinned(APP, ONE)
        await place.book.undo(drain.id, actor="ann")
    async with kept(tmp_path, clock) as place:
        await place.book.recall()
        assert (place.status, place.book.acts()) == ("UP", [])
        assert all(change.end_ms for change in await place.changes() if "id" in change.detail
                   and not change.detail["act"].startswith("end"))  # fmt: skip


@pytest.mark.slow
async def test_a_dropped_instance_is_not_recalled(tmp_path: Path, clock: FakeClock) -> None:
    """A drop whose effect never reached the disk is carried out after the restart."""
    async with kept(tmp_path, clock) as place:
        await place.act(ActKind.DROP, for_s=600)
    async with ControlDatabase(tmp_path / "control.db") as database:
        again = Place(clock, database)
        await again.book.recall()
        assert len(again.registry) == 0
        again.registry.register(APP, instance(last_dirty_ms=99_000))
        assert again.status == "OUT_OF_SERVICE"


class FullDisk(ControlDatabase):
    """A database whose disk takes nothing."""

    async def write(self, work: Any) -> Any:
        """Refuse."""
        raise StorageUnavailableError("the disk is full", "SQLITE_FULL")


async def test_a_full_disk_refuses_acts_and_ends_them_all_the_same(clock: FakeClock) -> None:
    """What cannot be stored is not done; what is over by the clock is over, stored or not."""
    async with ControlDatabase(None) as memory, FullDisk(None) as full:
        place = Place(clock, memory)
        await place.act(ActKind.DRAIN, for_s=5)
        place.book._archive._disk = full
        place.book._archive._journal = Journal(full, clock)
        with pytest.raises(StorageUnavailableError):
            await place.act(ActKind.PIN)
        assert not place.judge.is_pinned(APP, ONE)
        (act,) = place.book.acts()
        with pytest.raises(StorageUnavailableError):
            await place.book.undo(act.id, actor="ann")
        assert place.status == "OUT_OF_SERVICE"
        clock.advance(5)
        await place.book.expire()
        assert place.status == "UP"
        assert place.book.stats().unstored == 1


async def test_peers_share_acts(clock: FakeClock) -> None:
    """What is done on one is in force on the other; an end counts wherever it was made."""
    ours, theirs = Place(clock), Place(clock)
    theirs.book._new_id = lambda: "their-act"
    told: list[Happening] = []
    theirs.registry.listen(told.append)
    act = await ours.act(ActKind.DRAIN)
    await theirs.book.take_parcel(ours.book.parcel(), peer="ours")
    assert theirs.status == "OUT_OF_SERVICE"
    assert {each.origin for each in told} == {Origin.PEER}
    revision = theirs.book.revision
    await theirs.book.take_parcel(ours.book.parcel(), peer="ours")
    assert theirs.book.revision == revision
    clock.advance(1)
    await theirs.book.undo(act.id, actor="bob")
    await theirs.book.take_parcel(ours.book.parcel(), peer="ours")
    assert theirs.status == "UP"
    await ours.book.take_parcel(theirs.book.parcel(), peer="theirs")
    assert (ours.status, ours.book.acts()) == ("UP", [])


async def test_peers_agree_on_the_newer_of_two_acts(clock: FakeClock) -> None:
    """Acts made on both sides of a partition: the newer one is in force on both in the end."""
    ours, theirs = Place(clock), Place(clock)
    theirs.book._new_id = lambda: "their-act"
    await ours.act(ActKind.DRAIN)
    clock.advance(1)
    await theirs.act(ActKind.OVERRIDE, status=InstanceStatus.DOWN)
    first, second = ours.book.parcel(), theirs.book.parcel()
    await ours.book.take_parcel(second, peer="theirs")
    await theirs.book.take_parcel(first, peer="ours")
    for place in (ours, theirs):
        assert place.status == "DOWN"
        assert [act.id for act in place.book.acts()] == ["their-act"]
    await ours.book.take_parcel(theirs.book.parcel(), peer="theirs")
    assert [act.id for act in ours.book.acts()] == ["their-act"]


async def test_a_parcel_that_cannot_be_read_changes_nothing(place: Place) -> None:
    """It is refused, with the name of the peer."""
    await place.book.take_parcel(msgspec.Raw(b"null"), peer="b")
    with pytest.raises(InvalidActError, match="the acts of b cannot be read"):
        await place.book.take_parcel(msgspec.Raw(b'[{"id": 5}]'), peer="b")
    assert place.book.revision == 0


async def test_ended_acts_are_forgotten_in_time(place: Place) -> None:
    """After an hour nobody needs to be told of an end any more."""
    act = await place.act(ActKind.DRAIN)
    await place.book.undo(act.id, actor="ann")
    place.clock.advance(3_599)
    await place.book.expire()
    assert len(place.book.acts(is_ended_too=True)) == 1
    place.clock.advance(2)
    await place.book.expire()
    assert place.book.acts(is_ended_too=True) == []
