"""Commands and services put into a state by hand."""

import asyncio
import json
from collections.abc import MutableMapping
from typing import Any

import pytest

from breakwater.sdk import BreakerState, BulkheadConfig, CallRefusedError, CommandConfig
from breakwater.testing import Rehearsal, fault, faulted, filled, forced


@pytest.mark.parametrize("state", [BreakerState.OPEN, BreakerState.FORCED_OPEN])
def test_an_open_breaker_refuses_within_the_block(
    rehearsal: Rehearsal, state: BreakerState
) -> None:
    """By every form of calling, decorated functions too; after the block it starts closed."""
    command = rehearsal.command("prices", fallback=None)
    decorated = command(lambda: 5)
    assert decorated() == 5
    with forced(command, state):
        for call in (decorated, lambda: command.call_sync(lambda: 5)):
            with pytest.raises(CallRefusedError):
                call()
    assert decorated() == 5
    assert command.call_sync(lambda: 6) == 6


def test_a_forced_state_goes_on_by_its_own_rules(rehearsal: Rehearsal) -> None:
    """Open, it turns half open by its time; half open, good probes close it."""
    command = rehearsal.command("prices")
    breaker = command.parts.breaker
    assert breaker is not None
    with forced(command, BreakerState.OPEN):
        rehearsal.clock.advance(3.0)
        assert command.call_sync(lambda: 5) == 5
        assert breaker.state == "half_open"
    with forced(command, BreakerState.HALF_OPEN):
        for _ in range(3):
            command.call_sync(lambda: 5)
        assert breaker.state == "closed"


def test_a_full_bulkhead_refuses_within_the_block(rehearsal: Rehearsal) -> None:
    """All its places are taken, and given back after."""
    config = CommandConfig(bulkhead=BulkheadConfig(max_concurrent=4))
    command = rehearsal.command("prices", config)
    with filled(command) as places:
        assert places == 4
        assert command.bulkhead.rejected == 0
        with pytest.raises(CallRefusedError, match="4 calls are under way"):
            command.call_sync(lambda: 5)
    assert command.call_sync(lambda: 5) == 5
    assert command.bulkhead.in_flight() == 0


def test_what_a_command_has_not_cannot_be_forced(rehearsal: Rehearsal) -> None:
    """The error names the command."""
    command = rehearsal.command("bare", CommandConfig(breaker=None, bulkhead=None))
    with (
        pytest.raises(ValueError, match="'bare' has no breaker"),
        forced(command, BreakerState.OPEN),
    ):
        pass
    with pytest.raises(ValueError, match="'bare' has no bulkhead"), filled(command):
        pass


async def answers(scope: Any, receive: Any, send: Any) -> None:
    """A tiny application."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"good"})


async def got(app: Any) -> int:
    """The status of one request to the application."""
    statuses: list[int] = []
    scope = {
        "type": "http", "method": "GET", "path": "/", "raw_path": b"/", "query_string": b"",
        "headers": [], "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http",
    }  # fmt: skip

    sent = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> MutableMapping[str, Any]:
        if not sent:
            await asyncio.Event().wait()  # the client stays
        return sent.pop()

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await app(scope, receive, send)
    return statuses[0]


def test_faults_hold_within_the_block(rehearsal: Rehearsal) -> None:
    """Errors and delays at a point of a service; none before, none after."""
    service = rehearsal.service("shop")
    app = service.asgi(answers)

    async def main() -> None:
        assert await got(app) == 200
        start_s = rehearsal.clock.monotonic_s()
        rules = (
            fault(service, "delay", point="inbound", delay_ms=1500),
            fault(service, "error", point="inbound", status=503),
        )
        with faulted(service, *rules):
            assert await got(app) == 503
            assert rehearsal.clock.monotonic_s() - start_s == pytest.approx(1.5)
        assert await got(app) == 200

    rehearsal.run(main())


def test_a_fault_that_hangs_ends_with_the_block(rehearsal: Rehearsal) -> None:
    """Taking the rule back lets the call go on."""
    service = rehearsal.service("shop")
    app = service.asgi(answers)

    async def main() -> None:
        with faulted(service, fault(service, "hang", point="inbound")):
            asked = asyncio.ensure_future(got(app))
            await asyncio.sleep(600)
            assert not asked.done()
        assert await asked == 200

    rehearsal.run(main())


def test_a_services_commands_wait_in_virtual_time(rehearsal: Rehearsal) -> None:
    """The registry of a rehearsed service is on the same clock."""
    service = rehearsal.service("shop")
    assert service.guards.shared.clock is rehearsal.clock
    service.guards.shared.sleep(5.0)
    assert json.dumps(rehearsal.clock.monotonic_s()) == "1005.0"
