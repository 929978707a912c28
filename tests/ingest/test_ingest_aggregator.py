"""From lines to per-step values."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.ingest.memory_sink import MemorySink

from breakwater.ingest import IngestSettings, LineAggregator
from breakwater.ingest.meters import bucket_starts
from breakwater.model.percentiles import UPPER_BOUNDS, bucket_of
from breakwater.testing import FakeClock

T0 = 1_700_000_000_000


def aggregator(sink: MemorySink, clock: FakeClock, **settings: float) -> LineAggregator:
    """An aggregator whose first step ends one second after T0."""
    made = LineAggregator(replace(IngestSettings(), **settings), sink, clock)
    made.flush(T0 + 1)
    return made


def test_a_counter_is_reported_as_a_rate_at_the_end_of_its_step(
    sink: MemorySink, clock: FakeClock
) -> None:
    """An update belongs to the step in which it arrives; the stamp is the step's end."""
    lines = aggregator(sink, clock)
    lines.receive(b"c:calls:2\nc:calls:3", T0 + 1)
    lines.receive(b"c:calls:5", T0 + 1000)
    lines.receive(b"c:calls:7", T0 + 1001)
    lines.flush(T0 + 2001)
    assert sink.of(name="calls", statistic="count") == {T0 + 1000: 10.0, T0 + 2000: 7.0}


def test_rate_is_per_second_whatever_the_step(clock: FakeClock) -> None:
    """A step of ten seconds divides by ten."""
    sink = MemorySink(step_ms=10_000)
    lines = LineAggregator(IngestSettings(), sink, clock)
    lines.receive(b"c:calls:50", T0 + 1)
    lines.flush(T0 + 10_001)
    assert sink.of(name="calls", statistic="count") == {T0 + 10_000: 5.0}


def test_silence_is_no_value(sink: MemorySink, clock: FakeClock) -> None:
    """A counter that was not touched in a step reports nothing for it."""
    lines = aggregator(sink, clock)
    lines.receive(b"c:calls:1", T0 + 1)
    lines.flush(T0 + 5001)
    assert list(sink.of(name="calls", statistic="count")) == [T0 + 1000]


def test_a_counter_keeps_the_statistic_it_brings(sink: MemorySink, clock: FakeClock) -> None:
    """Whoever did the sums of a timer itself sends them as counters, and they make its series."""
    lines = aggregator(sink, clock)
    lines.receive(b"c:lat,statistic=totalTime:1.5\nm:lat:0.9", T0 + 1)
    lines.receive(b"c:lat,statistic=percentile,percentile=T0012:3", T0 + 1)
    lines.flush(T0 + 1001)
    assert sink.of(name="lat", statistic="totalTime") == {T0 + 1000: 1.5}
    assert sink.of(name="lat", statistic="percentile", percentile="T0012") == {T0 + 1000: 3.0}
    assert sink.of(name="lat", statistic="max", atlas_dstype="gauge") == {T0 + 1000: 0.9}
    assert not sink.of(name="lat", statistic="count")


def test_timer_statistics(sink: MemorySink, clock: FakeClock) -> None:
    """A timer reports count, total and squares per second, and the largest amount."""
    lines = aggregator(sink, clock)
    lines.receive(b"t:lat:0.5\nt:lat:1.5", T0 + 1)
    lines.flush(T0 + 1001)
    at = T0 + 1000
    assert sink.of(name="lat", statistic="count") == {at: 2.0}
    assert sink.of(name="lat", statistic="totalTime") == {at: 2.0}
    assert sink.of(name="lat", statistic="totalOfSquares") == {at: 2.5}
    assert sink.of(name="lat", statistic="max", atlas_dstype="gauge") == {at: 1.5}


def test_distribution_has_an_amount_not_a_time(sink: MemorySink, clock: FakeClock) -> None:
    """A distribution summary's total is named totalAmount."""
    lines = aggregator(sink, clock)
    lines.receive(b"d:size:100", T0 + 1)
    lines.flush(T0 + 1001)
    assert sink.of(name="size", statistic="totalAmount") == {T0 + 1000: 100.0}


@pytest.mark.parametrize("count", [3, 500])
def test_percentile_timer_counts_buckets(sink: MemorySink, clock: FakeClock, count: int) -> None:
    """A percentile timer adds one series for each bucket that was hit, however many updates."""
    lines = aggregator(sink, clock)
    lines.receive(b"\n".join([b"T:lat:0.05"] * count), T0 + 1)
    lines.flush(T0 + 1001)
    tag = f"T{bucket_of(50_000_000):04X}"
    found = sink.of(name="lat", statistic="percentile", percentile=tag)
    assert found == {T0 + 1000: float(count)}


