"""The choice of an instance: load, zones, evidence, trials, slow start, and what is told of it."""

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from itertools import pairwise
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sdk.balancing import SERVICE, fail, instance, instances, picked, resolver_of, spread

from breakwater.model import CalleeReport, SystemClock
from breakwater.sdk import BalancerConfig, SettingsError
from breakwater.sdk.discovery import Evidence, Pick, Resolver
from breakwater.sdk.discovery.judgement import (
    backoff_s,
    ejection_s,
    most_ejected,
    near_share,
    outliers,
    ramp,
)
from breakwater.testing import FakeClock

FAILURE, REFUSED, SUCCESS = Evidence.FAILURE, Evidence.REFUSED, Evidence.SUCCESS


def states(resolver: Resolver) -> dict[str, str]:
    """The state of each instance."""
    return {one.instance_id: one.state for one in resolver.loads(SERVICE)}


# Load


def test_the_less_loaded_of_two_is_taken(clock: FakeClock) -> None:
    """Calls that never end at one instance keep others away from it."""
    resolver = resolver_of(instances(2), clock)
    slow = [picked(resolver) for _ in range(4)]
    assert [one.in_flight for one in resolver.loads(SERVICE)] == [2, 2]
    for pick in slow:
        if pick.instance.instance_id == "prices-0":
            pick.settle(SUCCESS)
    assert spread(resolver, 10) == {"prices-0": 10}


@settings(max_examples=50, deadline=None)
@given(count=st.integers(1, 40), seed=st.integers(0, 1000))
def test_idle_instances_share_evenly(count: int, seed: int) -> None:
    """One call at a time: none gets less than half or more than double its share, none starves."""
    resolver = resolver_of(instances(count), FakeClock(), seed=seed)
    found = spread(resolver, 40 * count)
    assert len(found) == count
    assert min(found.values()) >= 20
    assert max(found.values()) <= 80


@settings(max_examples=50, deadline=None)
@given(count=st.integers(2, 60), per_instance=st.integers(1, 20), seed=st.integers(0, 1000))
def test_calls_under_way_are_spread(count: int, per_instance: int, seed: int) -> None:
    """With all calls still under way the fullest instance is a few above the mean, no more."""
    resolver = resolver_of(instances(count), FakeClock(), seed=seed)
    for _ in range(count * per_instance):
        picked(resolver)
    assert max(one.in_flight for one in resolver.loads(SERVICE)) <= per_instance + 5


def test_weights_divide_the_calls(clock: FakeClock) -> None:
    """An instance of weight 3 gets three times what one of weight 1 does, and neither starves."""
    known = [instance(0, metadata={"weight": "3"}), instance(1)]
    found = spread(resolver_of(known, clock), 4000)
    assert found["prices-0"] / 4000 == pytest.approx(0.75, abs=0.04)


@pytest.mark.parametrize("nonsense", ["", "many", "0", "-1", "nan", "inf", "1000"])
def test_a_weight_that_makes_no_sense_is_one(clock: FakeClock, nonsense: str) -> None:
    """What an instance says of itself cannot take it out, nor give it everything."""
    known = [instance(0, metadata={"weight": nonsense}), instance(1)]
    assert [one.weight for one in resolver_of(known, clock).loads(SERVICE)] == [1.0, 1.0]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from(Evidence)), max_size=60), st.randoms())
def test_calls_under_way_are_counted_exactly(
    steps: list[tuple[bool, Evidence]], random: Random
) -> None:
    """From pick to settle, whatever it ends in; a second settle changes nothing."""
    resolver = resolver_of(instances(3), FakeClock())
    out: list[Pick] = []
    for is_pick, evidence in steps:
        if is_pick:
            pick = resolver.pick(SERVICE)
            out += [] if pick is None else [pick]
        elif out:
            pick = out.pop(random.randrange(len(out)))
            pick.settle(evidence)
            pick.settle(SUCCESS)
    assert sum(one.in_flight for one in resolver.loads(SERVICE)) == len(out)


