"""What `explain` says is what the breaker does: the effective numbers, in sentences."""

from hypothesis import given, settings
from tests.sdk.guard.breaking import SMALL, changed
from tests.sdk.guard.test_guard_breaker_profiles import HYSTRIX, RESILIENCE4J
from tests.sdk.guard.test_guard_breaker_windows import CONFIGS

from breakwater.sdk.guard.breaking.breaker import Breaker
from breakwater.sdk.guard.breaking.explain import explain, sentences
from breakwater.sdk.guard.config import BreakerConfig


def test_it_names_the_effective_minimum_in_half_open() -> None:
    """Whether the minimum applies to probes is the question most often answered wrongly."""
    said = explain(changed(RESILIENCE4J, half_open_permits=3))
    assert "The effective minimum in half-open is 3" in said
    assert "smaller of minimum_calls (100) and half_open_permits (3)" in said


def test_it_names_the_effective_minimum_of_a_short_window() -> None:
    """A window of ten calls never holds twenty."""
    said = explain(changed(SMALL, window="count", window_calls=10, minimum_calls=20))
    assert "The effective minimum is 10" in said
    assert "So at least 5 failures" in said


def test_it_tells_the_profile_of_hystrix() -> None:
    """Late by half a second, whole percents, refusals count, one probe, five seconds."""
    said = explain(HYSTRIX)
    for part in (
        "the last 10 s, in 20 parts of 500 ms",
        "at least 50 % of at least 20 calls",
        "whole numbers",
        "opens up to 500 ms late",
        "count as failures",
        "open for more than 5 s",
        "exactly 1 probe",
        "Retry-After of the callee plays no part",
    ):
        assert part in said


def test_it_tells_the_profile_of_resilience4j() -> None:
    """A hundred calls, a minute, ten probes, all of them heard."""
    said = explain(RESILIENCE4J)
    for part in (
        "the last 100 calls",
        "or 100 % took longer than 60 s",
        "open for more than 60 s",
        "at most 10 probes",
        "when 10 probes have reported: open again",
    ):
        assert part in said


def test_it_counts_the_growing_open_times() -> None:
    """The first waits and the cap, as numbers."""
    said = explain(changed(SMALL, open_factor=3.0, max_open_s=12.0, open_jitter=0.2))
    assert "more than 2 s, then 6 s, 12 s and so on, at most 12 s" in said
    assert "+-20 %" in said


def test_it_tells_of_modes_that_never_refuse_or_always() -> None:
    """Nothing is said of open times that cannot come."""
    assert sentences(BreakerConfig(mode="disabled")) == [
        "It is disabled: every call goes through and none is recorded."
    ]
    assert "forced open" in explain(BreakerConfig(mode="forced_open"))
    for mode, part in (("metrics_only", "only measures"), ("forced_closed", "forced closed")):
        said = explain(changed(SMALL, mode=mode))
        assert part in said
        assert "stays open" not in said


def test_it_tells_of_ramp_shadow_lease_and_undecided_rounds() -> None:
    """Every part that is switched on has its sentence."""
    said = explain(
        changed(
            SMALL,
            ramp_s=30.0,
            enforcing_percent=10.0,
            max_half_open_s=60.0,
            undecided_goes_to="closed",
            automatic_half_open=True,
            retry_after_opens=True,
            window="consecutive",
            window_calls=5,
            slow_call_s=0.25,
        )
    )
    for part in (
        "5 failures in a row, or as many calls in a row that took longer than 250 ms",
        "within 30 s",
        "Only 10 % of its refusals",
        "undecided after 60 s goes to closed",
        "half open by itself",
        "opens it at once",
        "within 5 s loses its permit",
    ):
        assert part in said


@given(CONFIGS)
@settings(max_examples=50)
def test_it_has_words_for_every_configuration(config: BreakerConfig) -> None:
    """Each sentence ends as one, and none speaks of nothing."""
    for sentence in sentences(config):
        assert sentence.endswith(".")
        assert "None" not in sentence
    assert Breaker(config).explain() == explain(config)
