"""Single flight and request cache: one call for many, in threads and in event loops."""

import contextvars
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from tests.sdk.guarding import wait_until

from breakwater.sdk import DeadlineExceededError
from breakwater.sdk.context import CallContext, bind, unbind
from breakwater.sdk.guard.roles import Answer, Lead
from breakwater.sdk.guard.sharing.requestcache import RequestCache
from breakwater.sdk.guard.sharing.scope import current_scope, request_scope
from breakwater.sdk.guard.sharing.singleflight import Flight, Follower, SingleFlight


def apart(work: Callable[..., Any], *args: Any) -> Any:
    """`work` as done by another caller: in a context of its own."""
    return contextvars.Context().run(work, *args)


def lead(front: SingleFlight, key: str) -> Lead:
    """The first call of a key."""
    entered = apart(front.enter, key, 0.0)
    assert isinstance(entered, Lead)
    return entered


def follow(front: SingleFlight, key: str) -> Follower:
    """A later call of a key."""
    entered = apart(front.enter, key, 0.0)
    assert isinstance(entered, Follower)
    return entered


class Woken:
    """Counts how often it was woken."""

    def __init__(self, follower: Follower) -> None:
        self.times = 0
        follower.on_wake(self)

    def __call__(self) -> None:
        self.times += 1


def test_followers_get_the_leaders_answer() -> None:
    """They are woken once, and all get the same object."""
    front = SingleFlight("c")
    leader, value = lead(front, "k"), object()
    followers = [follow(front, "k") for _ in range(3)]
    woken = [Woken(follower) for follower in followers]
    assert [follower.claim(0.0) for follower in followers] == [None] * 3
    front.done(leader, value, 1.0)
    answers = [follower.claim(1.5) for follower in followers]
    assert all(answer.value is value and answer.age_s == 0.5 for answer in answers)
    assert [each.times for each in woken] == [1, 1, 1]
    assert front.stats().under_way == 0
    assert isinstance(lead(front, "k"), Lead)


def test_other_keys_do_not_wait() -> None:
    """Each key has its own leader."""
    front = SingleFlight("c")
    lead(front, "a")
    lead(front, "b")
    assert front.stats().led == 2


def test_followers_get_copies_of_the_leaders_error() -> None:
    """Same class and text, an object each, the leader's own traceback untouched."""
    front = SingleFlight("c")
    leader = lead(front, "k")
    followers = [follow(front, "k") for _ in range(2)]
    error = ValueError("down")
    front.failed(leader, error, 1.0)
    raised = []
    for follower in followers:
        with pytest.raises(ValueError, match="down") as caught:
            follower.claim(1.0)
        raised.append(caught.value)
    assert raised[0] is not raised[1]
    assert error not in raised


def test_a_leader_that_leaves_hands_over() -> None:
    """The one who waited longest leads; the others follow it."""
    front = SingleFlight("c")
    leader = lead(front, "k")
    first, second = follow(front, "k"), follow(front, "k")
    woken = Woken(first)
    front.failed(leader, KeyboardInterrupt(), 1.0)
    assert woken.times == 1
    heir = apart(first.claim, 1.0)
    assert isinstance(heir, Lead)
    assert second.claim(1.0) is None
    front.done(heir, 7, 2.0)
    assert second.claim(2.0) == Answer(7)
    assert front.stats().handed_over == 1


def test_a_lead_that_nobody_wants_is_dropped() -> None:
    """Leader and all heirs gone, the next caller leads anew, and nothing is kept."""
    front = SingleFlight("c")
    leader = lead(front, "k")
    first, second = follow(front, "k"), follow(front, "k")
    front.failed(leader, GeneratorExit(), 1.0)
    first.abandon(1.0)
    second.abandon(1.0)
    assert front.stats().under_way == 0
    assert isinstance(lead(front, "k"), Lead)