def test_threads_lose_no_count(clock: FakeClock) -> None:
    """Eight threads pick and settle; at the end nothing is under way and every call was counted."""
    resolver = resolver_of(instances(5), clock)

    def work() -> None:
        for number in range(500):
            picked(resolver).settle(FAILURE if number % 7 == 0 else SUCCESS)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    loads = resolver.loads(SERVICE)
    assert sum(one.calls for one in loads) == 4000
    assert all(one.in_flight == 0 for one in loads)


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads that take turns as often as can be."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.slow
@pytest.mark.usefixtures("restless")
def test_threads_may_do_everything_at_once() -> None:
    """Picks of every kind while instances come, go and are looked at: none raises, none leaks."""
    clock = SystemClock()
    resolver = resolver_of(instances(6, "ab"), clock, refused_base_s=1e-4, refused_max_s=1e-3)
    errors: list[BaseException] = []
    is_over = threading.Event()

    def work(seed: int) -> None:
        random = Random(seed)
        try:
            while not is_over.is_set():
                sticky = random.choice([None, f"user-{random.randrange(50)}"])
                exclude = random.choice([(), ("prices-1",)])
                pick = resolver.pick(SERVICE, exclude, sticky, may_try=random.random() < 0.5)
                if pick is not None:
                    pick.settle(random.choice(list(Evidence)))
        except BaseException as error:  # noqa: BLE001 - told to the thread that asserts
            errors.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    random = Random(5)
    for _ in range(500):
        resolver.pin(SERVICE, random.sample(instances(6, "ab"), random.randint(0, 6)))
        resolver.explain(SERVICE)
        resolver.take_report()
        resolver.stats()
    is_over.set()
    for thread in threads:
        thread.join()
    assert errors == []
    assert resolver.stats().services[0].in_flight == 0
    assert all(one.in_flight == 0 for one in resolver.loads(SERVICE))


def test_a_fork_does_not_wait_for_a_thread_that_is_not_there(clock: FakeClock) -> None:
    """In a child of a process whose other thread was just counting, calls are counted anew."""
    resolver = resolver_of(instances(2), clock)
    picked(resolver).settle(SUCCESS)
    lock, has_it, may_go = resolver._callees[SERVICE]._lock, threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            has_it.set()
            may_go.wait(10.0)

    thread = threading.Thread(target=hold)
    thread.start()
    has_it.wait(10.0)
    try:
        child = os.fork()
        if child == 0:
            try:
                signal.alarm(5)  # ends the child if it hangs
                picked(resolver).settle(SUCCESS)
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        may_go.set()
        thread.join()


# Zones


def test_calls_stay_in_a_zone_that_is_well(clock: FakeClock) -> None:
    """As long as 71 % of its instances are well, by 1.4 times their number, none leaves."""
    resolver = resolver_of(instances(20, "ab"), clock, max_ejected_percent=100)
    for number in (0, 2):  # 8 of 10 are left
        fail(resolver, f"prices-{number}", FAILURE, 5)
    assert all(int(name[7:]) % 2 == 0 for name in spread(resolver, 300))
    assert resolver.stats().out_of_zone == 0


def test_what_a_zone_cannot_take_is_spilled(clock: FakeClock) -> None:
    """With half of the zone well, 30 % of calls leave it, evenly over all others."""
    resolver = resolver_of(instances(30, "abc"), clock)
    for number in range(0, 15, 3):
        fail(resolver, f"prices-{number}", REFUSED)
    found = spread(resolver, 5000)
    away = {name: count for name, count in found.items() if int(name[7:]) % 3}
    assert sum(away.values()) / 5000 == pytest.approx(0.3, abs=0.03)
    assert len(away) == 20
    assert max(away.values()) < 2 * min(away.values())


def test_an_empty_zone_is_no_hindrance(clock: FakeClock) -> None:
    """With nobody at home, and with everybody there refusing, others get all."""
    resolver = resolver_of(instances(4, "bc"), clock)
    assert len(spread(resolver, 100)) == 4
    resolver = resolver_of(instances(4, "ab"), clock)
    for name in ("prices-0", "prices-2"):
        fail(resolver, name, REFUSED)
    assert set(spread(resolver, 100)) == {"prices-1", "prices-3"}


