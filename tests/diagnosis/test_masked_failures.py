"""A dependency that breaks behind a fallback is named, from what its guard says as meters.

The whole way but the socket: a guarded command, its meters as lines, aggregated, stored, queried.
"""

from collections.abc import Callable
from random import Random

import pytest

from breakwater.diagnosis import Verdict, diagnose
from breakwater.ingest import IngestSettings, LineAggregator
from breakwater.metrics import MetricsEngine, MetricsSettings
from breakwater.model import Status
from breakwater.sdk import BreakerConfig, BulkheadConfig, Command, CommandConfig, Guards
from breakwater.sdk.calls import CallRecorder, Outcome
from breakwater.sdk.guardmeters import GuardMeters
from breakwater.sdk.lines import LineSender
from breakwater.sdk.meters import Meters
from breakwater.testing import FakeClock
from breakwater.topology import observe, total

BREAKS_AT_S = 100
LASTS_S = 150
PER_S = 25


class _Wire(LineSender):
    """Lines go straight to the platform's aggregator."""

    def __init__(self, aggregator: LineAggregator, clock: FakeClock) -> None:
        super().__init__(None)
        self._aggregator = aggregator
        self._clock = clock

    def write(self, line: str) -> None:
        """Take one line."""
        self._aggregator.receive(line.encode(), self._clock.now_ms())


class Fleet:
    """Players call `home`, which reads `titles-db` under guard and has a fallback for it."""

    def __init__(self, config: CommandConfig) -> None:
        self.clock = FakeClock()
        settings = MetricsSettings(step_ms=1000, retention_s=600)
        self.engine = MetricsEngine(settings, self.clock)
        self.aggregator = LineAggregator(IngestSettings(), self.engine, self.clock)
        self.random = Random(7)
        self.start_ms = self.clock.now_ms()
        player, self.home = self._meters("player"), self._meters("home")
        self.called = CallRecorder(player, "player", side="client")
        self.served = CallRecorder(self.home, "home", side="server")
        self.guards = Guards(clock=self.clock, random=self.random, sleep=self.clock.advance)
        self.titles: Command = self.guards.command(
            "titles.read", config, dependency="titles-db", fallback=lambda _error: []
        )
        self.written = GuardMeters(self.guards, self.home, "home")
        self.written.record_calls(self.titles)
        self.answered = 0

    def _meters(self, app: str) -> Meters:
        tags = {"nf.app": app, "nf.node": f"{app}-1"}
        return Meters(_Wire(self.aggregator, self.clock), tags, self.clock)

    def run(self, read: Callable[[FakeClock, Random], list[str]]) -> None:
        """So many seconds of traffic; `read` is the database once it is broken."""
        for second in range(LASTS_S):
            ends_ms = self.start_ms + (second + 1) * 1000
            pause_s = 1.0 / PER_S
            while self.clock.now_ms() + pause_s * 1000 < ends_ms:
                self._request(read if second >= BREAKS_AT_S else _well)
                self.clock.advance(pause_s * self.random.uniform(0.5, 0.7))
            self.written.report(self.clock.monotonic_s())
            self.home.counter("process.alive", {}).increment()
            self.clock.advance(max(0.0, (ends_ms - self.clock.now_ms()) / 1000))
            self.aggregator.flush(self.clock.now_ms())

    def _request(self, read: Callable[[FakeClock, Random], list[str]]) -> None:
        began_s = self.clock.monotonic_s()
        self.titles.call_sync(read, self.clock, self.random)
        self.answered += 1
        self.clock.advance(0.002)
        took_s = self.clock.monotonic_s() - began_s
        self.served.record("player", "/home", Outcome(status=Status.SUCCESS, seconds=took_s))
        outcome = Outcome(status=Status.SUCCESS, seconds=took_s + 0.001, node="home-1")
        self.called.record("home", "/home", outcome)
        self.home.counter("stream.starts", {"result": "success"}).increment()


def _well(clock: FakeClock, random: Random) -> list[str]:
    clock.advance(random.uniform(0.002, 0.006))
    return ["a"]


def _refusing(clock: FakeClock, random: Random) -> list[str]:
    clock.advance(0.001)
    if random.random() < 0.9:
        raise ConnectionRefusedError(111, "nobody listens")
    return ["a"]


def _slow(clock: FakeClock, random: Random) -> list[str]:
    clock.advance(random.uniform(0.05, 0.09))
    return ["a"]


PLAIN = CommandConfig(bulkhead=BulkheadConfig())
SHUTS = CommandConfig(breaker=BreakerConfig(open_s=5.0), timeout_s=0.2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("read", "config"),
    [(_refusing, PLAIN), (_refusing, SHUTS), (_slow, PLAIN)],
    ids=["refusing", "shut-out", "slow"],
)
def test_a_database_behind_a_fallback_is_named(
    read: Callable[[FakeClock, Random], list[str]], config: CommandConfig
) -> None:
    """Users got an answer every time, and no record of the database itself exists."""
    fleet = Fleet(config)
    fleet.run(read)
    window = observe(
        fleet.engine, start_ms=fleet.start_ms, end_ms=fleet.clock.now_ms(), step_ms=1000
    )
    assert [str(edge) for edge in window.edges] == ["home->titles-db", "player->home"]
    made = total(window.client_calls)[0].sum()
    assert made == pytest.approx(fleet.answered, rel=0.01)
    judged = diagnose(window)
    assert judged.verdict is Verdict.CULPRIT, judged.headline
    assert judged.culprit is not None
    assert judged.culprit.service == "titles-db"
    assert judged.onset_low_ms is not None
    assert abs(judged.onset_low_ms - fleet.start_ms - BREAKS_AT_S * 1000) <= 3000


@pytest.mark.slow
def test_percentiles_of_guarded_calls_are_those_of_a_timer() -> None:
    """What is told in bulk is read by the same words."""
    fleet = Fleet(PLAIN)
    fleet.run(_well)
    found = fleet.engine.query(
        "name,ipc.client.call,:eq,ipc.server.app,titles-db,:eq,:and,(,50,99,),:percentiles",
        start_ms=fleet.start_ms,
        end_ms=fleet.clock.now_ms(),
    )
    middle, high = (line.values[-20:].mean() for line in found.lines)
    assert 0.003 < middle < 0.005
    assert 0.0055 < high < 0.0075
