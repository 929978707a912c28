"""The registry, its hooks, and configurations that change while calls go on."""

import threading

import pytest
from tests.sdk.guard.commanding import BackendError, counted, fail, guards_of, in_threads, state

from breakwater.sdk import BreakerState, CallRefusedError, SettingsError
from breakwater.sdk.guard import (
    BreakerConfig,
    BulkheadConfig,
    CallRefused,
    Command,
    CommandConfig,
    Event,
    EventType,
    Kind,
    RetryConfig,
    StateChanged,
    default_guards,
)
from breakwater.sdk.guard.hooks import MAX_RAISES
from breakwater.testing import FakeClock


def test_commands_can_be_gone_through_and_found_by_name(clock: FakeClock) -> None:
    """Each says its group, pool and dependency; the group stands in for both, the name for it."""
    guards = guards_of(clock)
    rank = guards.command("rank", group="home", dependency="ranker", pool="slow")
    art = guards.command("art", group="home")
    assert list(guards) == [rank, art]
    assert [(one.group, one.pool, one.dependency) for one in guards] == [
        ("home", "slow", "ranker"),
        ("home", "home", "home"),
    ]
    assert guards.command("lone").dependency == "lone"
    guards.forget("lone")
    assert guards.get("rank") is rank
    assert (len(guards), "art" in guards, guards.get("none")) == (2, True, None)
    assert [stats.name for stats in guards.stats().commands] == ["rank", "art"]


def test_names_are_unique_unless_one_replaces_another(clock: FakeClock) -> None:
    """Two breakers of one name would be one on every dashboard."""
    guards = guards_of(clock)
    first = guards.command("rank")
    with pytest.raises(SettingsError, match="'rank' already"):
        guards.command("rank")
    assert guards.command("rank", replace=True) is not first
    guards.forget("rank")
    assert "rank" not in guards


def test_commands_without_a_registry_are_in_the_default_one() -> None:
    """So that nothing guarded escapes the lists."""
    command = Command("test_guard_command_registry")
    assert default_guards().get("test_guard_command_registry") is command
    default_guards().forget("test_guard_command_registry")


def test_decorated_functions_follow_a_new_configuration(clock: FakeClock) -> None:
    """From plain to limited in time and back; counts and the breaker's window go on."""
    guards = guards_of(clock)
    command = guards.command("rank", CommandConfig(breaker=BreakerConfig(minimum_calls=2)))

    @command
    def late(seconds: float) -> int:
        clock.advance(seconds)
        return 1

    assert late(1.0) == 1
    guards.configure("rank", CommandConfig(timeout_s=0.5, breaker=BreakerConfig(minimum_calls=2)))
    assert late(1.0) == 1
    assert counted(command) == {"success": 1, "timeout": 1}
    assert state(command) is BreakerState.OPEN
    guards.configure("rank", CommandConfig(breaker=None))
    assert late(1.0) == 1
    with pytest.raises(SettingsError, match="no command 'art'; known: rank"):
        guards.configure("art", CommandConfig())


def test_a_smaller_bulkhead_bites_as_calls_come_back(clock: FakeClock) -> None:
    """Calls under way go on; their permits are not given out again."""
    guards = guards_of(clock)
    command = guards.command("rank", CommandConfig(bulkhead=BulkheadConfig(max_concurrent=4)))
    inside, release = threading.Barrier(4), threading.Event()

    def body() -> None:
        inside.wait(10.0)
        release.wait(10.0)

    others = [threading.Thread(target=command.call_sync, args=(body,)) for _ in range(3)]
    for other in others:
        other.start()
    inside.wait(10.0)
    command.configure(CommandConfig(bulkhead=BulkheadConfig(max_concurrent=2)))
    with pytest.raises(CallRefusedError):
        command.call_sync(int)
    release.set()
    for other in others:
        other.join()
    assert command.call_sync(int) == 0
    bulkhead = command.stats().bulkhead
    assert bulkhead is not None
    assert (bulkhead.limit, bulkhead.in_use) == (2, 0)
    command.configure(CommandConfig(bulkhead=BulkheadConfig(max_concurrent=20)))
    at_once = threading.Barrier(20)
    in_threads(20, lambda: command.call_sync(at_once.wait, 10.0))
    assert command.stats().in_flight == 0


