"""What two registries come to when they compare what they know."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.registry.instances import instance
from tests.registry.reconciled import Side, advance

from breakwater.registry import InstanceStatus, LeaseInfo, RegistrySettings, UnknownInstanceError
from breakwater.registry.holding.happenings import Origin

pytestmark = pytest.mark.anyio


async def test_what_only_one_side_knows_comes_to_the_other() -> None:
    """A registration that no message told of is taken from the digest, with its lease as it is."""
    one, two = Side("one"), Side("two", skew_ms=90_000)
    one.registry.register("RANKER", instance())
    advance(4, one, two)
    await two.compare_with(one)
    lease = two.registry.lease("RANKER", "ranker-a-1")
    assert lease.info.metadata == one.held("ranker-a-1").metadata
    assert lease.deadline_s - two.clock.monotonic_s() == pytest.approx(11, abs=0.01)
    assert lease.via == "one"
    assert two.shown() == one.shown()


async def test_the_newer_version_wins_by_the_clock_of_the_instance() -> None:
    """A description with a later dirty timestamp replaces the older, whoever compares first."""
    one, two = Side("one"), Side("two", skew_ms=-600_000)
    one.registry.register("RANKER", instance(last_dirty_ms=1_000, metadata={"v": "old"}))
    two.registry.register("RANKER", instance(last_dirty_ms=2_000, metadata={"v": "new"}))
    await two.compare_with(one)
    await one.compare_with(two)
    assert one.held("ranker-a-1").metadata == {"v": "new"}
    assert one.shown() == two.shown()


async def test_metadata_of_one_version_is_the_one_set_later() -> None:
    """Where the instance says nothing of the order, the time of the change at a registry does."""
    one, two = Side("one"), Side("two")
    one.registry.register("RANKER", instance())
    await two.compare_with(one)
    one.registry.update_metadata("RANKER", "ranker-a-1", {"k": "first"})
    advance(1, one, two)
    two.registry.update_metadata("RANKER", "ranker-a-1", {"k": "second"})
    await one.compare_with(two)
    await two.compare_with(one)
    assert one.held("ranker-a-1").metadata["k"] == "second"
    assert one.shown() == two.shown()


async def test_what_was_changed_in_the_same_millisecond_is_decided_alike() -> None:
    """Where no clock tells two changes apart, both sides still choose the same of them."""
    one, two = Side("one"), Side("two")
    one.registry.register("RANKER", instance())
    await two.compare_with(one)
    one.registry.update_metadata("RANKER", "ranker-a-1", {"k": "here"})
    two.registry.update_metadata("RANKER", "ranker-a-1", {"k": "there"})
    one.registry.override_status("RANKER", "ranker-a-1", InstanceStatus.OUT_OF_SERVICE)
    two.registry.override_status("RANKER", "ranker-a-1", InstanceStatus.DOWN)
    await one.compare_with(two)
    await two.compare_with(one)
    assert one.shown() == two.shown()


async def test_an_override_survives_a_newer_description() -> None:
    """An operator's word and an instance's own are compared apart: both the latest hold."""
    one, two = Side("one"), Side("two")
    one.registry.register("RANKER", instance())
    await two.compare_with(one)
    advance(1, one, two)
    one.registry.override_status("RANKER", "ranker-a-1", InstanceStatus.OUT_OF_SERVICE)
    two.registry.register("RANKER", instance(last_dirty_ms=9_000, metadata={"v": "new"}))
    for _ in range(2):
        await two.compare_with(one)
        await one.compare_with(two)
    for side in (one, two):
        held = side.held("ranker-a-1")
        assert held.status is InstanceStatus.OUT_OF_SERVICE
        assert held.metadata == {"v": "new"}
    assert one.shown() == two.shown()


async def test_an_override_taken_away_stays_away() -> None:
    """The side that missed the removal of an override learns of it, and does not bring it back."""
    one, two = Side("one"), Side("two")
    one.registry.register("RANKER", instance())
    one.registry.override_status("RANKER", "ranker-a-1", InstanceStatus.OUT_OF_SERVICE)
    await two.compare_with(one)
    assert two.held("ranker-a-1").status is InstanceStatus.OUT_OF_SERVICE
    advance(1, one, two)
    one.registry.remove_override("RANKER", "ranker-a-1", InstanceStatus.UP)
    await one.compare_with(two)
    await two.compare_with(one)
    for side in (one, two):
        assert side.held("ranker-a-1").overridden_status is InstanceStatus.UNKNOWN
        assert side.held("ranker-a-1").status is InstanceStatus.UP


async def test_the_cancelled_is_cancelled_everywhere() -> None:
    """A cancellation that a peer missed ends its copy, which brings nobody back."""
    one, two = Side("one"), Side("two")
    one.registry.register("RANKER", instance())
    await two.compare_with(one)
    one.registry.cancel("RANKER", "ranker-a-1")
    await one.compare_with(two)
    assert one.shown() == {}
    await two.compare_with(one)
    assert two.shown() == {}


async def test_who_registers_anew_after_a_cancellation_stays() -> None:
    """A registration after the end counts as newer even if its timestamp is the same."""
    one, two, three = Side("one"), Side("two"), Side("three")
    one.registry.register("RANKER", instance())
    for side in (two, three):
        await side.compare_with(one)
    one.registry.cancel("RANKER", "ranker-a-1")
    await two.compare_with(one)
    one.registry.register("RANKER", instance())
    for side in (two, three, one):
        for other in (one, two, three):
            await side.compare_with(other)
    assert one.shown() == two.shown() == three.shown()
    assert len(one.shown()) == 1


async def test_a_stale_copy_of_a_third_does_not_come_back() -> None:
    """Ends are passed on, so that nobody takes from a third what was cancelled elsewhere."""
    one, two, three = Side("one"), Side("two"), Side("three")
    one.registry.register("RANKER", instance())
    await three.compare_with(one)
    one.registry.cancel("RANKER", "ranker-a-1")
    await two.compare_with(one)
    await two.compare_with(three)
    assert two.shown() == {}


async def test_a_renewal_heard_elsewhere_counts() -> None:
    """The latest renewal is the one that counts, whoever heard it."""
    one, two = Side("one"), Side("two")
    one.registry.register("RANKER", instance())
    await two.compare_with(one)
    advance(10, one, two)
    one.registry.renew("RANKER", "ranker-a-1")
    advance(4, one, two)
    await two.compare_with(one)
    lease = two.registry.lease("RANKER", "ranker-a-1")
    assert lease.deadline_s - two.clock.monotonic_s() == pytest.approx(11, abs=0.01)


async def test_who_was_evicted_does_not_flicker() -> None:
    """A copy that was not renewed since it was evicted here is not taken back; renewed, it is."""
    one, two = Side("one"), Side("two")
    two.registry.register("RANKER", instance())
    await one.compare_with(two)
    advance(14.5, one, two)
    one.registry.lapse("RANKER", "ranker-a-1", origin=Origin.REGISTRY)
    await one.compare_with(two)
    assert one.shown() == {}
    advance(0.2, one, two)
    two.registry.renew("RANKER", "ranker-a-1")
    await one.compare_with(two)
    assert len(one.shown()) == 1


async def test_who_was_evicted_where_he_renewed_goes_here_too() -> None:
    """A lease that ran out here, kept in doubt, ends with the one at the peer that heard it."""
    one, two = Side("one"), Side("two")
    one.registry.register("RANKER", instance())
    await two.compare_with(one)
    advance(20, one, two)
    one.registry.evict()
    await two.compare_with(one)
    assert two.shown() == {}
    assert two.registry.stats().evictions == 1


async def test_silence_elsewhere_ends_no_running_lease() -> None:
    """What a peer took for dead stays here for as long as its lease runs here."""
    one, two = Side("one"), Side("two")
    one.registry.register("RANKER", instance())
    await two.compare_with(one)
    advance(1, one, two)
    one.registry.lapse("RANKER", "ranker-a-1", origin=Origin.REGISTRY)
    await two.compare_with(one)
    assert len(two.shown()) == 1


async def test_a_starting_registry_takes_even_the_doubtful() -> None:
    """At the start whatever a peer still holds is taken, later only what has not run out."""
    lapsed, starting, running = Side("lapsed"), Side("starting"), Side("running")
    running.has_compared = True
    lapsed.registry.register("RANKER", instance())
    advance(60, lapsed)
    await starting.compare_with(lapsed)
    await running.compare_with(lapsed)
    assert len(starting.shown()) == 1
    assert running.shown() == {}


async def test_an_old_disk_brings_nobody_back() -> None:
    """Who was lost while a registry was away is not taken from its disk, and goes there too."""
    away, stayed = Side("away"), Side("stayed")
    stayed.registry.register("RANKER", instance())
    advance(16, away, stayed)
    stayed.registry.evict()
    advance(60, away, stayed)
    away.registry.adopt(instance(), origin=Origin.DISK, is_recalled=True)
    stayed.has_compared = True
    await stayed.compare_with(away)
    assert stayed.shown() == {}
    await away.compare_with(stayed)
    assert away.shown() == {}


@pytest.mark.parametrize("is_running", [True, False])
async def test_what_was_only_read_from_a_disk_is_shared_as_that(*, is_running: bool) -> None:
    """Who was acknowledged just before a kill is known to all: with a lease, and not heard of."""
    one, two = Side("one"), Side("two")
    two.has_compared = is_running
    one.registry.adopt(instance(), origin=Origin.DISK, is_recalled=True)
    await two.compare_with(one)
    lease = two.registry.lease("RANKER", "ranker-a-1")
    assert lease.is_recalled
    assert lease.deadline_s - two.clock.monotonic_s() == pytest.approx(15, abs=0.01)
    advance(16, one, two)
    for side, other in ((one, two), (two, one)):
        side.registry.evict()
        await side.compare_with(other)
    assert one.shown() == two.shown() == {}


async def test_a_renewal_elsewhere_vouches_for_what_was_read_from_disk() -> None:
    """What a peer hears is taken for a lease that is only remembered here."""
    one, two = Side("one"), Side("two")
    one.registry.register("RANKER", instance())
    two.registry.adopt(one.held("ranker-a-1"), origin=Origin.DISK, is_recalled=True)
    advance(5, one, two)
    one.registry.renew("RANKER", "ranker-a-1")
    advance(1, one, two)
    await two.compare_with(one)
    assert not two.registry.lease("RANKER", "ranker-a-1").is_recalled


async def test_what_breaks_our_bounds_is_left_out_and_counted() -> None:
    """A peer with wider bounds than ours costs us nothing but a count."""
    one = Side("one")
    two = Side("two", settings=RegistrySettings(max_instances=1))
    for number in range(3):
        one.registry.register("RANKER", instance(f"ranker-{number}"))
    await two.compare_with(one)
    assert len(two.shown()) == 1
    assert two.reconciler.counts["refused"] == 2


async def test_equal_registries_take_nothing() -> None:
    """Comparing again changes neither side, nor its revision."""
    one, two = Side("one"), Side("two")
    one.registry.register("RANKER", instance(metadata={"a": "1", "b": "2"}))
    await two.compare_with(one)
    before = (one.registry.revision, two.registry.revision)
    for _ in range(2):
        await one.compare_with(two)
        await two.compare_with(one)
    assert (one.registry.revision, two.registry.revision) == before


_NAMES = st.sampled_from(["ranker-1", "ranker-2"])
_SIDES = st.integers(0, 2)
_DEEDS = st.one_of(
    st.tuples(st.just("register"), _SIDES, _NAMES, st.integers(1, 6)),
    st.tuples(st.just("cancel"), _SIDES, _NAMES, st.just(0)),
    st.tuples(st.just("override"), _SIDES, _NAMES, st.sampled_from([0, 1, 2])),
    st.tuples(st.just("metadata"), _SIDES, _NAMES, st.integers(0, 9)),
    st.tuples(st.just("compare"), _SIDES, _NAMES, st.integers(0, 2)),
    st.tuples(st.just("restart"), _SIDES, _NAMES, st.just(0)),
    st.tuples(st.just("pass"), _SIDES, _NAMES, st.integers(1, 20)),
)
_LONG = LeaseInfo(renewal_interval_s=600, duration_s=1_800)


@pytest.mark.slow
@given(
    st.lists(_DEEDS, max_size=25),
    st.tuples(*(st.integers(-5_000, 5_000) for _ in range(3))),
    st.permutations([(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)]),
)
@settings(max_examples=60)
async def test_all_come_to_the_same(
    deeds: list[tuple[str, int, str, int]],
    skews: tuple[int, ...],
    order: list[tuple[int, int]],
) -> None:
    """Whatever happened on three sides with three clocks: once everyone compared, all are equal."""
    sides = [Side(name, skew_ms=skew) for name, skew in zip("abc", skews, strict=True)]
    for side in sides:
        side.has_compared = True
    for deed, at, name, number in deeds:
        await _do(sides, deed, sides[at], name, number)
    for _ in range(3):
        for at, other in order:
            await sides[at].compare_with(sides[other])
    assert sides[0].shown() == sides[1].shown() == sides[2].shown()


async def _do(sides: list[Side], deed: str, side: Side, name: str, number: int) -> None:
    registry = side.registry
    statuses = [InstanceStatus.OUT_OF_SERVICE, InstanceStatus.DOWN, None]
    try:
        if deed == "register":
            described = instance(name, last_dirty_ms=number, metadata={"v": str(number)})
            registry.register("RANKER", msgspec.structs.replace(described, lease=_LONG))
        elif deed == "cancel":
            registry.cancel("RANKER", name)
        elif deed == "metadata":
            registry.update_metadata("RANKER", name, {"k": str(number)})
        elif deed == "compare":
            await side.compare_with(sides[number])
        elif deed == "restart":
            side.restart()
        elif deed == "pass":
            advance(number, *sides)
        elif (status := statuses[number]) is not None:
            registry.override_status("RANKER", name, status)
        else:
            registry.remove_override("RANKER", name, InstanceStatus.UP)
    except UnknownInstanceError:
        return  # nothing is there to be changed
