"""How often lists may be fetched by clients that nobody vouches for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakwater.registry import RegistrySettings
from breakwater.registry.eureka.fetch_limits import FetchLimits, Target, TokenBucket
from breakwater.testing import FakeClock

ON = RegistrySettings(limits_fetches=True, fetch_burst=2, fetches_per_s=4, full_fetches_per_s=1)


def test_off_by_default_but_counted(clock: FakeClock) -> None:
    """Without being told to, nothing is refused; what would be is counted."""
    limits = FetchLimits(RegistrySettings(fetch_burst=1), clock)
    assert all(limits.admits(Target.WHOLE, "curl") for _ in range(5))
    stats = limits.stats()
    assert (stats.fetches, stats.full_fetches, stats.limited) == (5, 5, 0)
    assert (stats.candidates, stats.candidates_full) == (4, 4)


def test_full_fetches_have_a_rate_of_their_own(clock: FakeClock) -> None:
    """A burst passes, then full fetches at their rate and others at theirs."""
    limits = FetchLimits(ON, clock)
    assert [limits.admits(Target.WHOLE, "") for _ in range(3)] == [True, True, False]
    clock.advance(0.5)
    assert not limits.admits(Target.WHOLE, "")
    assert limits.admits(Target.DELTA, "")
    clock.advance(0.6)
    assert limits.admits(Target.WHOLE, "")
    assert [limits.admits(Target.APPLICATION, "") for _ in range(2)] == [True, False]
    stats = limits.stats()
    assert (stats.limited, stats.limited_full, stats.candidates) == (3, 2, 0)


@pytest.mark.parametrize(
    ("client", "throttled", "limited"),
    [
        ("DefaultClient", False, False),
        ("DefaultServer", False, False),
        ("our-portal", False, False),
        ("curl", False, True),
        ("", False, True),
        ("DefaultClient", True, True),
        ("our-portal", True, False),
    ],
)
def test_who_passes(
    clock: FakeClock,
    client: str,
    throttled: bool,  # noqa: FBT001 - a table's column
    limited: bool,  # noqa: FBT001 - a table's column
) -> None:
    """Eureka's own clients pass unless told otherwise, and so does whoever is named."""
    settings = RegistrySettings(
        limits_fetches=True,
        fetch_burst=1,
        limits_standard_clients=throttled,
        privileged_clients=["our-portal"],
    )
    limits = FetchLimits(settings, clock)
    assert limits.admits(Target.DELTA, client)
    assert limits.admits(Target.DELTA, client) is not limited


@given(
    rate=st.integers(1, 50),
    burst=st.integers(1, 20),
    gaps=st.lists(st.floats(0, 2), max_size=200),
)
def test_never_more_than_burst_and_rate(rate: int, burst: int, gaps: list[float]) -> None:
    """In any time t at most burst + rate * t pass."""
    bucket = TokenBucket(rate_per_s=rate, burst=burst, now_s=0.0)
    now_s, passed = 0.0, 0
    for gap_s in gaps:
        now_s += gap_s
        passed += bucket.takes(now_s)
        assert passed <= burst + rate * now_s + 1e-6


def test_no_rate_is_no_limit() -> None:
    """A burst or a rate of nothing means that nothing is limited, as in Eureka."""
    assert TokenBucket(rate_per_s=0, burst=5, now_s=0.0).takes(0.0)
    idle = TokenBucket(rate_per_s=5, burst=0, now_s=0.0)
    assert all(idle.takes(0.0) for _ in range(100))
