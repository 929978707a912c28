"""Load shedding: the important first, in order or newest first, and nothing that is too late."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakwater.sdk.context import CallContext, Criticality
from breakwater.sdk.errors import CallRefusedError, SettingsError
from breakwater.sdk.guard.config import AdaptiveConfig, SheddingConfig
from breakwater.sdk.guard.gate import CallInfo
from breakwater.sdk.guard.limiting.codel import CodelQueue
from breakwater.sdk.guard.limiting.expected import ExpectedTimes
from breakwater.sdk.guard.limiting.shedding import Seat, Shedder, Waiting
from breakwater.sdk.guard.verdict import Verdict

PLUS, CRITICAL, SOME, LEAST = Criticality


def request(
    level: Criticality = CRITICAL, deadline_s: float | None = None, endpoint: str = "rows"
) -> CallInfo:
    """A request of this class."""
    context = CallContext(criticality=level, deadline_s=deadline_s)
    return CallInfo(command="gateway", context=context, endpoint=endpoint)


def shedder(limit: int | None = 10, queue: int = 100) -> Shedder:
    """A server with so many places."""
    return Shedder(SheddingConfig(limit=limit, queue=queue), random=Random(1))


def seat(server: Shedder, level: Criticality = CRITICAL, now_s: float = 0.0) -> Seat:
    """A seat that is given at once."""
    found = server.enter(request(level), now_s)
    assert isinstance(found, Seat)
    return found


def waiting(server: Shedder, level: Criticality = CRITICAL, now_s: float = 0.0) -> Waiting:
    """A place in the queue."""
    found = server.enter(request(level), now_s)
    assert isinstance(found, Waiting)
    return found


def leave(server: Shedder, one: Seat, now_s: float = 0.0, took_s: float = 0.01) -> None:
    """The request was served."""
    server.leave(one, Verdict.SUCCESS, now_s=now_s, took_s=took_s, error=None)


def reason(server: Shedder, call: CallInfo, now_s: float = 0.0) -> str:
    """Why a request is refused."""
    with pytest.raises(CallRefusedError) as refusal:
        server.enter(call, now_s)
    return refusal.value.reason


def test_less_important_work_is_refused_first() -> None:
    """Of ten places sheddable work gets 8, sheddable_plus 9, critical 10, critical_plus 11."""
    server = shedder(10, queue=0)
    taken = {level: _fill(server, level) for level in (LEAST, SOME, CRITICAL, PLUS)}
    assert taken == {LEAST: 8, SOME: 1, CRITICAL: 1, PLUS: 1}
    assert server.stats(0.0).refused == {
        "sheddable.shed": 1,
        "sheddable_plus.shed": 1,
        "critical.bulkhead_full": 1,
        "critical_plus.bulkhead_full": 1,
    }


def _fill(server: Shedder, level: Criticality) -> int:
    """How many requests of this class are taken on until one is refused."""
    for count in range(100):
        try:
            server.enter(request(level), 0.0)
        except CallRefusedError:
            return count
    raise AssertionError("there is no limit")


def test_a_refusal_says_when_to_come_again() -> None:
    """With the configured hint."""
    server = Shedder(SheddingConfig(limit=1, queue=0, retry_after_s=2.5), random=Random(1))
    seat(server)
    with pytest.raises(CallRefusedError) as refusal:
        server.enter(request(), 0.0)
    assert (refusal.value.retry_after_s, refusal.value.limit) == (2.5, 1)


def test_thresholds_in_the_wrong_order_are_refused() -> None:
    """The important must not be shed before the unimportant."""
    with pytest.raises(SettingsError, match="critical is"):
        SheddingConfig(critical=0.5)


def test_a_burst_is_served_in_order() -> None:
    """While the queue is young the first that came is the first to be served."""
    server = shedder(1)
    working = seat(server)
    first, second = waiting(server), waiting(server)
    woken: list[str] = []
    first.on_wake(lambda: woken.append("first"))
    second.on_wake(lambda: woken.append("second"))
    leave(server, working, 0.05)
    assert woken == ["first"]
    assert first.claim(0.05) is not None
    assert second.claim(0.05) is None


def test_a_standing_queue_is_served_newest_first_and_waits_less() -> None:
    """Not empty for 100 ms: newcomers wait 5 ms instead of 100, and the last is served first."""
    server = shedder(1)
    working = seat(server)
    old = waiting(server, now_s=0.0)
    assert old.until_s == pytest.approx(0.1)
    kept = waiting(server, now_s=0.09)
    with pytest.raises(CallRefusedError):
        old.claim(0.1)
    young, last = waiting(server, now_s=0.15), waiting(server, now_s=0.151)
    assert young.until_s == pytest.approx(0.155)
    assert server.stats(0.151).is_overloaded
    leave(server, working, 0.152)
    assert last.claim(0.152) is not None
    assert young.claim(0.152) is None
    assert kept.claim(0.152) is None


def test_the_important_are_served_first() -> None:
    """Whoever came first, critical_plus goes before critical."""
    server = shedder(1)
    working = [seat(server), seat(server, PLUS)]
    usual, important = waiting(server), waiting(server, PLUS)
    leave(server, working[0], 0.01)
    assert important.claim(0.01) is not None
    assert usual.claim(0.01) is None


def test_a_full_queue_gives_up_the_less_important() -> None:
    """A critical_plus request takes the place of a critical one; that one is told queue_full."""
    server = shedder(1, queue=1)
    seat(server)
    seat(server, PLUS)
    usual = waiting(server)
    assert reason(server, request()) == "queue_full"
    woken: list[bool] = []
    usual.on_wake(lambda: woken.append(True))
    important = waiting(server, PLUS)
    assert woken == [True]
    with pytest.raises(CallRefusedError) as refusal:
        usual.claim(0.0)
    assert refusal.value.reason == "queue_full"
    assert important.claim(0.0) is None


def test_newcomers_do_not_overtake_those_who_wait() -> None:
    """A place that is free only for the more important is not taken past them."""
    server = shedder(1)
    working = seat(server)
    first = waiting(server)
    leave(server, working, 0.01)
    second = server.enter(request(), 0.01)
    assert isinstance(second, Waiting)
    assert first.claim(0.01) is not None


def test_an_expired_waiter_is_not_given_a_place() -> None:
    """A place that comes free goes to one who still waits."""
    server = shedder(1)
    working = seat(server)
    expired, alive = waiting(server, now_s=0.0), waiting(server, now_s=0.08)
    leave(server, working, 0.1)
    assert alive.claim(0.1) is not None
    with pytest.raises(CallRefusedError):
        expired.claim(0.1)


def test_who_leaves_gives_the_seat_on() -> None:
    """Neither a place in the queue nor an unseen seat is lost."""
    server = shedder(1)
    working = seat(server)
    leaving, served, last = (waiting(server) for _ in range(3))
    leaving.abandon(0.01)
    leave(server, working, 0.02)
    served.abandon(0.03)
    assert last.claim(0.03) is not None
    assert server.stats(0.03).in_use == 1


def test_work_that_cannot_be_done_in_time_is_not_begun() -> None:
    """Rows usually take 50 ms: with 40 ms left they are refused, with 60 ms taken on."""
    server = shedder(10)
    for number in range(20):
        leave(server, seat(server), 1.0 + number * 0.001, took_s=0.05)
    assert reason(server, request(deadline_s=1.1), 1.06) == "too_late"
    assert isinstance(server.enter(request(deadline_s=1.1), 1.04), Seat)
    assert isinstance(server.enter(request(deadline_s=1.1, endpoint="ping"), 1.06), Seat)


def test_waiting_leaves_time_for_the_work() -> None:
    """A request waits only as long as it could still be done afterwards."""
    server = shedder(1)
    for number in range(20):
        leave(server, seat(server), 1.0 + number * 0.001, took_s=0.05)
    seat(server)
    found = server.enter(request(deadline_s=1.12), 1.02)
    assert isinstance(found, Waiting)
    assert found.until_s == pytest.approx(1.07, abs=0.005)


def test_what_was_slow_a_while_ago_does_not_count() -> None:
    """A second without a finished request, and nothing is expected any more."""
    times = ExpectedTimes()
    for _ in range(20):
        times.note("rows", 5.0, 10.0)
    assert times.expect_s("rows", 11.0) > 1.0
    assert times.expect_s("rows", 11.1) == 0.0


def test_one_slow_request_in_twenty_is_not_the_usual() -> None:
    """The median, not the mean, is expected."""
    times = ExpectedTimes()
    random = Random(3)
    for number in range(2000):
        slow = random.random() < 0.05
        times.note("rows", 1.0 if slow else 0.01, number * 0.001)
    assert times.expect_s("rows", 2.0) == pytest.approx(0.01, rel=0.2)


def test_the_limit_may_be_adaptive() -> None:
    """Without a fixed limit the algorithm's first limit holds, and its own refusals are named."""
    config = SheddingConfig(adaptive=AdaptiveConfig(initial=2, minimum=1), queue=0)
    server = Shedder(config, random=Random(1))
    seat(server)
    seat(server)
    assert reason(server, request()) == "limit_reached"


