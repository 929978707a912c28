"""Live configuration: sources laid over one another, changes at once, nothing bad taken in."""

import logging
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sdk.guard.commanding import BackendError, fail, guards_of, state

from breakwater.sdk import BreakerState, CallRefusedError, CommandConfig
from breakwater.sdk.guard import (
    BreakerConfig,
    BulkheadConfig,
    Command,
    Guards,
    LiveConfig,
    RetryConfig,
    SettingChanged,
)
from breakwater.sdk.guard.events import Scope, Source
from breakwater.sdk.guard.tuning.layers import SOURCES, Place
from breakwater.testing import FakeClock

SCOPES: tuple[Scope, ...] = ("default", "group", "command")
NAMES = {"default": "", "group": "home", "command": "rank"}


def entries(**by_scope: dict[str, object]) -> dict[Place, object]:
    """Settings of group `home` and command `rank`."""
    return {
        Place(scope, NAMES[scope], key): value
        for scope in SCOPES
        for key, value in by_scope.get(scope, {}).items()
    }


@pytest.fixture
def guards(clock: FakeClock) -> Guards:
    """An empty registry."""
    return guards_of(clock)


@pytest.fixture
def live(guards: Guards) -> LiveConfig:
    """Its live configuration."""
    return LiveConfig(guards)


@pytest.fixture
def rank(guards: Guards) -> Command:
    """A command of group home."""
    config = CommandConfig(timeout_s=9.0, breaker=BreakerConfig(minimum_calls=2))
    return guards.command("rank", config, group="home")


Said = dict[tuple[Source, Scope], float]
SAID = st.dictionaries(
    st.sampled_from([(source, scope) for source in SOURCES for scope in SCOPES]),
    st.sampled_from([0.5, 1.0, 2.0, 4.0]),
)


@given(st.lists(SAID, min_size=1, max_size=4))
def test_the_last_source_wins_and_in_it_the_most_particular_scope(history: list[Said]) -> None:
    """Whatever was said before, in whatever order the sources spoke, the present words decide."""
    guards = guards_of(FakeClock())
    live = LiveConfig(guards)
    early = guards.command("rank", CommandConfig(timeout_s=9.0), group="home")
    for said in history:
        for source in reversed(SOURCES):
            one: dict[str, dict[str, object]] = {
                scope: {"timeout_s": v} for (who, scope), v in said.items() if who == source
            }
            live.put(source, entries(**one))
    wins, origin = 9.0, ("code", "command")
    for source in SOURCES:
        for scope in SCOPES:
            if (source, scope) in history[-1]:
                wins, origin = history[-1][source, scope], (source, scope)
    late = guards.command("rank-late", CommandConfig(timeout_s=9.0), group="home")
    assert early.config == CommandConfig(timeout_s=wins)
    assert live.origin("rank", "timeout_s") == origin
    said_for_all = [
        source for source in SOURCES for s in ("default", "group") if (source, s) in history[-1]
    ]
    assert (late.config.timeout_s == 9.0) == (not said_for_all)


KEYS: dict[str, list[Any]] = {
    "timeout_s": [0.1, 0.5, 3.0, None],
    "total_s": [0.2, 1.0, 5.0, None],
    "retry": [{}, None],
    "retry.max_attempts": [1, 4],
    "adaptive": [{}, None],
    "adaptive.minimum": [1, 50],
    "adaptive.maximum": [2, 100],
}
CLASHING = st.fixed_dictionaries(
    {},
    optional={
        (source, scope): st.fixed_dictionaries(
            {}, optional={key: st.sampled_from(values) for key, values in KEYS.items()}
        )
        for source in SOURCES
        for scope in SCOPES
    },
)


@given(CLASHING)
def test_settings_that_clash_are_refused_and_the_rest_stands(
    said: dict[tuple[Source, Scope], dict[str, object]],
) -> None:
    """What is in force is always allowed; without a clash it is exactly what was said last."""
    guards = guards_of(FakeClock())
    live = LiveConfig(guards)
    rank = guards.command("rank", CommandConfig(timeout_s=0.3), group="home")
    winners: dict[str, object] = {}
    for source in SOURCES:
        by_scope = {scope: said.get((source, scope), {}) for scope in SCOPES}
        live.put(source, entries(**by_scope))
        for scope in SCOPES:
            winners.update(by_scope[scope])
    refused = guards.stats().configuration.refusals
    assert all("total_s" in one.reason or "maximum" in one.reason for one in refused)
    in_force = rank.config
    if not refused:
        assert in_force.timeout_s == winners.get("timeout_s", 0.3)
        assert in_force.total_s == winners.get("total_s")
        assert (in_force.retry is not None) == (winners.get("retry") is not None)
    if in_force.retry is not None:
        assert in_force.retry.max_attempts == winners.get("retry.max_attempts", 3)