def test_an_overlay_decides_what_is_in_force(clock: FakeClock) -> None:
    """For commands there are and for those to come; without it they go by their own again."""
    guards = guards_of(clock)
    early = guards.command("early")
    given = CommandConfig(timeout_s=9.0)
    guards.lay_over(lambda command, config: given if command.group != "kept" else config)
    late = guards.command("late")
    kept = guards.command("kept")
    assert [command.config.timeout_s for command in (early, late, kept)] == [9.0, 9.0, None]
    guards.lay_over(None)
    assert early.config.timeout_s is None


def test_hooks_hear_what_they_want_and_nothing_else(clock: FakeClock) -> None:
    """Kinds that nobody wants are not even put together."""
    guards = guards_of(clock)
    heard: list[Event] = []
    guards.hooks.add(heard.append, (Kind.STATE, Kind.REFUSED))
    command = guards.command("rank", CommandConfig(breaker=BreakerConfig(minimum_calls=2)))
    for _ in range(2):
        with pytest.raises(BackendError):
            command.call_sync(fail)
    with pytest.raises(CallRefusedError):
        command.call_sync(fail)
    assert [event.kind for event in heard] == [Kind.STATE, Kind.REFUSED]
    assert isinstance(heard[0], StateChanged)
    assert heard[0].state is BreakerState.OPEN
    assert heard[1].outcome == (EventType.SHORT_CIRCUITED,)
    assert isinstance(heard[1], CallRefused)
    assert heard[1].reason == "breaker_open"
    assert heard[1].at_ms == clock.now_ms()
    guards.hooks.remove(heard.append)
    assert not guards.hooks.wanted


def test_hooks_of_calls_hear_every_call(clock: FakeClock) -> None:
    """Also those that were fast before somebody listened."""
    guards = guards_of(clock)
    config = CommandConfig(retry=RetryConfig(initial_s=0.0))
    command = guards.command("rank", config, fallback=lambda _error: 0)
    heard: list[Event] = []
    command.call_sync(int)
    guards.hooks.add(heard.append)
    command.call_sync(int)
    assert [event.kind for event in heard] == [Kind.ATTEMPT, Kind.CALL]
    assert heard[1].outcome == (EventType.SUCCESS,)
    heard.clear()
    assert command.call_sync(fail) == 0
    assert [event.kind for event in heard] == [
        Kind.ATTEMPT, Kind.RETRY, Kind.ATTEMPT, Kind.RETRY, Kind.ATTEMPT, Kind.RETRY_REFUSED,
        Kind.FALLBACK, Kind.CALL,
    ]  # fmt: skip
    assert heard[-1].outcome == (EventType.FAILURE,) * 3 + (EventType.FALLBACK_SUCCESS,)
    assert guards.stats().hooks.told == 10


def test_a_hook_that_raises_harms_nobody_and_is_switched_off(clock: FakeClock) -> None:
    """Ten times it is forgiven; the others go on hearing."""
    guards = guards_of(clock)
    heard: list[Event] = []

    def broken(event: Event) -> None:
        raise RuntimeError(event.command)

    guards.hooks.add(broken)
    guards.hooks.add(heard.append)
    command = guards.command("rank")
    for _ in range(MAX_RAISES):
        command.call_sync(int)
    stats = guards.hooks.stats()
    assert (stats.raised, stats.switched_off, stats.hooks) == (MAX_RAISES, 1, 1)
    assert len(heard) == 2 * MAX_RAISES


def test_without_hooks_the_fast_road_is_open_again(clock: FakeClock) -> None:
    """Listening costs, and stops costing when it ends."""
    guards = guards_of(clock)
    command = guards.command("rank")
    assert command.lane.plain is not None
    heard: list[Event] = []
    guards.hooks.add(heard.append)
    assert command.lane.plain is None
    guards.hooks.remove(heard.append)
    assert command.lane.plain is not None
