"""Faults on purpose in plain commands: within the attempt, seen by all, gone with their rule."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from random import Random
from typing import Any

import pytest
from tests.sdk.fleet import PATIENCE_S, MeterListener
from tests.sdk.guard.commanding import NO_WAIT, BackendError
from tests.sdk.guarding import waits_of

from breakwater.model import FaultRule
from breakwater.sdk import (
    AttemptEnded,
    AttemptTimedOutError,
    BreakerConfig,
    CallEnded,
    Command,
    CommandConfig,
    HedgeConfig,
    Kind,
    Service,
    deadline,
)
from breakwater.sdk.faults import InjectedFaultError
from breakwater.sdk.guard import BulkheadConfig
from breakwater.testing import FakeClock, fault, faulted

SOON_S = 0.01


@pytest.fixture
def service(clock: FakeClock) -> Service:
    """A service that knows no platform."""
    return Service("home", url="none", metrics="none", clock=clock, random=Random(1))


def command_of(service: Service, name: str = "titles", **given: Any) -> Command:
    """A command that calls `titles-db` at the point `database`."""
    given = {"dependency": "titles-db", "point": "database", "timeout_s": SOON_S, **given}
    return service.command(name, **given)


def rule(service: Service, kind: Any = "error", **given: Any) -> FaultRule:
    """A rule for its database."""
    return fault(service, kind, **{"point": "database", "peer": "titles-db", **given})


def is_open(command: Command) -> bool:
    """Whether its calls take the fast road."""
    return command.lane.timed is not None


class Forms:
    """The ways to have a function called under guard; it counts how often it was."""

    def __init__(self) -> None:
        self.calls = 0

    def work(self) -> int:
        """The guarded function."""
        self.calls += 1
        return 7

    async def work_async(self) -> int:
        """The guarded coroutine function."""
        return self.work()

    def items(self) -> Iterator[int]:
        """The guarded generator."""
        yield self.work()

    async def items_async(self) -> AsyncIterator[int]:
        """The guarded async generator."""
        yield self.work()

    async def call(self, command: Command, form: str) -> int:
        """Call it so."""
        found: int | Awaitable[int] = getattr(self, f"_{form}")(command)
        return found if isinstance(found, int) else await found

    def _call_sync(self, command: Command) -> int:
        return command.call_sync(self.work)

    def _decorated(self, command: Command) -> int:
        return command(self.work)()

    def _call(self, command: Command) -> Awaitable[int]:
        return command.call(self.work_async)

    def _decorated_async(self, command: Command) -> Awaitable[int]:
        return command(self.work_async)()

    def _block(self, command: Command) -> int:
        with command.entered():
            return self.work()

    async def _block_async(self, command: Command) -> int:
        async with command.entered_async():
            return self.work()

    def _generator(self, command: Command) -> int:
        return next(command(self.items)())

    async def _generator_async(self, command: Command) -> int:
        return await anext(command(self.items_async)())


FORMS = [
    "call_sync", "decorated", "call", "decorated_async", "block", "block_async", "generator",
    "generator_async",
]  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.anyio
async def test_an_error_is_the_end_of_an_attempt(service: Service, form: str) -> None:
    """Whatever the form of the call, the function is not reached and the breaker counts it."""
    command, forms = command_of(service, max_concurrent=2), Forms()
    with faulted(service, rule(service, status=503)):
        with pytest.raises(InjectedFaultError) as failed:
            await forms.call(command, form)
        assert failed.value.status == 503
    stats = command.stats()
    assert forms.calls == 0
    assert stats.calls["failure"] == 1
    assert stats.breaker is not None
    assert stats.breaker.window_failures == 1
    assert stats.in_flight == 0
    assert await forms.call(command, form) == 7


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.anyio
async def test_a_hang_ends_at_the_attempts_limit(service: Service, form: str) -> None:
    """It is the callee's timeout, to the caller and to the breaker."""
    command, forms = command_of(service, max_concurrent=2), Forms()
    with faulted(service, rule(service, "hang")):
        with pytest.raises(AttemptTimedOutError) as failed:
            await forms.call(command, form)
        assert not failed.value.was_cut_short
    stats = command.stats()
    assert forms.calls == 0
    assert stats.calls["timeout"] == 1
    assert stats.breaker is not None
    assert stats.breaker.window_failures == 1
    assert stats.in_flight == 0


@pytest.mark.parametrize("form", ["call_sync", "call", "block", "block_async"])
@pytest.mark.anyio
async def test_a_deadline_ends_a_hang_too(service: Service, form: str) -> None:
    """The client library would have been told of it; it says nothing of the callee."""
    command, forms = command_of(service, timeout_s=None), Forms()
    with faulted(service, rule(service, "hang")), deadline(SOON_S, service.runtime.clock):
        with pytest.raises(AttemptTimedOutError) as failed:
            await forms.call(command, form)
        assert failed.value.was_cut_short
    breaker = command.stats().breaker
    assert breaker is not None
    assert breaker.window_failures == 0