def test_in_place_of_a_clashing_setting_stands_what_the_next_lower_source_says(
    guards: Guards, live: LiveConfig, rank: Command
) -> None:
    """And it is named, with the command it would not fit; a pair that fits together is taken."""
    guards.configure("rank", CommandConfig(timeout_s=0.2, total_s=1.0))
    live.put("file", entries(default={"timeout_s": 0.5}))
    live.put("platform", entries(command={"timeout_s": 3.0}))
    assert rank.config.timeout_s == 0.5
    refusal = guards.stats().configuration.refusals[-1]
    assert (refusal.source, refusal.where) == ("platform", "command rank: timeout_s")
    assert refusal.command == "rank"
    assert "longer than total_s" in refusal.reason
    live.put("platform", entries(command={"timeout_s": 3.0, "total_s": 4.0}))
    assert (rank.config.timeout_s, rank.config.total_s) == (3.0, 4.0)


def test_a_change_reaches_decorated_functions_at_once(live: LiveConfig, rank: Command) -> None:
    """No restart, no second call."""

    @rank
    def answer() -> int:
        return 7

    assert answer() == 7
    live.put("platform", entries(group={"breaker.mode": "forced_open"}))
    with pytest.raises(CallRefusedError):
        answer()
    live.put("platform", {})
    assert answer() == 7


def test_a_breaker_keeps_its_state_through_changes_that_are_not_its_own(
    clock: FakeClock, live: LiveConfig, rank: Command
) -> None:
    """An open one stays open, and a new open time counts from its opening."""
    for _ in range(2):
        with pytest.raises(BackendError):
            rank.call_sync(fail)
    assert state(rank) is BreakerState.OPEN
    live.put("platform", entries(default={"bulkhead.max_concurrent": 3, "retry": {}}))
    assert state(rank) is BreakerState.OPEN
    live.put("platform", entries(default={"breaker.open_s": 5.0}))
    clock.advance(4.0)
    with pytest.raises(CallRefusedError):
        rank.call_sync(int)
    clock.advance(1.5)
    assert rank.call_sync(int) == 0


def test_permits_of_calls_under_way_come_back_after_a_change(
    live: LiveConfig, guards: Guards
) -> None:
    """A bulkhead made smaller and larger in the midst of a call has all its places in the end."""
    command = guards.command("rank", CommandConfig(bulkhead=BulkheadConfig(max_concurrent=4)))

    def inside() -> None:
        live.put("platform", entries(default={"bulkhead.max_concurrent": 1}))
        with pytest.raises(CallRefusedError):
            command.call_sync(int)
        live.put("platform", entries(default={"bulkhead.max_concurrent": 2}))
        assert command.call_sync(int) == 0

    command.call_sync(inside)
    bulkhead = command.stats().bulkhead
    assert bulkhead is not None
    assert (bulkhead.limit, bulkhead.in_use) == (2, 0)


def test_places_of_a_waiting_bulkhead_change_in_number_while_calls_are_under_way(
    live: LiveConfig, guards: Guards
) -> None:
    """Those that were taken before count in the new number."""
    config = BulkheadConfig(max_concurrent=4, partitions={"live": 0.5})
    command = guards.command("rank", CommandConfig(bulkhead=config))

    def inside() -> None:
        live.put("platform", entries(default={"bulkhead.max_concurrent": 1}))
        with pytest.raises(CallRefusedError):
            command.call_sync(int)
        live.put("platform", entries(default={"bulkhead.max_concurrent": 2}))
        assert command.call_sync(int) == 0

    command.call_sync(inside)
    places = command.stats().parts["places"]
    assert (places.limit, places.in_use) == (2, 0)


def test_every_change_is_audited_with_its_source(
    clock: FakeClock, guards: Guards, live: LiveConfig, caplog: pytest.LogCaptureFixture
) -> None:
    """In the list, by a counter, in the log, and to hooks; also for a command made later."""
    heard: list[SettingChanged] = []
    guards.hooks.on(SettingChanged, heard.append)
    caplog.set_level(logging.INFO, "breakwater.sdk.guard")
    live.put("file", entries(default={"timeout_s": 0.5}))
    rank = guards.command("rank", CommandConfig(timeout_s=9.0), group="home")
    live.put("platform", entries(command={"timeout_s": 1.0}, group={"retry": {}}))
    live.put("platform", {})
    guards.configure("rank", CommandConfig(breaker=None))
    audit = guards.stats().configuration
    told = [(one.key, one.old, one.new, one.source, one.scope) for one in audit.changes]
    retry = told[2][2]
    assert told == [
        ("timeout_s", 9.0, 0.5, "file", "default"),
        ("timeout_s", 0.5, 1.0, "platform", "command"),
        ("retry", None, retry, "platform", "group"),
        ("timeout_s", 1.0, 0.5, "file", "default"),
        ("retry", retry, None, "code", "command"),
        ("breaker", told[5][1], None, "code", "command"),
    ]
    assert audit.changed == {"file": 2, "platform": 2, "code": 2}
    assert [event.key for event in heard] == [one[0] for one in told]
    assert {event.command for event in heard} == {"rank"}
    assert heard[1].details() == {
        "key": "timeout_s", "old": 0.5, "new": 1.0, "source": "platform", "scope": "command",
    }  # fmt: skip
    assert audit.changes[0].at_ms == clock.now_ms()
    assert sum("guard.config.changed" in line for line in caplog.messages) == 6
    assert rank.config.breaker is None


