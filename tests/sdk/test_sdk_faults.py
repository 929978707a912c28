"""Fault rules: which apply, which calls they hit, and that they end by themselves."""

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

import anyio.lowlevel
import msgspec
import pytest
from tests.sdk.fleet import PATIENCE_S, Platform
from tests.sdk.guarding import waits_of

from breakwater.model import CALL_POINTS, CallPoint, FaultKind, FaultRule, SystemClock
from breakwater.sdk import Service
from breakwater.sdk.faults import (
    Burners,
    CallScope,
    InjectedFaultError,
    RuleBook,
    inject,
    inject_sync,
)
from breakwater.sdk.faults.rules import header_of
from breakwater.sdk.settings import resolve_settings
from breakwater.testing import FakeClock


def rule(clock: FakeClock, **given: Any) -> dict[str, Any]:
    """One rule for the service cdn, good for a minute."""
    return {
        "id": "f1",
        "point": "inbound",
        "kind": "error",
        "service": "cdn",
        "expires_ms": clock.now_ms() + 60_000,
        **given,
    }


@pytest.fixture
def book(clock: FakeClock) -> RuleBook:
    """The rule book of cdn-a-1, fed by hand."""
    settings = resolve_settings("cdn", {"instance": "cdn-a-1"}, {})
    return RuleBook(None, settings, clock=clock, random=Random(1))


def give(book: RuleBook, *rules: dict[str, Any]) -> None:
    """Hand the book an answer of the platform."""
    book.accept(msgspec.json.encode({"revision": 7, "rules": rules}))


def hits(book: RuleBook, **given: Any) -> list[str]:
    """The ids of the rules that hit one call."""
    scope = {"point": "inbound", "peer": "gateway", "endpoint": "segment", **given}
    headers = header_of(scope.pop("headers", {}))
    return [hit.id for hit in book.hits(CallScope(header=headers, **scope))]


@pytest.mark.parametrize(
    ("scope", "call", "is_hit"),
    [
        ({}, {}, True),
        ({"point": "outbound"}, {}, False),
        ({"point": "outbound"}, {"point": "outbound"}, True),
        ({"service": "origin"}, {}, False),
        ({"instance": "cdn-a-1"}, {}, True),
        ({"instance": "cdn-a-2"}, {}, False),
        ({"peer": "gateway"}, {}, True),
        ({"peer": "gateway"}, {"peer": "player"}, False),
        ({"endpoint": "segment"}, {}, True),
        ({"endpoint": "segment"}, {"endpoint": "load"}, False),
        ({"headers": {"X-User": "7"}}, {"headers": {"x-user": "7"}}, True),
        ({"headers": {"X-User": "7"}}, {"headers": {"x-user": "8"}}, False),
        ({"headers": {"X-User": "7"}}, {}, False),
        ({"percent": 0.0}, {}, False),
    ],
)
def test_a_rule_hits_only_what_lies_in_its_scope(
    book: RuleBook,
    clock: FakeClock,
    scope: dict[str, Any],
    call: dict[str, Any],
    is_hit: bool,  # noqa: FBT001 - drawn by pytest
) -> None:
    """Service, instance, peer, endpoint and headers must all agree."""
    give(book, rule(clock, **scope))
    assert bool(hits(book, **call)) == is_hit


@pytest.mark.parametrize("point", CALL_POINTS)
def test_a_rule_acts_at_its_point_only(book: RuleBook, clock: FakeClock, point: CallPoint) -> None:
    """A slow database slows no cache; what burns the process hits no call."""
    give(book, rule(clock, point=point), rule(clock, id="f2", point="process", kind="burn"))
    assert {at: hits(book, point=at) for at in CALL_POINTS} == {
        at: ["f1"] if at == point else [] for at in CALL_POINTS
    }
    assert [held.id for held in book.at(point)] == ["f1"]
    give(book)
    assert book.at(point) == ()


def test_a_share_of_calls_is_hit(book: RuleBook, clock: FakeClock) -> None:
    """Thirty percent of many calls is about thirty percent."""
    give(book, rule(clock, percent=30.0))
    share = sum(bool(hits(book)) for _ in range(2000)) / 2000
    assert share == pytest.approx(0.3, abs=0.05)
    assert book.stats().calls_hit == round(share * 2000)


