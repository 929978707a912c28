"""Guards as meters: no line a call, nothing lost, and broken dependencies seen behind fallbacks."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sdk.fleet import PATIENCE_S, MeterListener
from tests.sdk.guard.commanding import BackendError, fail, guards_of
from tests.sdk.guarding import wait_until

from breakwater.model.percentiles import timer_tag
from breakwater.sdk import CallRefusedError, CommandConfig, Service
from breakwater.sdk.bulk import BulkTimer
from breakwater.sdk.context import CallContext
from breakwater.sdk.guard import (
    AdaptiveConfig,
    BreakerConfig,
    BulkheadConfig,
    Command,
    Guards,
    HedgeConfig,
    LiveConfig,
    RateConfig,
    RetryConfig,
    SheddingConfig,
    StaleConfig,
    StatisticsConfig,
    ThrottleConfig,
    Verdict,
)
from breakwater.sdk.guard.counting.growth import Growth, less
from breakwater.sdk.guard.gate import CallInfo
from breakwater.sdk.guard.tuning.layers import Place
from breakwater.sdk.guardmeters import GuardMeters
from breakwater.sdk.histogram import Histogram, merged
from breakwater.sdk.lines import LineSender
from breakwater.sdk.meters import Meters
from breakwater.testing import FakeClock


class _Kept(LineSender):
    """Keeps the lines instead of sending them."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__(None)
        self._kept = lines

    def write(self, line: str) -> None:
        """Keep it."""
        self._kept.append(line)


class Board:
    """Meter lines summed by what is before their number, and the number of lines."""

    def __init__(self, clock: FakeClock) -> None:
        self.lines: list[str] = []
        self.meters = Meters(_Kept(self.lines), {}, clock)

    def sums(self, *parts: str) -> Counter[str]:
        """Sums of the lines that contain all parts, by tags."""
        found: Counter[str] = Counter()
        for line in self.lines:
            name, _, number = line.strip().rpartition(":")
            if all(part in name for part in parts):
                found[name] += float(number)  # type: ignore[assignment] # a Counter takes any number
        return found

    def total(self, *parts: str) -> float:
        """Their sum."""
        return float(sum(self.sums(*parts).values()))

    def last(self, *parts: str) -> float:
        """The number of the latest such line."""
        fitting = [line for line in self.lines if all(part in line for part in parts)]
        return float(fitting[-1].strip().rpartition(":")[2])


@pytest.fixture
def board(clock: FakeClock) -> Board:
    """Where meters go."""
    return Board(clock)


@pytest.fixture
def guards(clock: FakeClock) -> Guards:
    """An empty registry."""
    return guards_of(clock)


@pytest.fixture
def written(guards: Guards, board: Board) -> GuardMeters:
    """Its meters."""
    return GuardMeters(guards, board.meters, "home")


@pytest.fixture
def tick(clock: FakeClock, written: GuardMeters) -> Callable[[], None]:
    """A second passes, and the service reports."""

    def pass_() -> None:
        clock.advance(1.0)
        written.report(clock.monotonic_s())

    return pass_


# Growth of histograms


@pytest.mark.slow
@given(
    st.lists(st.lists(st.floats(0.0, 100.0), max_size=20), max_size=30),
    st.integers(1, 60),
)
def test_growth_tells_every_duration_once(batches: list[list[float]], wait_s: int) -> None:
    """Whatever buckets of time they fall into, as long as looks are not a window apart."""
    clock = FakeClock()
    command = guards_of(clock).command("rank", CommandConfig(bulkhead=None))
    growth = Growth(command.statistics)
    told = []
    for batch in batches:
        for seconds in batch:
            command.statistics.success(seconds, clock.monotonic_s())
            command.statistics.executed(seconds, clock.monotonic_s())
        told.append(growth.take(clock.monotonic_s()))
        clock.advance(wait_s / 2)
    whole = [seconds for batch in batches for seconds in batch]
    for found in (merged(g.whole for g in told), merged(g.execution for g in told)):
        assert found.count == len(whole)
        assert found.sum_s == pytest.approx(sum(whole), abs=1e-6)
        assert sum(found.buckets.values()) == len(whole)
        assert found.max_s == pytest.approx(max(whole, default=0.0), rel=0.01)