@pytest.mark.parametrize("isolation", ["thread", "semaphore"])
def test_a_hang_on_a_thread_of_a_pool_ends_too(service: Service, isolation: Any) -> None:
    """The caller is let go at its limit wherever the function would have run."""
    config = CommandConfig(timeout_s=SOON_S, bulkhead=BulkheadConfig(isolation=isolation))
    command = command_of(service, config=config)
    with faulted(service, rule(service, "hang")), pytest.raises(AttemptTimedOutError):
        command.call_sync(int)


@pytest.mark.parametrize(
    ("given", "is_hit"),
    [
        ({}, True),
        ({"peer": None}, True),
        ({"peer": "other-db"}, False),
        ({"point": "outbound"}, False),
        ({"endpoint": "titles"}, True),
        ({"endpoint": "covers"}, False),
        ({"headers": {"x-user": "7"}}, False),
        ({"percent": 0.0}, False),
        ({"service": "other"}, False),
    ],
)
def test_a_rule_hits_the_command_of_its_point_and_peer(
    service: Service, given: dict[str, Any], *, is_hit: bool
) -> None:
    """The peer is the dependency, the endpoint the command's name."""
    command = command_of(service)
    fields = {"peer": "titles-db", "point": "database", **given}
    owner = fields.pop("service", "home")
    made = fault(service, "error", **fields)
    made = FaultRule(**{**{f: getattr(made, f) for f in made.__struct_fields__}, "service": owner})
    with faulted(service, made):
        if is_hit:
            with pytest.raises(InjectedFaultError):
                command.call_sync(int)
        else:
            assert command.call_sync(int) == 0


def test_the_point_of_a_command_is_outbound_unless_it_names_another(service: Service) -> None:
    """And one that names none is out of reach of all rules."""
    plain = service.command("scores", dependency="scores")
    none = service.command("own", dependency="scores", point=None)
    with faulted(service, fault(service, "error", peer="scores")):
        with pytest.raises(InjectedFaultError):
            plain.call_sync(int)
        assert none.call_sync(int) == 0


def test_rules_close_the_fast_roads_of_the_commands_they_concern(service: Service) -> None:
    """Those of others stay open, and all are open again when the rules are gone."""
    hit, spared = command_of(service), command_of(service, "covers", dependency="covers-db")
    assert is_open(hit)
    with faulted(service, rule(service)):
        assert not is_open(hit)
        assert is_open(spared)
        late = command_of(service, "late")
        assert not is_open(late)
        assert "faults on purpose (database)" in hit.describe()
    assert is_open(hit)
    assert is_open(late)
    assert "faults" not in hit.describe()


def test_percent_is_the_share_of_attempts(service: Service) -> None:
    """The dice are thrown for each attempt anew."""
    command, failed = command_of(service, breaker=None), 0
    with faulted(service, rule(service, percent=30.0)):
        for _ in range(1000):
            with suppress(InjectedFaultError):
                command.call_sync(int)
                failed += 1
    assert 650 < failed < 750


def test_a_sync_hang_ends_when_the_rule_is_taken_back(service: Service) -> None:
    """The attempt goes on where it hung, and its answer counts."""
    command, answers = command_of(service, timeout_s=None), list[int]()
    with faulted(service, rule(service, "hang")):
        waits = waits_of(service.runtime.faults)
        caller = threading.Thread(target=lambda: answers.append(command.call_sync(int)))
        caller.start()
        assert waits.wait(PATIENCE_S)
    caller.join(PATIENCE_S)
    assert answers == [0]
    assert command.stats().calls["success"] == 1


@pytest.mark.anyio
async def test_an_async_hang_ends_when_the_rule_is_taken_back(service: Service) -> None:
    """The attempt goes on where it hung, and its answer counts."""
    command, forms = command_of(service, timeout_s=None), Forms()
    with faulted(service, rule(service, "hang")):
        waits = waits_of(service.runtime.faults)
        caller = asyncio.create_task(command.call(forms.work_async))
        assert await asyncio.to_thread(waits.wait, PATIENCE_S)
        assert not caller.done()
    assert await asyncio.wait_for(caller, PATIENCE_S) == 7


@pytest.mark.parametrize("form", ["call", "block_async"])
@pytest.mark.anyio
async def test_a_caller_may_leave_during_a_hang(service: Service, form: str) -> None:
    """The cancellation gets through, the permit comes back, and the callee is not to blame."""
    command, forms = command_of(service, timeout_s=PATIENCE_S, max_concurrent=1), Forms()
    with faulted(service, rule(service, "hang")):
        waits = waits_of(service.runtime.faults)
        caller = asyncio.create_task(forms.call(command, form))
        assert await asyncio.to_thread(waits.wait, PATIENCE_S)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
    stats = command.stats()
    assert stats.in_flight == 0
    assert stats.calls["cancelled"] == 1
    assert stats.breaker is not None
    assert stats.breaker.window_failures == 0


def test_a_rule_ends_by_itself_while_the_platform_is_dead(
    service: Service, clock: FakeClock
) -> None:
    """No call is hit after its time; the agent's next look opens the fast road."""
    command, book = command_of(service), service.runtime.faults
    with faulted(service, rule(service, expires_ms=clock.now_ms() + 5_000)):
        clock.advance(4.9)
        with pytest.raises(InjectedFaultError):
            command.call_sync(int)
        clock.advance(0.1)
        assert command.call_sync(int) == 0
        book.drop_expired()
        assert command.lane.timed is not None


