"""The last good answer, for when there is no new one."""

from hypothesis import given
from hypothesis import strategies as st

from breakwater.sdk.guard.config import StaleConfig
from breakwater.sdk.guard.roles import Answer
from breakwater.sdk.guard.sharing.stale import StaleCache


def test_the_last_good_answer_stands_in_until_it_is_too_old() -> None:
    """With its age, up to max_stale_s, and no longer."""
    cache = StaleCache(StaleConfig(max_stale_s=60))
    cache.keep("k", "old", 0.0)
    cache.keep("k", "new", 10.0)
    assert cache.find("k", 30.0) == Answer("new", 20.0)
    assert cache.find("k", 70.0) == Answer("new", 60.0)
    assert cache.find("k", 70.5) is None
    assert cache.stats().entries == 0
    assert cache.stats().stale == 2
    assert cache.stats().missed == 1


def test_keys_have_their_own_answers() -> None:
    """An answer never stands in for another key."""
    cache = StaleCache(StaleConfig())
    cache.keep("a", None, 0.0)
    assert cache.find("b", 0.0) is None
    assert cache.find("a", 0.0) == Answer(None)


def test_without_ttl_nothing_is_fresh() -> None:
    """Every call is made unless ttl_s says how long an answer holds."""
    cache = StaleCache(StaleConfig())
    cache.keep("k", 1, 0.0)
    assert cache.fresh("k", 0.0) is None


def test_a_fresh_answer_saves_the_call() -> None:
    """Up to ttl_s; the time it may stand in for a failure begins after that."""
    cache = StaleCache(StaleConfig(ttl_s=5, max_stale_s=10))
    cache.keep("k", 1, 0.0)
    assert cache.fresh("k", 5.0) == Answer(1, 5.0)
    assert cache.fresh("k", 5.1) is None
    assert cache.fresh("other", 0.0) is None
    assert cache.find("k", 15.0) == Answer(1, 15.0)
    assert cache.find("k", 15.1) is None


def test_answers_can_be_forgotten() -> None:
    """One key's, or all."""
    cache = StaleCache(StaleConfig())
    for key in "abc":
        cache.keep(key, key, 0.0)
    cache.forget("a")
    assert cache.find("a", 0.0) is None
    cache.forget()
    assert cache.stats().entries == 0


@given(st.lists(st.integers(0, 30), max_size=200), st.integers(1, 10))
def test_the_least_recently_renewed_leave_first(keys: list[int], bound: int) -> None:
    """Never more than max_entries, and always the latest ones."""
    cache = StaleCache(StaleConfig(max_entries=bound))
    for at, key in enumerate(keys):
        cache.keep(key, at, float(at))
    latest = list(dict.fromkeys(reversed(keys)))
    kept = [key for key in latest if cache.find(key, float(len(keys))) is not None]
    assert kept == latest[:bound]
    assert cache.stats().entries == len(kept)
