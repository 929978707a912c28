"""The native view: every instance under a revision, and waiting for the next one."""

import anyio
import pytest
from tests.registry.instances import instance

from breakwater.registry import Directory, RegistrySettings, TooManyWaitersError
from breakwater.testing import FakeClock

APP, ONE = "RANKER", "ranker-a-1"


@pytest.fixture
def directory(clock: FakeClock) -> Directory:
    """A directory in which one instance with a lease of 15 s is registered."""
    directory = Directory(RegistrySettings(), clock)
    directory.registry.register(APP, instance())
    return directory


def test_the_view_speaks_the_words_of_the_model(directory: Directory) -> None:
    """The native view has service, address, zone, status and metadata of every instance."""
    registry = directory.registry
    registry.register("B", instance("b-1", "B", vip_address="", metadata={"zone": "z"}))
    view = directory.view()
    assert [(one.service, one.host, one.port, one.zone) for one in view.instances] == [
        ("ranker", "127.0.0.1", 9101, ""),
        ("b", "127.0.0.1", 9101, "z"),
    ]
    assert directory.view() is view
    assert [one.instance_id for one in directory.native.view("RANKER").instances] == [ONE]
    assert directory.native.view("nobody").instances == []


@pytest.mark.anyio
async def test_waiting_ends_with_the_next_change(directory: Directory) -> None:
    """A caller who knows the present revision is told as soon as it is no longer the present."""
    registry = directory.registry
    seen: list[int] = []

    async def wait() -> None:
        seen.append((await directory.native.wait_view(directory.native.revision, 30)).revision)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            group.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            assert directory.native.waiters == 2
            registry.cancel(APP, ONE)
    assert seen == [directory.native.revision, directory.native.revision]
    assert directory.native.waiters == 0


@pytest.mark.anyio
async def test_another_revision_is_answered_at_once(directory: Directory) -> None:
    """Whoever knows another revision, or none, does not wait; nor does who asks not to."""
    with anyio.fail_after(10):
        for revision in (None, 0, directory.native.revision - 1, directory.native.revision + 1):
            view = await directory.native.wait_view(revision, 3_600)
            assert view.revision == directory.native.revision
        await directory.native.wait_view(directory.native.revision, 0)


@pytest.mark.anyio
async def test_waiting_ends_by_itself(directory: Directory) -> None:
    """Without a change the unchanged view comes after the time asked for."""
    with anyio.fail_after(10):
        view = await directory.native.wait_view(directory.native.revision, 0.001)
    assert view.revision == directory.native.revision


@pytest.mark.anyio
async def test_closing_lets_everybody_go(directory: Directory) -> None:
    """A server that stops answers whoever waits, and lets nobody wait any more."""
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(directory.native.wait_view, directory.native.revision, 3_600)
            await anyio.wait_all_tasks_blocked()
            directory.close()
        await directory.native.wait_view(directory.native.revision, 3_600)


@pytest.mark.anyio
async def test_only_so_many_may_wait(clock: FakeClock) -> None:
    """Beyond the bound a caller is told to ask without waiting."""
    directory = Directory(RegistrySettings(max_waiters=1), clock)
    async with anyio.create_task_group() as group:
        group.start_soon(directory.native.wait_view, directory.native.revision, 3_600)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(TooManyWaitersError, match="without wait_s"):
            await directory.native.wait_view(directory.native.revision, 3_600)
        group.cancel_scope.cancel()
    assert directory.native.waiters == 0


@pytest.mark.anyio
async def test_the_evictor_runs_beside_the_server(clock: FakeClock) -> None:
    """`run` drops lapsed leases by itself and wakes whoever waits for a change."""
    directory = Directory(RegistrySettings(evict_interval_s=0.001), clock)
    registry = directory.registry
    registry.register(APP, instance())
    clock.advance(15)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(directory.run)
            view = await directory.native.wait_view(directory.native.revision, 60)
            group.cancel_scope.cancel()
    assert view.instances == []
    assert registry.stats().evictions == 1


class SleepyClock(FakeClock):
    """A clock on which every look finds half a minute gone, as after a suspended machine."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self.looked_enough = anyio.Event()
        self._looks_left = looks

    def monotonic_s(self) -> float:
        """Half a minute more than at the last look."""
        self.advance(30)
        self._looks_left -= 1
        if self._looks_left == 0:
            self.looked_enough.set()
        return super().monotonic_s()


@pytest.mark.anyio
async def test_a_process_that_stood_still_holds_it_against_nobody() -> None:
    """The evictor notices that it woke late and prolongs every lease by what it missed."""
    clock = SleepyClock(looks=20)
    directory = Directory(RegistrySettings(evict_interval_s=0.001), clock)
    registry = directory.registry
    registry.register(APP, instance())
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(directory.run)
            await clock.looked_enough.wait()
            group.cancel_scope.cancel()
    assert registry.stats().lost_time_s > 30
