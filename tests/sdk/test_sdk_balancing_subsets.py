"""Subsets of big services, and keys that stay with their instance."""

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sdk.balancing import SERVICE, fail, instance, instances, picked, resolver_of, spread

from breakwater.model import Instance
from breakwater.sdk.discovery import Evidence, Resolver
from breakwater.sdk.discovery.judgement import sticky_room
from breakwater.testing import FakeClock


def members(resolver: Resolver) -> set[str]:
    """The instances that this process calls."""
    return {one.instance_id for one in resolver.loads(SERVICE) if one.state != "outside"}


# Subsets


def test_a_small_service_is_called_whole(clock: FakeClock) -> None:
    """Up to the size of a subset there is none."""
    assert len(members(resolver_of(instances(20), clock, subset_size=20))) == 20
    assert len(members(resolver_of(instances(21), clock, subset_size=20))) == 20
    assert len(members(resolver_of(instances(500), clock))) == 500


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(10, 80),
    size=st.integers(2, 9),
    caller=st.text(min_size=1, max_size=20),
    gone=st.integers(0, 79),
)
def test_one_that_goes_or_comes_changes_one_member(
    count: int, size: int, caller: str, gone: int
) -> None:
    """The same caller has the same subset, whatever the order of the view; churn moves one."""
    known = instances(count, "abc")

    def subset(view: Sequence[Instance]) -> set[str]:
        return members(resolver_of(view, FakeClock(), caller=caller, subset_size=size))

    before = subset(known)
    assert len(before) == size
    assert subset(known[::-1]) == before
    left = known[gone % count]
    after = subset([one for one in known if one is not left])
    if left.instance_id in before:
        assert len(before - after) == len(after - before) == 1
    else:
        assert after == before


def test_subsets_are_of_the_own_zone_first(clock: FakeClock) -> None:
    """Three quarters of them, so that calls stay there and others are at hand when it fails."""
    resolver = resolver_of(instances(300, "abc"), clock, subset_size=20)
    zones = Counter(int(name[7:]) % 3 for name in members(resolver))
    assert zones[0] == 15
    assert all(int(name[7:]) % 3 == 0 for name in spread(resolver, 300))


def test_members_that_refuse_are_replaced(clock: FakeClock) -> None:
    """The next in rank stands in until the member answers again."""
    resolver = resolver_of(instances(50), clock, subset_size=5)
    before = members(resolver)
    for name in before:
        fail(resolver, name, Evidence.REFUSED, 3)
    found = set(spread(resolver, 100))
    assert len(found) == 5
    assert not found & before
    for name in before:
        fail(resolver, name, Evidence.SUCCESS)
    assert set(spread(resolver, 100)) == before


@pytest.mark.slow
def test_subsets_spread_evenly_over_a_service() -> None:
    """1,000 callers with 20 of 100 instances each: none has a quarter more or less than 200."""
    clock, known = FakeClock(), instances(100)
    found: Counter[str] = Counter()
    for number in range(1000):
        found.update(members(resolver_of(known, clock, caller=f"gateway-{number}", subset_size=20)))
    assert sum(found.values()) == 20_000
    assert min(found.values()) >= 150
    assert max(found.values()) <= 250


# Sticky keys


def homes(resolver: Resolver, keys: int = 300) -> dict[str, str]:
    """The instance of each key."""
    found = {}
    for number in range(keys):
        pick = picked(resolver, sticky=f"user-{number}")
        pick.settle(Evidence.SUCCESS)
        found[f"user-{number}"] = pick.instance.instance_id
    return found


@settings(max_examples=12, deadline=None)
@given(count=st.integers(2, 12), gone=st.integers(0, 11))
def test_keys_move_only_if_they_must(count: int, gone: int) -> None:
    """Every caller sends a key to the same instance; if one goes, only its keys go elsewhere."""
    known = instances(count, "ab")
    before = homes(resolver_of(known, FakeClock(), zone="a", caller="gateway-1"))
    assert homes(resolver_of(known[::-1], FakeClock(), zone="b", caller="gateway-2")) == before
    left = known[gone % count]
    after = homes(resolver_of([one for one in known if one is not left], FakeClock()))
    assert all(after[key] == home for key, home in before.items() if home != left.instance_id)


@settings(max_examples=12, deadline=None)
@given(count=st.integers(2, 12), gone=st.integers(0, 11))
def test_keys_come_back_with_their_instance(count: int, gone: int) -> None:
    """While it is passed over only its keys are elsewhere, and afterwards they return."""
    resolver = resolver_of(instances(count), FakeClock())
    before, ill = homes(resolver), f"prices-{gone % count}"
    fail(resolver, ill, Evidence.REFUSED)
    while_ill = homes(resolver)
    assert ill not in while_ill.values()
    assert all(while_ill[key] == home for key, home in before.items() if home != ill)
    fail(resolver, ill, Evidence.SUCCESS)
    assert homes(resolver) == before


