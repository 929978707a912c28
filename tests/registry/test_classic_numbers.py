"""Eureka's own figures: what it would think, and whether it would evict."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.registry.instances import instance

from breakwater.registry import Registry, RegistrySettings
from breakwater.registry.holding.classic import (
    ClassicNumbers,
    most_evicted,
    threshold_of,
    would_evict,
)
from breakwater.testing import FakeClock


@pytest.mark.parametrize(
    ("instances", "threshold", "evicts_one"),
    [
        (0, 0, False),
        (1, 1, False),
        (2, 3, False),
        (3, 5, False),
        (4, 6, False),
        (5, 8, False),
        (6, 10, False),
        (7, 11, True),
        (8, 13, True),
        (10, 17, True),
        (12, 20, True),
        (100, 170, True),
    ],
)
def test_one_crash_among_few_is_never_evicted(
    instances: int,
    threshold: int,
    evicts_one: bool,  # noqa: FBT001 - a table's column
) -> None:
    """Up to six instances one crash brings the renewals to the threshold: Eureka stops evicting."""
    assert threshold_of(instances) == threshold
    assert would_evict(2 * (instances - 1), threshold) is evicts_one


@given(instances=st.integers(0, 100_000))
def test_a_run_evicts_a_seventh_at_most(instances: int) -> None:
    """One run evicts what is beyond 85 % of the registry, and at least one if there is any."""
    most = most_evicted(instances)
    assert most == instances - int(instances * 0.85)
    assert 0.15 * instances <= most <= 0.15 * instances + 1


def test_renewals_are_of_the_last_whole_minute() -> None:
    """The figure is that of the minute before; a silent minute makes it nothing."""
    numbers = ClassicNumbers(now_s=0.0)
    for second in range(60):
        numbers.renewed(float(second))
    assert numbers.stats(instances=0, now_s=59.9).renewals_last_min == 0
    assert numbers.stats(instances=0, now_s=60.0).renewals_last_min == 60
    numbers.renewed(61.0)
    assert numbers.stats(instances=0, now_s=125.0).renewals_last_min == 1
    assert numbers.stats(instances=0, now_s=300.0).renewals_last_min == 0


def test_the_guard_sinks_with_a_slow_loss() -> None:
    """Every end takes a client away, so whoever goes one by one lowers the threshold in step."""
    numbers = ClassicNumbers(now_s=0.0, opened_with=0)
    numbers.joined()
    assert numbers.stats(instances=1, now_s=1.0).expected_clients == 0
    numbers = ClassicNumbers(now_s=0.0, opened_with=20)
    assert numbers.stats(instances=20, now_s=1.0).renewal_threshold_per_min == 34
    for _ in range(10):
        numbers.left()
    assert numbers.stats(instances=10, now_s=1.0).renewal_threshold_per_min == 17


def test_stock_is_taken_each_quarter_of_an_hour() -> None:
    """What is there becomes the expectation, unless that is 85 % of it or less."""
    numbers = ClassicNumbers(now_s=0.0, opened_with=20)
    assert numbers.stats(instances=18, now_s=899.0).expected_clients == 20
    assert numbers.stats(instances=18, now_s=900.0).expected_clients == 18
    assert numbers.stats(instances=15, now_s=1_800.0).expected_clients == 18


def test_the_registry_keeps_them(clock: FakeClock) -> None:
    """Leases that begin and end, and renewals, are what the figures count."""
    registry = Registry(RegistrySettings(), clock)
    for number in range(7):
        registry.register("A", instance(f"i-{number}", "A"))
        registry.register("A", instance(f"i-{number}", "A"))
    for _ in range(12):
        clock.advance(5)
        for number in range(7):
            registry.renew("A", f"i-{number}")
    clock.advance(1)
    stats = registry.stats().classic
    assert (stats.expected_clients, stats.renewal_threshold_per_min) == (8, 13)
    assert stats.renewals_last_min == 77
    assert not stats.is_self_preserving
    registry.cancel("A", "i-0")
    clock.advance(20)
    assert len(registry.evict()) == 6
    assert registry.stats().classic.expected_clients == 1
