"""Rolling features: windows, fading, bounds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakwater.reference import features
from breakwater.reference.features import (
    HALF_LIFE_S,
    MAX_TITLES_PER_ACCOUNT,
    WINDOW_S,
    Fading,
    FeatureStore,
    PlayEvent,
    SlidingCount,
)
from breakwater.testing import FakeClock


def _event(title: str, kind: str = "start", account: str = "a1") -> PlayEvent:
    return PlayEvent(account=account, title=title, kind=kind)  # type: ignore[arg-type] # kinds below


def test_an_amount_halves_every_half_life() -> None:
    """After one half-life half is left, after two a quarter."""
    fading = Fading(10.0, limit=5)
    fading.add("t1", 8.0, 100.0)
    assert [fading.value("t1", s) for s in (100.0, 110.0, 120.0)] == pytest.approx([8.0, 4.0, 2.0])
    assert fading.value("t2", 100.0) == 0.0


@given(st.lists(st.tuples(st.floats(0, 50), st.floats(0.01, 5)), max_size=20))
def test_fading_sums_do_not_depend_on_when_they_are_read(
    steps: list[tuple[float, float]],
) -> None:
    """The value equals the sum of all amounts, each faded from its own time."""
    fading, now_s, expected = Fading(10.0, limit=5), 0.0, 0.0
    for wait_s, amount in steps:
        now_s += wait_s
        expected = expected * 2.0 ** (-wait_s / 10.0) + amount
        fading.add("t", amount, now_s)
    assert fading.value("t", now_s) == pytest.approx(expected, abs=1e-9)


def test_the_faintest_goes_when_there_are_too_many() -> None:
    """The table keeps its size; what matters least now is dropped."""
    fading = Fading(10.0, limit=2)
    for title, amount in (("t1", 3.0), ("t2", 1.0), ("t3", 2.0)):
        fading.add(title, amount, 0.0)
    assert list(fading.largest(5, 0.0)) == ["t1", "t3"]


@given(st.lists(st.tuples(st.floats(0, 20), st.sampled_from("xyz")), max_size=60))
def test_a_window_counts_what_lies_inside_it(steps: list[tuple[float, str]]) -> None:
    """Every count equals a recount of the events of the last window, to one bucket."""
    counts, now_s, seen = SlidingCount(60.0, 5.0), 0.0, []
    for wait_s, key in steps:
        now_s += wait_s
        counts.add(key, now_s)
        seen.append((int(now_s / 5.0), key))
    slot = int(now_s / 5.0)
    for key in "xyz":
        assert counts.count(key, now_s) == sum(k == key and s > slot - 12 for s, k in seen)


def test_events_become_features_of_their_account_and_of_everybody() -> None:
    """A start moves the viewer's affinity, the trend, and the window's count."""
    store = FeatureStore(FakeClock())
    store.record(_event("t1"))
    store.record(_event("t2", "progress"))
    mine, other = store.features("a1"), store.features("a2")
    assert mine.affinity == {"t1": 1.0, "t2": pytest.approx(0.3)}
    assert mine.events == 2
    assert other.affinity == {}
    assert other.trending == mine.trending == {"t1": 1.0, "t2": pytest.approx(0.3)}
    assert (store.starts("t1"), store.starts("t2")) == (1, 0)


def test_yesterdays_hit_fades_behind_todays() -> None:
    """Three old starts weigh less than one new one after enough half-lives."""
    clock = FakeClock()
    store = FeatureStore(clock)
    for _ in range(3):
        store.record(_event("t1"))
    clock.advance(3 * HALF_LIFE_S)
    store.record(_event("t2"))
    assert list(store.trending(5)) == ["t2", "t1"]
    assert store.starts("t1") == 0


def test_the_window_moves_by_itself() -> None:
    """Starts leave the count when the window has passed, without any new event."""
    clock = FakeClock()
    store = FeatureStore(clock)
    store.record(_event("t1"))
    assert store.most_started(3) == {"t1": 1}
    clock.advance(WINDOW_S)
    assert store.most_started(3) == {}


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The account unseen longest goes first; an account keeps a bounded number of titles."""
    monkeypatch.setattr(features, "MAX_ACCOUNTS", 2)
    store = FeatureStore(FakeClock())
    for account in ("a1", "a2", "a1", "a3"):
        store.record(_event("t1", account=account))
    assert (store.features("a2").events, store.features("a1").events) == (0, 2)
    for number in range(MAX_TITLES_PER_ACCOUNT + 10):
        store.record(_event(f"t{number}"))
    assert len(store.features("a1", limit=1000).affinity) == MAX_TITLES_PER_ACCOUNT
    assert store.stats().accounts == 2