def test_keys_are_shared_by_weight(clock: FakeClock) -> None:
    """An instance of weight 3 has three times the keys; more weight takes keys and gives none."""
    even, heavy = instances(3), [instance(0, metadata={"weight": "3"}), *instances(3)[1:]]
    before, after = homes(resolver_of(even, clock), 3000), homes(resolver_of(heavy, clock), 3000)
    assert Counter(before.values())["prices-0"] / 3000 == pytest.approx(1 / 3, abs=0.04)
    assert Counter(after.values())["prices-0"] / 3000 == pytest.approx(3 / 5, abs=0.04)


def test_changed_weights_move_keys_to_the_heavier_only(clock: FakeClock) -> None:
    """Keys move to the instance that weighs more now, and between no others."""
    light = [instance(n, metadata={"weight": "2" if n else "1"}) for n in range(4)]
    heavy = [instance(n, metadata={"weight": "2" if n else "1.5"}) for n in range(4)]
    before, after = homes(resolver_of(light, clock)), homes(resolver_of(heavy, clock))
    moved = {key for key in before if before[key] != after[key]}
    assert moved
    assert {after[key] for key in moved} == {"prices-0"}


def test_a_hot_key_is_bounded(clock: FakeClock) -> None:
    """With its instance a quarter above its share of calls under way, the next in order helps."""
    resolver = resolver_of(instances(4), clock)
    out = [picked(resolver, sticky="star") for _ in range(100)]
    found = Counter(pick.instance.instance_id for pick in out)
    assert max(found.values()) <= sticky_room(100, 1 / 4, 1.25, 8)
    assert len(found) == 4
    for pick in out:
        pick.settle(Evidence.SUCCESS)
    calm = [picked(resolver, sticky="star") for _ in range(8)]
    assert len({pick.instance.instance_id for pick in calm}) == 1


def test_a_retry_leaves_its_instance(clock: FakeClock) -> None:
    """The second attempt of a sticky call goes to the next in the key's order."""
    resolver = resolver_of(instances(4), clock)
    home = picked(resolver, sticky="user-7").instance.instance_id
    other = picked(resolver, [home], sticky="user-7").instance.instance_id
    assert other != home
    assert picked(resolver, [home], sticky="user-7").instance.instance_id == other


def test_a_key_goes_far_down_its_order(clock: FakeClock) -> None:
    """Ten of its twelve favourites refuse: the eleventh takes it, for all callers the same."""
    resolver = resolver_of(instances(12), clock)
    order: list[str] = []
    for _ in range(12):
        order.append(picked(resolver, order, sticky="user-7").instance.instance_id)
    assert len(set(order)) == 12
    for name in order[:10]:
        fail(resolver, name, Evidence.REFUSED)
    assert picked(resolver, sticky="user-7").instance.instance_id == order[10]


def test_keys_without_number_take_bounded_memory(clock: FakeClock) -> None:
    """Beyond ten thousand their orders are found anew, and are the same."""
    resolver = resolver_of(instances(3), clock)
    before = homes(resolver)
    homes(resolver, 12_000)
    assert len(resolver._callees[SERVICE]._sticky._heads) <= 10_000
    assert homes(resolver) == before


def test_sticky_calls_make_trials(clock: FakeClock) -> None:
    """Where all calls are sticky, a key of the instance finds out that it is back."""
    resolver = resolver_of(instances(3), clock)
    home = picked(resolver, sticky="user-7").instance.instance_id
    fail(resolver, home, Evidence.REFUSED)
    assert picked(resolver, sticky="user-7").instance.instance_id != home
    clock.advance(1.0)
    trial = picked(resolver, sticky="user-7")
    assert (trial.instance.instance_id, trial.is_trial) == (home, True)
    trial.settle(Evidence.SUCCESS)
    assert picked(resolver, sticky="user-7").instance.instance_id == home


def test_a_key_finds_somebody_where_all_refuse(clock: FakeClock) -> None:
    """Sticky calls fail at once like others, and are tried like others."""
    resolver = resolver_of(instances(2), clock)
    for name in ("prices-0", "prices-1"):
        fail(resolver, name, Evidence.REFUSED, 3)
    found = [resolver.pick(SERVICE, (), "user-7") for _ in range(5)]
    assert [pick is not None for pick in found] == [True, False, False, False, False]
