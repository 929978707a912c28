"""The published algorithms, number for number, on sequences worked out by hand."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakwater.sdk.guard.config import AdaptiveConfig
from breakwater.sdk.guard.limiting.adaptive import make_limit
from breakwater.sdk.guard.limiting.aimd import Aimd
from breakwater.sdk.guard.limiting.gradient import Gradient2
from breakwater.sdk.guard.limiting.vegas import Vegas
from breakwater.sdk.guard.limiting.windowed import Windowed


class Jitter(Random):
    """A jitter that is always the same."""

    def __init__(self, value: float) -> None:
        super().__init__(0)
        self.value = value

    def uniform(self, a: float, b: float) -> float:
        return self.value


class Recorder:
    """A limit that only writes down what it is told."""

    limit = 7

    def __init__(self) -> None:
        self.samples: list[tuple[float, float, int, bool]] = []

    def update(self, now_s: float, rtt_s: float, inflight: int, did_drop: bool) -> int:  # noqa: FBT001 - see Limit
        self.samples.append((now_s, rtt_s, inflight, did_drop))
        return self.limit


def test_aimd_adds_one_while_half_of_it_is_used() -> None:
    """One more for each sample with at least half of the limit in flight, else it stays."""
    limit = Aimd()
    assert [limit.update(0, 0.01, n, False) for n in (10, 11, 10, 5)] == [21, 22, 22, 22]


def test_aimd_backs_off_on_drops_and_slow_calls() -> None:
    """A drop, or a call above five seconds, leaves int(limit * 0.9), never below the minimum."""
    limit = Aimd(initial=30)
    assert limit.update(0, 0.01, 30, True) == 27
    assert limit.update(0, 5.0, 30, False) == 28
    assert limit.update(0, 5.001, 30, False) == 25
    assert [limit.update(0, 0.01, 1, True) for _ in range(3)] == [22, 20, 20]


def test_aimd_stops_at_the_maximum() -> None:
    """Not one above."""
    limit = Aimd(initial=199)
    assert [limit.update(0, 0.01, 200, False) for _ in range(3)] == [200, 200, 200]


def test_vegas_learns_the_shortest_latency_without_moving() -> None:
    """The first sample and each new minimum only set the no-load latency."""
    limit = Vegas(random=Jitter(1.0))
    assert limit.update(0, 0.010, 20, False) == 20
    assert limit.update(0, 0.008, 20, False) == 20
    assert limit.noload_s == 0.008


@pytest.mark.parametrize(
    ("rtt_s", "inflight", "did_drop", "after"),
    [
        (0.0100, 20, False, 26),  # queue ceil(20 * 0) = 0 <= 1: six more
        (0.0105, 20, False, 26),  # queue ceil(0.952) = 1 <= 1: six more
        (0.0110, 20, False, 21),  # queue ceil(1.82) = 2 < 3: one more
        (0.0120, 20, False, 20),  # queue ceil(3.33) = 4: stays
        (0.0140, 20, False, 20),  # queue ceil(5.71) = 6: stays
        (0.0150, 20, False, 19),  # queue ceil(6.67) = 7 > 6: one less
        (0.0150, 9, False, 20),  # less than half in flight: stays
        (0.0100, 9, True, 19),  # dropped: one less, whatever is in flight
    ],
)
def test_vegas_follows_the_estimated_queue(
    rtt_s: float, inflight: int, *, did_drop: bool, after: int
) -> None:
    """At a limit of 20 the step is 1: up by 6 or 1, stay, or down by 1."""
    limit = Vegas(random=Jitter(1.0))
    limit.update(0, 0.010, 20, False)
    assert limit.update(0, rtt_s, inflight, did_drop) == after


def test_vegas_steps_by_the_logarithm() -> None:
    """At 100 the step is 2; at 2500, above the table, the root: 50."""
    for initial, after in ((100, 112), (2500, 2800)):
        limit = Vegas(random=Jitter(1.0), initial=initial, maximum=10_000)
        limit.update(0, 0.010, initial, False)
        assert limit.update(0, 0.010, initial, False) == after


def test_vegas_probes_anew_after_thirty_limits() -> None:
    """With a jitter of 0.5 and a limit of 1, each 15th sample becomes the no-load latency."""
    limit = Vegas(random=Jitter(0.5), initial=1, maximum=1)
    for _ in range(14):
        limit.update(0, 0.010, 1, False)
    assert limit.noload_s == 0.010
    limit.update(0, 0.050, 1, False)
    assert limit.noload_s == 0.050


def test_vegas_smooths_and_never_goes_below_one() -> None:
    """Half of a step of six is three; the floor is one."""
    limit = Vegas(random=Jitter(1.0), smoothing=0.5)
    limit.update(0, 0.010, 20, False)
    assert limit.update(0, 0.010, 20, False) == 23
    low = Vegas(random=Jitter(1.0), initial=2)
    low.update(0, 0.010, 2, False)
    assert [low.update(0, 0.011, 2, True) for _ in range(3)] == [1, 1, 1]


def test_gradient2_grows_by_a_fifth_of_the_queue() -> None:
    """With level latency: 20 + 0.2 * 4 = 20.8, then 21.6, 22.4, 23.2 ... cut to whole numbers."""
    limit = Gradient2()
    assert [limit.update(0, 0.010, 20, False) for _ in range(5)] == [20, 21, 22, 23, 24]


def test_gradient2_shrinks_when_latency_rises() -> None:
    """Long 10 ms x 9 and 40 ms: mean 13 ms; gradient max(0.5, 1.5 * 13 / 40) = 0.5."""
    limit = Gradient2(initial=100)
    for _ in range(9):
        limit.update(0, 0.010, 10, False)  # less than half in flight: only the mean moves
    assert limit.limit == 100
    # 100 * 0.8 + (100 * 0.5 + 4) * 0.2 = 90.8
    assert limit.update(0, 0.040, 100, False) == 90
    assert limit.long_s == pytest.approx(0.013)


def test_gradient2_averages_exponentially_after_ten() -> None:
    """The eleventh sample weighs 2 / 601."""
    limit = Gradient2()
    for _ in range(10):
        limit.update(0, 0.010, 1, False)
    limit.update(0, 0.020, 1, False)
    assert limit.long_s == pytest.approx(0.010 + 0.010 * 2 / 601)


def test_gradient2_forgets_overload_faster() -> None:
    """A long average above twice the present latency loses five percent more."""
    limit = Gradient2()
    for _ in range(10):
        limit.update(0, 0.100, 1, False)
    limit.update(0, 0.010, 1, False)
    average = 0.100 + (0.010 - 0.100) * 2 / 601
    assert limit.long_s == pytest.approx(average * 0.95)


def test_gradient2_ignores_drops_as_published() -> None:
    """A drop is a sample like another: this is one of the faults that `guarded` mends."""
    limit, other = Gradient2(), Gradient2()
    for _ in range(50):
        limit.update(0, 5.0, 20, True)
        other.update(0, 5.0, 20, False)
    assert limit.limit == other.limit > 35  # the maximum, if it goes on


def test_windows_give_mean_most_and_any_drop() -> None:
    """One sample for a second: mean latency, the most in flight, and whether any was dropped."""
    inner = Recorder()
    limit = Windowed(inner)
    limit.update(100.0, 0.010, 1, False)  # ends the empty first window: too few, thrown away
    for number in range(9):
        limit.update(100.5, 0.010, number, number == 3)
    assert inner.samples == []
    assert limit.update(101.001, 0.020, 2, False) == 7
    ((now_s, rtt_s, most, did_drop),) = inner.samples
    assert (now_s, most, did_drop) == (101.001, 8, True)
    assert rtt_s == pytest.approx(0.011)


def test_windows_leave_out_what_took_no_time() -> None:
    """Calls below 100 microseconds were no work and are no samples."""
    inner = Recorder()
    limit = Windowed(inner, minimum_samples=1)
    limit.update(100.0, 99e-6, 50, True)
    limit.update(100.0, 100e-6, 1, False)
    assert inner.samples == [(100.0, 100e-6, 1, False)]


def test_a_window_with_too_few_samples_is_thrown_away() -> None:
    """Nine samples of an idle second say nothing, and do not count towards the next."""
    inner = Recorder()
    limit = Windowed(inner)
    limit.update(100.0, 0.01, 1, False)
    for _ in range(8):
        limit.update(100.5, 0.01, 1, False)
    limit.update(101.5, 0.01, 1, False)
    for _ in range(8):
        limit.update(102.0, 0.01, 1, False)
    limit.update(103.0, 0.01, 1, False)
    assert inner.samples == []


def test_the_next_window_is_twice_the_shortest_latency_within_bounds() -> None:
    """From 0.5 s to 2 s: after a shortest latency of 0.6 s the window lasts 1.2 s."""
    inner = Recorder()
    limit = Windowed(inner, min_window_s=0.5, max_window_s=2.0, minimum_samples=1)
    limit.update(100.0, 0.6, 1, False)
    limit.update(101.2, 0.1, 1, False)
    assert len(inner.samples) == 1
    limit.update(101.21, 0.1, 1, False)
    assert len(inner.samples) == 2


@pytest.mark.parametrize("algorithm", ["aimd", "vegas", "gradient2", "guarded"])
def test_configured_numbers_reach_the_algorithm(algorithm: str) -> None:
    """Each algorithm starts at `initial`."""
    config = AdaptiveConfig(algorithm=algorithm, initial=33)  # type: ignore[arg-type] # a parameter
    assert make_limit(config, Random(1)).limit == 33


SAMPLES = st.lists(
    st.tuples(
        st.floats(0.0, 3.0),
        st.floats(0.0002, 60.0),
        st.integers(1, 2000),
        st.booleans(),
    ),
    max_size=300,
)


@pytest.mark.parametrize("algorithm", ["aimd", "vegas", "gradient2", "guarded"])
@given(samples=SAMPLES)
def test_no_samples_drive_a_limit_out_of_its_bounds(
    algorithm: str, samples: list[tuple[float, float, int, bool]]
) -> None:
    """Whatever it is told, a limit stays between minimum (vegas: 1) and maximum."""
    config = AdaptiveConfig(
        algorithm=algorithm,  # type: ignore[arg-type] # a parameter
        initial=40,
        minimum=10,
        maximum=90,
        window_s=0.1,
        minimum_samples=1,
    )
    limit = make_limit(config, Random(1))
    now_s = 100.0
    for pause_s, rtt_s, inflight, did_drop in samples:
        now_s += pause_s
        after = limit.update(now_s, rtt_s, inflight, did_drop)
        assert after == limit.limit
        assert (1 if algorithm == "vegas" else 10) <= after <= 90