@pytest.mark.slow
@given(st.integers(min_value=0, max_value=UPPER_BOUNDS[-1]))
def test_bisected_bucket_is_the_bucket(value: int) -> None:
    """The table that is bisected says the same as the formula."""
    from bisect import bisect_right  # noqa: PLC0415 - what the meter does

    assert bisect_right(bucket_starts(), value) == bucket_of(value)


def test_gauge_repeats_until_its_time_to_live(sink: MemorySink, clock: FakeClock) -> None:
    """The last value stands for the TTL that was last named, at least five seconds."""
    lines = aggregator(sink, clock)
    lines.receive(b"g,1:temp:3", T0 + 1)
    lines.receive(b"g:temp:4", T0 + 2)
    lines.flush(T0 + 20_001)
    found = sink.of(name="temp", statistic="gauge", atlas_dstype="gauge")
    assert list(found.values()) == [4.0] * 6
    assert min(found) == T0 + 1000


def test_max_gauge_starts_over_each_step(sink: MemorySink, clock: FakeClock) -> None:
    """Each step has its own largest value."""
    lines = aggregator(sink, clock)
    lines.receive(b"m:depth:3\nm:depth:9\nm:depth:4", T0 + 1)
    lines.receive(b"m:depth:2", T0 + 1500)
    lines.flush(T0 + 3001)
    found = sink.of(name="depth", statistic="max", atlas_dstype="gauge")
    assert found == {T0 + 1000: 9.0, T0 + 2000: 2.0}


def test_age_gauge_grows_for_ever(sink: MemorySink, clock: FakeClock) -> None:
    """Zero means now; the age is reported at every later step."""
    lines = aggregator(sink, clock)
    lines.receive(f"A:backup:{(T0 - 5000) // 1000}".encode(), T0 + 1)
    lines.flush(T0 + 3001)
    found = sink.of(name="backup", statistic="gauge", atlas_dstype="gauge")
    assert found == {T0 + 1000: 6.0, T0 + 2000: 7.0, T0 + 3000: 8.0}


def test_monotonic_counts_growth_and_ignores_restarts(sink: MemorySink, clock: FakeClock) -> None:
    """The first total only sets the start; a smaller one is a restart."""
    lines = aggregator(sink, clock)
    for total in (100, 110, 5, 8):
        lines.receive(f"C:bytes:{total}".encode(), T0 + 1)
    lines.flush(T0 + 1001)
    assert sink.of(name="bytes", statistic="count") == {T0 + 1000: 13.0}


def test_unsigned_total_rolls_over(sink: MemorySink, clock: FakeClock) -> None:
    """A smaller unsigned total has wrapped at 2**64, and no digit is lost."""
    lines = aggregator(sink, clock)
    lines.receive(f"U:packets:{2**64 - 3}\nU:packets:4".encode(), T0 + 1)
    lines.flush(T0 + 1001)
    assert sink.of(name="packets", statistic="count") == {T0 + 1000: 7.0}


def test_sampled_total_uses_its_own_time(sink: MemorySink, clock: FakeClock) -> None:
    """The rate between two samples is that of the time between them."""
    lines = aggregator(sink, clock)
    lines.receive(b"X,1000:reads:100\nX,11000:reads:400\nX,10000:reads:500", T0 + 1)
    lines.flush(T0 + 1001)
    assert sink.of(name="reads", statistic="count") == {T0 + 1000: 30.0}
    assert lines.stats().dropped == {"sample_not_newer": 1}


def test_malformed_lines_are_counted_and_cost_nothing_else(
    sink: MemorySink, clock: FakeClock
) -> None:
    """Bad lines among good ones are counted by reason; empty lines are not lines."""
    lines = aggregator(sink, clock)
    lines.receive(b"\nc:ok:1\nrubbish\nc:ok:x\nz:what:1\nt:ok:-1\n\nc:ok:1\r\n", T0 + 1)
    lines.flush(T0 + 1001)
    stats = lines.stats()
    assert stats.dropped == {
        "malformed": 1,
        "bad_amount": 1,
        "unknown_type": 1,
        "negative_amount": 1,
    }
    assert sink.of(name="ok", statistic="count") == {T0 + 1000: 2.0}


def test_meters_are_bounded(sink: MemorySink, clock: FakeClock) -> None:
    """Beyond the limit new meters are refused and counted; known ones go on."""
    lines = aggregator(sink, clock, max_meters=2)
    lines.receive(b"c:aa:1\nc:bb:1\nc:cc:1\nc:aa:1", T0 + 1)
    lines.flush(T0 + 1001)
    assert lines.stats().dropped == {"too_many_meters": 1}
    assert sink.of(name="aa", statistic="count") == {T0 + 1000: 2.0}


