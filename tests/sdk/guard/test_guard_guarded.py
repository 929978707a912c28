"""The guarded limit: each known fault of the published algorithms, and that it is mended.

The callee is an ideal one: c workers, work of a given length, and as many calls in flight as the
limit or the demand allows. Its latency follows from Little's law.
"""

from random import Random

import pytest

from breakwater.sdk.guard.limiting.gradient import Gradient2
from breakwater.sdk.guard.limiting.guarded import Guarded
from breakwater.sdk.guard.limiting.limit import Limit
from breakwater.sdk.guard.limiting.windowed import Windowed


class Callee:
    """An ideal callee and its callers, in virtual time."""

    def __init__(self, limit: Limit, *, workers: int = 20, work_s: float = 0.05) -> None:
        self.limit = limit
        self.workers = workers
        self.work_s = work_s
        self.demand = 1000
        self.spread = 0.1
        self.now_s = 100.0
        self.is_dead = False
        self.timeout_s = 1.0
        self.random = Random(7)

    def serve(self, seconds: float) -> int:
        """Let calls end for so long; returns the limit then."""
        until_s = self.now_s + seconds
        while self.now_s < until_s:
            inflight = min(self.limit.limit, self.demand)
            rate = min(inflight, self.workers) / self.work_s
            if self.is_dead:
                self.now_s += self.timeout_s / inflight
                self.limit.update(self.now_s, self.timeout_s, inflight, True)
                continue
            self.now_s += 1 / rate
            noise = self.random.uniform(1 - self.spread, 1 + self.spread)
            self.limit.update(self.now_s, inflight / rate * noise, inflight, False)
        return self.limit.limit


def guarded(**numbers: int) -> Guarded:
    """The algorithm with its defaults but for `numbers`."""
    return Guarded(random=Random(1), **numbers)


def test_it_finds_what_the_callee_holds() -> None:
    """From 20 to a fifth above 100 workers and a few to queue, and back to 10 workers."""
    callee = Callee(guarded(), workers=100)
    assert 110 <= callee.serve(15.0) <= 150
    callee.workers = 10
    assert 12 <= callee.serve(15.0) <= 24


@pytest.mark.slow
def test_overload_does_not_make_it_creep() -> None:
    """However long calls queue, the limit stays near the workers; Gradient2 goes on upwards."""
    callee, published = Callee(guarded()), Callee(Windowed(Gradient2()))
    callee.serve(30.0)
    limits = [callee.serve(30.0) for _ in range(10)]
    assert max(limits) <= 45
    assert published.serve(330.0) > 60


def test_a_plateau_of_timeouts_is_not_normal() -> None:
    """When every call times out alike the limit goes to its floor, Gradient2's to its maximum."""
    callee, published = Callee(guarded(minimum=3)), Callee(Windowed(Gradient2()))
    callee.serve(10.0)
    callee.is_dead = published.is_dead = True
    assert callee.serve(120.0) == 3
    assert published.serve(300.0) == 200


def test_it_heals_after_back_pressure() -> None:
    """Once the callee answers again the limit is back within seconds."""
    callee = Callee(guarded(), workers=50)
    callee.serve(10.0)
    callee.is_dead = True
    callee.serve(60.0)
    callee.is_dead = False
    assert callee.serve(10.0) >= 50


def test_a_callee_that_is_slower_for_good_is_not_starved() -> None:
    """Three times the work each, as many workers: a cut does not help, so it is taken back."""
    callee = Callee(guarded(), workers=50)
    callee.serve(10.0)
    callee.work_s = 0.15
    assert callee.serve(30.0) >= 50
    assert callee.limit.baseline_s == pytest.approx(0.15, rel=0.25)  # type: ignore[attr-defined] # it is a Guarded


def test_where_calls_are_long_it_looks_upwards_in_steps() -> None:
    """A callee of a hundred workers that takes a second a call is used within half a minute."""
    callee = Callee(guarded(), workers=100, work_s=1.0)
    assert callee.serve(30.0) >= 90
    assert callee.serve(120.0) <= 200  # what does not follow is taken back


def test_a_trial_that_found_no_queue_goes_back_to_where_it_began() -> None:
    """The callee is twice as slow: both cuts cost throughput, so no place was too many."""
    callee = Callee(guarded(), workers=50, work_s=0.05)
    callee.serve(20.0)
    before = callee.limit.limit
    callee.work_s = 0.12
    callee.serve(6.0)
    assert callee.limit.limit >= 0.8 * before


def test_answers_to_calls_from_before_a_change_count_for_the_throughput() -> None:
    """Else every change of the limit would look as if the callee did less for one latency."""
    limit = guarded(initial=100)
    limit._move(60.0, 100.0)
    limit.update(100.05, 0.2, 100, False)  # it began before the change
    assert (limit._window.answered, limit._window.length()) == (1, 0)
    limit.update(100.10, 0.05, 60, False)
    assert (limit._window.answered, limit._window.length()) == (2, 1)


def test_a_baseline_measured_under_load_is_corrected() -> None:
    """Started in the middle of an overload, the first latency is not believed for long."""
    callee = Callee(guarded(initial=200), workers=10)
    assert callee.serve(60.0) <= 20


def test_noise_does_not_pass_for_a_shorter_way() -> None:
    """Calls of very different length: their mean counts, not the shortest of them."""
    callee = Callee(guarded(), workers=50)
    callee.spread = 0.95
    callee.serve(15.0)
    assert min(callee.serve(1.0) for _ in range(60)) >= 28  # trials included
    assert callee.serve(1.0) <= 110


def test_without_demand_it_does_not_grow() -> None:
    """A limit that holds nobody back has no reason to move."""
    callee = Callee(guarded(), workers=50)
    callee.demand = 5
    assert callee.serve(60.0) == 20


def test_a_few_drops_are_the_callees_own() -> None:
    """Three calls in a hundred that fail whatever the limit do not shrink it."""
    limit = guarded(initial=50)
    now_s, random = 100.0, Random(3)
    for _ in range(20_000):
        now_s += 0.001
        limit.update(now_s, 0.05, limit.limit, random.random() < 0.03)
    assert limit.limit >= 50


def test_refusals_shrink_it_by_the_places_they_waste() -> None:
    """Quick 503s beyond 30 places: however many they are, the limit settles near 30."""
    limit, random = guarded(initial=60), Random(3)
    now_s = 100.0
    while now_s < 120.0:
        good_rate = min(limit.limit, 30) / 0.05
        rate = good_rate + max(0, limit.limit - 30) / 0.002
        now_s += 1 / rate
        is_good = random.random() < good_rate / rate
        limit.update(now_s, 0.05 if is_good else 0.002, limit.limit, not is_good)
    assert 20 <= limit.limit <= 36


def test_calls_from_before_a_change_are_left_out() -> None:
    """What began under another limit says nothing about this one."""
    limit = guarded(initial=100)
    for number in range(200):
        limit.update(100.0 + number * 0.02, 0.05, 100, True)
    after = limit.limit
    assert after < 100
    changed_s = 104.0
    for number in range(1000):  # all of these began long before the change
        limit.update(changed_s + number * 0.0001, 4.9, 100, True)
    assert limit.limit == after
