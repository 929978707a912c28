"""The journal of changes."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from breakwater.journal import (
    LASTING_KINDS,
    InvalidChangeError,
    Journal,
    UnknownChangeError,
)
from breakwater.model import Change, ChangeKind
from breakwater.storage import ControlDatabase, StorageClosedError
from breakwater.testing import FakeClock

pytestmark = pytest.mark.anyio


def change(**fields: Any) -> Change:
    """A deploy of the ranker at 100 ms that took no time, with `fields` changed."""
    plain = Change(kind=ChangeKind.DEPLOY, target="ranker", start_ms=100, actor="ann", source="ci")
    return msgspec.structs.replace(plain, **fields)


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still."""
    return FakeClock()


@pytest.fixture
async def journal(clock: FakeClock) -> AsyncIterator[Journal]:
    """An empty journal in memory."""
    async with ControlDatabase(None) as database:
        yield Journal(database, clock)


async def test_a_recorded_change_comes_back_whole(journal: Journal) -> None:
    """Every field survives; the number is new and grows."""
    told = change(end_ms=200, detail={"version": "7", "ü": "ß\n"}, kind=ChangeKind.FLAG)
    first = await journal.record(told)
    assert first == msgspec.structs.replace(told, id=1)
    assert await journal.change(1) == first
    assert (await journal.record(change())).id == 2
    assert await journal.changes() == [await journal.change(2), first]


@pytest.mark.parametrize(
    ("window", "is_in"),
    [
        ((None, None), True),
        ((0, 99), False),
        ((0, 100), True),
        ((150, 160), True),
        ((200, 300), True),
        ((201, 300), False),
        ((None, 99), False),
        ((201, None), False),
        ((100, 100), True),
    ],
)
async def test_a_window_holds_what_overlaps_it(
    journal: Journal,
    window: tuple[int | None, int | None],
    is_in: bool,  # noqa: FBT001 - a table's column
) -> None:
    """A change from 100 to 200 is found by every window that touches it, ends included."""
    await journal.record(change(end_ms=200))
    assert bool(await journal.changes(*window)) is is_in


@pytest.mark.parametrize("kind", ChangeKind)
async def test_a_change_without_an_end(journal: Journal, kind: ChangeKind) -> None:
    """A fault, failover or incident goes on until it is closed; all else was a moment."""
    await journal.record(change(kind=kind))
    assert len(await journal.changes(50, 100)) == 1
    assert bool(await journal.changes(101, 102)) is (kind in LASTING_KINDS)
    await journal.close(1, 150)
    assert len(await journal.changes(101, 102)) == 1
    assert await journal.changes(151, 152) == []


async def test_closing(journal: Journal, clock: FakeClock) -> None:
    """The first end stands, now is the default, and an end before the start is refused."""
    await journal.record(change(kind=ChangeKind.FAULT))
    with pytest.raises(InvalidChangeError, match="end_ms 99 is before start_ms 100"):
        await journal.close(1, 99)
    assert (await journal.change(1)).end_ms is None
    assert (await journal.close(1)).end_ms == clock.now_ms()
    assert (await journal.close(1, 500)).end_ms == clock.now_ms()
    with pytest.raises(UnknownChangeError, match="there is no change 2"):
        await journal.close(2)
    with pytest.raises(UnknownChangeError):
        await journal.change(2)


async def test_choosing_by_kind_target_and_number(journal: Journal) -> None:
    """Kinds, target and limit narrow the answer; the newest come first."""
    for number, (kind, target) in enumerate(
        [("deploy", "a"), ("fault", "a"), ("deploy", "b"), ("config", "a")]
    ):
        await journal.record(change(kind=ChangeKind(kind), target=target, start_ms=number))

    async def found(**choice: Any) -> list[int]:
        return [one.start_ms for one in await journal.changes(**choice)]

    assert await found() == [3, 2, 1, 0]
    assert await found(kinds=[ChangeKind.DEPLOY]) == [2, 0]
    assert await found(kinds={ChangeKind.FAULT, ChangeKind.CONFIG}) == [3, 1]
    assert await found(target="a") == [3, 1, 0]
    assert await found(target="a", limit=2) == [3, 1]
    assert await found(target="nobody") == []


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"id": 7}, "no id yet, got id 7"),
        ({"target": " "}, "target must be 1 to 256 printable"),
        ({"target": "x" * 257}, "target must be"),
        ({"actor": "a\nb"}, "actor must be"),
        ({"source": ""}, "source must be"),
        ({"start_ms": -1}, "start_ms must be milliseconds"),
        ({"start_ms": 2**63}, "start_ms must be milliseconds"),
        ({"end_ms": 99}, "before start_ms"),
        ({"detail": {"": "x"}}, "a key of detail must be"),
        ({"detail": {"k": "x" * 4_097}}, "detail.k has 4097 characters; at most 4096"),
        ({"detail": {str(n): "" for n in range(65)}}, "detail has 65 entries; at most 64"),
    ],
)
async def test_bad_changes_are_refused(journal: Journal, fields: dict[str, Any], told: str) -> None:
    """A change that breaks a rule is refused with the field and the rule, and counted."""
    with pytest.raises(InvalidChangeError) as caught:
        await journal.record(change(**fields))
    assert told in str(caught.value)
    assert await journal.changes() == []
    assert journal.stats().invalid == 1


@pytest.mark.parametrize(
    ("window", "limit", "told"),
    [
        ((10, 9), 1, "the window ends at 9, before its start 10"),
        ((0, 2**70), 1, "end must be milliseconds"),
        ((None, None), 0, "limit must be from 1 to 10000, got 0"),
        ((None, None), 10_001, "limit must be"),
    ],
)
async def test_bad_questions_are_refused(
    journal: Journal, window: tuple[int | None, int | None], limit: int, told: str
) -> None:
    """A window that ends before it starts, or a limit out of bounds, is named."""
    with pytest.raises(InvalidChangeError, match=told):
        await journal.changes(*window, limit=limit)


async def test_what_could_not_be_stored_is_counted(clock: FakeClock) -> None:
    """A change the disk refused raises, and stats say how many there were."""
    database = ControlDatabase(None)
    journal = Journal(database, clock)
    await database.close()
    with pytest.raises(StorageClosedError):
        await journal.record(change())
    assert (journal.stats().unstored, journal.stats().recorded) == (1, 0)


TIMES = st.integers(0, 30)
ROWS = st.lists(
    st.tuples(st.sampled_from(ChangeKind), TIMES, st.none() | st.integers(0, 10)), max_size=12
)


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rows=ROWS, start_ms=TIMES, length_ms=st.integers(0, 10))
async def test_windows_agree_with_their_definition(
    rows: list[tuple[ChangeKind, int, int | None]], start_ms: int, length_ms: int
) -> None:
    """The database finds exactly the changes that were going on at some moment of the window."""
    end_ms = start_ms + length_ms
    async with ControlDatabase(None) as database:
        journal = Journal(database, FakeClock())
        expected = set()
        for kind, begin_ms, duration_ms in rows:
            until_ms = None if duration_ms is None else begin_ms + duration_ms
            told = await journal.record(change(kind=kind, start_ms=begin_ms, end_ms=until_ms))
            if until_ms is None and kind in LASTING_KINDS:
                until_ms = 1_000
            lasted = range(begin_ms, (begin_ms if until_ms is None else until_ms) + 1)
            if any(start_ms <= moment <= end_ms for moment in lasted):
                expected.add(told.id)
        found = await journal.changes(start_ms, end_ms)
    assert {one.id for one in found} == expected
    assert found == sorted(found, key=lambda one: (-one.start_ms, -(one.id or 0)))