def test_full_sink_is_counted_and_asked_again_later(sink: MemorySink, clock: FakeClock) -> None:
    """A series that finds no room is dropped by count, and gets in when there is room."""
    sink.capacity = 0
    lines = aggregator(sink, clock)
    lines.receive(b"c:aa:1", T0 + 1)
    lines.flush(T0 + 1001)
    assert lines.stats().dropped == {"series_limit": 1}
    sink.capacity = 10
    lines.receive(b"c:aa:4", T0 + 100_001)
    lines.flush(T0 + 101_001)
    assert sink.of(name="aa", statistic="count") == {T0 + 101_000: 4.0}


def test_retired_series_is_resolved_again(sink: MemorySink, clock: FakeClock) -> None:
    """A stale handle is noticed and the value is written under a fresh one."""
    lines = aggregator(sink, clock)
    lines.receive(b"c:aa:1", T0 + 1)
    lines.flush(T0 + 1001)
    sink.retire_all()
    lines.receive(b"c:aa:2", T0 + 1500)
    lines.flush(T0 + 2001)
    assert sink.of(name="aa", statistic="count") == {T0 + 1000: 1.0, T0 + 2000: 2.0}


def test_idle_meters_are_forgotten(sink: MemorySink, clock: FakeClock) -> None:
    """After its TTL an idle meter leaves, and a later line makes it anew."""
    lines = aggregator(sink, clock, meter_ttl_s=100)
    lines.receive(b"c:aa:1", T0 + 1)
    for second in range(1, 200):
        lines.flush(T0 + second * 1000 + 1)
    assert lines.stats().meters == 0
    lines.receive(b"c:aa:3", T0 + 200_500)
    lines.flush(T0 + 201_001)
    assert sink.of(name="aa", statistic="count")[T0 + 201_000] == 3.0


def test_each_step_is_completed_once_and_in_order(sink: MemorySink, clock: FakeClock) -> None:
    """The sink hears of every finished step, also of empty ones."""
    lines = aggregator(sink, clock)
    lines.flush(T0 + 3001)
    assert sink.completed[-3:] == [T0 + 1000, T0 + 2000, T0 + 3000]


UPDATES = st.lists(
    st.tuples(
        st.integers(min_value=0, max_value=4000),
        st.sampled_from(["aa", "bb"]),
        st.integers(min_value=0, max_value=1000),
    ),
    max_size=50,
)


def test_a_clock_that_is_set_back_is_followed(sink: MemorySink, clock: FakeClock) -> None:
    """After the clock went back an hour, steps close by the new time."""
    lines = aggregator(sink, clock)
    lines.flush(T0 - 3_600_000)
    lines.receive(b"c:aa:1", T0 - 3_600_000 + 1)
    lines.flush(T0 - 3_600_000 + 1001)
    assert sink.of(name="aa", statistic="count") == {T0 - 3_599_000: 1.0}


@pytest.mark.slow
@given(UPDATES)
def test_no_increment_is_lost_or_invented(updates: list[tuple[int, str, int]]) -> None:
    """Over all steps a counter's rates add up to exactly what was sent."""
    sink, clock = MemorySink(), FakeClock()
    lines = LineAggregator(IngestSettings(), sink, clock)
    for at, name, amount in sorted(updates):
        lines.receive(f"c:{name}:{amount}\nT:t.{name}:{amount}".encode(), T0 + at)
    lines.flush(T0 + 10_000)
    for name in ("aa", "bb"):
        sent = [amount for _, each, amount in updates if each == name]
        assert math.fsum(sink.of(name=name, statistic="count").values()) == sum(sent)
        assert math.fsum(sink.of(name=f"t.{name}", statistic="count").values()) == len(sent)
        assert math.fsum(sink.of(name=f"t.{name}", statistic="totalTime").values()) == sum(sent)
    buckets = math.fsum(v for (k, _), v in sink.points.items() if "statistic=percentile" in k)
    assert buckets == len(updates)


@given(st.binary(max_size=300))
def test_no_datagram_stops_the_aggregator(data: bytes) -> None:
    """Whatever a datagram holds, nothing is raised and the next step closes."""
    sink, clock = MemorySink(), FakeClock()
    lines = LineAggregator(IngestSettings(), sink, clock)
    lines.receive(data, T0 + 1)
    lines.flush(T0 + 2001)
    assert sink.completed[-1] == T0 + 2000
