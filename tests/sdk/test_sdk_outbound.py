"""What all client adapters share: attempts under guard, and their records."""

import asyncio
import errno
import threading
from typing import Any

import pytest
from tests.sdk.fleet import PATIENCE_S, MeterListener
from tests.sdk.streaming import QUICK

from breakwater.model import Status
from breakwater.sdk import (
    BreakerConfig,
    BulkheadConfig,
    CallError,
    CallFailedError,
    CallRefusedError,
    CommandConfig,
    Service,
)
from breakwater.sdk.attempt import Attempt
from breakwater.sdk.dispatch import sweep
from breakwater.sdk.errors import AttemptTimedOutError, DeadlineExceededError
from breakwater.sdk.faults import InjectedFaultError
from breakwater.sdk.guard import HedgeConfig, StaleConfig, Verdict
from breakwater.sdk.guard.retrying.pushback import push_back_of
from breakwater.sdk.outbound import MAX_PEERS, Outbound, Peers, guard_of
from breakwater.sdk.outcomes import (
    AnswerFailedError,
    connection_detail,
    mark,
    status_of_error,
    translated,
    verdict_of,
)

HEDGED = HedgeConfig(delay_s=0.0, budget_percent=100.0)


def outbound(caller: Service, *, given: dict[str, Any] | None = None, **parts: Any) -> Outbound:
    """The edge to `account`, its guard made of these parts."""
    command = guard_of(caller.guards, "account", CommandConfig(**parts), **(given or {}))
    return Outbound(caller.runtime, "account", command=command)


def broken(_attempt: Attempt) -> str:
    """An attempt that finds nobody."""
    raise ConnectionRefusedError(errno.ECONNREFUSED, "refused")


def test_the_final_attempt_is_the_one_that_was(caller: Service, meters: MeterListener) -> None:
    """Also where another would have been allowed, but was not worth it."""
    edge = outbound(caller, retry=QUICK, given={"retry_on": (TimeoutError,)})
    with pytest.raises(ConnectionRefusedError):
        edge.call_sync("profile", broken)
    line = meters.wait_for("ipc.client.call", "ipc.status=connection_error")
    assert "ipc.attempt.final=true" in line
    assert "ipc.status.detail=refused" in line
    assert edge.stats().attempts == 1


def test_a_refusal_between_attempts_is_the_final_one(
    caller: Service, meters: MeterListener
) -> None:
    """The attempt before it is not, and the refused one was sent nowhere."""
    edge = outbound(caller, retry=QUICK, breaker=BreakerConfig(minimum_calls=1))
    with pytest.raises(CallRefusedError):
        edge.call_sync("profile", broken)
    line = meters.wait_for("ipc.status=short_circuited")
    for tag in ("ipc.attempt=second", "ipc.attempt.final=true", "ipc.server.node=none"):
        assert tag in line
    assert "ipc.attempt.final=false" in meters.wait_for("ipc.status=connection_error")


def test_a_guard_switched_off_still_records(caller: Service, meters: MeterListener) -> None:
    """Nothing is refused; what happened is seen."""
    edge = outbound(caller, enabled=False, breaker=BreakerConfig(minimum_calls=1))
    for _ in range(3):
        with pytest.raises(ConnectionRefusedError):
            edge.call_sync("profile", broken)
    assert edge.call_sync("profile", lambda _attempt: "yes") == "yes"
    meters.wait_for("ipc.client.call", "ipc.status=success")
    assert edge.stats().in_flight == 0


def test_a_fallback_that_fails_is_counted(caller: Service) -> None:
    """Its error is the caller's."""

    def worse(_error: Exception) -> str:
        raise KeyError

    edge = outbound(caller)
    with pytest.raises(KeyError):
        edge.call_sync("profile", broken, fallback=worse)
    stats = edge.stats()
    assert (stats.fallbacks, stats.fallback_failures) == (0, 1)


def test_a_bad_answer_is_better_than_none(caller: Service) -> None:
    """The last one is given to the caller, those before it are discarded."""
    discarded: list[int] = []

    def busy(attempt: Attempt) -> int:
        number = attempt.number
        return attempt.answered(503, number, lambda: discarded.append(number))

    assert outbound(caller, retry=QUICK).call_sync("profile", busy) == 2
    assert discarded == [1]
    assert outbound(caller).call_sync("profile", busy, fallback=lambda _error: 7) == 7
    assert discarded == [1, 1]


def test_answers_that_are_kept_cannot_be_held(caller: Service) -> None:
    """Whoever gets a kept answer has no attempt to end."""
    held: list[bool] = []

    def hold(attempt: Attempt) -> str:
        held.append(attempt.hold())
        return "yes"

    outbound(caller, stale=StaleConfig()).call_sync("profile", hold, key="one")
    assert held == [False]