def test_growth_goes_on_through_other_windows(clock: FakeClock) -> None:
    """What comes after the change is told."""
    command = guards_of(clock).command("rank")
    growth = Growth(command.statistics)
    command.call_sync(int)
    assert growth.take(clock.monotonic_s()).whole.count == 1
    command.configure(CommandConfig(statistics=StatisticsConfig(latency_window_s=30.0)))
    command.call_sync(int)
    assert growth.take(clock.monotonic_s()).whole.count == 1


@given(st.lists(st.floats(0.0, 1e4)), st.lists(st.floats(0.0, 1e4)))
def test_less_is_what_was_added(first: list[float], second: list[float]) -> None:
    """Counts and buckets exactly, sums to rounding, extremes within a bucket."""
    histogram = Histogram()
    histogram.add(first)
    before = histogram.snapshot()
    histogram.add(second)
    found, alone = less(histogram.snapshot(), before), Histogram()
    alone.add(second)
    assert found.count == len(second)
    assert found.buckets == {k: n for k, n in alone.snapshot().buckets.items() if n}
    assert found.sum_s == pytest.approx(sum(second), abs=1e-6, rel=1e-6)
    if second:
        assert found.min_s <= min(second) * 1.01 + 1e-30
        assert found.max_s >= max(second) * 0.99


# Timers told in bulk


@pytest.mark.slow
@given(st.lists(st.floats(1e-6, 1e3), min_size=1))
def test_a_bulk_timer_writes_what_a_timer_would_have(seconds: list[float]) -> None:
    """Count, total, squares, maximum, percentile buckets; each to the histogram's width."""
    board, histogram = Board(FakeClock()), Histogram()
    histogram.add(seconds)
    BulkTimer(board.meters, "work", {"kind": "odd"}).record_all(histogram.snapshot())
    assert board.total("c:work", "statistic=count") == len(seconds)
    assert board.total("statistic=totalTime") == pytest.approx(sum(seconds), rel=1e-6)
    squares = sum(s * s for s in seconds)
    assert board.total("statistic=totalOfSquares") == pytest.approx(squares, rel=0.02)
    assert board.total("m:work,kind=odd") == pytest.approx(max(seconds), rel=0.01)
    assert board.total("statistic=percentile") == len(seconds)
    near = {timer_tag(s * f) for s in seconds for f in (0.99, 1.0, 1.01)}
    tags = {line.partition("percentile=")[2].partition(",")[0] for line in board.sums("T0")}
    assert tags <= near


def test_a_bulk_timer_without_durations_writes_nothing(board: Board) -> None:
    """Silence costs nothing."""
    BulkTimer(board.meters, "work", {}).record_all(Histogram().snapshot())
    assert board.lines == []


# The meters of commands


def test_calls_are_counted_by_command_group_and_event(
    guards: Guards, board: Board, tick: Callable[[], None]
) -> None:
    """Each once, over any number of reports."""
    command = guards.command("rank", CommandConfig(breaker=None), group="home", tags={"tier": "1"})
    for _ in range(3):
        command.call_sync(int)
        with pytest.raises(BackendError):
            command.call_sync(fail)
        tick()
    tags = "group=home,guard=rank,outcome="
    assert board.total(f"c:guard.calls,{tags}success,tier=1") == 3
    assert board.total(f"c:guard.calls,{tags}failure,tier=1") == 3
    assert board.total(f"c:guard.calls,{tags}exception_thrown,tier=1") == 3
    assert board.total("c:guard.execution", "statistic=count", "tier=1") == 6
    assert board.total("c:guard.total", "statistic=count") == 6
    assert board.last("m:guard.inflight", "guard=rank") == 1.0


