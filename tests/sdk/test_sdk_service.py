"""The front door as a user meets it."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import msgspec
import pytest
from tests.sdk.fleet import MeterListener, Platform

import breakwater.sdk
from breakwater.model import Status
from breakwater.sdk import Service
from breakwater.sdk.agent import Agent
from breakwater.sdk.calls import MAX_SERIES, CallRecorder, Outcome
from breakwater.sdk.lines import LineSender
from breakwater.sdk.meters import Meters
from breakwater.sdk.process import WAKE_EVERY_S, LoopWatch
from breakwater.testing import FakeClock


def test_every_exported_name_is_there() -> None:
    """The front door names nothing it does not have, and nothing more is public."""
    for name in breakwater.sdk.__all__:
        assert getattr(breakwater.sdk, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Sevrice'"):
        breakwater.sdk.Sevrice  # noqa: B018 - the look-up is the test


def test_the_environment_makes_a_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process started by a supervisor needs no arguments."""
    monkeypatch.setenv("BREAKWATER_SERVICE", "ranker")
    monkeypatch.setenv("BREAKWATER_INSTANCE", "ranker-a-1")
    monkeypatch.setenv("BREAKWATER_URL", "none")
    monkeypatch.setenv("BREAKWATER_METRICS", "none")
    service = Service.from_env()
    assert service.settings.instance == "ranker-a-1"
    with service:
        assert service.stats().is_started
        assert service.instances("cdn") == []


def test_every_meter_is_at_hand(service_of: Callable[..., Service], meters: MeterListener) -> None:
    """Names of tags may have dots; values may be anything."""
    with service_of("cdn") as service:
        service.counter("plays", **{"title.id": "t 1"}).increment()
        service.gauge("level").set(1)
        service.max_gauge("peak").set(2)
        service.timer("wait").record(0.5)
        service.percentile_timer("wait").record(0.5)
        service.distribution("size").record(3)
        service.percentile_distribution("size").record(3)
        with service.timer("block").time():
            pass
    meters.wait_for("c:plays", "title.id=t_1:1")
    for kind in ("g:level", "m:peak", "t:wait", "T:wait", "d:size", "D:size", "t:block"):
        meters.wait_for(f"{kind},nf.app=cdn,nf.node=cdn-1,nf.zone=a:")


def test_a_service_may_start_and_stop_again(
    service_of: Callable[..., Service], platform: Platform
) -> None:
    """Start and stop may be called twice, and one after the other."""
    service = service_of("cdn", port=9)
    for _ in range(2):
        service.start()
        service.start()
        platform.wait_for(lambda: "cdn-1" in platform.leases)
        service.stop()
        service.stop()
        assert platform.leases == {}
    assert service.stats().agent.failures == 0


@pytest.mark.slow
def test_commands_are_reported(service_of: Callable[..., Service], meters: MeterListener) -> None:
    """Calls by outcome, once a second rather than once a call."""
    with service_of("cdn") as service:
        command = service.command("decode", max_concurrent=2, fallback=lambda _error: None)

        @command
        def decode(text: str) -> object:
            return msgspec.json.decode(text)

        for text in ("1", "2", "no json"):
            decode(text)
        meters.wait_for("c:guard.calls", "guard=decode,outcome=success:2")
        meters.wait_for("c:guard.calls", "guard=decode,outcome=failure:1")
        meters.wait_for("c:guard.calls", "guard=decode,outcome=fallback_success:1")
        (stats,) = service.stats().commands
        assert (stats.name, stats.calls["success"]) == ("decode", 2)


@pytest.mark.anyio
async def test_stats_are_one_frozen_record(service_of: Callable[..., Service]) -> None:
    """Everything at one moment, ready to be encoded."""
    async with service_of("gateway", port=9) as service:
        service.client("account")
        service.command("rank")
        stats = service.stats()
    assert stats.lease is not None
    assert [client.service for client in stats.clients] == ["account"]
    assert msgspec.json.decode(msgspec.json.encode(stats))["agent"]["is_running"]


class ClockedLoop(asyncio.SelectorEventLoop):
    """An event loop by whose time nothing passes but what a test lets pass."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._test_clock = clock

    def time(self) -> float:
        return self._test_clock.monotonic_s()


def test_a_blocked_loop_is_seen_while_it_is_blocked(clock: FakeClock) -> None:
    """The delay counts before the loop wakes up, seen from another thread, and after it."""

    async def blocked() -> None:
        loop, woken = asyncio.get_running_loop(), asyncio.Event()
        watch = LoopWatch(loop)
        loop.call_later(WAKE_EVERY_S + 0.05, woken.set)  # due with the watch, and behind it
        with ThreadPoolExecutor(max_workers=1) as agent:
            assert agent.submit(watch.take_lag_s).result(10) == 0.0
            clock.advance(WAKE_EVERY_S + 0.25)  # in which the loop, held up here, calls nobody
            assert agent.submit(watch.take_lag_s).result(10) == pytest.approx(0.25)
        await woken.wait()
        assert watch.take_lag_s() == pytest.approx(0.25)
        assert watch.take_lag_s() == 0.0
        watch.cancel()

    with closing(ClockedLoop(clock)) as loop:
        loop.run_until_complete(blocked())


def test_a_chore_that_fails_is_counted_and_called_again(clock: FakeClock) -> None:
    """Nothing a chore does ends the agent."""
    agent = Agent([], clock)
    seen: list[int] = []

    def chore() -> None:
        seen.append(len(seen))
        if len(seen) == 3:
            agent.stop()
        raise OSError("disk on fire")

    agent._chores.append((0.0, chore))
    agent.start()
    thread = agent._thread
    assert thread is not None
    thread.join(10.0)
    assert seen == [0, 1, 2]
    assert agent.stats().failures == 3
    assert agent.stats().last_failure == "OSError: disk on fire"


def test_records_beyond_the_bound_share_an_endpoint(clock: FakeClock) -> None:
    """Endpoints without number cost no memory without number, and are counted."""
    made = Meters(LineSender(None), {}, clock)
    recorder = CallRecorder(made, "gateway", side="client")
    outcome = Outcome(status=Status.SUCCESS, seconds=0.1)
    for number in range(MAX_SERIES + 5):
        recorder.record("account", f"endpoint-{number}", outcome)
    stats = recorder.stats()
    assert (stats.recorded, stats.series, stats.folded) == (MAX_SERIES + 5, MAX_SERIES, 5)