def test_a_flight_found_deserted_is_replaced() -> None:
    """Who comes in the moment in which the last heir leaves leads a flight of its own."""
    front, cache = SingleFlight("c"), RequestCache("c")
    deserted = Flight("k", front._flights)
    deserted.is_deserted = True
    front._flights["k"] = deserted
    lead(front, "k")
    assert front._flights["k"] is not deserted
    with request_scope() as scope:
        assert isinstance(cache.enter("other", 0.0), Lead)
        (table,) = scope.slots.values()
        table["k"] = Flight("k", table)
        table["k"].is_deserted = True
        assert isinstance(cache.enter("k", 0.0), Lead)


def test_a_request_never_waits_for_itself() -> None:
    """A cached call that asks for its own key makes that call apart."""
    cache = RequestCache("c")
    with request_scope():
        outer = cache.enter("k", 0.0)
        inner = cache.enter("k", 0.0)
        assert isinstance(outer, Lead)
        assert isinstance(inner, Lead)
        cache.failed(inner, GeneratorExit(), 0.0)
        cache.done(inner, "inner", 0.0)
        cache.done(outer, "outer", 0.0)
        assert cache.enter("k", 0.0) == Answer("outer")
    cache.clear("k")


def test_a_follower_keeps_to_its_own_deadline() -> None:
    """It waits until its caller's deadline and no longer, however long the leader takes."""
    front = SingleFlight("c")
    lead(front, "k")
    token = bind(CallContext(deadline_s=5.0))
    try:
        follower = front.enter("k", 0.0)
    finally:
        unbind(token)
    assert isinstance(follower, Follower)
    assert follower.until_s == 5.0
    assert follower.claim(4.9) is None
    with pytest.raises(DeadlineExceededError):
        follower.claim(5.0)


def test_a_leader_never_waits_for_itself() -> None:
    """Asked for again from within, the call is made apart and disturbs nobody."""
    front = SingleFlight("c")

    def outer() -> None:
        leader = front.enter("k", 0.0)
        assert isinstance(leader, Lead)
        inner = front.enter("k", 0.0)
        assert isinstance(inner, Lead)
        front.done(inner, "inner", 0.0)
        waiting = follow(front, "k")
        assert waiting.claim(0.0) is None
        front.done(leader, "outer", 0.0)
        assert waiting.claim(0.0) == Answer("outer")

    apart(outer)


def test_threads_share_one_call() -> None:
    """Of 16 threads one makes the call, the others wait for it."""
    front, made, answers = SingleFlight("c"), [], []
    barrier = threading.Barrier(16)

    def ask() -> None:
        barrier.wait(10)
        entered = front.enter("k", 0.0)
        if isinstance(entered, Lead):
            wait_until(lambda: front.stats().followed >= 15)
            made.append(1)
            front.done(entered, "answer", 0.0)
            answers.append("answer")
        elif isinstance(entered, Follower):
            woken = threading.Event()
            entered.on_wake(woken.set)
            assert woken.wait(10)
            answers.append(entered.claim(0.0).value)

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(made) == 1
    assert answers == ["answer"] * 16


def test_a_request_makes_equal_calls_once() -> None:
    """The answer stands for the rest of the request, and for no other."""
    cache = RequestCache("c")
    with request_scope():
        leader = cache.enter("k", 0.0)
        assert isinstance(leader, Lead)
        cache.done(leader, "answer", 1.0)
        assert cache.enter("k", 3.0) == Answer("answer", 2.0)
        assert isinstance(cache.enter("other", 3.0), Lead)
    with request_scope():
        assert isinstance(cache.enter("k", 3.0), Lead)
    assert cache.stats().hits == 1
    assert cache.stats().misses == 3


def test_a_request_remembers_errors_too() -> None:
    """As in Hystrix, what failed once in a request fails for all its equal calls."""
    cache = RequestCache("c")
    with request_scope():
        leader = cache.enter("k", 0.0)
        assert isinstance(leader, Lead)
        cache.failed(leader, ValueError("down"), 1.0)
        for _ in range(2):
            follower = cache.enter("k", 2.0)
            assert isinstance(follower, Follower)
            assert Woken(follower).times == 1
            with pytest.raises(ValueError, match="down"):
                follower.claim(2.0)


def test_a_cancelled_call_is_not_remembered() -> None:
    """Whoever asks next makes the call."""
    cache = RequestCache("c")
    with request_scope():
        leader = cache.enter("k", 0.0)
        assert isinstance(leader, Lead)
        cache.failed(leader, KeyboardInterrupt(), 1.0)
        assert isinstance(cache.enter("k", 2.0), Lead)