def test_a_command_that_was_never_called_writes_nothing(
    guards: Guards, board: Board, tick: Callable[[], None]
) -> None:
    """A process may have hundreds."""
    guards.command("rank")
    tick()
    assert board.lines == []
    guards.forget("rank")
    tick()
    assert board.lines == []


def test_the_lines_of_a_second_do_not_grow_with_the_calls(
    clock: FakeClock, guards: Guards, board: Board, tick: Callable[[], None]
) -> None:
    """Ten thousand calls are told in some dozens of lines."""
    command = guards.command("rank")
    random = Random(1)
    for _ in range(10_000):
        command.statistics.success(random.lognormvariate(-5.0, 0.5), clock.monotonic_s())
    tick()
    assert board.total("c:guard.execution", "statistic=count") == 10_000
    assert len(board.lines) < 100


def test_refusals_are_told_by_the_part_that_refused(
    clock: FakeClock, guards: Guards, board: Board, tick: Callable[[], None]
) -> None:
    """Breaker, bulkhead, rate, throttle, adaptive limit."""
    open_ = guards.command("open", CommandConfig(breaker=BreakerConfig(mode="forced_open")))
    full = guards.command("full", CommandConfig(bulkhead=BulkheadConfig(max_concurrent=1)))
    rated = guards.command("rated", CommandConfig(rate=RateConfig(calls=1)))
    adapting = guards.command(
        "adapting", CommandConfig(adaptive=AdaptiveConfig(maximum=1, initial=1))
    )
    waiting = guards.command(
        "waiting", CommandConfig(bulkhead=BulkheadConfig(max_concurrent=1, partitions={"a": 1.0}))
    )

    def refused(command: Command) -> None:
        with pytest.raises(CallRefusedError):
            command.call_sync(int)

    refused(open_)
    full.call_sync(refused, full)
    rated.call_sync(int)
    refused(rated)
    adapting.call_sync(refused, adapting)
    waiting.call_sync(refused, waiting)
    tick()
    for name, reason in (
        ("open", "breaker"), ("full", "bulkhead"), ("rated", "rate"), ("adapting", "limit"),
        ("waiting", "bulkhead"),
    ):  # fmt: skip
        assert board.total("c:guard.rejected", f"guard={name},reason={reason}") == 1, name
    assert clock.monotonic_s() > 0


def test_levels_are_told_when_they_change_and_again_before_they_end(
    guards: Guards, board: Board, tick: Callable[[], None]
) -> None:
    """State of the breaker, limit, share of the retry budget that is left."""
    config = CommandConfig(
        breaker=BreakerConfig(minimum_calls=4),
        bulkhead=BulkheadConfig(max_concurrent=7),
        retry=RetryConfig(max_attempts=2, initial_s=0.0),
    )
    command = guards.command("rank", config)
    command.call_sync(int)
    for _ in range(4):
        tick()
    assert board.total("guard.limit") == 7.0  # told once
    assert board.last("guard.breaker.state") == 0.0
    assert board.last("guard.retry.budget") == 1.0
    for _ in range(3):
        with pytest.raises((BackendError, CallRefusedError)):
            command.call_sync(fail)
    tick()
    assert board.last("guard.breaker.state") == 1.0
    assert board.total("c:guard.breaker.opened") == 1.0
    assert 0.0 < board.last("guard.retry.budget") < 1.0
    assert board.total("c:guard.retries", "outcome=made") >= 1.0
    tick()
    tick()
    assert board.total("guard.limit") == 14.0
    assert all(line.startswith("g,15:") for line in board.lines if "guard.limit" in line)