def test_a_bad_setting_is_refused_and_the_old_value_stays(
    guards: Guards, live: LiveConfig, rank: Command
) -> None:
    """Counted once however often it is read, named with what is allowed; the rest applies."""
    live.put("platform", entries(command={"timeout_s": 2.0}))
    for _ in range(2):
        live.put(
            "platform",
            entries(
                command={"timeout_s": "soon", "breaker.opens": 3, "retry": {}},
                default={"bulkhead.max_concurrent": 0, "breaker.open_s": 7.0},
            ),
        )
    assert rank.config.timeout_s == 2.0
    assert rank.config.retry == RetryConfig()
    assert rank.config.breaker is not None
    assert rank.config.breaker.open_s == 7.0
    audit = guards.stats().configuration
    assert audit.refused == {"platform": 3}
    said = {one.where: one.reason for one in audit.refusals}
    assert said["command rank: timeout_s"] == "timeout_s is 'soon', must be a number or none"
    assert "breaker.open_s" in said["command rank: breaker.opens"]
    assert "at least 1" in said["default: bulkhead.max_concurrent"]
    assert live.stats()["platform"].refused == 3


def test_settings_end_by_themselves(clock: FakeClock, live: LiveConfig, rank: Command) -> None:
    """Whether or not anybody is there to take them back."""
    ends = {Place("command", "rank", "timeout_s"): clock.now_ms() + 5_000}
    live.put(
        "platform", entries(command={"timeout_s": 1.0, "breaker.open_s": 3.0}), expires_ms=ends
    )
    clock.advance(4.9)
    live.drop_expired()
    assert rank.config.timeout_s == 1.0
    clock.advance(0.2)
    live.drop_expired()
    assert rank.config.timeout_s == 9.0
    assert rank.config.breaker is not None
    assert rank.config.breaker.open_s == 3.0
    live.put("platform", entries(command={"timeout_s": 1.0}), expires_ms=ends)
    assert rank.config.timeout_s == 9.0


def test_a_source_that_says_the_same_again_changes_nothing(
    guards: Guards, live: LiveConfig, rank: Command
) -> None:
    """No event, no new part."""
    live.put("file", entries(command={"timeout_s": 1.0, "retry": {}}))
    retries = rank.parts.retries
    before = guards.stats().configuration.changed
    live.put("file", entries(command={"timeout_s": 1.0, "retry": {}}))
    assert guards.stats().configuration.changed == before
    assert rank.parts.retries is retries


def test_a_command_configured_by_code_keeps_what_is_laid_over(
    live: LiveConfig, rank: Command
) -> None:
    """`configure` is the code's word, the lowest of all."""
    live.put("environment", entries(command={"timeout_s": 1.0}))
    rank.configure(CommandConfig(timeout_s=5.0, total_s=6.0))
    assert (rank.config.timeout_s, rank.config.total_s) == (1.0, 6.0)
    live.put("environment", {})
    assert rank.config.timeout_s == 5.0


def test_lists_of_changes_and_refusals_are_bounded(
    guards: Guards, live: LiveConfig, rank: Command
) -> None:
    """The counters tell of all."""
    assert rank.name == "rank"
    for number in range(300):
        value: object = 1.0 + number if number % 2 else f"bad {number}"
        live.put("platform", entries(command={"timeout_s": value}))
    audit = guards.stats().configuration
    assert (len(audit.changes), len(audit.refusals)) == (150, 100)
    assert audit.refused == {"platform": 150}


@pytest.fixture
def made() -> Callable[[str], Place]:
    """A place for command rank."""
    return lambda key: Place("command", "rank", key)


def test_a_source_gives_a_bounded_number_of_settings(
    guards: Guards, live: LiveConfig, made: Callable[[str], Place]
) -> None:
    """Further ones are refused, not kept."""
    many: dict[Place, object] = {Place("command", f"c{n}", "timeout_s"): 1.0 for n in range(5_000)}
    live.put("platform", {**many, made("timeout_s"): 1.0})
    assert live.stats()["platform"].settings == 5_000
    assert "5000 settings" in guards.stats().configuration.refusals[0].reason