@pytest.mark.parametrize(("zone", "prefers"), [("", True), ("a", False)])
def test_zones_may_mean_nothing(
    clock: FakeClock,
    zone: str,
    prefers: bool,  # noqa: FBT001 - drawn by pytest
) -> None:
    """Without a zone of its own, or when told so, a caller treats all instances alike."""
    resolver = resolver_of(instances(4, "ab"), clock, zone=zone, zone_preference=prefers)
    assert len(spread(resolver, 100)) == 4


def test_calls_leave_a_zone_that_is_much_busier(clock: FakeClock) -> None:
    """Above four times the load elsewhere and 8 calls each, they go there."""
    resolver = resolver_of(instances(4, "ab"), clock)
    for _ in range(2 * 33):
        picked(resolver)
    assert resolver.stats().out_of_zone == 0
    for _ in range(100):
        picked(resolver)
    assert resolver.stats().services[0].spilled > 0
    near, also_near, far, also_far = [one.in_flight for one in resolver.loads(SERVICE)]
    assert max(near, also_near) <= 4 * (max(far, also_far) + 8) + 1
    resolver = resolver_of(instances(4, "ab"), clock, spill_ratio=None)
    for _ in range(200):
        picked(resolver)
    assert resolver.stats().out_of_zone == 0


@given(near=st.integers(1, 50), far=st.integers(0, 50), well=st.data(), over=st.floats(1.0, 3.0))
def test_the_share_of_a_zone_is_a_share(
    near: int, far: int, well: st.DataObject, over: float
) -> None:
    """It is 0 to 1, all of it if enough are well, none if none is, and grows with those well."""
    up, away = well.draw(st.integers(0, near)), well.draw(st.integers(0, far))
    share = near_share(near, up, far, away, over)
    assert 0.0 <= share <= 1.0
    assert share == 1.0 or over * up < near
    assert (share == 0.0) == (up == 0)
    if up < near:
        assert near_share(near, up + 1, far, away, over) >= share


# Evidence


def test_one_that_refuses_is_passed_over_at_once(clock: FakeClock) -> None:
    """The first refusal is enough; after a second one call is tried, and no other with it."""
    resolver = resolver_of(instances(3), clock)
    fail(resolver, "prices-0", REFUSED)
    assert "prices-0" not in spread(resolver, 50)
    clock.advance(1.0)
    trial = picked(resolver)
    assert (trial.instance.instance_id, trial.is_trial) == ("prices-0", True)
    assert "prices-0" not in spread(resolver, 50)
    trial.settle(SUCCESS)
    assert set(spread(resolver, 50)) == {"prices-0", "prices-1", "prices-2"}


def test_trials_become_rarer(clock: FakeClock) -> None:
    """After 1, 2, 4 ... 30 s, less up to a quarter of it: nine trials in two minutes."""
    resolver = resolver_of(instances(3), clock)
    fail(resolver, "prices-0", REFUSED)
    trials = []
    for tenth in range(1200):
        clock.advance(0.1)
        pick = picked(resolver)
        is_dead = pick.instance.instance_id == "prices-0"
        assert pick.is_trial == is_dead
        trials += [tenth / 10] if is_dead else []
        pick.settle(REFUSED if is_dead else SUCCESS)
    gaps = [after - before for before, after in pairwise(trials)]
    assert 7 <= len(trials) <= 11
    assert gaps == sorted(gaps) or max(gaps) > 22
    assert max(gaps) <= 30.1


@given(st.integers(1, 10_000), st.floats(0, 1), st.floats(0.01, 100), st.floats(1, 100))
def test_a_backoff_is_bounded(refusals: int, chance: float, base_s: float, factor: float) -> None:
    """Between three quarters of its length and all of it, and never above the most."""
    most_s = base_s * factor
    found = backoff_s(refusals, base_s, most_s, chance)
    whole = min(most_s, base_s * 2.0 ** min(refusals - 1, 60))
    assert 0.75 * whole <= found <= whole <= most_s


def test_calls_begun_before_do_not_count_twice(clock: FakeClock) -> None:
    """Twenty calls that were under way when an instance died are one refusal."""
    resolver = resolver_of(instances(2), clock)
    out = [picked(resolver) for _ in range(40)]
    for pick in out:
        pick.settle(REFUSED if pick.instance.instance_id == "prices-0" else SUCCESS)
    assert resolver.loads(SERVICE)[0].refusals_in_row == 1
    assert resolver.loads(SERVICE)[0].refused == 20


