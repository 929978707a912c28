"""The registry's state, driven by a clock that moves only when told to."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.registry.instances import instance

from breakwater.registry import (
    Action,
    InstanceInfo,
    InstanceStatus,
    InvalidInstanceError,
    LeaseInfo,
    NewerClaimError,
    PayloadTooLargeError,
    Registry,
    RegistryFullError,
    RegistrySettings,
    StaleReplicaError,
    UnknownInstanceError,
)
from breakwater.registry.holding.happenings import Origin
from breakwater.testing import FakeClock

APP = "RANKER"
ONE = "ranker-a-1"


@pytest.fixture
def registry(clock: FakeClock) -> Registry:
    """A registry in which one instance with a lease of 15 s is registered."""
    registry = Registry(RegistrySettings(), clock)
    registry.register(APP, instance())
    return registry


def held(registry: Registry) -> InstanceInfo:
    """The instance every test begins with, as the registry has it."""
    return registry.instance(APP, ONE)


def test_a_lease_ends_its_duration_after_the_last_renewal(
    registry: Registry, clock: FakeClock
) -> None:
    """The promise is durationInSecs, not twice that."""
    clock.advance(10)
    registry.renew(APP, ONE)
    clock.advance(14.9)
    assert registry.evict() == []
    clock.advance(0.1)
    gone = registry.evict()
    assert [info.instance_id for info in gone] == [ONE]
    assert gone[0].action is Action.DELETED
    assert len(registry) == 0
    with pytest.raises(UnknownInstanceError, match="no instance ranker-a-1 of RANKER"):
        registry.renew(APP, ONE)


def test_a_step_of_the_wall_clock_ends_no_lease(registry: Registry, clock: FakeClock) -> None:
    """Leases run on monotonic time."""
    clock._now_ms += 3_600_000.0
    assert registry.evict() == []


def test_time_this_process_lost_is_given_back(registry: Registry, clock: FakeClock) -> None:
    """While the registry itself stood still nobody could renew, so nobody is evicted for it."""
    clock.advance(60)
    registry.prolong(60)
    assert registry.evict() == []
    clock.advance(15)
    assert len(registry.evict()) == 1
    assert registry.stats().lost_time_s == 60


def test_a_renewal_is_not_a_change(registry: Registry, clock: FakeClock) -> None:
    """Renewing prolongs the lease and shows its time, but raises no revision."""
    before = registry.revision
    clock.advance(5)
    registry.renew(APP.lower(), ONE, last_dirty_ms=1_000)
    assert registry.revision == before
    assert held(registry).lease.last_renewal_ms == clock.now_ms()
    assert registry.stats().renewals == 1


def test_milestones_are_written_by_the_registry(registry: Registry, clock: FakeClock) -> None:
    """Registration, renewal and service-up times are the registry's, whatever the client sent."""
    start_ms = clock.now_ms()
    clock.advance(5)
    again = instance(lease=LeaseInfo(duration_s=15, registration_ms=5, service_up_ms=6))
    registry.register(APP, again)
    terms = held(registry).lease
    assert terms.registration_ms == terms.last_renewal_ms == clock.now_ms()
    assert terms.service_up_ms == start_ms


def test_an_older_description_only_renews(registry: Registry, clock: FakeClock) -> None:
    """An older lastDirtyTimestamp keeps the held description; an equal one replaces it."""
    clock.advance(10)
    registry.register(APP, instance(last_dirty_ms=999, metadata={"v": "old"}))
    assert held(registry).metadata == {}
    clock.advance(10)
    assert registry.evict() == []
    registry.register(APP, instance(last_dirty_ms=1_000, metadata={"v": "same"}))
    assert held(registry).metadata == {"v": "same"}


def test_without_a_timestamp_the_description_is_of_now(
    registry: Registry, clock: FakeClock
) -> None:
    """A client that sends no lastDirtyTimestamp is taken at the time it speaks."""
    registry.register(APP, instance(last_dirty_ms=0, metadata={"v": "new"}))
    assert held(registry).last_dirty_ms == clock.now_ms()
    assert held(registry).metadata == {"v": "new"}


def test_a_newer_caller_must_register_again(registry: Registry) -> None:
    """A renew with a newer timestamp is refused; an older one is accepted."""
    with pytest.raises(NewerClaimError, match="register it again"):
        registry.renew(APP, ONE, last_dirty_ms=1_001)
    registry.renew(APP, ONE, last_dirty_ms=999)
    assert registry.stats().unknown_renewals == 1


def test_an_older_replica_is_given_the_newer_copy(registry: Registry) -> None:
    """A peer that is behind learns the held description."""
    with pytest.raises(StaleReplicaError) as caught:
        registry.renew(APP, ONE, last_dirty_ms=999, origin=Origin.PEER)
    assert caught.value.held.instance_id == ONE


