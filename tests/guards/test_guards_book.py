"""Settings of guarded commands: checked, kept on disk, written down, handed out, ended."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from sqlalchemy import Connection

from breakwater.guards import (
    GuardSettings,
    InvalidSettingError,
    SettingBook,
    SettingRequest,
    TooManySettingsError,
    TooManyWatchersError,
    UnknownSettingError,
)
from breakwater.journal import Journal
from breakwater.model import Change, ChangeKind, GuardExpiry, UnavailableError
from breakwater.storage import ControlDatabase
from breakwater.testing import FakeClock

pytestmark = pytest.mark.anyio
DEADLINE_S = 10.0


class Bench:
    """A book on a disk, with its journal."""

    def __init__(self, folder: Path, clock: FakeClock, **given: Any) -> None:
        self.database = ControlDatabase(folder / "control.db")
        self.journal = Journal(self.database, clock)
        self.book = SettingBook(self.database, self.journal, clock, GuardSettings(**given))

    async def changes(self) -> list[Change]:
        """What is in the journal, oldest first."""
        return (await self.journal.changes())[::-1]


@pytest.fixture
def clock() -> FakeClock:
    """A clock that moves only when told to."""
    return FakeClock()


@pytest.fixture
async def bench(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Bench]:
    """A fresh book."""
    made = Bench(tmp_path, clock)
    yield made
    await made.database.close()


def wanted(key: str, value: Any = None, **given: Any) -> SettingRequest:
    """A request."""
    return SettingRequest(key=key, value=value, **{"actor": "kim", **given})


async def test_layers_are_handed_out(bench: Bench) -> None:
    """Settings are given by scope, and a service's own stand above those for all."""
    await bench.book.put(wanted("timeout_s", 1.0))
    await bench.book.put(wanted("timeout_s", 0.5, service="gateway"))
    await bench.book.put(wanted("breaker.open_s", 3, scope="group", name="Catalogue"))
    await bench.book.put(
        wanted("bulkhead.max_concurrent", 7, scope="command", name="Account", service="gateway")
    )
    config = await bench.book.config_for("gateway")
    assert config.default == {"timeout_s": 0.5}
    assert config.groups == {"Catalogue": {"breaker.open_s": 3.0}}
    assert config.commands == {"Account": {"bulkhead.max_concurrent": 7}}
    other = await bench.book.config_for("ranker")
    assert (other.default, other.commands) == ({"timeout_s": 1.0}, {})


async def test_what_servers_take_on_is_handed_out_like_any_other_setting(bench: Bench) -> None:
    """Checked the same way; a server stands where a command does."""
    server: dict[str, Any] = {"scope": "command", "name": "http", "service": "gateway"}
    await bench.book.put(wanted("shedding.limit", 64, **server))
    await bench.book.put(wanted("shedding.enabled", True))
    config = await bench.book.config_for("gateway")
    assert config.default == {"shedding.enabled": True}
    assert config.commands == {"http": {"shedding.limit": 64}}
    with pytest.raises(InvalidSettingError, match="at least 1"):
        await bench.book.put(wanted("shedding.limit", 0, **server))


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("breaker.open", 5, "nearest: breaker.open"),
        ("nonsense", 5, "no key 'nonsense'"),
        ("breaker.mode", "ajar", "forced_open"),
        ("breaker.failure_percent", 0, "failure_percent"),
        ("breaker.failure_percent", 101, "100"),
        ("timeout_s", "soon", "a number"),
        ("timeout_s", -1, "above 0"),
        ("bulkhead.max_concurrent", 0, "at least 1"),
        ("bulkhead.max_concurrent", 1.5, "a whole number"),
        ("bulkhead.partitions", {"gold": 0.7, "tin": 0.7}, "at most 1"),
        ("bulkhead.partitions", {str(n): 0.0001 for n in range(1_000)}, "longer than"),
        ("statistics", None, "statistics"),
    ],
)
async def test_nonsense_is_refused_at_once(bench: Bench, key: str, value: Any, says: str) -> None:
    """A key or value no command could go by is refused, naming what is allowed."""
    with pytest.raises(InvalidSettingError, match=says):
        await bench.book.put(wanted(key, value))
    assert await bench.book.all() == []
    assert await bench.changes() == []
    assert bench.book.stats().refused == 1