def test_when_all_refuse_calls_fail_at_once(clock: FakeClock) -> None:
    """After three refusals each nobody is picked but one on trial each half second."""
    resolver = resolver_of(instances(3), clock)
    for _ in range(9):
        picked(resolver).settle(REFUSED)
    found = [resolver.pick(SERVICE) for _ in range(10)]
    assert [pick is not None for pick in found] == [True] + [False] * 9
    assert resolver.is_refusing(SERVICE)
    assert 0 < resolver.trial_in_s(SERVICE) <= 0.5
    assert resolver.stats().nobody == 9
    clock.advance(0.5)
    assert found[0] is not None
    found[0].settle(REFUSED)
    trial = picked(resolver)
    assert trial.is_trial
    assert resolver.pick(SERVICE) is None
    trial.settle(SUCCESS)
    assert not resolver.explain(SERVICE).startswith("prices: 0")
    assert set(spread(resolver, 9)) == {trial.instance.instance_id}


def test_the_others_are_tried_soon_after_the_first_is_back(clock: FakeClock) -> None:
    """However long all of them refused, a second after one answers the others are tried."""
    resolver = resolver_of(instances(4), clock)
    for _ in range(1000):
        pick = resolver.pick(SERVICE)
        if pick is not None:
            pick.settle(REFUSED)
        clock.advance(0.1)
    clock.advance(0.5)
    picked(resolver).settle(SUCCESS)
    clock.advance(1.0)
    assert len(spread(resolver, 20)) == 4


def test_a_trial_that_is_cancelled_is_made_again(clock: FakeClock) -> None:
    """A call that says nothing leaves the question open, and the next call asks it."""
    resolver = resolver_of(instances(2), clock)
    fail(resolver, "prices-0", REFUSED)
    clock.advance(1.0)
    trial = picked(resolver)
    assert trial.is_trial
    assert not picked(resolver).is_trial
    trial.settle(Evidence.NOTHING)
    assert picked(resolver).is_trial


def test_a_trial_that_never_ends_is_given_up(clock: FakeClock) -> None:
    """After half a minute another call may try."""
    resolver = resolver_of(instances(2), clock)
    fail(resolver, "prices-0", REFUSED)
    clock.advance(1.0)
    assert picked(resolver).is_trial
    clock.advance(29.0)
    assert not picked(resolver).is_trial
    clock.advance(1.0)
    assert picked(resolver).is_trial


def test_a_repeated_call_is_never_a_trial(clock: FakeClock) -> None:
    """Whoever failed once is not sent where it may fail again."""
    resolver = resolver_of(instances(3), clock)
    fail(resolver, "prices-0", REFUSED)
    clock.advance(1.0)
    assert picked(resolver, ["prices-1"]).instance.instance_id == "prices-2"
    assert picked(resolver).is_trial


def test_a_call_that_is_not_repeated_is_a_trial_in_need_only(clock: FakeClock) -> None:
    """Where calls are that may fail without harm, those find out; else others do, 5 s later."""
    resolver = resolver_of(instances(2), clock)
    fail(resolver, "prices-0", REFUSED)
    clock.advance(1.0)

    def is_trial(*, may_try: bool, sticky: str | None = None) -> bool:
        pick = resolver.pick(SERVICE, (), sticky, may_try=may_try)
        assert pick is not None
        pick.settle()
        return pick.is_trial

    keys = [f"user-{number}" for number in range(20)]
    assert not is_trial(may_try=False)
    assert not any(is_trial(may_try=False, sticky=key) for key in keys)
    assert is_trial(may_try=True)
    clock.advance(5.0)
    assert is_trial(may_try=False)
    assert any(is_trial(may_try=False, sticky=key) for key in keys)


