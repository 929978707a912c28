"""The express road of outbound calls: quicker than the general one, and no different."""

import asyncio
import errno
import gc
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from tests.sdk.fleet import MeterListener
from tests.sdk.guarding import break_at
from tests.sdk.streaming import QUICK

from breakwater.sdk import (
    BreakerConfig,
    CallRefusedError,
    CommandConfig,
    Service,
    context,
    deadline,
)
from breakwater.sdk.attempt import Attempt
from breakwater.sdk.dispatch import sweep
from breakwater.sdk.express import dash
from breakwater.sdk.guard import BulkheadConfig, RetryConfig
from breakwater.sdk.guard.events import Kind
from breakwater.sdk.outbound import Outbound, guard_of
from breakwater.testing import FakeClock

Steps = Callable[["Road"], None]


class Road:
    """An edge whose calls go one road or the other, and what was seen of them."""

    def __init__(self, service: Service, clock: FakeClock, *, is_express: bool) -> None:
        self.service = service
        self.clock = clock
        self.seen: list[Any] = []
        self._edges: list[Outbound] = []
        self.is_express = is_express
        if not is_express:  # a hook on attempts closes the guard's fast lane
            service.guards.hooks.add(lambda _event: None, (Kind.ATTEMPT,))

    def edge(self, name: str = "account", **parts: Any) -> Outbound:
        """A new edge."""
        given = parts.pop("given", {})
        command = guard_of(self.service.guards, name, CommandConfig(**parts), **given)
        made = Outbound(self.service.runtime, name, command=command)
        self._edges.append(made)
        lane = command.lane
        assert ((lane.timed or lane.plain) is not None) is self.is_express
        return made

    def call(self, edge: Outbound, fn: Callable[[Attempt], Any], **terms: Any) -> None:
        """One call and what came of it."""
        try:
            self.seen.append(edge.call_sync("profile", fn, **terms))
        except Exception as error:  # noqa: BLE001 - it is what is compared
            self.seen.append((type(error).__name__, str(error)))

    def account(self) -> list[Any]:
        """All that can be seen of its calls from outside."""
        return [
            *self.seen,
            *(edge.stats() for edge in self._edges),
            *(edge.command.stats() for edge in self._edges),
        ]


def good(attempt: Attempt) -> str:
    """Answers, and says with what it was run."""
    return f"{attempt.number} {attempt.node} {attempt.left_s()} {attempt.was_cut_short}"


def bad(_attempt: Attempt) -> str:
    """Finds nobody."""
    raise ConnectionRefusedError(errno.ECONNREFUSED, "refused")


def answers(road: Road) -> None:
    """Answers good and bad, those of the caller's own fault, and a fallback's."""
    edge = road.edge(timeout_s=1.0, total_s=5.0)
    codes = iter((200, 404, 503))
    for _ in range(3):
        road.call(edge, lambda one: one.answered(code := next(codes), code, lambda: None))
    road.call(edge, bad, fallback=lambda error: type(error).__name__)
    road.call(edge, good)
    road.call(edge, good, timeout_s=0.25)
    with deadline(0.125, road.clock):
        road.call(edge, good)


def retries(road: Road) -> None:
    """A second attempt, and calls that may not have one."""
    edge = road.edge(retry=QUICK)

    def at_first_bad(one: Attempt) -> str:
        return bad(one) if one.number == 1 else good(one)

    road.call(edge, at_first_bad)
    road.call(edge, at_first_bad, may_retry=False)
    road.call(edge, lambda _one: context.current().attempts)
    road.call(edge, lambda _one: context.current().attempts, may_retry=False)


def opening(road: Road) -> None:
    """Failures open the breaker; what is refused is recorded."""
    edge = road.edge(breaker=BreakerConfig(minimum_calls=2))
    for fn in (good, bad, bad, good):
        road.call(edge, fn)


def lateness(road: Road) -> None:
    """Late answers, slow ones, and calls that come too late themselves."""
    edge = road.edge(timeout_s=1.0, breaker=BreakerConfig(slow_call_s=0.5, minimum_calls=100))

    def slow(seconds: float) -> Callable[[Attempt], str]:
        def run(attempt: Attempt) -> str:
            road.clock.advance(seconds)
            return good(attempt)

        return run

    for seconds in (0.125, 0.75, 2.0):
        road.call(edge, slow(seconds))
    with deadline(0.25, road.clock):
        road.call(edge, slow(0.5))
        road.call(edge, good)


def held(road: Road) -> None:
    """Attempts that outlast their function, and end well, badly, early or never."""
    edge = road.edge(timeout_s=1.0, bulkhead=BulkheadConfig(max_concurrent=1))
    attempts: list[Attempt] = []

    def hold(attempt: Attempt) -> bool:
        attempts.append(attempt)
        return attempt.hold()

    def ended(attempt: Attempt) -> bool:
        is_held = attempt.hold()
        attempt.end(BrokenPipeError(errno.EPIPE, "pipe"))
        return is_held

    def end_badly(attempt: Attempt) -> None:
        attempt.end(ConnectionResetError(errno.ECONNRESET, "reset"))

    road.call(edge, ended)
    for end in (Attempt.end, end_badly, Attempt.drop):
        road.call(edge, hold)
        road.call(edge, hold)
        road.seen += [edge.stats().in_flight, attempts[-1].piece_s(), attempts[-1].limit_s()]
        road.clock.advance(0.25)
        end(attempts[-1])
        sweep()
        road.seen.append(edge.stats().in_flight)