def test_a_breaker_on_trial_tells_what_it_would_refuse(
    guards: Guards, board: Board, tick: Callable[[], None]
) -> None:
    """With nothing enforced all calls go through, and those it would have refused are counted."""
    breaker = BreakerConfig(minimum_calls=2, enforcing_percent=0.0)
    command = guards.command("rank", CommandConfig(breaker=breaker))
    for _ in range(5):
        with pytest.raises(BackendError):
            command.call_sync(fail)
    tick()
    assert board.last("guard.breaker.state") == 1.0
    assert board.total("c:guard.breaker.spared") == 3.0
    assert board.total("c:guard.rejected", "reason=breaker") == 0.0


def test_the_age_of_stale_answers_is_told(
    clock: FakeClock, guards: Guards, board: Board, tick: Callable[[], None]
) -> None:
    """The oldest of each second."""
    config = CommandConfig(stale=StaleConfig(), hedge=HedgeConfig(), throttle=ThrottleConfig())
    command = guards.command("rank", config, cache_key=lambda *_: 1, idempotent=True)
    is_broken: list[int] = []

    def answer() -> int:
        return fail() if is_broken else 7

    command.call_sync(answer)
    clock.advance(30.0)
    is_broken.append(1)
    assert command.call_sync(answer) == 7
    tick()
    assert board.last("m:guard.stale.age") == 30.0
    assert board.total("c:guard.calls", "outcome=fallback_stale") == 1
    assert board.total("c:guard.calls", "outcome=fallback_success") == 1
    lines = len(board.sums("guard.stale.age"))
    tick()
    assert len(board.sums("guard.stale.age")) == lines


def test_changes_of_configuration_are_counted(
    guards: Guards, board: Board, tick: Callable[[], None]
) -> None:
    """By source, and refused ones too."""
    guards.command("rank")
    place = Place("default", "", "timeout_s")
    live = LiveConfig(guards)
    live.put("file", {place: 1.0})
    live.put("platform", {place: "soon"})
    tick()
    assert board.total("c:guard.config.changes", "result=applied,source=file") == 1
    assert board.total("c:guard.config.changes", "result=refused,source=platform") == 1


def test_a_command_that_takes_the_place_of_another_begins_anew(
    guards: Guards, board: Board, tick: Callable[[], None]
) -> None:
    """Its counts are not the other's."""
    guards.command("rank").call_sync(int)
    tick()
    again = guards.command("rank", replace=True)
    again.call_sync(int)
    tick()
    assert board.total("c:guard.calls", "outcome=success") == 2


# Calls to dependencies that write no records themselves


@pytest.fixture
def database(guards: Guards, written: GuardMeters) -> Command:
    """A database behind a fallback."""
    config = CommandConfig(
        breaker=BreakerConfig(minimum_calls=3),
        bulkhead=BulkheadConfig(max_concurrent=2),
        retry=RetryConfig(max_attempts=2, initial_s=0.0),
    )
    command = guards.command(
        "titles.read", config, dependency="titles-db", fallback=lambda _error: 0
    )
    written.record_calls(command)
    return command


EDGE = ("ipc.client.call", "ipc.client.app=home", "ipc.server.app=titles-db", "statistic=count")


def test_attempts_are_recorded_as_calls_to_the_dependency(
    database: Command, board: Board, tick: Callable[[], None]
) -> None:
    """Successes from the figures, failures one by one, a fallback beside the failure."""
    for _ in range(5):
        database.call_sync(int)
    assert database.call_sync(fail) == 0
    tick()
    first = "ipc.attempt=initial,ipc.attempt.final=true"
    assert board.total(*EDGE, "ipc.status=success", first) == 5
    failed = board.sums(*EDGE, "ipc.status=unexpected_error")
    assert sorted(failed.values()) == [1.0, 1.0]
    assert board.total(*EDGE, "ipc.attempt.final=false", "ipc.attempt=initial", "BackendError") == 1
    assert board.total(*EDGE, "ipc.attempt.final=true", "ipc.attempt=second") == 1
    assert board.total(*EDGE, "ipc.status=fallback", "ipc.result=success") == 1
    assert board.total("m:ipc.client.inflight") == 1.0
    assert all("ipc.endpoint=titles.read" in line for line in board.lines if "client.call" in line)


