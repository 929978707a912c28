"""What a server takes on is a live setting like any other."""

import threading
from random import Random

import msgspec
import pytest
from tests.sdk.guard.commanding import guards_of

from breakwater.sdk.context import CallContext, Criticality
from breakwater.sdk.errors import CallRefusedError
from breakwater.sdk.guard import Guards, LiveConfig, SettingChanged, Shedder, SheddingConfig
from breakwater.sdk.guard.gate import CallInfo
from breakwater.sdk.guard.limiting.shedding import Seat, Waiting
from breakwater.sdk.guard.live.push import PlatformSettings
from breakwater.sdk.guard.live.sources import put_environment
from breakwater.sdk.guard.tuning.layers import Place
from breakwater.sdk.guard.verdict import Verdict
from breakwater.sdk.settings import Address, ServiceSettings
from breakwater.testing import FakeClock

LIMIT = "shedding.limit"


@pytest.fixture
def guards(clock: FakeClock) -> Guards:
    """The registry of a process."""
    return guards_of(clock)


@pytest.fixture
def live(guards: Guards) -> LiveConfig:
    """Its live settings."""
    return LiveConfig(guards)


def request(level: Criticality = Criticality.CRITICAL) -> CallInfo:
    """A request of this class."""
    return CallInfo(command="gateway", context=CallContext(criticality=level), endpoint="rows")


def seats(server: Shedder, count: int, now_s: float = 0.0) -> list[Seat]:
    """So many seats that are given at once."""
    found = [server.enter(request(), now_s) for _ in range(count)]
    assert all(isinstance(one, Seat) for one in found)
    return [one for one in found if isinstance(one, Seat)]


def test_default_group_and_name_go_over_the_code_in_this_order(
    guards: Guards, live: LiveConfig
) -> None:
    """The group of all servers is `server`, their names say what they speak."""
    http = guards.shedder("http", SheddingConfig(limit=1))
    grpc = guards.shedder("grpc", SheddingConfig(limit=1))
    second = guards.shedder("http", SheddingConfig(limit=1))
    assert [one.name for one in guards.servers] == ["http", "grpc", "http-2"]

    def limits() -> list[int]:
        return [http.limit, grpc.limit, second.limit]

    live.put("file", {Place("default", "", LIMIT): 2})
    assert limits() == [2, 2, 2]
    live.put("file", {Place("group", "server", LIMIT): 3, Place("command", "grpc", LIMIT): 4})
    assert limits() == [3, 4, 3]
    live.put("platform", {Place("default", "", LIMIT): 9})
    assert limits() == [9, 9, 9]
    late = guards.shedder("http", SheddingConfig(limit=1))
    assert late.limit == 9
    live.put("platform", {})
    live.put("file", {})
    assert [*limits(), late.limit] == [1, 1, 1, 1]


def test_every_change_is_audited_and_told(guards: Guards, live: LiveConfig) -> None:
    """With where it comes from; a key of commands changes nothing here, nor the other way."""
    guards.shedder("http", SheddingConfig(limit=1))
    command = guards.command("http")
    heard: list[SettingChanged] = []
    guards.hooks.on(SettingChanged, heard.append)
    live.put(
        "file",
        {
            Place("default", "", "shedding.queue"): 7,
            Place("command", "http", "shedding.adaptive.maximum"): 50,
            Place("default", "", "timeout_s"): 2.0,
        },
    )
    told = [(one.group, one.key, one.old, one.new, one.source, one.scope) for one in heard]
    assert sorted(told) == [
        ("http", "timeout_s", None, 2.0, "file", "default"),
        ("server", "shedding.adaptive.maximum", None, 50, "file", "command"),
        ("server", "shedding.queue", 100, 7, "file", "default"),
    ]
    assert guards.audit.changed == {"file": 3}
    assert command.config.timeout_s == 2.0


def test_a_setting_that_clashes_is_refused_and_the_rest_applies(
    guards: Guards, live: LiveConfig
) -> None:
    """The important may not be shed before the unimportant; two that fit each other are taken."""
    server = guards.shedder("http", SheddingConfig(limit=10))
    live.put(
        "file",
        {
            Place("default", "", "shedding.sheddable"): 0.95,
            Place("default", "", "shedding.queue"): 3,
        },
    )
    assert (server.config.sheddable, server.config.queue) == (0.75, 3)
    refusal = guards.audit.stats().refusals[-1]
    assert (refusal.command, refusal.where) == ("http", "default: shedding.sheddable")
    assert "sheddable_plus is 0.9, must be at least 0.95" in refusal.reason
    live.put(
        "file",
        {
            Place("default", "", "shedding.sheddable"): 0.95,
            Place("default", "", "shedding.sheddable_plus"): 0.97,
        },
    )
    assert (server.config.sheddable, server.config.sheddable_plus) == (0.95, 0.97)