def test_a_delay_is_part_of_the_attempt(service: Service) -> None:
    """The function runs after it, and the attempt is marked although it succeeds."""
    command = command_of(service, timeout_s=PATIENCE_S)
    with faulted(service, rule(service, "delay", delay_ms=1.0)):
        answer, report = command.call_reported_sync(int)
    assert (answer, report.injected, report.attempts) == (0, True, 1)
    assert not command.call_reported_sync(int)[1].injected


def test_retries_and_fallbacks_meet_faults_as_real_failures(service: Service) -> None:
    """Each attempt is hit anew, each is told of as injected, and the fallback answers."""
    command = service.command(
        "titles", CommandConfig(retry=NO_WAIT), dependency="titles-db", fallback=lambda error: 9
    )
    told: list[AttemptEnded | CallEnded] = []
    service.guards.hooks.on(AttemptEnded, told.append)
    service.guards.hooks.on(CallEnded, told.append)
    with faulted(service, fault(service, "error", peer="titles-db")):
        assert command.call_sync(int) == 9
    assert command.call_sync(int) == 0
    marks = [(event.kind, event.injected) for event in told]
    hit = [(Kind.ATTEMPT, True)] * 3 + [(Kind.CALL, True)]
    assert marks == [*hit, (Kind.ATTEMPT, False), (Kind.CALL, False)]


def test_a_refused_attempt_is_not_marked(service: Service) -> None:
    """What the breaker kept back met no fault."""
    config = CommandConfig(breaker=BreakerConfig(minimum_calls=1), retry=NO_WAIT)
    command = service.command("titles", config, dependency="db", fallback=lambda error: 9)
    with faulted(service, fault(service, "error")):
        assert command.call_reported_sync(int)[1].injected
        assert not command.call_reported_sync(int)[1].injected


def test_injected_gives_the_librarys_own_error(service: Service) -> None:
    """So that the rules of a command read a fault as they would read the real thing."""
    command = command_of(service, injected=BackendError, ignore=(BackendError,))
    with faulted(service, rule(service, status=503)), pytest.raises(BackendError) as failed:
        command.call_sync(int)
    assert failed.value.args == (503,)
    assert command.stats().calls["bad_request"] == 1


def test_an_injected_answer_of_4xx_is_an_answer(service: Service) -> None:
    """As a real one it does not count against the callee, and no fallback stands in."""
    command = command_of(service, fallback=lambda error: 9)
    with faulted(service, rule(service, status=404)), pytest.raises(InjectedFaultError):
        command.call_sync(int)
    assert command.stats().calls["success"] == 1


@pytest.mark.parametrize("form", ["call_sync", "block"])
@pytest.mark.anyio
async def test_a_call_within_a_call_is_hit_once(service: Service, form: str) -> None:
    """The outer attempt was judged; what it calls of the same dependency is not judged again."""
    outer, forms = command_of(service, timeout_s=None), Forms()
    inner = command_of(service, "inner", timeout_s=None)
    forms.work = lambda: inner.call_sync(lambda: 7)  # type: ignore[method-assign] # calls on
    with faulted(service, rule(service, "delay", delay_ms=1.0)):
        assert await forms.call(outer, form) == 7
        assert service.runtime.faults.stats().calls_hit == 1
        assert inner.call_sync(int) == 0
        assert service.runtime.faults.stats().calls_hit == 2


@pytest.mark.anyio
async def test_hedged_attempts_are_hit_each(service: Service) -> None:
    """A copy throws its own dice: one that is spared answers for one that hangs."""
    config = CommandConfig(hedge=HedgeConfig(delay_s=0.001, budget_percent=100.0))
    command, forms = command_of(service, config=config, idempotent=True), Forms()
    for _ in range(20):  # the budget is a share of what succeeded
        await command.call(forms.work_async)
    draws = iter([True, False])
    service.runtime.faults._random.random = lambda: 0.0 if next(draws) else 0.99  # type: ignore[method-assign] # two throws
    with faulted(service, rule(service, "hang", percent=50.0)):
        answer = await asyncio.wait_for(command.call(forms.work_async), PATIENCE_S)
    assert answer == 7


@pytest.mark.slow
def test_records_say_what_was_injected(
    service_of: Callable[..., Service], meters: MeterListener
) -> None:
    """So that diagnosis can tell an experiment from an outage."""
    with service_of("home") as service:
        command = command_of(service)
        with faulted(service, rule(service)), pytest.raises(InjectedFaultError):
            command.call_sync(int)
        command.call_sync(int)
        line = meters.wait_for("c:ipc.client.call", "ipc.failure.injected=true", "statistic=count")
        assert "ipc.status=unavailable" in line or "ipc.status=unexpected_error" in line
        good = meters.wait_for("c:ipc.client.call", "ipc.status=success", "statistic=count")
        assert "injected" not in good