def test_refusals_are_recorded_once_each_by_whatever_road(
    guards: Guards, written: GuardMeters, board: Board, tick: Callable[[], None]
) -> None:
    """Quick refusals are in the counters only, others told; together they are all there are."""
    config = CommandConfig(breaker=BreakerConfig(minimum_calls=3, open_s=100.0))
    for fallback in (None, lambda _error: 0):
        name = f"titles-{fallback is None}"
        command = guards.command(name, config, dependency="titles-db", fallback=fallback)
        written.record_calls(command)
        for _ in range(3):
            if fallback is None:
                with pytest.raises(BackendError):
                    command.call_sync(fail)
            else:
                command.call_sync(fail)
        for _ in range(7):
            if fallback is None:
                with pytest.raises(CallRefusedError):
                    command.call_sync(int)
            else:
                command.call_sync(int)
            tick()
        assert board.total(*EDGE, f"endpoint={name}", "short_circuited") == 7
        assert board.total(*EDGE, f"endpoint={name}", "ipc.server.node=none", "breaker_open") == 7
    assert board.total(*EDGE, "ipc.status=fallback") == 10


@pytest.mark.slow
@given(st.lists(st.sampled_from(["good", "bad", "slow", "ignored", "crowd", "second"])))
def test_records_count_every_attempt_and_refusal_exactly_once(steps: list[str]) -> None:
    """Whatever happened in whatever order, on every road."""
    clock = FakeClock()
    guards, board = guards_of(clock), Board(clock)
    written = GuardMeters(guards, board.meters, "home")
    config = CommandConfig(
        timeout_s=0.5, breaker=BreakerConfig(minimum_calls=3),
        bulkhead=BulkheadConfig(max_concurrent=1), statistics=StatisticsConfig(),
    )  # fmt: skip
    command = guards.command("titles", config, dependency="titles-db", ignore=(KeyError,))
    written.record_calls(command)

    def ignored() -> None:
        raise KeyError

    def crowd() -> None:
        with pytest.raises(CallRefusedError):
            command.call_sync(int)

    functions: dict[str, Callable[[], object]] = {
        "good": int, "bad": fail, "slow": lambda: clock.advance(1.0), "ignored": ignored,
        "crowd": crowd,
    }  # fmt: skip
    for step in steps:
        if step == "second":
            clock.advance(1.0)
            written.report(clock.monotonic_s())
            continue
        try:
            command.call_sync(functions[step])
        except (BackendError, CallRefusedError, KeyError):
            continue
    written.report(clock.monotonic_s())
    calls = command.stats().calls
    for status, events in (
        ("success", ("success",)), ("unexpected_error", ("failure",)), ("timeout", ("timeout",)),
        ("bad_request", ("bad_request",)), ("short_circuited", ("short_circuited",)),
        ("rejected", ("semaphore_rejected",)),
    ):  # fmt: skip
        expected = sum(calls[event] for event in events)
        assert board.total(*EDGE, f"ipc.status={status}") == expected, status


@pytest.fixture
def service(service_of: Callable[..., Service]) -> Iterator[Service]:
    """A running service."""
    with service_of("home") as made:
        yield made


@pytest.mark.slow
def test_a_service_records_commands_with_a_dependency(
    service: Service, meters: MeterListener
) -> None:
    """Without one, or when told not to, there is no edge."""
    service.command("titles", dependency="titles-db").call_sync(int)
    service.command("own").call_sync(int)
    service.command("other", dependency="other-db", records_calls=False).call_sync(int)
    meters.wait_for("c:ipc.client.call", "ipc.server.app=titles-db", "statistic=count")
    meters.wait_for("c:guard.calls", "guard=own")
    meters.wait_for("c:guard.calls", "guard=other")
    assert not meters.having("ipc.server.app=other")


