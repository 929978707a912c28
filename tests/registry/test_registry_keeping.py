"""What a registry still knows after its process has ended."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from sqlalchemy import text
from tests.registry.instances import instance

from breakwater.registry import (
    Directory,
    InstanceStatus,
    Registry,
    RegistrySettings,
    UnknownInstanceError,
)
from breakwater.registry.holding.groups import Switch
from breakwater.registry.holding.happenings import Origin
from breakwater.registry.keeping.keeper import Keeper
from breakwater.storage import ControlDatabase
from breakwater.testing import FakeClock

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def kept(folder: Path, clock: FakeClock) -> AsyncIterator[Directory]:
    """A registry on the disk of `folder`, as one process runs it; what is not settled is lost."""
    async with ControlDatabase(folder / "control.db") as database:
        directory = Directory(RegistrySettings(probing=False), clock, database)
        await directory.recall()
        assert directory.keeper is not None
        async with anyio.create_task_group() as group:
            group.start_soon(directory.keeper.run)
            yield directory
            group.cancel_scope.cancel()


async def test_an_instance_is_there_at_once_with_a_full_lease(
    tmp_path: Path, clock: FakeClock
) -> None:
    """After a restart an instance is listed, marked as not heard of, for the whole of a lease."""
    async with kept(tmp_path, clock) as first:
        first.registry.register("RANKER", instance(metadata={"v": "1"}), via="a peer")
        await first.settled()
    clock.advance(3_000)
    async with kept(tmp_path, clock) as second:
        lease = second.registry.lease("RANKER", "ranker-a-1")
        assert lease.is_recalled
        assert lease.via == "a peer"
        assert lease.deadline_s - clock.monotonic_s() == 15
        assert lease.info.metadata == {"v": "1"}
        second.registry.renew("RANKER", "ranker-a-1")
        assert not lease.is_recalled


async def test_what_was_cancelled_or_evicted_is_not_there(tmp_path: Path, clock: FakeClock) -> None:
    """Ends are kept, and so is the memory of them: a stale copy of a peer is still refused."""
    async with kept(tmp_path, clock) as first:
        for name in ("cancelled", "evicted"):
            first.registry.register("RANKER", instance(name))
        await first.settled()
        first.registry.cancel("RANKER", "cancelled")
        clock.advance(16)
        first.registry.evict()
        await first.settled()
    async with kept(tmp_path, clock) as second:
        assert len(second.registry) == 0
        second.registry.register("RANKER", instance("cancelled"), origin=Origin.PEER, via="b")
        assert len(second.registry) == 0
        second.registry.register("RANKER", instance("evicted"), origin=Origin.PEER, via="b")
        assert len(second.registry) == 1


async def test_an_override_outlives_process_and_lease(tmp_path: Path, clock: FakeClock) -> None:
    """An override holds after a restart, and for one that was lost and is back within the hour."""
    async with kept(tmp_path, clock) as first:
        for name in ("stays", "returns"):
            first.registry.register("RANKER", instance(name))
            first.registry.override_status("RANKER", name, InstanceStatus.OUT_OF_SERVICE)
        first.registry.lapse("RANKER", "returns")
        await first.settled()
    clock.advance(1_800)
    async with kept(tmp_path, clock) as second:
        second.registry.register("RANKER", instance("returns", last_dirty_ms=2_000))
        for name in ("stays", "returns"):
            held = second.registry.instance("RANKER", name)
            assert held.status is InstanceStatus.OUT_OF_SERVICE
        second.registry.lapse("RANKER", "returns")
        clock.advance(3_700)
        second.registry.evict()
        second.registry.register("RANKER", instance("returns", last_dirty_ms=3_000))
        assert second.registry.instance("RANKER", "returns").status is InstanceStatus.UP


async def test_metadata_and_override_removals_are_kept(tmp_path: Path, clock: FakeClock) -> None:
    """The state after the last change is what comes back, not that of the registration."""
    async with kept(tmp_path, clock) as first:
        first.registry.register("RANKER", instance())
        first.registry.override_status("RANKER", "ranker-a-1", InstanceStatus.OUT_OF_SERVICE)
        first.registry.remove_override("RANKER", "ranker-a-1", InstanceStatus.UP)
        first.registry.update_metadata("RANKER", "ranker-a-1", {"k": "v"})
        await first.settled()
    async with kept(tmp_path, clock) as second:
        held = second.registry.instance("RANKER", "ranker-a-1")
        assert held.status is InstanceStatus.UP
        assert held.overridden_status is InstanceStatus.UNKNOWN
        assert held.metadata == {"k": "v"}


async def test_renewals_write_nothing(tmp_path: Path, clock: FakeClock) -> None:
    """A renewal touches no disk: it neither waits nor causes a commit."""
    async with kept(tmp_path, clock) as directory:
        directory.registry.register("RANKER", instance())
        await directory.settled()
        for _ in range(100):
            directory.registry.renew("RANKER", "ranker-a-1")
        await directory.settled()
        assert directory.stats().keeping is not None
        assert directory.stats().keeping.commits == 1  # type: ignore[union-attr] # asserted above


async def test_a_storm_is_written_in_few_commits(tmp_path: Path, clock: FakeClock) -> None:
    """Registrations that come together are written together, and each answer waits for its own."""
    async with ControlDatabase(tmp_path / "control.db") as database:
        registry = Registry(RegistrySettings(), clock)
        keeper = Keeper(registry, database, clock, patience_s=60)
        durable: list[bool] = []

        async def register(number: int) -> None:
            registry.register("RANKER", instance(f"ranker-{number}"))
            durable.append(await keeper.settled())

        async with anyio.create_task_group() as writing:
            writing.start_soon(keeper.run)
            async with anyio.create_task_group() as group:
                for number in range(3_000):
                    group.start_soon(register, number)
            writing.cancel_scope.cancel()
        assert durable == [True] * 3_000
        assert keeper.stats().rows == 3_000
        assert keeper.stats().commits <= 10
    async with kept(tmp_path, clock) as again:
        assert len(again.registry) == 3_000


async def test_a_damaged_row_costs_one_instance(tmp_path: Path, clock: FakeClock) -> None:
    """What cannot be read is passed over and counted; everybody else is there."""
    async with kept(tmp_path, clock) as first:
        for name in ("good", "bad"):
            first.registry.register("RANKER", instance(name))
        await first.settled()
    async with ControlDatabase(tmp_path / "control.db") as database:
        await database.write(
            lambda connection: connection.execute(
                text("UPDATE registry_instances SET info = '{' WHERE instance_id = 'bad'")
            )
        )
    async with kept(tmp_path, clock) as second:
        assert [info.instance_id for info in second.registry.infos()] == ["good"]
        assert second.stats().keeping.damaged == 1  # type: ignore[union-attr] # it has a disk
        with pytest.raises(UnknownInstanceError):
            second.registry.lease("RANKER", "bad")


async def test_without_a_disk_nothing_waits(clock: FakeClock) -> None:
    """A registry without a disk answers at once, and is well."""
    directory = Directory(RegistrySettings(), clock)
    directory.registry.register("RANKER", instance())
    await directory.settled()
    assert directory.is_durable
    assert directory.stats().keeping is None


async def test_disabled_groups_are_kept(tmp_path: Path, clock: FakeClock) -> None:
    """Who registers after a restart still finds a group disabled; an older word changes nothing."""
    async with kept(tmp_path, clock) as first:
        first.registry.switch_group("blue", is_enabled=False)
        first.registry.switch_group("green", is_enabled=False)
        first.registry.switch_group("green", is_enabled=True)
        await first.settled()
    async with kept(tmp_path, clock) as second:
        assert second.registry.groups.disabled == ["blue"]
        second.registry.register("RANKER", instance(asg_name="blue"))
        shown = second.registry.instance("RANKER", "ranker-a-1")
        assert shown.status is InstanceStatus.OUT_OF_SERVICE
        (green,) = [one for one in second.registry.groups.since() if one.is_enabled]
        stale = [Switch("green", False, green.at_ms - 1), Switch("blue", True, 1)]
        assert second.registry.take_switches(stale) == 0
        assert second.registry.groups.disabled == ["blue"]
        assert second.registry.take_switches([Switch("x" * 513, False, 5)]) == 1


async def test_the_latest_version_there_can_be_is_kept(tmp_path: Path, clock: FakeClock) -> None:
    """An instance that claims the largest version ends and comes back without harm to the disk."""
    async with kept(tmp_path, clock) as first:
        for _ in range(3):
            first.registry.register("RANKER", instance(last_dirty_ms=2**63 - 1))
            first.registry.cancel("RANKER", "ranker-a-1")
            await first.settled()
            assert first.is_durable
    async with kept(tmp_path, clock) as second:
        ending = second.registry.endings.of("RANKER", "ranker-a-1")
        assert ending is not None
        assert ending.last_dirty_ms == 2**63 - 1
