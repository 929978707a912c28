"""The adaptive limit as a gate: what counts as a sample, and what callers are told."""

from random import Random

import pytest

from breakwater.model import Status
from breakwater.sdk.context import CallContext
from breakwater.sdk.errors import CallFailedError, CallRefusedError, SettingsError
from breakwater.sdk.guard.config import AdaptiveConfig
from breakwater.sdk.guard.gate import CallInfo, Ticket
from breakwater.sdk.guard.limiting.adaptive import AdaptiveLimit
from breakwater.sdk.guard.verdict import Verdict

CALL = CallInfo(command="rows", context=CallContext(), endpoint="list")


def gate(changes: list[tuple[int, int]] | None = None, **numbers: object) -> AdaptiveLimit:
    """An AIMD limit that learns from each call by itself."""
    config = AdaptiveConfig(algorithm="aimd", minimum_samples=1, window_s=1e-9, **numbers)  # type: ignore[arg-type] # any of the fields
    heard = changes if changes is not None else []
    return AdaptiveLimit(config, random=Random(1), on_change=lambda *change: heard.append(change))


def enter(limit: AdaptiveLimit) -> Ticket:
    """A place that is given at once."""
    ticket = limit.enter(CALL, 0.0)
    assert isinstance(ticket, Ticket)
    return ticket


def leave(
    limit: AdaptiveLimit,
    ticket: Ticket,
    verdict: Verdict,
    error: BaseException | None = None,
    now_s: float = 100.0,
) -> None:
    """The call ended after 10 ms."""
    limit.leave(ticket, verdict, now_s=now_s, took_s=0.01, error=error)


def test_the_call_beyond_the_limit_is_refused_with_a_hint() -> None:
    """Reason, limit, and the present latency as the time to come again."""
    limit = gate(initial=2, minimum=2, maximum=2)
    leave(limit, enter(limit), Verdict.SUCCESS)
    enter(limit)
    enter(limit)
    with pytest.raises(CallRefusedError) as refusal:
        limit.enter(CALL, 0.0)
    assert refusal.value.args == ("limit_reached", "rows", "list", 2, 0.01)


def test_success_in_use_grows_and_tells() -> None:
    """One more, and whoever wants to know is told before and after."""
    changes: list[tuple[int, int]] = []
    limit = gate(changes, initial=2, minimum=1)
    leave(limit, enter(limit), Verdict.SUCCESS)
    assert limit.limit == 3
    assert changes == [(2, 3)]


FAILED = {
    status: CallFailedError(status, service="rows")
    for status in (Status.UNAVAILABLE, Status.THROTTLED, Status.UNEXPECTED_ERROR)
}


@pytest.mark.parametrize(
    ("verdict", "error", "after"),
    [
        (Verdict.TIMEOUT, None, 9),
        (Verdict.FAILURE, FAILED[Status.UNAVAILABLE], 9),
        (Verdict.FAILURE, FAILED[Status.THROTTLED], 9),
        (Verdict.FAILURE, TimeoutError(), 9),
        (Verdict.FAILURE, ConnectionResetError(), 9),
        (Verdict.FAILURE, FAILED[Status.UNEXPECTED_ERROR], 10),
        (Verdict.FAILURE, ValueError(), 10),
        (Verdict.IGNORED, None, 10),
        (Verdict.CANCELLED, None, 10),
        (Verdict.NOT_TRIED, None, 10),
    ],
)
def test_only_signs_of_overload_shrink_it(
    verdict: Verdict, error: BaseException | None, after: int
) -> None:
    """Timeouts, lost connections and answers without room; all else is no sample at all."""
    limit = gate(initial=10, minimum=1)
    leave(limit, enter(limit), verdict, error)
    assert limit.limit == after
    assert limit.in_use == 0


def test_partitions_share_the_adaptive_limit() -> None:
    """A class below its share gets in although the limit is reached."""
    limit = gate(initial=2, minimum=2, maximum=2, partitions={"live": 0.5})
    enter(limit)
    enter(limit)
    live = CallInfo(command="rows", context=CallContext(), partition="live")
    assert isinstance(limit.enter(live, 0.0), Ticket)
    with pytest.raises(CallRefusedError):
        limit.enter(live, 0.0)


def test_a_growing_limit_serves_the_line() -> None:
    """Callers that wait get the places a success opens, its own and the new one."""
    limit = gate(initial=1, minimum=1, max_wait_s=1.0)
    working = enter(limit)
    first, second = limit.enter(CALL, 0.0), limit.enter(CALL, 0.0)
    assert not isinstance(first, Ticket)
    assert not isinstance(second, Ticket)
    leave(limit, working, Verdict.SUCCESS)
    assert first.claim(0.1) is not None
    assert second.claim(0.1) is not None


def test_stats_say_what_it_learned_from() -> None:
    """Samples, drops, changes, latency."""
    limit = gate(initial=10, minimum=1)
    leave(limit, enter(limit), Verdict.TIMEOUT)
    leave(limit, enter(limit), Verdict.CANCELLED)
    stats = limit.stats()
    assert (stats.samples, stats.drops, stats.changes, stats.limit) == (1, 1, 1, 9)
    assert stats.latency_s == pytest.approx(0.01)


@pytest.mark.parametrize(
    "numbers",
    [{"minimum": 9, "maximum": 8}, {"tolerance": 0.9}, {"partitions": {"a": 0.6, "b": 0.6}}],
)
def test_numbers_that_contradict_are_refused(numbers: dict[str, object]) -> None:
    """A configuration that cannot work is an error, not a surprise."""
    with pytest.raises(SettingsError):
        AdaptiveConfig(**numbers)  # type: ignore[arg-type] # any of the fields