def test_an_override_outlives_registrations(registry: Registry) -> None:
    """What an operator set stays until it is removed, however often the instance says UP."""
    registry.override_status(APP, ONE, InstanceStatus.OUT_OF_SERVICE, last_dirty_ms=2_000)
    assert held(registry).status is InstanceStatus.OUT_OF_SERVICE
    assert held(registry).overridden_status is InstanceStatus.OUT_OF_SERVICE
    registry.register(APP, instance(last_dirty_ms=3_000))
    registry.renew(APP, ONE)
    assert held(registry).status is InstanceStatus.OUT_OF_SERVICE


def test_an_override_also_renews(registry: Registry, clock: FakeClock) -> None:
    """Setting or removing a status counts as a sign of life."""
    clock.advance(14)
    registry.override_status(APP, ONE, InstanceStatus.DOWN)
    clock.advance(14)
    registry.remove_override(APP, ONE, InstanceStatus.UP)
    clock.advance(14)
    assert registry.evict() == []


def test_setting_the_same_override_twice_changes_nothing(registry: Registry) -> None:
    """A repeated override raises no revision."""
    registry.override_status(APP, ONE, InstanceStatus.OUT_OF_SERVICE)
    before = registry.revision
    registry.override_status(APP, ONE, InstanceStatus.OUT_OF_SERVICE)
    assert registry.revision == before


def test_a_removed_override_makes_the_instance_register_again(registry: Registry) -> None:
    """Without a status to return to it is UNKNOWN, and the next renew is refused."""
    registry.override_status(APP, ONE, InstanceStatus.OUT_OF_SERVICE)
    registry.remove_override(APP, ONE)
    assert held(registry).status is InstanceStatus.UNKNOWN
    with pytest.raises(UnknownInstanceError, match="register it again"):
        registry.renew(APP, ONE)
    registry.register(APP, instance())
    assert held(registry).status is InstanceStatus.UP


def test_removing_no_override_changes_nothing(registry: Registry) -> None:
    """An instance without an override keeps its own status."""
    before = registry.revision
    registry.remove_override(APP, ONE, InstanceStatus.DOWN)
    assert (registry.revision, held(registry).status) == (before, InstanceStatus.UP)


def test_a_registration_may_bring_its_override(clock: FakeClock) -> None:
    """An instance that returns with an overridden status has it respected."""
    registry = Registry(RegistrySettings(), clock)
    registry.register(APP, instance(overridden_status=InstanceStatus.OUT_OF_SERVICE))
    assert held(registry).status is InstanceStatus.OUT_OF_SERVICE


def test_an_instance_that_comes_up_is_marked_so(clock: FakeClock) -> None:
    """The moment of the first UP is kept as serviceUpTimestamp."""
    registry = Registry(RegistrySettings(), clock)
    registry.register(APP, instance(status=InstanceStatus.STARTING))
    assert held(registry).lease.service_up_ms == 0
    clock.advance(3)
    registry.register(APP, instance())
    assert held(registry).lease.service_up_ms == clock.now_ms()
    registry.register(APP, instance("other", status=InstanceStatus.STARTING))
    registry.override_status(APP, "other", InstanceStatus.UP)
    assert registry.instance(APP, "other").lease.service_up_ms == clock.now_ms()


def test_metadata_is_added_and_replaced(registry: Registry) -> None:
    """New keys are added, known ones replaced, others stay."""
    registry.update_metadata(APP, ONE, {"a": "1", "b": "2"})
    registry.update_metadata(APP, ONE, {"b": "3"})
    assert held(registry).metadata == {"a": "1", "b": "3"}
    assert held(registry).action is Action.MODIFIED


def test_cancel_forgets_instance_and_override(registry: Registry) -> None:
    """After a cancel the application is gone, and a new registration starts without override."""
    registry.override_status(APP, ONE, InstanceStatus.OUT_OF_SERVICE)
    registry.cancel(APP, ONE)
    with pytest.raises(UnknownInstanceError, match="no application RANKER"):
        registry.application(APP)
    with pytest.raises(UnknownInstanceError):
        registry.cancel(APP, ONE)
    registry.register(APP, instance())
    assert held(registry).status is InstanceStatus.UP


