"""What a process tells the registry of those it calls."""

import threading
from collections.abc import Iterator
from random import Random

import msgspec
import pytest
from tests.sdk.fleet import Platform

from breakwater.model import CalleeReport, CallerReport, InstanceKey
from breakwater.sdk.discovery import Reporter
from breakwater.sdk.discovery.reporting import GOOD_NEWS_TICKS, MAX_CALLEES
from breakwater.sdk.errors import PlatformError
from breakwater.sdk.guard import BreakerConfig, CommandConfig, Guards
from breakwater.sdk.link import Link
from breakwater.sdk.settings import Address
from breakwater.testing import FakeClock

WELL = CalleeReport(service="cdn", instance_id="cdn-1", calls=10)
BAD = CalleeReport(service="cdn", instance_id="cdn-2", calls=5, failures=2, refused=2)


class Told:
    """A reporter whose ticks are made by hand, and what the platform was told."""

    def __init__(self, platform: Platform, clock: FakeClock) -> None:
        address = Address(host="127.0.0.1", port=platform.port)
        self.platform = platform
        self.seen: list[CalleeReport] = []
        self.link = Link(address)
        caller = InstanceKey(service="edge", instance_id="edge-1")
        self.reporter = Reporter((address,), caller, self._take, clock)

    def _take(self) -> list[CalleeReport]:
        taken, self.seen = self.seen, []
        return taken

    def tick(self, *seen: CalleeReport) -> None:
        """A second in which this was seen."""
        self.seen = list(seen)
        self.reporter.tick(self.link)

    def reports(self) -> list[CallerReport]:
        """What arrived."""
        bodies = [body for method, _, body in self.platform.requests if method == "POST"]
        return [msgspec.json.decode(body, type=CallerReport) for body in bodies]


@pytest.fixture
def told(platform: Platform, clock: FakeClock) -> Iterator[Told]:
    """A reporter and its platform; its first report, which always goes at once, is made."""
    made = Told(platform, clock)
    made.tick(WELL)
    platform.requests.clear()
    yield made
    made.link.drop()


def test_bad_news_goes_at_once(told: Told, clock: FakeClock) -> None:
    """With whom it concerns, over what time, and by whom it is told."""
    clock.advance(2)
    told.tick(WELL, BAD)
    (report,) = told.reports()
    assert report.caller == InstanceKey(service="edge", instance_id="edge-1")
    assert report.window_s == 2
    assert report.callees == [BAD, WELL]


def test_good_news_is_gathered(told: Told) -> None:
    """Ten seconds of it are one report; silence is none."""
    for _ in range(GOOD_NEWS_TICKS):
        told.tick(WELL)
    (report,) = told.reports()
    assert report.callees == [msgspec.structs.replace(WELL, calls=10 * GOOD_NEWS_TICKS)]
    for _ in range(3 * GOOD_NEWS_TICKS):
        told.tick()
    assert len(told.reports()) == 1


def test_an_ejected_instance_is_news_without_a_call(told: Told) -> None:
    """That a balancer passes somebody over is told even when nothing failed since."""
    told.tick(CalleeReport(service="cdn", instance_id="cdn-1", is_ejected=True))
    assert told.reports()[0].callees[0].is_ejected


def test_a_report_is_bounded(told: Told) -> None:
    """It names so many instances at most, the worst first."""
    many = [msgspec.structs.replace(WELL, instance_id=f"x-{n}") for n in range(2 * MAX_CALLEES)]
    told.tick(*many, BAD)
    (report,) = told.reports()
    assert len(report.callees) == MAX_CALLEES
    assert report.callees[0] == BAD


def test_a_registry_that_refuses_is_an_error(told: Told) -> None:
    """The thread around it counts it and waits longer each time."""
    told.platform.error = 503
    with pytest.raises(PlatformError, match="HTTP 503"):
        told.tick(BAD)
    assert told.reporter.stats().reports == 1


@pytest.mark.slow
def test_the_thread_goes_on_whatever_happens(platform: Platform, clock: FakeClock) -> None:
    """A source that fails is counted; stopping ends it at once."""
    asked = threading.Semaphore(0)

    def take() -> list[CalleeReport]:
        asked.release()
        raise ValueError("no news")

    address = Address(host="127.0.0.1", port=platform.port)
    caller = InstanceKey(service="edge", instance_id="edge-1")
    reporter = Reporter((address,), caller, take, clock)
    reporter.start()
    try:
        for _ in range(2):  # asked a second time, it has got over the first
            assert asked.acquire(timeout=20)
    finally:
        reporter.stop()
    assert "no news" in reporter.stats().last_failure


def test_the_worst_breaker_of_a_dependency_is_told(clock: FakeClock) -> None:
    """Of several commands for one service the one that admits least counts; none is no word."""
    guards = Guards(clock=clock, random=Random(1))
    assert guards.breaker_of("cdn") == ""
    closed, forced = BreakerConfig(), BreakerConfig(mode="forced_open")
    guards.command("read", CommandConfig(breaker=closed), dependency="CDN")
    assert guards.breaker_of("cdn") == "closed"
    guards.command("write", CommandConfig(breaker=forced), dependency="cdn")
    assert guards.breaker_of("cdn") == "forced_open"
    guards.command("other", CommandConfig(breaker=None), dependency="edge")
    assert guards.breaker_of("edge") == ""
