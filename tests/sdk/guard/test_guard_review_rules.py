"""What the user's own rules, errors and watchers cannot upset, and what an idle breaker costs."""

import asyncio
import pickle
from collections.abc import Iterator
from random import Random
from typing import Any, Literal

import pytest
from tests.sdk.guard.commanding import BackendError, counted, fail, guard

from breakwater.sdk import CallRefusedError
from breakwater.sdk.context import current
from breakwater.sdk.guard import (
    AdaptiveConfig,
    AdaptiveLimit,
    Breaker,
    BreakerConfig,
    BreakerState,
    BulkheadConfig,
    Command,
    CommandConfig,
    Guards,
    StaleConfig,
    Verdict,
)
from breakwater.sdk.guard.config import Mode
from breakwater.sdk.guard.events import EventType
from breakwater.sdk.guard.gate import CallInfo
from breakwater.sdk.guard.travel.blocks import SyncBlock
from breakwater.testing import FakeClock


def made(config: CommandConfig, **code: Any) -> Command:
    """A command of its own registry, on the machine's clock."""
    return Command("rank", config, guards=Guards(), **code)


def test_a_stop_iteration_is_an_error_like_any_other() -> None:
    """Fallbacks and rules see the StopIteration itself, on the fast road and on the general one."""
    for hooked in (False, True):
        clock = FakeClock()
        command = guard(clock, fallback=lambda error: type(error).__name__)
        ignoring = guard(clock, ignore=(StopIteration,))
        if hooked:
            for one in (command, ignoring):
                one.guards.shared.hooks.add(lambda _event: None)
        nothing: list[str] = []
        assert command.call_sync(next, iter(nothing)) == "StopIteration"
        with pytest.raises(StopIteration):
            ignoring.call_sync(next, iter(nothing))
        assert counted(ignoring)["bad_request"] == 1


def test_what_cannot_be_read_as_seconds_is_no_wish_to_be_left_alone() -> None:
    """An error of the user's may call anything `retry_after_s`; the call fails as it would."""

    class OddError(Exception):
        retry_after_s = "tomorrow"

    def odd() -> None:
        raise OddError

    command = guard(FakeClock())
    with pytest.raises(OddError):
        command.call_sync(odd)
    assert counted(command)["failure"] == 1