def test_a_rule_ends_by_itself(book: RuleBook, clock: FakeClock) -> None:
    """No word from the platform is needed, at the very millisecond."""
    give(book, rule(clock))
    clock.advance(59.999)
    assert hits(book) == ["f1"]
    clock.advance(0.001)
    assert hits(book) == []
    book.drop_expired()
    assert book.inbound == ()


def test_a_rule_that_is_over_when_it_comes_is_not_taken(book: RuleBook, clock: FakeClock) -> None:
    """A late answer does not bring a fault back."""
    give(book, rule(clock, expires_ms=clock.now_ms()))
    assert book.stats().rules == 0


def test_what_is_not_understood_means_nothing(book: RuleBook, clock: FakeClock) -> None:
    """A rule of a later version is counted and left; the others hold."""
    give(book, rule(clock, kind="teleport"), rule(clock, id="f2"), {"id": "f3"})
    assert hits(book) == ["f2"]
    assert book.stats().ignored_rules == 2


def test_nonsense_leaves_the_rules_as_they_are(book: RuleBook, clock: FakeClock) -> None:
    """Only an answer may change them; the next one does."""
    give(book, rule(clock))
    with pytest.raises(msgspec.DecodeError):
        book.accept(b"no json")
    assert hits(book) == ["f1"]
    give(book)
    assert hits(book) == []


def book_of(*rules: FaultRule) -> tuple[RuleBook, list[FaultRule]]:
    """A rule book on the machine's clock with these rules, and them as hits."""
    made = RuleBook(None, resolve_settings("cdn", {}, {}), clock=SystemClock(), random=Random(1))
    made.accept(msgspec.json.encode({"revision": 1, "rules": rules}))
    return made, list(rules)


def fault(kind: FaultKind, *, lasts_ms: int = 60_000, **given: Any) -> FaultRule:
    """A rule for cdn that ends so long from now."""
    return FaultRule(
        id=kind,
        point="inbound",
        kind=kind,
        service="cdn",
        expires_ms=SystemClock().now_ms() + lasts_ms,
        **given,
    )


@pytest.mark.anyio
async def test_a_delay_comes_before_an_error() -> None:
    """Both on one call: slow, then failing."""
    book, both = book_of(
        fault(FaultKind.ERROR, status=418), fault(FaultKind.DELAY, delay_ms=20.0, jitter_ms=5.0)
    )
    loop = asyncio.get_running_loop()
    before_s = loop.time()
    with pytest.raises(InjectedFaultError) as failed:
        await inject(book, both)
    assert failed.value.status == 418
    assert loop.time() - before_s >= 0.014


@pytest.mark.anyio
async def test_a_hang_is_released_when_its_rule_ends() -> None:
    """The call then goes on as if nothing had been."""
    book, hang = book_of(fault(FaultKind.HANG, lasts_ms=30))
    async with asyncio.timeout(PATIENCE_S):
        await inject(book, hang)


@pytest.mark.anyio
async def test_a_hang_is_released_when_its_rule_is_taken_back() -> None:
    """Undoing a fault frees who hangs in it, at once, from whichever thread."""
    book, hang = book_of(fault(FaultKind.HANG))
    hung = asyncio.ensure_future(inject(book, hang))
    await anyio.lowlevel.checkpoint()
    await asyncio.to_thread(give, book)
    async with asyncio.timeout(PATIENCE_S):
        await hung


@pytest.mark.anyio
async def test_who_leaves_a_wait_leaves_nothing_behind() -> None:
    """A caller that gives up is no longer woken."""
    book, hang = book_of(fault(FaultKind.HANG))
    hung = asyncio.ensure_future(inject(book, hang))
    await anyio.lowlevel.checkpoint()
    hung.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hung
    assert not book._watches


def test_a_thread_suffers_what_a_task_suffers() -> None:
    """First the delay, then the error, and no longer than its limit."""
    book, both = book_of(fault(FaultKind.ERROR, status=418), fault(FaultKind.DELAY, delay_ms=5.0))
    with pytest.raises(InjectedFaultError) as failed:
        inject_sync(book, both, 10.0)
    assert failed.value.status == 418
    with pytest.raises(TimeoutError, match="no answer in"):
        inject_sync(book, both, 0.001)
    assert not book._watches


