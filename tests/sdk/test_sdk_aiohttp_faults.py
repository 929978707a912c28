"""Faults injected on the client side of an edge."""

import asyncio
from typing import Any

import pytest
from tests.sdk.callee import Callee, account, failing
from tests.sdk.fleet import MeterListener, Platform

from breakwater.model import Status, SystemClock
from breakwater.sdk import (
    CallFailedError,
    Service,
)

pytestmark = pytest.mark.anyio


def outbound(kind: str, **given: Any) -> dict[str, Any]:
    """A rule for what the gateway sends."""
    ends_ms = SystemClock().now_ms() + 60_000
    return {
        "id": kind,
        "point": "outbound",
        "kind": kind,
        "service": "gateway",
        "expires_ms": ends_ms,
        **given,
    }


async def put_in_force(gateway: Service, platform: Platform, *rules: dict[str, Any]) -> None:
    """Have the gateway follow these rules."""
    platform.set_rules(*rules)
    revision = f"wait_s=20&revision={platform.rules_revision}"
    await asyncio.to_thread(
        platform.wait_for, lambda: platform.count("GET", f"instance=gateway-1&{revision}") > 0
    )
    assert gateway.stats().faults.rules == len(rules)


async def test_a_slow_edge_shows_on_the_clients_clock(
    gateway: Service, platform: Platform, port: int, callee: Callee, meters: MeterListener
) -> None:
    """The delay lies before sending, and the callee is given only what time is left."""
    await put_in_force(gateway, platform, outbound("delay", delay_ms=60.0, peer="account"))
    await account(gateway, port, timeout_s=10.0).get("/status/200")
    line = await asyncio.to_thread(meters.wait_for, "ipc.client.call", "injected=true")
    assert float(line.rpartition(":")[2]) >= 0.055  # timers may fire a clock tick early
    assert float(callee.headers[0]["breakwater-deadline-ms"]) <= 9_945


async def test_an_injected_error_is_not_sent(
    gateway: Service, platform: Platform, port: int, callee: Callee, meters: MeterListener
) -> None:
    """The caller sees the answer the rule names, and the fallback is asked."""
    await put_in_force(gateway, platform, outbound("error", status=503, headers={"X-User": "7"}))
    client = account(gateway, port)
    error = await failing(client, "/status/200", headers={"x-user": "7"})
    assert isinstance(error, CallFailedError)
    assert (error.status, error.code) == (Status.UNAVAILABLE, 503)
    assert callee.headers == []
    assert (await client.get("/status/200")).status == 200
    await asyncio.to_thread(meters.wait_for, "ipc.failure.injected=true", "http_503")


async def test_an_injected_hang_ends_at_the_limit(
    gateway: Service, platform: Platform, port: int, callee: Callee
) -> None:
    """As a real one would."""
    await put_in_force(gateway, platform, outbound("hang"))
    error = await failing(account(gateway, port, timeout_s=0.05), "/status/200")
    assert error.status is Status.TIMEOUT
    assert callee.headers == []