def test_five_failures_in_a_row_eject(clock: FakeClock) -> None:
    """A success between them begins the row anew; the ejection ends with one good call."""
    resolver = resolver_of(instances(3), clock)
    for _ in range(3):
        fail(resolver, "prices-0", FAILURE, 4)
        fail(resolver, "prices-0", SUCCESS)
    assert states(resolver)["prices-0"] == "in_use"
    fail(resolver, "prices-0", Evidence.TIMEOUT, 5)
    assert states(resolver)["prices-0"] == "ejected"
    assert "prices-0" not in spread(resolver, 60)
    clock.advance(5.0)
    trial = picked(resolver)
    assert trial.is_trial
    trial.settle(SUCCESS)
    assert states(resolver)["prices-0"] == "in_use"


def test_each_ejection_in_a_row_is_longer(clock: FakeClock) -> None:
    """5 s more for each trial that fails, up to five minutes."""
    resolver = resolver_of(instances(3), clock)
    fail(resolver, "prices-0", FAILURE, 5)
    for times in range(1, 80):
        lasts_s = min(300.0, 5.0 * times)
        assert resolver.loads(SERVICE)[0].trial_in_s == pytest.approx(lasts_s)
        clock.advance(lasts_s)
        trial = picked(resolver)
        assert trial.is_trial
        trial.settle(FAILURE)


@given(st.integers(0, 2000), st.floats(0, 100))
def test_few_are_ejected(count: int, percent: float) -> None:
    """A tenth, at least one of several, never the only one, and no more than the share said."""
    found = most_ejected(count, percent)
    assert found <= max(1, count * percent / 100)
    assert found == 0 or count >= 2
    assert (found >= 1) == (count >= 2 and percent > 0)


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(1, 40),
    ill=st.lists(
        st.tuples(st.integers(0, 39), st.sampled_from([FAILURE, REFUSED, SUCCESS])), max_size=300
    ),
)
def test_the_cap_and_the_panic_hold(count: int, ill: Sequence[tuple[int, Evidence]]) -> None:
    """Whatever happens: no more are ejected than the cap, and nobody is picked in vain."""
    resolver = resolver_of(instances(count), FakeClock())
    for number, evidence in ill:
        fail(resolver, f"prices-{number % count}", evidence)
        standing = list(states(resolver).values())
        assert standing.count("ejected") <= most_ejected(count, 10.0)
        pick = resolver.pick(SERVICE)
        if pick is None:
            assert standing.count("refused") == count
            continue
        where = states(resolver)[pick.instance.instance_id]
        in_use = standing.count("in_use")
        if in_use * 100 >= count * 50:
            assert where == "in_use"
        elif in_use or "ejected" in standing:
            assert where != "refused"
        pick.settle(Evidence.NOTHING)


def test_in_a_panic_the_ejected_are_used(clock: FakeClock) -> None:
    """When fewer than half could be used, those that fail are better than none."""
    resolver = resolver_of(instances(4), clock)
    fail(resolver, "prices-0", FAILURE, 5)
    assert "prices-0" not in spread(resolver, 40)
    for name in ("prices-1", "prices-2"):
        fail(resolver, name, REFUSED)
    assert set(spread(resolver, 40)) == {"prices-0", "prices-3"}


def test_one_that_fails_more_often_than_the_others_is_ejected(clock: FakeClock) -> None:
    """Its share of good calls in ten seconds is compared, in fleets of two and of many."""
    for count in (2, 3, 5, 12):
        resolver = resolver_of(instances(count), clock)
        for name in states(resolver):
            for number in range(40):
                is_bad = name == "prices-0" and number % 2
                fail(resolver, name, FAILURE if is_bad else SUCCESS)
        assert "ejected" not in states(resolver).values()
        clock.advance(10.0)
        assert states(resolver)["prices-0"] == "ejected", count
        assert resolver.loads(SERVICE)[0].cause == "rate"


def test_all_that_fail_alike_stay(clock: FakeClock) -> None:
    """A dependency behind them all is no reason to pass over any, nor are a few calls."""
    resolver = resolver_of(instances(4), clock)
    for name in states(resolver):
        for number in range(40):
            fail(resolver, name, FAILURE if number % 2 else SUCCESS)
    clock.advance(10.0)
    assert set(states(resolver).values()) == {"in_use"}
    for number in range(19):
        fail(resolver, "prices-0", SUCCESS)
        fail(resolver, "prices-1", FAILURE if number % 2 else SUCCESS)
    clock.advance(10.0)
    assert set(states(resolver).values()) == {"in_use"}