def test_what_changed_can_be_forgotten() -> None:
    """After `clear` the next equal call is made."""
    cache = RequestCache("c")
    with request_scope():
        leader = cache.enter("k", 0.0)
        assert isinstance(leader, Lead)
        cache.done(leader, "old", 1.0)
        cache.clear("k")
        assert isinstance(cache.enter("k", 2.0), Lead)


def test_outside_a_request_nothing_is_cached() -> None:
    """No scope, no memory; neither after its end for work that outlives it."""
    cache = RequestCache("c")
    leader = cache.enter("k", 0.0)
    assert isinstance(leader, Lead)
    cache.done(leader, "answer", 0.0)
    assert isinstance(cache.enter("k", 0.0), Lead)
    with request_scope():
        late = contextvars.copy_context()
    assert late.run(current_scope) is None
    assert cache.stats().without_scope == 2


def test_a_request_keeps_a_bounded_number_of_answers() -> None:
    """Beyond max_entries the oldest are forgotten."""
    cache = RequestCache("c", max_entries=10)
    with request_scope() as scope:
        for key in range(100):
            leader = cache.enter(key, 0.0)
            assert isinstance(leader, Lead)
            cache.done(leader, key, 0.0)
        (table,) = scope.slots.values()
        assert list(table) == list(range(90, 100))


class Flights(RuleBasedStateMachine):
    """Any order of joining, answering, failing, leaving: one leads while anybody waits."""

    def __init__(self) -> None:
        super().__init__()
        self.front = SingleFlight("c")
        self.leader: Lead | None = None
        self.waiting: list[tuple[Follower, Woken]] = []

    @rule()
    def come(self) -> None:
        """Another caller."""
        entered = apart(self.front.enter, "k", 0.0)
        if self.leader is None:
            assert isinstance(entered, Lead)
            self.leader = entered
        else:
            assert isinstance(entered, Follower)
            self.waiting.append((entered, Woken(entered)))

    @rule(fails=st.booleans())
    def end(self, fails: bool) -> None:  # noqa: FBT001 - drawn by Hypothesis
        """The leader ends; all who wait know."""
        if self.leader is None:
            return
        if fails:
            self.front.failed(self.leader, ValueError("x"), 1.0)
        else:
            self.front.done(self.leader, 5, 1.0)
        for follower, woken in self.waiting:
            assert woken.times == 1
            if fails:
                with pytest.raises(ValueError, match="x"):
                    follower.claim(1.0)
            else:
                assert follower.claim(1.0) == Answer(5)
        self.leader, self.waiting = None, []

    @rule()
    def leave(self) -> None:
        """The leader leaves; the first who waits leads."""
        if self.leader is None:
            return
        self.front.failed(self.leader, GeneratorExit(), 1.0)
        self.leader = None
        self.inherit()

    def inherit(self) -> None:
        """Whoever was woken claims the lead."""
        if self.waiting:
            follower, woken = self.waiting.pop(0)
            assert woken.times == 1
            self.leader = apart(follower.claim, 1.0)
            assert isinstance(self.leader, Lead)

    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        """Anyone who waits leaves; nobody notices."""
        if self.waiting:
            place = data.draw(st.integers(0, len(self.waiting) - 1))
            self.waiting.pop(place)[0].abandon(1.0)

    @rule()
    def heir_gives_up(self) -> None:
        """The leader leaves and its heir too, before it claims; the next one leads."""
        if self.leader is not None and self.waiting:
            self.front.failed(self.leader, GeneratorExit(), 1.0)
            self.waiting.pop(0)[0].abandon(1.0)
            self.leader = None
            self.inherit()

    @invariant()
    def nothing_is_left_over(self) -> None:
        """A flight is kept exactly while somebody leads, and nobody waits in vain."""
        assert self.front.stats().under_way == (self.leader is not None)
        assert all(woken.times == 0 for _, woken in self.waiting)


TestFlights = pytest.mark.slow(Flights.TestCase)
TestFlights.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
