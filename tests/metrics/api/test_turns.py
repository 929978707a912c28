"""Who runs, who waits and who is refused, as bookkeeping alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakwater.metrics.api.turns import Turn, Turns
from breakwater.metrics.errors import BusyError
from breakwater.testing import FakeClock


class Seen:
    """Turns by name, and what became of them."""

    def __init__(self, at_once: int = 2, most_waiting: int = 4) -> None:
        self.clock = FakeClock()
        self.turns = Turns(at_once, most_waiting, self.clock.monotonic_s)
        self.started: list[str] = []
        self.refused: list[str] = []
        self.entered: list[Turn] = []

    def enter(self, caller: str) -> Turn:
        """A turn that notes its caller when it starts or is refused."""

        def settled(error: BusyError | None) -> None:
            (self.started if error is None else self.refused).append(caller)

        turn = Turn(caller, settled)
        self.turns.enter(turn)
        self.entered.append(turn)
        return turn


def test_one_caller_leaves_a_place_for_others() -> None:
    """Of two places one caller may have one; the other is there for who comes next."""
    seen = Seen()
    seen.enter("a")
    seen.enter("a")
    seen.enter("b")
    assert (seen.started, seen.turns.running, seen.turns.waiting) == (["a", "b"], 2, 1)


def test_the_one_place_there_is_may_be_taken() -> None:
    """With a single place nothing can be left free for others."""
    seen = Seen(at_once=1)
    seen.enter("a")
    assert seen.started == ["a"]


def test_who_used_least_lately_comes_first() -> None:
    """What was used counts for less as time passes, so nobody is behind for ever."""
    seen = Seen(at_once=1, most_waiting=10)
    for caller, used in (("a", 1000.0), ("b", 10.0)):
        seen.turns.leave(seen.enter(caller), used)
    running = seen.enter("c")
    for caller in ("a", "b", "a"):
        seen.enter(caller)
    seen.turns.leave(running, 1.0)
    assert seen.started[-1] == "b"
    seen.turns.leave(seen.entered[-2], 10_000.0)
    assert seen.started[-1] == "a"


def test_the_greediest_is_refused_when_too_many_wait() -> None:
    """A caller with many waiting loses its newest to one that has none."""
    seen = Seen()
    for _ in range(5):
        seen.enter("a")
    with pytest.raises(BusyError, match="4 queries are waiting"):
        seen.enter("a")
    seen.enter("b")
    seen.enter("b")
    assert (seen.started, seen.refused) == (["a", "b"], ["a"])
    assert (seen.turns.waiting, seen.turns.refused) == (4, 2)


def test_who_stops_waiting_is_not_started() -> None:
    """A turn that left its place in the row is passed over, and leaving twice changes nothing."""
    seen = Seen(at_once=1)
    first, second = seen.enter("a"), seen.enter("b")
    seen.turns.leave(second)
    seen.turns.leave(second)
    seen.turns.leave(first)
    assert (seen.started, seen.turns.running, seen.turns.waiting) == (["a"], 0, 0)


def test_callers_are_forgotten_in_time() -> None:
    """However many callers come, only so many are remembered."""
    seen = Seen()
    for number in range(5_000):
        seen.turns.leave(seen.enter(f"caller-{number}"), 5.0)
    assert len(seen.turns._callers) <= 1_000


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 3)), max_size=60))
def test_places_are_never_oversold_nor_left_empty(moves: list[tuple[str, int]]) -> None:
    """Whatever comes and goes: bounds hold, and nobody waits while a place is free for them."""
    seen = Seen(at_once=3, most_waiting=5)
    for caller, move in moves:
        if move:
            try:
                seen.enter(caller)
            except BusyError:
                continue
        elif seen.entered:
            seen.turns.leave(seen.entered.pop(0), 1.0)
        callers = seen.turns._callers.values()
        assert seen.turns.running == sum(each.running for each in callers) <= 3
        assert seen.turns.waiting == sum(len(each.waiting) for each in callers) <= 5
        if seen.turns.running < 3:
            assert all(each.running == 2 for each in callers if each.waiting)