@given(st.lists(st.floats(0, 1), max_size=40), st.floats(0.1, 5), st.floats(0, 1))
def test_an_outlier_is_below_the_others(rates: list[float], stdevs: float, gap: float) -> None:
    """Every outlier lies the gap below the mean, worst first; the best is never one."""
    found = outliers(rates, stdevs, gap)
    assert [rates[n] for n in found] == sorted(rates[n] for n in found)
    if rates and found:
        assert rates.index(max(rates)) not in found or len(set(rates)) == 1
        assert all(rates[n] <= max(rates) - gap + 1e-9 for n in found)


def test_a_new_process_under_an_old_name_starts_clean(clock: FakeClock) -> None:
    """What was held against the one before is gone with it."""
    resolver = resolver_of([instance(0, metadata={"pid": "7"}), instance(1)], clock)
    fail(resolver, "prices-0", REFUSED)
    resolver.pin(SERVICE, [instance(0, metadata={"pid": "8"}), instance(1)])
    assert states(resolver) == {"prices-0": "in_use", "prices-1": "in_use"}
    fail(resolver, "prices-0", REFUSED)
    resolver.pin(SERVICE, [instance(0, metadata={"pid": "8", "other": "x"}), instance(1)])
    assert states(resolver)["prices-0"] == "refused"


def test_one_that_left_is_forgotten(clock: FakeClock) -> None:
    """Its ejection makes room for another's; a call that ends after it left harms nobody."""
    resolver = resolver_of(instances(4), clock)
    fail(resolver, "prices-0", FAILURE, 5)
    fail(resolver, "prices-1", FAILURE, 5)
    assert states(resolver)["prices-1"] == "in_use"
    late = resolver.pick_one(SERVICE, "prices-0")
    resolver.pin(SERVICE, instances(4)[1:])
    fail(resolver, "prices-1", FAILURE)
    assert states(resolver)["prices-1"] == "ejected"
    assert late is not None
    late.settle(FAILURE)
    assert resolver.stats().services[0].in_flight == 0


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(1, 12),
    tried=st.sets(st.integers(0, 11)),
    refused=st.sets(st.integers(0, 11)),
    sticky=st.sampled_from([None, "user-7"]),
)
def test_who_was_tried_is_left_out(
    count: int, tried: set[int], refused: set[int], sticky: str | None
) -> None:
    """A repeated call goes where it was not and somebody listens, if there is such a place."""
    resolver = resolver_of(instances(count, "ab"), FakeClock())
    exclude = {f"prices-{n}" for n in tried if n < count}
    gone = {f"prices-{n}" for n in refused if n < count}
    for name in gone:
        fail(resolver, name, REFUSED)
    everybody = {f"prices-{n}" for n in range(count)}
    best = next(
        group
        for group in (everybody - gone - exclude, everybody - gone, everybody - exclude, everybody)
        if group
    )
    for _ in range(4):
        assert picked(resolver, sorted(exclude), sticky).instance.instance_id in best


def test_a_big_service_that_falls_apart_is_followed(clock: FakeClock) -> None:
    """Of 300 instances 290 refuse within one moment: each is called once, and then the ten are."""
    resolver = resolver_of(instances(300), clock)
    alive = {f"prices-{n}" for n in range(10)}
    seen: set[str] = set()
    for _ in range(5000):
        pick = picked(resolver)
        name = pick.instance.instance_id
        assert name in alive or name not in seen
        seen.add(name)
        pick.settle(SUCCESS if name in alive else REFUSED)
    assert alive <= set(spread(resolver, 300)) <= alive | (set(states(resolver)) - seen)


def test_those_elsewhere_are_tried_too(clock: FakeClock) -> None:
    """An instance of another zone that refused is tried again although nobody needs it now."""
    resolver = resolver_of(instances(4, "ab"), clock)
    fail(resolver, "prices-1", REFUSED)
    clock.advance(1.0)
    trial = picked(resolver)
    assert (trial.instance.instance_id, trial.is_trial) == ("prices-1", True)