@pytest.mark.parametrize("hooked", [False, True], ids=["fast", "general"])
def test_a_rule_that_raises_is_seen_and_judges_nobody(hooked: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """If `judge` breaks, the caller is told of it, and the breaker hears nothing of the callee."""

    def broken(_error: Exception) -> Verdict | None:
        raise LookupError

    command = guard(FakeClock(), judge=broken)
    if hooked:
        command.guards.shared.hooks.add(lambda _event: None)
    for _ in range(5):
        with pytest.raises(LookupError):
            command.call_sync(fail)
    assert counted(command)["exception_thrown"] == 5
    assert "failure" not in counted(command)
    assert command.stats().in_flight == 0


def test_an_object_whose_call_is_async_is_an_async_function() -> None:
    """What has to be awaited is guarded until it has been, whatever kind of callable it is."""

    class Client:
        async def __call__(self) -> int:
            raise BackendError

    command = guard(FakeClock())
    with pytest.raises(BackendError):
        asyncio.run(command(Client())())
    assert counted(command)["failure"] == 1


def test_blocks_and_streams_have_no_key_and_streams_have_a_partition() -> None:
    """What runs once is never cached, so `cache_key` is not asked; `partition` gets arguments."""
    asked: list[tuple[object, ...]] = []

    def partition(*args: object) -> str:
        asked.append(args)
        return "any"

    command = made(
        CommandConfig(stale=StaleConfig()), cache_key=lambda user: user, partition=partition
    )

    @command
    def items(user: int) -> Iterator[int]:
        yield user

    with command.entered():
        pass
    assert list(items(7)) == [7]
    assert asked == [(), (7,)]


def test_the_items_of_a_long_stream_are_counted_in_one_step() -> None:
    """A million items cost one addition, not a list of a million entries."""
    command = made(CommandConfig())
    command.statistics.count(EventType.EMIT, command.now_s(), 1_000_000)
    assert len(command.statistics.events) == 0
    assert command.figures().since_start[EventType.EMIT] == 1_000_000
    assert command.figures().count(EventType.EMIT) == 1_000_000


def test_a_refusal_keeps_its_notes_when_it_is_pickled() -> None:
    """What was noted on a refusal leaves the process with it."""
    error = CallRefusedError("bulkhead_full", "rank", "", 3)
    error.add_note("seen by the gateway")
    loaded = pickle.loads(pickle.dumps(error))
    assert str(loaded) == str(error)
    assert loaded.__notes__ == ["seen by the gateway"]


def test_a_place_comes_back_even_if_the_news_of_a_new_limit_is_interrupted() -> None:
    """Whoever is told that the limit moved may be interrupted; the place is given back first."""

    def interrupted(_before: int, _after: int) -> None:
        raise KeyboardInterrupt

    limit = AdaptiveLimit(
        AdaptiveConfig(algorithm="aimd", minimum=1, initial=20, minimum_samples=1, window_s=0.1),
        random=Random(1),
        on_change=interrupted,
    )
    info = CallInfo(command="rank", context=current())
    interruptions = 0
    for n in range(50):
        ticket = limit.enter(info, float(n))
        try:
            limit.leave(ticket, Verdict.TIMEOUT, now_s=n + 0.5, took_s=0.5, error=None)  # type: ignore[arg-type] # a place
        except KeyboardInterrupt:
            interruptions += 1
    assert interruptions
    assert limit.in_use == 0


def test_an_attempt_is_booked_whatever_its_watchers_do() -> None:
    """If a watcher of an adapter breaks, its error is raised and no permit stays out."""
    from breakwater.sdk.guard.travel.journey import CallOptions  # noqa: PLC0415 - for this test only

    def broken(*_told: object) -> None:
        raise LookupError

    command = made(CommandConfig(bulkhead=BulkheadConfig(max_concurrent=1)))
    for _ in range(3):
        with pytest.raises(LookupError):
            command.drive_sync(command.journey(options=CallOptions(watch=broken)), int, (), {})
    assert command.stats().in_flight == 0


def test_a_breaker_held_open_refuses_as_cheaply_as_an_open_one() -> None:
    """By order of an operator every call is refused on the fast road, until the order ends."""
    forced = CommandConfig(breaker=BreakerConfig(mode="forced_open"))
    command = made(forced)
    for _ in range(3):
        with pytest.raises(CallRefusedError) as refused:
            command.call_sync(lambda: 1)
        assert refused.value.reason == "breaker_forced_open"
        assert refused.value.retry_after_s is None
    assert command.lane.shut_until_s == float("inf")
    assert counted(command) == {
        "short_circuited": 3,
        "fallback_missing": 3,
        "exception_thrown": 3,
    }
    assert command.stats().breaker.short_circuited == 3  # type: ignore[union-attr] # it has one
    command.configure(CommandConfig())
    assert command.call_sync(lambda: 1) == 1


def probing(clock: FakeClock, permits: int = 1) -> tuple[Command, list[SyncBlock]]:
    """A half-open command and the blocks of all its probes, which are under way."""
    config = BreakerConfig(
        minimum_calls=1, open_s=1.0, half_open_permits=permits, probe_lease_s=30.0
    )
    command = Command("rank", CommandConfig(breaker=config), guards=Guards(clock=clock))
    with pytest.raises(BackendError):
        command.call_sync(fail)
    clock.advance(2.0)
    return command, [command.entered().__enter__() for _ in range(permits)]


def refused_for(command: Command) -> str:
    """Why a call is refused."""
    with pytest.raises(CallRefusedError) as refused:
        command.call_sync(int)
    return refused.value.reason


def test_while_all_probes_are_out_calls_are_refused_as_cheaply_as_when_open() -> None:
    """On the fast road, with the word of a half-open circuit, and all of them counted."""
    command, _probes = probing(FakeClock(), permits=2)
    assert [refused_for(command) for _ in range(3)] == ["breaker_half_open"] * 3
    assert (command.lane.shut_for, command.lane.shut_until_s > 0) == ("breaker_half_open", True)
    stats = command.stats()
    assert stats.calls["short_circuited"] == 3
    assert stats.breaker is not None
    assert stats.breaker.short_circuited == 3


@pytest.mark.parametrize("ends", ["cancelled", "lost", "passed", "failed", "ordered"])
def test_the_fast_refusal_of_a_half_open_circuit_ends_with_its_reason(ends: str) -> None:
    """When a probe comes back, or is given up on, or the state moves, the next call is let in."""
    clock = FakeClock()
    command, (probe,) = probing(clock)
    assert refused_for(command) == "breaker_half_open"
    if ends == "cancelled":
        probe.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    elif ends == "lost":
        clock.advance(31.0)
    elif ends == "ordered":
        assert command.parts.breaker is not None
        command.parts.breaker.transition_to(BreakerState.CLOSED, clock.monotonic_s())
    else:
        if ends == "failed":
            probe.failed()
        probe.__exit__(None, None, None)
    if ends == "failed":
        assert refused_for(command) == "breaker_open"
        clock.advance(2.0)
    assert command.call_sync(int) == 0
    assert command.call_sync(int) == 0
    if ends in {"lost", "ordered"}:
        probe.__exit__(None, None, None)
    assert command.stats().in_flight == 0


@pytest.mark.parametrize("mode", ["disabled", "forced_open"])
def test_a_breaker_that_records_nothing_asks_for_no_fold(mode: Mode) -> None:
    """Its bucket never ends, or every single call would fold the statistics for nobody."""
    breaker = Breaker(BreakerConfig(mode=mode))
    breaker.tick(100.0)
    assert breaker.turn_s == float("inf")


@pytest.mark.parametrize("window", ["time", "count", "consecutive"])
def test_intervals_are_judged_again_after_an_order_ended(
    window: Literal["time", "count", "consecutive"],
) -> None:
    """Held open and let go, a breaker that judges at intervals opens at the end of one again."""
    breaker = Breaker(
        BreakerConfig(judge="interval", window=window, window_calls=2, minimum_calls=2)
    )
    breaker.transition_to(BreakerState.FORCED_OPEN, 100.0)
    breaker.tick(101.0)
    breaker.transition_to(BreakerState.CLOSED, 102.0)
    breaker.tick(102.0)
    for _ in range(2):
        permit = breaker.admit(102.1)
        assert permit is not None
        breaker.settle(permit, Verdict.FAILURE, 102.1)
    assert breaker.stats().state is BreakerState.CLOSED
    breaker.tick(103.1)
    assert breaker.stats().state is BreakerState.OPEN
    assert 102.0 <= breaker.reopens_s - breaker.config.open_s <= 103.1
