"""Fleets of 1 to 12 and of 1,000 in pretended time: one dies, hangs or fails, under traffic."""

import pytest
from tests.sdk.balancing import World, instances, resolver_of

from breakwater.sdk.discovery import Evidence
from breakwater.testing import FakeClock

SUCCESS, REFUSED, TIMEOUT = Evidence.SUCCESS, Evidence.REFUSED, Evidence.TIMEOUT
LIMIT_S = 0.2
ILL = "prices-0"
SIZES = [*range(1, 13), pytest.param(1000, marks=pytest.mark.slow)]


def world_of(size: int, ends: dict[str, tuple[float, Evidence]], clock: FakeClock) -> World:
    """A fleet whose instances answer in 10 ms, but for those of which `ends` says otherwise."""
    resolver = resolver_of(instances(size), clock)
    return World(resolver, clock, lambda name: ends.get(name, (0.01, SUCCESS)))


def rate_of(size: int) -> float:
    """At least 20 calls a second for each instance, else those cannot be told apart."""
    return 20.0 * max(10, size)


@pytest.mark.parametrize("size", SIZES)
def test_one_that_dies_is_called_on_trial_only(size: int, clock: FakeClock) -> None:
    """One refusal, and from then on nothing but trials, ever rarer; back again, it is used."""
    ends: dict[str, tuple[float, Evidence]] = {}
    world = world_of(size, ends, clock)
    world.run(rate_of(size), 2.0)
    ends[ILL] = (0.001, REFUSED)
    died_s = world.now_s
    world.run(rate_of(size), 20.0 if size < 100 else 4.0)
    if size == 1:  # three refusals tell that nobody is there; then a call each half second
        assert world.to(ILL, after_s=died_s) == 3
        assert world.to(ILL, after_s=died_s, trials=True) <= 2 * 20 + 1
    else:
        assert world.to(ILL, after_s=died_s) == 1
        assert world.to(ILL, after_s=died_s + 1.0) == 0
        assert 1 <= world.to(ILL, after_s=died_s, trials=True) <= 6
        assert world.nobody == 0
    del ends[ILL]
    back_s = world.now_s
    world.run(rate_of(size), 31.0 if size < 100 else 6.0)
    assert world.to(ILL, after_s=back_s) > 0


@pytest.mark.parametrize("size", SIZES)
def test_one_that_hangs_is_called_on_trial_only(size: int, clock: FakeClock) -> None:
    """Five calls that ran into their limit eject it: none but trials a second after it froze."""
    ends: dict[str, tuple[float, Evidence]] = {}
    world = world_of(size, ends, clock)
    world.run(rate_of(size), 2.0)
    ends[ILL] = (LIMIT_S, TIMEOUT)
    froze_s = world.now_s
    world.run(rate_of(size), 20.0 if size < 100 else 6.0)
    later = world.to(ILL, after_s=froze_s + 1.0)
    if size == 1:  # there is nobody else
        assert later > 0
        return
    assert later == 0
    assert 1 <= world.to(ILL, after_s=froze_s, trials=True) <= 3
    ends.clear()
    back_s = world.now_s
    world.run(rate_of(size), 31.0 if size < 100 else 16.0)
    assert world.to(ILL, after_s=back_s) > 0


@pytest.mark.parametrize("size", [2, 3, 6, 12])
def test_all_that_die_one_after_the_other_are_found(size: int, clock: FakeClock) -> None:
    """No cap holds for those that refuse: the last one left gets all calls."""
    ends: dict[str, tuple[float, Evidence]] = {}
    world = world_of(size, ends, clock)
    for number in range(size - 1):
        ends[f"prices-{number}"] = (0.001, REFUSED)
        world.run(rate_of(size), 0.5)
    start_s = world.now_s
    world.run(rate_of(size), 2.0)
    assert all(world.to(f"prices-{n}", after_s=start_s) == 0 for n in range(size - 1))
    assert world.nobody == 0


@pytest.mark.parametrize("size", [1, 3, 12])
def test_a_service_that_is_gone_costs_little(size: int, clock: FakeClock) -> None:
    """Three calls each, then two a second; half a second after it is back it answers."""
    ends = {f"prices-{n}": (0.001, REFUSED) for n in range(size)}
    world = world_of(size, ends, clock)
    world.run(200.0, 60.0)
    assert len(world.calls) <= 3 * size + 2 * 60 + 2
    ends.clear()
    back_s = world.now_s
    world.run(200.0, 0.6)
    assert any(at_s >= back_s and end is SUCCESS for at_s, _, _, end in world.calls)
    world.run(200.0, 2.0)
    assert len({where for at_s, where, _, _ in world.calls if at_s > back_s + 1.1}) == size


def test_a_slow_instance_gets_less(clock: FakeClock) -> None:
    """Slowness is no reason to eject: with ten times the time it gets a fraction of the calls."""
    world = world_of(4, {ILL: (0.1, SUCCESS)}, clock)
    world.run(800.0, 10.0)
    shares = [world.to(f"prices-{n}") for n in range(4)]
    assert shares[0] < min(shares[1:]) / 4
    assert shares[0] > 0


def test_a_rate_of_failures_is_found(clock: FakeClock) -> None:
    """Every other call of one instance fails: it is ejected at the end of ten seconds."""
    count = iter(range(10**6))
    resolver = resolver_of(instances(6), clock)

    def answer(name: str) -> tuple[float, Evidence]:
        is_bad = name == ILL and next(count) % 2
        return 0.01, Evidence.FAILURE if is_bad else SUCCESS

    world = World(resolver, clock, answer)
    world.run(200.0, 10.5)
    assert [one.state for one in resolver.loads("prices")].count("ejected") == 1
    assert resolver.loads("prices")[0].cause == "rate"