@pytest.mark.parametrize(
    "given",
    [
        {"scope": "default", "name": "Account"},
        {"scope": "group"},
        {"scope": "command", "name": "a" * 201},
        {"scope": "command", "name": "a\nb"},
        {"actor": " "},
        {"reason": "x" * 1_001},
        {"duration_s": 0.5},
        {"duration_s": 1e12},
    ],
)
async def test_places_must_make_sense(bench: Bench, given: dict[str, Any]) -> None:
    """A group or a command has a name, everything else has none, and an end lies ahead."""
    with pytest.raises(InvalidSettingError):
        await bench.book.put(wanted("timeout_s", 1.0, **given))


async def test_each_change_is_written_down(bench: Bench, clock: FakeClock) -> None:
    """Setting, replacing, taking back and ending are changes of kind config, with old and new."""
    place: dict[str, Any] = {"scope": "command", "name": "Account", "service": "gateway"}
    await bench.book.put(wanted("timeout_s", 1.0, reason="slow disks", **place))
    await bench.book.put(wanted("timeout_s", 2.0, **place))
    await bench.book.drop(wanted("timeout_s", actor="lee", reason="over", **place))
    await bench.book.put(wanted("breaker", None, duration_s=60))
    clock.advance(60)
    assert [setting.key for setting in await bench.book.expire()] == ["breaker"]
    changes = await bench.changes()
    assert {change.kind for change in changes} == {ChangeKind.CONFIG}
    assert [change.target for change in changes] == ["gateway"] * 3 + ["*"] * 2
    assert [change.actor for change in changes] == ["kim", "kim", "lee", "kim", "platform"]
    assert changes[0].detail == {
        "act": "set",
        "scope": "command",
        "name": "Account",
        "key": "timeout_s",
        "value": "1.0",
        "reason": "slow disks",
    }
    assert (changes[1].detail["before"], changes[1].detail["value"]) == ("1.0", "2.0")
    assert (changes[2].detail["act"], changes[2].detail["before"]) == ("unset", "2.0")
    assert changes[3].detail["value"] == "null"
    assert changes[4].detail["act"] == "expired"


async def test_settings_survive(tmp_path: Path, clock: FakeClock) -> None:
    """What was acknowledged is in force after a restart, at a later revision."""
    before = Bench(tmp_path, clock)
    setting = await before.book.put(wanted("breaker.mode", "forced_open", duration_s=60))
    held = await before.book.config_for("gateway")
    await before.database.close()
    clock.advance(1)
    after = Bench(tmp_path, clock)
    config = await after.book.config_for("gateway")
    assert config.default == {"breaker.mode": "forced_open"}
    assert config.revision > held.revision
    assert await after.book.all() == [setting]
    await after.database.close()


async def test_an_end_is_told_and_kept(bench: Bench, clock: FakeClock) -> None:
    """A setting with an end says when, and is in force no longer, whether swept or not."""
    setting = await bench.book.put(wanted("timeout_s", 1.0, scope="group", name="G", duration_s=5))
    config = await bench.book.config_for("gateway")
    assert config.expires == [
        GuardExpiry(scope="group", name="G", key="timeout_s", expires_ms=setting.expires_ms or 0)
    ]
    clock.advance(5)
    assert (await bench.book.config_for("gateway")).groups == {}
    assert await bench.book.all() == []


async def test_what_is_beneath_comes_back(bench: Bench) -> None:
    """Taking a service's own setting back leaves the one for all services."""
    await bench.book.put(wanted("timeout_s", 1.0))
    await bench.book.put(wanted("timeout_s", 0.5, service="gateway"))
    await bench.book.drop(wanted("timeout_s", service="gateway"))
    assert (await bench.book.config_for("gateway")).default == {"timeout_s": 1.0}
    with pytest.raises(UnknownSettingError, match="timeout_s of every command in gateway"):
        await bench.book.drop(wanted("timeout_s", service="gateway"))


async def test_a_poll_waits_for_its_service(bench: Bench) -> None:
    """A long poll ends with a setting for its service or for all, not with those of others."""
    held = await bench.book.config_for("gateway")
    found: list[Any] = []

    async def wait() -> None:
        found.append(await bench.book.wait_config("gateway", held.revision, 60))

    with anyio.fail_after(DEADLINE_S):
        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            await bench.book.put(wanted("timeout_s", 1.0, service="ranker"))
            await anyio.wait_all_tasks_blocked()
            assert found == []
            await bench.book.put(wanted("timeout_s", 2.0))
    assert found[0].default == {"timeout_s": 2.0}
    assert found[0].revision > held.revision