# What parts count besides refusals


def test_what_a_breaker_passes_over_is_told(
    guards: Guards, board: Board, clock: FakeClock, tick: Callable[[], None]
) -> None:
    """Stale results, lost probes, undecided rounds, and refusals of the ramp apart from others."""
    config = BreakerConfig(
        minimum_calls=1, open_s=1.0, half_open_permits=1, probe_lease_s=2.0, max_half_open_s=5.0,
        ramp_s=1_000.0,
    )  # fmt: skip
    command = guards.command("rank", CommandConfig(breaker=config))
    breaker = command.parts.breaker
    assert breaker is not None
    with pytest.raises(BackendError):
        command.call_sync(fail)
    clock.advance(1.5)
    lost = breaker.admit(clock.monotonic_s())
    assert lost is not None
    clock.advance(6.0)
    breaker.tick(clock.monotonic_s())  # the lease ended, and then the round
    breaker.settle(lost, Verdict.SUCCESS, clock.monotonic_s())
    clock.advance(1.5)
    command.call_sync(int)  # a probe that passes: the ramp begins
    refused = 0
    for _ in range(20):
        try:
            command.call_sync(int)
        except CallRefusedError as error:
            assert error.reason == "breaker_ramping"  # noqa: PT017 - some are let through
            refused += 1
    tick()
    assert refused > 0
    assert board.total("guard.breaker.expired") == 1
    assert board.total("guard.breaker.undecided") == 1
    assert board.total("guard.breaker.stale") == 1
    assert board.total("guard.rejected", "reason=ramp") == refused
    assert board.total("guard.rejected", "reason=breaker") == 0


def test_a_thread_pool_tells_its_threads_and_its_queue(
    guards: Guards, board: Board, tick: Callable[[], None]
) -> None:
    """Under the name of the pool, whoever of its commands uses it."""
    bulkhead = BulkheadConfig(isolation="thread", threads=1, queue=3)
    command = guards.command("rank", CommandConfig(breaker=None, bulkhead=bulkhead), pool="rows")
    begun, let_go = threading.Semaphore(0), threading.Event()

    def hang() -> None:
        begun.release()
        assert let_go.wait(PATIENCE_S)

    callers = [threading.Thread(target=command.call_sync, args=(hang,)) for _ in range(2)]
    for caller in callers:
        caller.start()
    try:
        assert begun.acquire(timeout=PATIENCE_S)
        wait_until(lambda: guards.shared.workers["rows"].stats().queue == 1)
        tick()
    finally:
        let_go.set()
        for caller in callers:
            caller.join()
    assert board.last("guard.pool.active", "pool=rows") == 1
    assert board.last("guard.pool.size") == 1
    assert board.last("guard.pool.queue") == 1
    assert board.total("guard.pool.tasks") == 2


def test_a_server_tells_its_limit_and_what_it_shed(
    guards: Guards, board: Board, tick: Callable[[], None]
) -> None:
    """By server; one that sheds nothing writes nothing."""
    guards.shedder("grpc", None)
    server = guards.shedder("http", SheddingConfig(limit=1, queue=0))
    call = CallInfo(command="home", context=CallContext())
    server.enter(call, 0.0)
    with pytest.raises(CallRefusedError):
        server.enter(call, 0.0)
    tick()
    assert board.last("g,15:guard.shed.limit", "server=http") == 1
    assert board.last("guard.shed.inflight") == 1
    assert board.last("guard.shed.waiting") == 0
    assert board.last("guard.shed.overloaded") == 0
    assert board.total("c:guard.shed,", "criticality=critical", "reason=bulkhead_full") == 1
    assert board.total("guard.shed.admitted") == 1
    assert not board.sums("server=grpc")
    assert guards.sheds
