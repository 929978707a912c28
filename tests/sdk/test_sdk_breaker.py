"""The circuit breaker: its rules one by one, and all of them against a plain model."""

import threading
from collections import deque

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from breakwater.sdk import SettingsError
from breakwater.sdk.guard import Breaker, BreakerConfig, BreakerState, Permit

CONFIG = BreakerConfig(
    failure_percent=50.0,
    minimum_calls=4,
    window_s=10.0,
    open_s=2.0,
    half_open_permits=3,
    probe_lease_s=5.0,
)


def admitted(breaker: Breaker, now_s: float) -> Permit:
    """A permit that must be given."""
    permit = breaker.admit(now_s)
    assert permit is not None
    return permit


def state(breaker: Breaker) -> BreakerState:
    """Where it stands now."""
    return breaker.state


def call(breaker: Breaker, now_s: float, *, fails: bool) -> None:
    """One call that is admitted and ends at once."""
    breaker.settle(admitted(breaker, now_s), is_failure=fails, now_s=now_s)


def opened(now_s: float = 100.0) -> Breaker:
    """A breaker that opened at `now_s`."""
    breaker = Breaker(CONFIG)
    for _ in range(CONFIG.minimum_calls):
        call(breaker, now_s, fails=True)
    assert state(breaker) is BreakerState.OPEN
    return breaker


def probes(breaker: Breaker, now_s: float) -> list[Permit]:
    """As many probes as it lets through at `now_s`."""
    found: list[Permit] = []
    while (permit := breaker.admit(now_s)) is not None:
        found.append(permit)
    return found


def test_it_stays_closed_below_the_minimum_of_calls() -> None:
    """Three failures out of three are too few to judge."""
    breaker = Breaker(CONFIG)
    for _ in range(3):
        call(breaker, 100.0, fails=True)
    assert state(breaker) is BreakerState.CLOSED


def test_it_opens_at_the_share_of_failures() -> None:
    """Half of four calls failed: open, and nothing is admitted."""
    breaker = Breaker(CONFIG)
    for fails in (False, True, False, True):
        call(breaker, 100.0, fails=fails)
    assert state(breaker) is BreakerState.OPEN
    assert breaker.admit(101.9) is None
    assert breaker.stats().short_circuited == 1


def test_a_success_that_completes_the_minimum_is_judged_too() -> None:
    """Three failures and then a success are 75 % of four."""
    breaker = Breaker(CONFIG)
    for fails in (True, True, True, False):
        call(breaker, 100.0, fails=fails)
    assert state(breaker) is BreakerState.OPEN


def test_old_failures_leave_the_window() -> None:
    """What happened longer ago than the window counts no more."""
    breaker = Breaker(CONFIG)
    for _ in range(3):
        call(breaker, 100.0, fails=True)
    for _ in range(3):
        call(breaker, 111.5, fails=False)
    call(breaker, 111.5, fails=True)
    assert state(breaker) is BreakerState.CLOSED
    assert breaker.stats().window_calls == 4


def test_a_window_counted_in_calls_forgets_the_oldest_call() -> None:
    """With a window of four calls, time plays no part."""
    breaker = Breaker(BreakerConfig(minimum_calls=4, window_calls=4))
    for fails in (True, False, False, False, False, True):
        call(breaker, 100.0, fails=fails)
    assert state(breaker) is BreakerState.CLOSED
    call(breaker, 9999.0, fails=True)
    assert state(breaker) is BreakerState.OPEN


def test_half_open_admits_no_more_than_its_permits() -> None:
    """However many callers wait for it, three go through."""
    assert len(probes(opened(), 102.0)) == 3


def test_good_probes_close_it_and_forget_the_past() -> None:
    """A closed breaker starts from an empty window."""
    breaker = opened()
    for probe in probes(breaker, 102.0)[:2]:
        breaker.settle(probe, is_failure=False, now_s=102.1)
    assert state(breaker) is BreakerState.CLOSED
    assert breaker.stats().window_calls == 0