def test_notices_are_given_outside_of_the_lock() -> None:
    """Who is told of a refusal may ask for stats."""
    heard: list[tuple[str, str, int]] = []

    def notice(why: str, level: Criticality) -> None:
        heard.append((why, level.value, server.stats(0.0).in_use))

    server = Shedder(SheddingConfig(limit=1, queue=0), random=Random(1), notice=notice)
    seat(server)
    reason(server, request(LEAST))
    assert heard == [("shed", "sheddable", 1)]


class Entry:
    """Something in the queue."""

    def __init__(self, rank: int) -> None:
        self.rank = rank


@given(st.lists(st.tuples(st.sampled_from(["push", "pop", "remove"]), st.integers(0, 3))))
def test_the_queue_keeps_count(steps: list[tuple[str, int]]) -> None:
    """Its size is the number of entries in it, never above the limit, important ones first."""
    queue: CodelQueue[Entry] = CodelQueue(limit=5, target_s=0.005, interval_s=0.1)
    inside: list[Entry] = []
    for now, (what, rank) in enumerate(steps):
        if what == "push":
            entry = Entry(rank)
            inside.append(entry)
            loser = queue.push(entry, now * 0.03)
            if loser is not None:
                assert loser.rank == max(one.rank for one in inside)
                inside.remove(loser)
        elif what == "pop":
            popped = queue.pop(now * 0.03)
            assert (popped is None) == (not inside)
            if popped is not None:
                assert popped.rank == min(one.rank for one in inside)
                inside.remove(popped)
        elif inside:
            assert queue.remove(inside.pop(rank % len(inside)), now * 0.03)
        assert queue.size == len(inside) <= 5