def test_look_ups(registry: Registry) -> None:
    """An instance is found by application, by id alone, and by each of its virtual addresses."""
    registry.register("B", instance("b-1", "B", vip_address="b,bee", secure_vip_address="sb"))
    assert [info.instance_id for info in registry.application("b")] == ["b-1"]
    assert registry.instance_anywhere("b-1").app == "B"
    assert [info.app for info in registry.behind_address("bee")] == ["B"]
    assert [info.app for info in registry.behind_address("sb", is_secure=True)] == ["B"]
    with pytest.raises(UnknownInstanceError, match="virtual address"):
        registry.behind_address("be")
    with pytest.raises(UnknownInstanceError, match="no instance nobody"):
        registry.instance_anywhere("nobody")


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("instance_id", "", "Missing instanceId"),
        ("host_name", " ", "Missing hostname"),
        ("ip_addr", "", "Missing ip address"),
        ("app", "", "Missing appName"),
        ("app", "OTHER", "Mismatched appName, expecting RANKER but was OTHER"),
    ],
)
def test_incomplete_instances_are_refused(
    registry: Registry, field: str, value: str, told: str
) -> None:
    """The first thing missing is named in the words clients know, and nothing changes."""
    before = registry.revision
    with pytest.raises(InvalidInstanceError, match=told):
        registry.register(APP, instance(**{field: value}))
    assert (registry.revision, registry.stats().refused) == (before, 1)


def test_the_registry_is_bounded(clock: FakeClock) -> None:
    """Beyond the bounds nothing is taken; who is in already can still speak."""
    registry = Registry(
        RegistrySettings(max_instances=1, max_metadata_bytes=4, max_lease_s=20), clock
    )
    registry.register(APP, instance())
    with pytest.raises(RegistryFullError, match="all 1 places are taken"):
        registry.register(APP, instance("ranker-a-2"))
    registry.register(APP, instance(last_dirty_ms=2_000, metadata={"ab": "cd"}))
    with pytest.raises(PayloadTooLargeError, match="takes 5 bytes; at most 4"):
        registry.register(APP, instance(metadata={"ab": "cdé"[1:]}))
    with pytest.raises(PayloadTooLargeError):
        registry.update_metadata(APP, ONE, {"x": "y"})
    with pytest.raises(InvalidInstanceError, match="at most 20"):
        registry.register(APP, instance(lease=LeaseInfo(duration_s=21)))
    assert held(registry).metadata == {"ab": "cd"}


def test_recent_changes_age_and_are_bounded(clock: FakeClock) -> None:
    """A delta holds the last state of what changed within three minutes, and only so many."""
    registry = Registry(RegistrySettings(max_instances=2), clock)
    for number in range(5):
        registry.register(APP, instance(f"i-{number}"))
        registry.cancel(APP, f"i-{number}")
    assert [info.instance_id for info in registry.recent()] == ["i-1", "i-2", "i-3", "i-4"]
    assert {info.action for info in registry.recent()} == {Action.DELETED}
    clock.advance(180)
    assert len(registry.recent()) == 4
    clock.advance(0.001)
    assert registry.recent() == []


def test_a_revision_never_repeats_across_restarts(clock: FakeClock) -> None:
    """A registry that starts later starts with a higher revision than any earlier one reached."""
    first = Registry(RegistrySettings(), clock)
    first.register(APP, instance())
    clock.advance(1)
    assert Registry(RegistrySettings(), clock).revision > first.revision


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["register", "renew", "cancel", "override", "free", "label", "tick"]),
        st.integers(0, 3),
    ),
    max_size=40,
)


@given(steps=STEPS)
def test_revision_size_and_delta_agree(steps: list[tuple[str, int]]) -> None:
    """Whatever happens: the revision moves exactly when the view does, and sizes add up."""
    clock = FakeClock()
    registry = Registry(RegistrySettings(), clock)
    for action, number in steps:
        before = (registry.revision, _visible(registry))
        _perform(registry, clock, action, f"i-{number}")
        after = (registry.revision, _visible(registry))
        assert after[0] >= before[0]
        if before[1] != after[1]:
            assert after[0] > before[0]
        assert len(registry) == len(list(registry.infos())) == len(list(registry.leases()))
        present = {info.instance_id for info in registry.infos()}
        for info in registry.recent():
            assert (info.action is not Action.DELETED) == (info.instance_id in present)


def _visible(registry: Registry) -> list[bytes]:
    return [msgspec.json.encode(info) for info in registry.infos()]


def _perform(registry: Registry, clock: FakeClock, action: str, name: str) -> None:
    try:
        if action == "register":
            registry.register(APP, instance(name, last_dirty_ms=clock.now_ms()))
        elif action == "renew":
            registry.renew(APP, name)
        elif action == "cancel":
            registry.cancel(APP, name)
        elif action == "override":
            registry.override_status(APP, name, InstanceStatus.OUT_OF_SERVICE)
        elif action == "free":
            registry.remove_override(APP, name)
        elif action == "label":
            registry.update_metadata(APP, name, {"at": str(clock.now_ms())})
        else:
            clock.advance(4)
            registry.evict()
    except UnknownInstanceError:
        return  # a random action may well name an instance that is gone
