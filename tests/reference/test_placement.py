"""Rendezvous hashing keeps its promises."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from breakwater.reference.placement import owner

INSTANCES = st.lists(st.text("abc-123", min_size=1, max_size=8), unique=True, min_size=1)


@given(st.text(max_size=20), INSTANCES, st.randoms())
def test_order_of_the_list_does_not_matter(key: str, instances: list[str], rng: object) -> None:
    """Two callers with differently ordered lists choose the same owner."""
    assert owner(key, instances) == owner(key, sorted(instances))
    assert owner(key, instances) in instances


@given(st.text(max_size=20), INSTANCES)
def test_losing_another_instance_moves_nothing(key: str, instances: list[str]) -> None:
    """A key moves only when its own owner goes."""
    chosen = owner(key, instances)
    for other in instances:
        if other != chosen:
            assert owner(key, [i for i in instances if i != other]) == chosen


def test_nobody_owns_anything_when_nobody_is_there() -> None:
    """Without instances there is no owner, and no error either."""
    assert owner("a1", []) is None


def test_keys_spread_evenly() -> None:
    """Each of four instances keeps about a quarter of the keys."""
    kept = Counter(owner(f"a{n}", ["s-a-1", "s-b-1", "s-a-2", "s-b-2"]) for n in range(4000))
    assert all(850 < count < 1150 for count in kept.values())