async def test_a_poll_with_another_revision_is_answered_at_once(bench: Bench) -> None:
    """Who knows nothing, or something else, need not wait."""
    with anyio.fail_after(DEADLINE_S):
        held = await bench.book.wait_config("gateway", None, 60)
        again = await bench.book.wait_config("gateway", held.revision - 1, 60)
        timed_out = await bench.book.wait_config("gateway", held.revision, 0.01)
    assert held == again == timed_out


async def test_polls_are_bounded_and_let_go(tmp_path: Path, clock: FakeClock) -> None:
    """One poll too many is refused; when the platform stops, all are answered."""
    bench = Bench(tmp_path, clock, max_waiters=1)
    held = await bench.book.config_for("gateway")
    with anyio.fail_after(DEADLINE_S):
        async with anyio.create_task_group() as group:
            group.start_soon(bench.book.wait_config, "gateway", held.revision, 60.0)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(TooManyWatchersError, match="at most 1"):
                await bench.book.wait_config("gateway", held.revision, 60)
            bench.book.close()
    await bench.database.close()


async def test_the_book_is_bounded(tmp_path: Path, clock: FakeClock) -> None:
    """A full book takes no new place, but may change what stands."""
    bench = Bench(tmp_path, clock, max_settings=1)
    await bench.book.put(wanted("timeout_s", 1.0))
    await bench.book.put(wanted("timeout_s", 2.0))
    with pytest.raises(TooManySettingsError, match="at most 1"):
        await bench.book.put(wanted("total_s", 9.0))
    await bench.database.close()


class RefusingJournal:
    """A journal whose disk is full."""

    async def record(self, change: Change, *, also: Callable[[Connection], object]) -> Change:
        """Refuse."""
        raise UnavailableError("the disk is full")


async def test_what_cannot_be_written_down_is_not_done(tmp_path: Path, clock: FakeClock) -> None:
    """Without a journal entry nothing is set, and nobody is told of it."""
    database = ControlDatabase(tmp_path / "control.db")
    book = SettingBook(database, RefusingJournal(), clock, GuardSettings())
    held = await book.config_for("gateway")
    with pytest.raises(UnavailableError, match="full"):
        await book.put(wanted("timeout_s", 1.0))
    assert await book.config_for("gateway") == held
    assert book.stats().unrecorded == 1
    await database.close()


class BreakingJournal(Journal):
    """A journal whose transactions break off before their very end."""

    is_broken = True

    async def record(
        self, change: Change, *, also: Callable[[Connection], object] | None = None
    ) -> Change:
        """Do all of it, and then have the database take it back."""

        def then_fail(connection: Connection) -> None:
            assert also is not None
            also(connection)
            if self.is_broken:
                raise UnavailableError("the disk went away")

        return await super().record(change, also=then_fail)


@pytest.mark.parametrize("act", ["set", "replace", "unset", "expire"])
async def test_a_setting_and_its_entry_are_there_together_or_not_at_all(
    tmp_path: Path, clock: FakeClock, act: str
) -> None:
    """Whatever breaks off in between, also as seen after a restart; later it can be done."""
    database = ControlDatabase(tmp_path / "control.db")
    journal = BreakingJournal(database, clock)
    book = SettingBook(database, journal, clock, GuardSettings())
    held = wanted("timeout_s", 1.0, duration_s=60)
    if act != "set":
        journal.is_broken = False
        await book.put(held)
        journal.is_broken = True
    if act == "expire":
        clock.advance(60)

    async def do() -> object:
        if act == "unset":
            return await book.drop(held)
        if act == "expire":
            return await book.expire()
        return await book.put(wanted("timeout_s", 2.0))

    before = (await book.all(), len(await journal.changes()))
    with pytest.raises(UnavailableError):
        await do()
    assert (await book.all(), len(await journal.changes())) == before
    await database.close()

    again = Bench(tmp_path, clock)
    assert (await again.book.all(), len(await again.changes())) == before
    await again.database.close()


async def test_a_value_has_to_be_given(bench: Bench) -> None:
    """Who forgets it takes no limit away; who says null does."""
    with pytest.raises(InvalidSettingError, match="value is missing"):
        await bench.book.put(SettingRequest(key="timeout_s", actor="kim"))
    assert await bench.book.all() == []
    assert (await bench.book.put(wanted("timeout_s", None))).value is None