def test_a_held_attempt_keeps_its_permit_until_it_ends(
    caller: Service, meters: MeterListener
) -> None:
    """Once; what is told later is nothing."""
    edge = outbound(caller, bulkhead=BulkheadConfig(max_concurrent=1))
    held: list[Attempt] = []

    def hold(attempt: Attempt) -> str:
        held.append(attempt)
        attempt.hold()
        return "half"

    assert edge.call_sync("profile", hold) == "half"
    assert edge.stats().in_flight == 1
    with pytest.raises(CallRefusedError):
        edge.call_sync("profile", hold)
    held[0].end(ConnectionResetError(errno.ECONNRESET, "reset"))
    held[0].end()
    assert edge.stats().in_flight == 0
    line = meters.wait_for("ipc.status=connection_error")
    assert "ipc.status.detail=reset" in line
    edge.call_sync("profile", hold)
    held[1].drop()
    sweep()
    assert edge.stats().in_flight == 0
    meters.wait_for("ipc.status=cancelled")


def test_an_attempt_may_end_before_it_is_held(caller: Service, meters: MeterListener) -> None:
    """Where another thread is quicker than the one that makes the call."""
    edge = outbound(caller)

    def ended(attempt: Attempt) -> str:
        assert attempt.hold()
        attempt.end(BrokenPipeError(errno.EPIPE, "pipe"))
        return "half"

    assert edge.call_sync("profile", ended) == "half"
    assert edge.stats().in_flight == 0
    meters.wait_for("ipc.status=connection_error", "ipc.status.detail=reset")
    assert edge.command.stats().calls["failure"] == 1


def test_the_answer_of_a_thread_left_behind_is_discarded(caller: Service) -> None:
    """The pool walks away from it at the limit, and nobody will read what comes later."""
    pool = BulkheadConfig(isolation="thread", threads=1)
    edge = outbound(caller, timeout_s=0.02, bulkhead=pool)
    go_on, discarded = threading.Event(), threading.Event()

    def slow(_attempt: Attempt) -> str:
        go_on.wait(PATIENCE_S)
        return "late"

    with pytest.raises(AttemptTimedOutError):
        edge.call_sync("profile", slow, discard=lambda _answer: discarded.set())
    go_on.set()
    assert discarded.wait(PATIENCE_S)


@pytest.mark.anyio
async def test_a_cancelled_call_is_recorded_and_stays_cancelled(
    caller: Service, meters: MeterListener
) -> None:
    """It says nothing of the callee."""
    edge, entered = outbound(caller, breaker=BreakerConfig(minimum_calls=1)), asyncio.Event()

    async def hang(_attempt: Attempt) -> str:
        entered.set()
        await asyncio.Event().wait()
        return "never"

    call = asyncio.ensure_future(edge.call("profile", hang))
    await entered.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await asyncio.to_thread(meters.wait_for, "ipc.status=cancelled")
    assert edge.command.stats().calls["failure"] == 0


@pytest.mark.anyio
async def test_the_winner_of_a_race_is_final(caller: Service, meters: MeterListener) -> None:
    """The loser is cancelled, and recorded as that."""
    edge = outbound(caller, hedge=HEDGED, given={"idempotent": True})
    second = asyncio.Event()
    begun: list[int] = []

    async def race(_attempt: Attempt) -> str:
        begun.append(len(begun))
        if len(begun) == 1:
            await second.wait()
            await asyncio.Event().wait()
        second.set()
        return "second"

    async def quick(_attempt: Attempt) -> str:
        return "quick"

    await edge.call("earning", quick)  # the budget is a share of the calls that succeed
    async with asyncio.timeout(PATIENCE_S):
        assert await edge.call("profile", race) == "second"
    line = await asyncio.to_thread(meters.wait_for, "ipc.endpoint=profile", "ipc.status=success")
    assert "ipc.attempt.final=true" in line
    line = await asyncio.to_thread(meters.wait_for, "ipc.status=cancelled")
    assert "ipc.attempt.final=false" in line


def test_the_answer_of_a_thread_that_lost_is_discarded(
    caller: Service, meters: MeterListener
) -> None:
    """Nobody can stop it, and nobody will read its answer."""
    hedge = HedgeConfig(delay_s=0.0, budget_percent=100.0, sync_threads=2)
    edge = outbound(caller, hedge=hedge, given={"idempotent": True})
    go_on, discarded = threading.Event(), threading.Event()
    begun: list[int] = []

    def race(_attempt: Attempt) -> str:
        begun.append(len(begun))
        if len(begun) == 1:
            go_on.wait(PATIENCE_S)
            return "first"
        return "second"

    def discard(answer: str) -> None:
        assert answer == "first"
        discarded.set()

    edge.call_sync("earning", lambda _attempt: "quick")
    assert edge.call_sync("profile", race, discard=discard) == "second"
    go_on.set()
    assert discarded.wait(PATIENCE_S)
    meters.wait_for("ipc.endpoint=profile", "ipc.attempt.final=true", "ipc.status=success")
    meters.wait_for("ipc.endpoint=profile", "ipc.attempt.final=false", "ipc.status=success")