# Slow start


def test_a_newcomer_gets_its_share_slowly(clock: FakeClock) -> None:
    """A tenth of it at first, half of it half way, all after thirty seconds."""
    resolver = resolver_of(instances(4), clock)
    spread(resolver, 10)
    resolver.pin(SERVICE, instances(5))

    def share() -> float:
        return spread(resolver, 4000)["prices-4"] / 4000

    assert share() == pytest.approx(0.1 / 4.1, abs=0.015)
    clock.advance(15.0)
    assert share() == pytest.approx(0.55 / 4.55, abs=0.03)
    clock.advance(15.0)
    assert share() == pytest.approx(0.2, abs=0.03)


def test_what_was_up_for_long_is_not_new(clock: FakeClock) -> None:
    """An instance that comes back into view says since when it is up."""
    resolver = resolver_of(instances(2), clock)
    spread(resolver, 1)
    old, young = clock.now_ms() - 60_000, clock.now_ms() - 3_000
    later = [instance(2, up_since_ms=old), instance(3, up_since_ms=young)]
    resolver.pin(SERVICE, [*instances(2), *later])
    weights = {one.instance_id: one.weight for one in resolver.loads(SERVICE)}
    assert weights["prices-2"] == 1.0
    assert weights["prices-3"] == pytest.approx(0.1 + 0.9 * 3 / 30)


def test_where_all_are_new_none_is_slow(clock: FakeClock) -> None:
    """After a whole service was replaced nobody older could take the rest."""
    resolver = resolver_of(instances(2), clock)
    spread(resolver, 1)
    resolver.pin(SERVICE, [instance(8), instance(9)])
    assert [one.weight for one in resolver.loads(SERVICE)] == [1.0, 1.0]
    resolver = resolver_of(instances(2), clock, slow_start_s=0)
    spread(resolver, 1)
    resolver.pin(SERVICE, instances(3))
    assert [one.weight for one in resolver.loads(SERVICE)] == [1.0] * 3


@given(st.floats(0, 100), st.floats(0.1, 100))
def test_a_ramp_only_rises(age_s: float, slow_s: float) -> None:
    """From a tenth to all."""
    assert 0.1 <= ramp(age_s, slow_s) <= ramp(age_s + 1, slow_s) <= 1.0
    assert ramp(slow_s, slow_s) == 1.0


# What is told


def test_a_report_tells_what_is_new(clock: FakeClock) -> None:
    """Each count is told once; one passed over is told again as such; silence is not told."""
    resolver = resolver_of(instances(3), clock)
    fail(resolver, "prices-0", SUCCESS, 3)
    fail(resolver, "prices-1", Evidence.TIMEOUT)
    fail(resolver, "prices-1", REFUSED)
    first = {one.instance_id: one for one in resolver.take_report()}
    assert first == {
        "prices-0": CalleeReport(service=SERVICE, instance_id="prices-0", calls=3),
        "prices-1": CalleeReport(
            service=SERVICE, instance_id="prices-1", calls=2, failures=2, refused=1, timeouts=1,
            is_ejected=True,
        ),
    }  # fmt: skip
    again = resolver.take_report()
    assert again == [CalleeReport(service=SERVICE, instance_id="prices-1", is_ejected=True)]


def test_a_report_tells_of_those_that_left(clock: FakeClock) -> None:
    """What was seen of an instance is evidence although the view has dropped it."""
    resolver = resolver_of(instances(2), clock)
    fail(resolver, "prices-0", REFUSED)
    resolver.pin(SERVICE, instances(2)[1:])
    spread(resolver, 1)
    assert {one.instance_id: one.refused for one in resolver.take_report()} == {
        "prices-0": 1,
        "prices-1": 0,
    }


def test_changes_are_kept_for_a_while(clock: FakeClock) -> None:
    """Who was put aside, why, and who came back."""
    resolver = resolver_of(instances(3), clock)
    fail(resolver, "prices-0", FAILURE, 5)
    fail(resolver, "prices-1", REFUSED)
    fail(resolver, "prices-0", SUCCESS)
    told = [(one.instance_id, one.turn, one.cause) for one in resolver.changes()]
    assert told == [
        ("prices-0", "ejected", "consecutive"),
        ("prices-1", "refused", "refused"),
        ("prices-0", "returned", ""),
    ]
    stats = resolver.stats().services[0]
    assert (stats.refused, stats.ejected, stats.returned) == (1, 0, 1)
    assert stats.causes == {"consecutive": 1, "refused": 1}