def targets(road: Road) -> None:
    """A choice of where to go that fails is an attempt that failed."""

    def nowhere(_attempt: Attempt) -> Any:
        raise LookupError("nobody there")

    road.call(road.edge(), good, target=nowhere)


SCRIPTS: list[Steps] = [answers, retries, opening, lateness, held, targets]


def records(meters: MeterListener, service: str) -> list[str]:
    """What a service recorded of its calls, but for its own name."""
    meters.wait_for("ipc.server.app=sentinel", f"nf.app={service},")
    found = meters.having("ipc.client.call", f"nf.app={service},")
    return [re.sub(r"(nf\.app|nf\.node|ipc\.client\.app)=[^,:]*", "", line) for line in found]


@pytest.mark.slow
@pytest.mark.parametrize("steps", SCRIPTS)
def test_both_roads_tell_the_same(
    service_of: Callable[..., Service], meters: MeterListener, steps: Steps
) -> None:
    """Answers, errors, records with their durations, statistics and counts are equal."""
    told, recorded = [], []
    for name in ("quick", "usual"):
        clock = FakeClock()
        with service_of(name, url="none", clock=clock) as service:
            road = Road(service, clock, is_express=name == "quick")
            steps(road)
            told.append(road.account())
            road.call(road.edge("sentinel"), good)
        recorded.append(records(meters, name))
    assert told[0] == told[1]
    assert recorded[0] == recorded[1]
    assert len(recorded[0]) > 1


@pytest.mark.anyio
@pytest.mark.slow
async def test_both_roads_tell_the_same_of_tasks(
    service_of: Callable[..., Service], meters: MeterListener
) -> None:
    """Answers, failures, cancelled callers and attempts that ran into their limit."""
    told, recorded = [], []
    for name in ("quick", "usual"):
        service = service_of(name, url="none")
        async with service:
            road = Road(service, FakeClock(), is_express=name == "quick")
            told.append(await _tasks(road))
            road.call(road.edge("sentinel"), good)
        lines = await asyncio.to_thread(records, meters, name)
        recorded.append([line.rpartition(":")[0] for line in lines])
    assert told[0] == told[1]
    assert recorded[0] == recorded[1]


async def _tasks(road: Road) -> list[Any]:
    async def answer(one: Attempt) -> str:
        return f"{one.number} {one.is_limited}"

    async def hang(_one: Attempt) -> None:
        entered.set()
        await asyncio.Event().wait()

    async def fail(_one: Attempt) -> None:
        raise ConnectionResetError(errno.ECONNRESET, "reset")

    entered, seen = asyncio.Event(), []
    edge, patient = road.edge(timeout_s=0.05), road.edge("patient", retry=QUICK)
    for one, fn in ((edge, answer), (edge, hang), (edge, fail), (patient, answer), (patient, fail)):
        try:
            seen.append(await one.call("profile", fn))
        except Exception as error:  # noqa: BLE001 - it is what is compared
            seen.append(f"{type(error).__name__} {error}")
    entered.clear()
    call = asyncio.ensure_future(patient.call("profile", hang))
    await entered.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    return [*seen, *(one.stats() for one in (edge, patient))]


def test_rules_of_faults_close_the_road(caller: Service) -> None:
    """While one is in force at the point of the edge, calls go where faults are injected."""
    edge = Outbound(
        caller.runtime, "account", command=guard_of(caller.guards, "account", CommandConfig())
    )
    assert dash(edge, "profile", {}, is_async=False) is not None
    break_at(caller, "outbound", "delay", peer="nobody", delay_ms=1)
    assert dash(edge, "profile", {}, is_async=False) is None


def test_calls_leave_nothing_to_the_collector(caller: Service) -> None:
    """No cycle is left behind by a call that went well, held or not, or failed."""
    edge = Outbound(
        caller.runtime, "account", command=guard_of(caller.guards, "account", CommandConfig())
    )

    def calls() -> None:
        for fn in (good, hold_and_end, bad):
            with suppress(ConnectionRefusedError):
                edge.call_sync("profile", fn)

    calls()
    gc.collect()
    gc.disable()
    try:
        for _ in range(50):
            calls()
        assert gc.collect() < 50
    finally:
        gc.enable()


def hold_and_end(attempt: Attempt) -> None:
    """An answer that is read at once."""
    assert attempt.hold()
    attempt.end()


def test_permits_are_never_lost(caller: Service) -> None:
    """Calls of all ends, as many as there are places, leave every place free."""
    config = CommandConfig(
        bulkhead=BulkheadConfig(max_concurrent=2), retry=RetryConfig(initial_s=0.0)
    )
    edge = Outbound(caller.runtime, "account", command=guard_of(caller.guards, "account", config))
    for fn in (good, bad, hold_and_end):
        for _ in range(3):
            with suppress(ConnectionRefusedError, CallRefusedError):
                edge.call_sync("profile", fn)
    assert edge.command.bulkhead.in_flight() == 0
    assert edge.stats().in_flight == 0