def test_what_may_not_be_repeated_is_not_raced(caller: Service) -> None:
    """However the guard is configured."""
    edge = outbound(caller, hedge=HEDGED, retry=QUICK, given={"idempotent": True})
    with pytest.raises(ConnectionRefusedError):
        edge.call_sync("profile", broken, may_retry=False)
    assert edge.stats().attempts == 1


def test_names_of_guards_are_numbered(caller: Service) -> None:
    """Two clients of one callee have two guards, of one group and one retry budget."""
    first, second = (outbound(caller).command for _ in range(2))
    assert (first.name, second.name) == ("account", "account-2")
    assert first.dependency == second.dependency == "account"


def test_peers_are_bounded(caller: Service) -> None:
    """A crawler does not fill the process with guards."""

    def make(peer: str) -> Outbound:
        config = CommandConfig()
        return Outbound(caller.runtime, peer, command=guard_of(caller.guards, peer, config))

    peers = Peers(make)
    names = {peers.of(f"host-{number}.example").peer for number in range(MAX_PEERS + 20)}
    assert len(names) == MAX_PEERS + 1
    assert "other" in names
    assert peers.of("host-3.example") is peers.of("host-3.example")


@pytest.mark.parametrize(
    ("error", "status", "detail"),
    [
        (TimeoutError(), Status.TIMEOUT, "attempt_timeout"),
        (AttemptTimedOutError("x", was_cut_short=True), Status.TIMEOUT, "deadline"),
        (DeadlineExceededError(service="x"), Status.TIMEOUT, "past_deadline"),
        (CallRefusedError("rate_limited", "x"), Status.REJECTED, "rate_limited"),
        (BrokenPipeError(errno.EPIPE, "pipe"), Status.CONNECTION_ERROR, "reset"),
        (OSError(), Status.CONNECTION_ERROR, "OSError"),
        (KeyError(), Status.UNEXPECTED_ERROR, "KeyError"),
        (KeyboardInterrupt(), Status.CANCELLED, ""),
    ],
)
def test_errors_have_a_status(error: BaseException, status: Status, detail: str) -> None:
    """Whatever the library."""
    assert status_of_error(error) == (status, detail)


def test_the_cause_of_a_broken_connection_is_found() -> None:
    """However deep a library wraps it."""
    wrapped, wrapper = ValueError(), ValueError()
    wrapped.__cause__ = ConnectionRefusedError(errno.ECONNREFUSED, "refused")
    wrapper.__context__ = wrapped
    assert connection_detail(wrapper) == "refused"


def test_a_late_answer_says_something_unless_it_was_cut_short() -> None:
    """The library's error is marked, since it cannot say so itself."""
    for was_cut_short, verdict in ((False, Verdict.TIMEOUT), (True, Verdict.CANCELLED)):
        error = TimeoutError()
        mark(error, Status.TIMEOUT, "attempt_timeout", was_cut_short=was_cut_short)
        assert verdict_of(error) is verdict


def test_a_bad_answer_says_when_to_come_again() -> None:
    """Retry-After of the response, as the retry part reads it."""

    class Response:
        headers = {"Retry-After": "3"}  # noqa: RUF012 - a stand-in for a library's response

    error = AnswerFailedError(
        Status.UNAVAILABLE,
        service="account",
        endpoint="",
        code=503,
        detail="http_503",
        response=Response(),
        discard=lambda: None,
    )
    said = push_back_of(error, 0)
    assert said is not None
    assert said.seconds == 3.0


def test_errors_become_those_of_a_library_with_all_they_had_to_say() -> None:
    """Also where its errors are OSErrors, which think they know what arguments mean."""

    class BothRefusedError(CallRefusedError, OSError):
        pass

    class BothFailedError(CallFailedError, OSError):
        pass

    kinds: dict[type[CallError], type[CallError]] = {
        CallRefusedError: BothRefusedError,
        CallFailedError: BothFailedError,
    }
    refused = translated(CallRefusedError("rate_limited", "x", "y", 5, 1.0), OSError, kinds)
    assert isinstance(refused, BothRefusedError)
    assert (refused.reason, refused.limit, refused.retry_after_s) == ("rate_limited", 5, 1.0)
    assert (
        str(refused) == "call to x (y) refused: 5 calls in a period are allowed, try again in 1 s"
    )
    failed = translated(CallFailedError(Status.UNAVAILABLE, service="x", code=503), OSError, kinds)
    assert isinstance(failed, BothFailedError)
    assert (failed.code, str(failed)) == (503, "call to x failed: unavailable (HTTP 503)")
    assert translated(failed, OSError, kinds) is failed


def test_injected_answers_of_the_callers_fault_do_not_count() -> None:
    """A 404 on purpose is as good as any."""
    from breakwater.model import FaultKind, FaultRule  # noqa: PLC0415 - only here

    def injected(status: int) -> InjectedFaultError:
        return InjectedFaultError(
            FaultRule(
                id="f", point="outbound", kind=FaultKind.ERROR, service="x", expires_ms=1,
                status=status,
            )
        )  # fmt: skip

    assert verdict_of(injected(404)) is Verdict.SUCCESS
    assert verdict_of(injected(500)) is Verdict.FAILURE