def test_bad_probes_open_it_again_from_now() -> None:
    """The wait starts anew."""
    breaker = opened()
    for probe in probes(breaker, 102.0)[:2]:
        breaker.settle(probe, is_failure=True, now_s=103.0)
    assert state(breaker) is BreakerState.OPEN
    assert breaker.admit(104.9) is None
    assert breaker.admit(105.0) is not None


def test_a_call_from_before_says_nothing_to_a_half_open_breaker() -> None:
    """A call admitted while closed is no probe, whenever it ends (resilience4j#935 lacks this)."""
    breaker = Breaker(CONFIG)
    slow = [admitted(breaker, 99.0) for _ in range(5)]
    for _ in range(4):
        call(breaker, 100.0, fails=True)
    assert len(probes(breaker, 102.0)) == 3
    for permit in slow:
        breaker.settle(permit, is_failure=False, now_s=102.5)
    assert state(breaker) is BreakerState.HALF_OPEN
    assert breaker.stats().stale_results == 5


def test_a_refused_call_never_reopens_a_half_open_breaker() -> None:
    """Refusals under the probe's feet kept Hystrix open for ever (Hystrix#1853)."""
    breaker = opened()
    waiting = probes(breaker, 102.0)
    for _ in range(50):
        assert breaker.admit(102.1) is None
    for probe in waiting:
        breaker.settle(probe, is_failure=False, now_s=102.2)
    assert state(breaker) is BreakerState.CLOSED


def test_a_cancelled_probe_gives_its_permit_back() -> None:
    """Cancelling all probes neither closes nor opens it, and new ones may go."""
    breaker = opened()
    for probe in probes(breaker, 102.0):
        breaker.release(probe)
    assert state(breaker) is BreakerState.HALF_OPEN
    assert len(probes(breaker, 102.1)) == 3


def test_a_hung_probe_loses_its_permit_and_its_say() -> None:
    """A probe that never reports sticks nothing; reporting late it changes nothing."""
    breaker = opened()
    hung = probes(breaker, 102.0)
    assert breaker.admit(106.9) is None
    fresh = probes(breaker, 107.0)
    assert len(fresh) == 3
    for probe in hung:
        breaker.settle(probe, is_failure=True, now_s=107.1)
    assert state(breaker) is BreakerState.HALF_OPEN
    assert breaker.stats().expired_probes == 3
    for probe in fresh:
        breaker.settle(probe, is_failure=False, now_s=107.2)
    assert state(breaker) is BreakerState.CLOSED


def test_a_probe_reports_only_once() -> None:
    """Settling a permit twice counts once."""
    breaker = opened()
    probe = admitted(breaker, 102.0)
    breaker.settle(probe, is_failure=False, now_s=102.0)
    breaker.settle(probe, is_failure=False, now_s=102.0)
    assert state(breaker) is BreakerState.HALF_OPEN


def test_many_threads_get_three_probes_between_them() -> None:
    """The limit of probes holds across threads."""
    breaker = opened()
    start = threading.Barrier(16)
    got: list[Permit] = []

    def ask() -> None:
        start.wait(10.0)
        got.extend(probes(breaker, 102.0))

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 3


@pytest.mark.parametrize(
    "bad",
    [
        {"failure_percent": 0.0},
        {"failure_percent": 101.0},
        {"minimum_calls": 0},
        {"half_open_permits": 0},
        {"open_s": 0.0},
        {"window_s": float("nan")},
        {"probe_lease_s": -1.0},
        {"window_calls": 5},
    ],
)
def test_a_configuration_that_cannot_work_is_refused(bad: dict[str, float]) -> None:
    """A breaker that never opens or never closes is a mistake, said at the start."""
    with pytest.raises(SettingsError, match=next(iter(bad))):
        BreakerConfig(**bad)  # type: ignore[arg-type] # one bad field at a time