def test_a_larger_limit_lets_those_in_who_wait(
    guards: Guards, live: LiveConfig, clock: FakeClock
) -> None:
    """At once, without a request that ends first."""
    now_s = clock.monotonic_s()
    server = guards.shedder("http", SheddingConfig(limit=1))
    (first,) = seats(server, 1)
    waiting = server.enter(request(), now_s)
    assert isinstance(waiting, Waiting)
    woken = threading.Event()
    waiting.on_wake(woken.set)
    live.put("file", {Place("default", "", LIMIT): 2})
    assert woken.is_set()
    second = waiting.claim(now_s)
    assert second is not None
    for seat in (first, second):
        server.leave(seat, Verdict.SUCCESS, now_s=1.0, took_s=1.0, error=None)
    assert server.stats(1.0).in_use == 0


def test_a_smaller_limit_waits_for_those_at_work(guards: Guards, live: LiveConfig) -> None:
    """Nobody is thrown out, and nobody comes in until there is room."""
    server = guards.shedder("http", SheddingConfig(limit=3, queue=0))
    taken = seats(server, 3)
    live.put("file", {Place("default", "", LIMIT): 1})
    server.leave(taken[0], Verdict.SUCCESS, now_s=0.0, took_s=0.1, error=None)
    with pytest.raises(CallRefusedError):
        server.enter(request(), 0.0)
    for one in taken[1:]:
        server.leave(one, Verdict.SUCCESS, now_s=0.0, took_s=0.1, error=None)
    seats(server, 1)


def test_a_server_that_sheds_nothing_can_be_told_to(
    guards: Guards, live: LiveConfig, clock: FakeClock
) -> None:
    """And no more: who waited then comes in."""
    now_s = clock.monotonic_s()
    server = guards.shedder("http", None)
    assert not server.config.enabled
    assert server.stats(0.0).limit is None
    live.put(
        "file", {Place("default", "", "shedding.enabled"): True, Place("default", "", LIMIT): 1}
    )
    assert server.stats(0.0).limit == 1
    seats(server, 1)
    waiting = server.enter(request(), now_s)
    assert isinstance(waiting, Waiting)
    live.put("file", {})
    assert waiting.claim(now_s) is not None
    seats(server, 5)


def test_an_adaptive_limit_keeps_its_height_unless_its_own_numbers_change(
    clock: FakeClock,
) -> None:
    """As that of a command does."""
    config = SheddingConfig()
    server = Shedder(config, random=Random(1))
    for _ in range(200):
        (seat,) = seats(server, 1)
        clock.advance(0.05)
        server.leave(seat, Verdict.TIMEOUT, now_s=clock.monotonic_s(), took_s=0.05, error=None)
    height = server.limit
    assert height != Shedder(config, random=Random(1)).limit
    server.configure(msgspec.structs.replace(config, queue=3), clock.monotonic_s())
    assert server.limit == height
    adaptive = msgspec.structs.replace(config.adaptive, initial=17)
    server.configure(msgspec.structs.replace(config, adaptive=adaptive), clock.monotonic_s())
    assert server.limit == 17


def test_the_environment_and_the_platform_speak_of_servers_too(
    guards: Guards, live: LiveConfig
) -> None:
    """By the same names."""
    server = guards.shedder("http", None)
    put_environment(
        live,
        {
            "BREAKWATER_GUARD__DEFAULT__SHEDDING__ENABLED": "true",
            "BREAKWATER_GUARD__COMMAND__HTTP__SHEDDING__LIMIT": "5",
        },
    )
    assert (server.config.enabled, server.limit) == (True, 5)
    settings = ServiceSettings(
        service="gateway", instance="g-1", zone="", host="127.0.0.1", port=0,
        platform=None, metrics=None,
    )  # fmt: skip
    platform = PlatformSettings(live, Address(host="127.0.0.1", port=1), settings, random=Random(1))
    pushed = {
        "revision": 3,
        "default": {"shedding.limit": 6},
        "groups": {"server": {"shedding.queue": 0}},
        "commands": {"http": {"shedding": {"retry_after_s": 4}}},
    }
    assert platform.accept(msgspec.json.encode(pushed)) == 3
    assert (server.limit, server.config.queue, server.config.retry_after_s) == (6, 0, 4.0)