def test_a_thread_hangs_until_its_limit_or_the_end_of_the_rule() -> None:
    """Its limit ends in a TimeoutError; the rule's end lets it go on."""
    book, hang = book_of(fault(FaultKind.HANG))
    with pytest.raises(TimeoutError):
        inject_sync(book, hang, 0.01)
    book, hang = book_of(fault(FaultKind.HANG, lasts_ms=20))
    inject_sync(book, hang)
    inject_sync(book, hang, 10.0)


def test_a_thread_that_hangs_is_released_when_its_rule_is_taken_back() -> None:
    """It is woken, and does not look again and again."""
    book, hang = book_of(fault(FaultKind.HANG))
    hung = threading.Thread(target=inject_sync, args=(book, hang))
    is_waiting = waits_of(book)
    hung.start()
    assert is_waiting.wait(PATIENCE_S)
    give(book)
    hung.join(PATIENCE_S)
    assert not hung.is_alive()


def test_a_caller_who_leaves_ends_the_wait() -> None:
    """As far as a thread can be told."""
    book, hang = book_of(fault(FaultKind.HANG))
    with pytest.raises(TimeoutError, match="no answer"):
        inject_sync(book, hang, leaving=lambda wake: wake())


def test_a_rule_taken_back_before_the_wait_begins_is_not_waited_for() -> None:
    """Between the dice and the wait lies a moment."""
    book, hang = book_of(fault(FaultKind.HANG))
    give(book)
    inject_sync(book, hang)


def test_jitter_spreads_a_delay_and_never_below_nothing(clock: FakeClock, book: RuleBook) -> None:
    """A delay is its middle give or take the jitter."""
    slow = msgspec.convert(rule(clock, kind="delay", delay_ms=10.0, jitter_ms=30.0), type=FaultRule)
    drawn = [book.spread(slow) for _ in range(200)]
    assert min(drawn) == 0.0
    assert 0.03 < max(drawn) <= 0.04


def test_burning_threads_end_with_the_rule(clock: FakeClock) -> None:
    """As many threads as asked for spin, and stop when the rule goes or expires."""
    burners = Burners(clock)
    burn = msgspec.convert(rule(clock, point="process", kind="burn", threads=3), type=FaultRule)
    burners.follow([burn])
    burners.follow([burn])
    assert burners.count() == 3
    spinning = [t for t in threading.enumerate() if t.name == "breakwater-burn f1"]
    burners.follow([])
    for thread in spinning:
        thread.join(PATIENCE_S)
    assert burners.count() == 0
    burners.follow([burn])
    spinning = [t for t in threading.enumerate() if t.name == "breakwater-burn f1"]
    clock.advance(60.0)
    for thread in spinning:
        thread.join(PATIENCE_S)
    assert burners.count() == 0


def test_the_number_of_burning_threads_is_bounded(clock: FakeClock) -> None:
    """A slip of the pen does not start a million threads."""
    burners = Burners(clock, limit=2)
    burn = rule(clock, point="process", kind="burn", threads=10_000)
    burners.follow([msgspec.convert(burn, type=FaultRule)])
    assert burners.count() == 2
    burners.follow([])


def test_rules_come_from_the_platform_and_outlive_it(
    platform: Platform, service_of: Callable[..., Service]
) -> None:
    """A rule is in force within a moment; the platform's death does not undo it before its time."""
    with service_of("cdn") as service:
        book = service._runtime.faults
        ends_ms = SystemClock().now_ms() + 60_000
        platform.set_rules(rule(FakeClock(), expires_ms=ends_ms, instance="cdn-1"))
        platform.wait_for(lambda: platform.count("GET", "instance=cdn-1&wait_s=20&revision=1") > 0)
        assert service.stats().faults.rules == 1
        platform.stop()
        assert len(book.inbound) == 1
    assert service.stats().faults.rules == 0


def test_a_service_that_starts_again_obeys_the_rules_in_force(
    platform: Platform, service_of: Callable[..., Service]
) -> None:
    """Stopping lets go of the rules, so the first question after a start asks for all of them."""
    service = service_of("cdn")
    ends_ms = SystemClock().now_ms() + 60_000
    platform.set_rules(rule(FakeClock(), expires_ms=ends_ms, instance="cdn-1"))
    asked = "instance=cdn-1&wait_s=20&revision=1"
    for _ in range(2):
        before = platform.count("GET", asked)
        with service:
            platform.wait_for(partial(lambda n: platform.count("GET", asked) > n, before))
            assert service.stats().faults.rules == 1
        assert service.stats().faults.rules == 0