class BreakerModel(RuleBasedStateMachine):
    """Any sequence of calls, results, cancellations and pauses, beside a model in plain words."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 1000.0
        self.breaker = Breaker(CONFIG)
        self.state = BreakerState.CLOSED
        self.epoch = 0
        self.window: deque[tuple[int, bool]] = deque()
        self.opened_s = 0.0
        self.good = self.bad = 0
        self.out: dict[int, tuple[Permit, int, float]] = {}
        self.probes: set[int] = set()
        self.serial = 0

    @rule(seconds=st.sampled_from([0.0, 0.1, 0.5, 1.0, 2.0, 5.0, 11.0]))
    def pause(self, seconds: float) -> None:
        """Time passes."""
        self.now_s += seconds

    @rule()
    def ask(self) -> None:
        """A caller asks for leave."""
        permit = self.breaker.admit(self.now_s)
        if self.state is BreakerState.OPEN and self.now_s >= self.opened_s + CONFIG.open_s:
            self.state = BreakerState.HALF_OPEN
            self.epoch += 1
            self.good = self.bad = 0
            self.probes.clear()
        if self.state is BreakerState.HALF_OPEN:
            self.probes = {p for p in self.probes if self.out[p][2] > self.now_s}
            expected = self.good + self.bad + len(self.probes) < CONFIG.half_open_permits
        else:
            expected = self.state is BreakerState.CLOSED
        assert (permit is not None) == expected
        if permit is not None:
            self.serial += 1
            self.out[self.serial] = (permit, self.epoch, self.now_s + CONFIG.probe_lease_s)
            if self.state is BreakerState.HALF_OPEN:
                self.probes.add(self.serial)

    @precondition(lambda self: self.out)
    @rule(data=st.data(), fails=st.booleans())
    def end(self, data: st.DataObject, fails: bool) -> None:  # noqa: FBT001 - drawn by Hypothesis
        """Some call under way ends."""
        serial = data.draw(st.sampled_from(sorted(self.out)))
        permit, epoch, lease_s = self.out.pop(serial)
        self.breaker.settle(permit, is_failure=fails, now_s=self.now_s)
        is_probe = serial in self.probes and lease_s > self.now_s
        self.probes.discard(serial)
        if self.state is BreakerState.CLOSED and epoch == self.epoch:
            self._count(fails)
        elif self.state is BreakerState.HALF_OPEN and is_probe:
            self._decide(fails)

    def _count(self, fails: bool) -> None:  # noqa: FBT001 - as above
        tick = int(self.now_s)
        self.window.append((tick, fails))
        while self.window[0][0] <= tick - 10:
            self.window.popleft()
        bad = sum(failed for _, failed in self.window)
        if len(self.window) >= CONFIG.minimum_calls and bad * 2 >= len(self.window):
            self._open()

    def _decide(self, fails: bool) -> None:  # noqa: FBT001 - as above
        self.bad += fails
        self.good += not fails
        if self.bad * 2 >= CONFIG.half_open_permits:
            self._open()
        elif (CONFIG.half_open_permits - self.good) * 2 < CONFIG.half_open_permits:
            self.state = BreakerState.CLOSED
            self.epoch += 1
            self.window.clear()
            self.probes.clear()

    def _open(self) -> None:
        self.state = BreakerState.OPEN
        self.epoch += 1
        self.opened_s = self.now_s
        self.probes.clear()

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """Some call under way is cancelled."""
        serial = data.draw(st.sampled_from(sorted(self.out)))
        permit, _, _ = self.out.pop(serial)
        self.breaker.release(permit)
        self.probes.discard(serial)

    @invariant()
    def agrees(self) -> None:
        """The breaker is where the model is, and lets no more probes out than it has permits."""
        assert self.breaker.state is self.state
        assert self.breaker.stats().probes_out <= CONFIG.half_open_permits

    def teardown(self) -> None:
        """From wherever it is, it closes again once the callee answers and time passes."""
        for _ in range(20):
            self.now_s += 10.0
            permit = self.breaker.admit(self.now_s)
            if permit is not None:
                self.breaker.settle(permit, is_failure=False, now_s=self.now_s)
        assert self.breaker.state is BreakerState.CLOSED


BreakerModel.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestBreakerModel = pytest.mark.slow(BreakerModel.TestCase)