def test_it_explains_itself(clock: FakeClock) -> None:
    """Who is chosen why, and who is not until when, in words."""
    resolver = resolver_of(instances(4, "ab"), clock)
    fail(resolver, "prices-0", REFUSED)
    fail(resolver, "prices-1", FAILURE, 5)
    assert resolver.explain("nobody") == "nobody: nobody is known"
    text = resolver.explain(SERVICE)
    assert "2 of 4 instances in use" in text
    assert "prices-0 in zone a: passed over (refused 1 times in a row), a trial is due in " in text
    assert "prices-1 in zone b: ejected (5 failures in a row), a trial is due in 5.0 s" in text
    assert "zone a: 70 % of calls stay" in text


def test_it_explains_a_service_that_refuses(clock: FakeClock) -> None:
    """Panic, and the silence of all, are said in the first line."""
    resolver = resolver_of(instances(2), clock)
    for name in ("prices-0", "prices-1"):
        fail(resolver, name, REFUSED)
    assert "all refused lately, but not yet often enough" in resolver.explain(SERVICE)
    for name in ("prices-0", "prices-1"):
        fail(resolver, name, REFUSED, 2)
    assert "all refuse: one call each 0.5 s is tried" in resolver.explain(SERVICE)
    fail(resolver, "prices-0", FAILURE)
    assert "panic: fewer than 50 % are well" in resolver.explain(SERVICE)


def test_rules_can_be_changed(clock: FakeClock) -> None:
    """For one service, while it is called; what is held against instances stays."""
    resolver = resolver_of(instances(3), clock)
    fail(resolver, "prices-0", REFUSED)
    resolver.configure(SERVICE, BalancerConfig(consecutive_failures=2))
    fail(resolver, "prices-1", FAILURE, 2)
    assert states(resolver) == {
        "prices-0": "refused",
        "prices-1": "ejected",
        "prices-2": "in_use",
    }
    assert resolver.config_of("PRICES").consecutive_failures == 2


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"max_ejected_percent": 101}, "max_ejected_percent is 101, must be at least 0"),
        ({"panic_percent": -1}, "panic_percent is -1"),
        ({"over_provisioning": 0.5}, "over_provisioning is 0.5, must be at least 1"),
        ({"consecutive_failures": -1}, "consecutive_failures is -1"),
        ({"base_ejection_s": 0}, "base_ejection_s is 0, must be above 0"),
        ({"base_ejection_s": 10, "max_ejection_s": 5}, "at most max_ejection_s"),
        ({"refused_base_s": 60}, "60, must be at most refused_max_s, which is 30"),
        ({"subset_size": 1}, "subset_size is 1, must be at least 2"),
        ({"rate_stdev": 0}, "rate_stdev is 0, must be above 0"),
        ({"spill_ratio": 0.5}, "spill_ratio is 0.5, must be at least 1"),
        ({"sticky_load": float("nan")}, "sticky_load is nan"),
    ],
)
def test_rules_that_contradict_themselves_are_refused(given: dict[str, float], says: str) -> None:
    """The error names the field, its value, and what is allowed."""
    with pytest.raises(SettingsError) as refused:
        BalancerConfig(**given)  # type: ignore[arg-type] # the wrong values are the point
    assert says in str(refused.value)


def test_rules_are_data() -> None:
    """They can be written down and read back, and an unknown key is an error."""
    config = BalancerConfig(subset_size=20)
    assert msgspec.json.decode(msgspec.json.encode(config), type=BalancerConfig) == config
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"subset": 20}, BalancerConfig)


def test_the_longest_ejection_is_the_most() -> None:
    """5 s times its number, up to five minutes."""
    assert [ejection_s(n, 5, 300) for n in (1, 2, 59, 60, 61, 999)] == [5, 10, 295, 300, 300, 300]
