"""Places with shares and a line to wait in: guaranteed classes, order, and no place lost."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakwater.sdk.context import CallContext
from breakwater.sdk.errors import CallRefusedError, SettingsError
from breakwater.sdk.guard.config import BulkheadConfig
from breakwater.sdk.guard.gate import CallInfo
from breakwater.sdk.guard.limiting.places import MAX_DELAYED, HeldRefusal, Place, Places, Waiter


def call(partition: str = "", deadline_s: float | None = None) -> CallInfo:
    """A call of this class of callers."""
    return CallInfo(
        command="decode", context=CallContext(deadline_s=deadline_s), partition=partition
    )


def place(places: Places, partition: str = "") -> Place:
    """A place that is given at once."""
    given_ = places.enter(call(partition), 0.0)
    assert isinstance(given_, Place)
    return given_


def waiter(places: Places, partition: str = "", now_s: float = 0.0) -> Waiter:
    """A place in the line."""
    given_ = places.enter(call(partition), now_s)
    assert isinstance(given_, Waiter)
    return given_


def test_the_limit_is_the_limit() -> None:
    """As many places as there are, then a refusal with reason, limit and hint."""
    places = Places(2)
    first, second = place(places), place(places)
    assert (first.inflight, second.inflight) == (1, 2)
    with pytest.raises(CallRefusedError) as refusal:
        places.enter(call(), 0.0, 0.25)
    assert refusal.value.args == ("bulkhead_full", "decode", "", 2, 0.25)
    places.leave(first)
    place(places)


def test_a_share_bites_only_when_all_is_taken() -> None:
    """Below the limit anybody gets in; at the limit only who is below his share."""
    places = Places(10, shares={"live": 0.7, "batch": 0.3})
    for _ in range(10):
        place(places, "batch")
    with pytest.raises(CallRefusedError):
        places.enter(call("batch"), 0.0)
    for _ in range(7):
        place(places, "live")
    with pytest.raises(CallRefusedError):
        places.enter(call("live"), 0.0)
    stats = places.stats()
    assert stats.in_use == 17
    assert (stats.partitions["live"].in_use, stats.partitions["live"].rejected) == (7, 1)


def test_unknown_classes_have_no_share() -> None:
    """They use what is free, and are refused as soon as the limit is reached."""
    places = Places(2, shares={"live": 0.5})
    place(places, "stranger")
    place(places)
    with pytest.raises(CallRefusedError):
        places.enter(call("stranger"), 0.0)
    place(places, "live")


def test_shares_are_rounded_up_and_at_least_one() -> None:
    """0.1 of 5 is one place, 0.5 of 5 three; a new limit means new shares."""
    places = Places(5, shares={"few": 0.1, "half": 0.5})
    limits = {name: one.limit for name, one in places.stats().partitions.items()}
    assert limits == {"few": 1, "half": 3, "": 0}
    places.resize(40)
    assert places.stats().partitions["few"].limit == 4


def test_shares_above_one_are_refused() -> None:
    """More than everything cannot be promised."""
    with pytest.raises(SettingsError, match="together at most 1"):
        BulkheadConfig(partitions={"a": 0.6, "b": 0.5})


@pytest.mark.parametrize(("order", "first"), [("fifo", 0), ("lifo", 2)])
def test_who_waits_is_served_in_order(order: str, first: int) -> None:
    """A place that comes free goes to the first or to the last that came, and wakes him."""
    places = Places(1, max_wait_s=1.0, order=order)  # type: ignore[arg-type] # a parameter
    taken = place(places)
    line = [waiter(places) for _ in range(3)]
    woken: list[int] = []
    for number, one in enumerate(line):
        one.on_wake(lambda n=number: woken.append(n))  # type: ignore[misc] # binds the number
    places.leave(taken)
    assert woken == [first]
    assert line[first].claim(0.5) is not None
    assert [one.claim(0.5) for n, one in enumerate(line) if n != first] == [None, None]


def test_waiting_ends_at_the_limit_or_the_deadline() -> None:
    """Whichever is nearer; then the call is refused with queue_timeout."""
    places = Places(1, max_wait_s=1.0)
    place(places)
    patient = places.enter(call(), 0.0)
    hurried = places.enter(call(deadline_s=0.3), 0.0)
    assert isinstance(patient, Waiter)
    assert isinstance(hurried, Waiter)
    assert (patient.until_s, hurried.until_s) == (1.0, 0.3)
    assert hurried.claim(0.29) is None
    with pytest.raises(CallRefusedError) as refusal:
        hurried.claim(0.3)
    assert refusal.value.reason == "queue_timeout"
    assert places.stats().timed_out == 1


def test_the_line_is_bounded() -> None:
    """One more than max_waiting is refused at once."""
    places = Places(1, max_wait_s=1.0, max_waiting=2)
    place(places)
    waiter(places)
    waiter(places)
    with pytest.raises(CallRefusedError):
        places.enter(call(), 0.0)


def test_who_leaves_the_line_loses_nothing_for_others() -> None:
    """A waiter that leaves is skipped; one that leaves with an unseen place passes it on."""
    places = Places(1, max_wait_s=1.0)
    taken = place(places)
    leaving, served, last = (waiter(places) for _ in range(3))
    leaving.abandon(0.1)
    places.leave(taken)
    served.abandon(0.2)
    assert last.claim(0.3) is not None
    assert places.stats().in_use == 1


def test_a_higher_limit_lets_several_in() -> None:
    """Raising the limit serves the line, and late listeners are woken at once."""
    places = Places(1, max_wait_s=1.0)
    place(places)
    line = [waiter(places) for _ in range(3)]
    places.resize(3)
    woken: list[int] = []
    for number, one in enumerate(line):
        one.on_wake(lambda n=number: woken.append(n))  # type: ignore[misc] # binds the number
    assert woken == [0, 1]


def test_the_line_passes_over_those_without_room() -> None:
    """A free place below a share goes to the class it belongs to, not to the first in line."""
    places = Places(2, shares={"live": 0.5}, max_wait_s=1.0)
    live = place(places, "live")
    place(places, "batch")
    extra = place(places, "batch") if places.limit > 2 else None
    assert extra is None
    batch, again = waiter(places, "batch"), waiter(places, "live")
    places.resize(1)  # two are at work: one too many, so only the share counts
    places.leave(live)
    assert batch.claim(0.1) is None
    assert again.claim(0.1) is not None


def test_a_refusal_may_be_held_back() -> None:
    """It is told after the delay of its class; not more than a hundred are held at once."""
    places = Places(1, reject_delay_s={"batch": 0.5})
    place(places)
    held = [places.enter(call("batch"), 10.0) for _ in range(MAX_DELAYED)]
    first = held[0]
    assert isinstance(first, HeldRefusal)
    assert first.until_s == 10.5
    assert first.claim(10.4) is None
    with pytest.raises(CallRefusedError):
        places.enter(call("batch"), 10.0)
    with pytest.raises(CallRefusedError):
        first.claim(10.5)
    assert isinstance(places.enter(call("batch"), 10.6), HeldRefusal)


class History:
    """Some callers' doings with places, and what is out."""

    def __init__(self) -> None:
        self.places = Places(3, shares={"live": 0.5}, max_wait_s=10.0, max_waiting=5)
        self.taken: list[Place] = []
        self.line: list[Waiter] = []

    def enter(self, number: int) -> None:
        """A call comes."""
        try:
            given_ = self.places.enter(call(("live", "batch")[number % 2]), 0.0)
        except CallRefusedError:
            return
        if isinstance(given_, Place):
            self.taken.append(given_)
        elif isinstance(given_, Waiter):
            self.line.append(given_)

    def leave(self, number: int) -> None:
        """One of those at work ends."""
        if self.taken:
            self.places.leave(self.taken.pop(number % len(self.taken)))

    def abandon(self, number: int) -> None:
        """One of those in line gives up."""
        if self.line:
            self.line.pop(number % len(self.line)).abandon(0.0)

    def resize(self, number: int) -> None:
        """Another limit."""
        self.places.resize(1 + number)

    def claim(self, number: int) -> None:
        """Whoever was given a place takes it."""
        for one in tuple(self.line):
            seat = one.claim(0.0)
            if seat is not None:
                self.taken.append(seat)
                self.line.remove(one)
        assert self.places.stats().in_use == len(self.taken)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["enter", "leave", "abandon", "resize", "claim"]), st.integers(0, 9)
        )
    )
)
def test_places_are_neither_lost_nor_doubled(steps: list[tuple[str, int]]) -> None:
    """After any history, giving everything back leaves nothing in use and nobody waiting."""
    history = History()
    for what, number in steps:
        getattr(history, what)(number)
    history.claim(0)
    while history.line:
        history.abandon(0)
    while history.taken:
        history.leave(0)
    history.claim(0)
    while history.taken:
        history.leave(0)
    stats = history.places.stats()
    assert (stats.in_use, stats.waiting) == (0, 0)


def test_many_threads_never_exceed_the_limit() -> None:
    """Eight threads, four places: never more than four inside, and all places come back."""
    places = Places(4)
    inside: list[None] = []
    most: list[int] = []
    start = threading.Barrier(8)

    def work() -> None:
        start.wait()
        for _ in range(300):
            try:
                seat = places.enter(call(), 0.0)
            except CallRefusedError:
                continue
            assert isinstance(seat, Place)
            inside.append(None)
            most.append(len(inside))
            inside.pop()
            places.leave(seat)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) <= 4
    assert places.stats().in_use == 0
