"""Answers kept for when there is no new one, and guards of one very instance."""

import asyncio

import msgspec
import pytest
from tests.sdk.callee import account, failing
from tests.sdk.fleet import MeterListener

from breakwater.sdk import BulkheadConfig, CommandConfig, Service, StaleConfig
from breakwater.sdk.guard import FallbackConfig
from breakwater.sdk.outbound import Outbound, guard_of

pytestmark = pytest.mark.anyio

KEEPING = CommandConfig(timeout_s=5.0, breaker=None, stale=StaleConfig(), single_flight=True)


def _moved(gateway: Service, port: int) -> None:
    """From now on the only instance of account is said to be at this port."""
    known = gateway.instances("account")
    gateway.runtime.resolver.pin("account", [msgspec.structs.replace(known[0], port=port)])


async def test_the_last_good_answer_stands_in_for_its_own_request_only(
    gateway: Service, port: int, refusing: int, meters: MeterListener
) -> None:
    """What was answered once is answered again, and is recorded as a fallback's."""
    client = account(gateway, port, config=KEEPING)
    good = await client.get("/status/200")
    _moved(gateway, refusing)
    assert (await client.get("/status/200")).body == good.body
    assert client.stats().fallbacks == 1
    await asyncio.to_thread(meters.wait_for, "ipc.client.call", "ipc.status=fallback")
    await failing(client, "/status/201")
    await failing(client, "/status/200", headers={"authorization": "another"})
    await failing(client, "/status/200", params={"page": "2"})


async def test_what_may_not_be_repeated_is_not_kept(
    gateway: Service, port: int, refusing: int
) -> None:
    """Two POSTs are two requests: the answer to one says nothing of the other."""
    client = account(gateway, port, config=KEEPING)
    await client.post("/status/200")
    _moved(gateway, refusing)
    with pytest.raises(Exception, match="account"):
        await client.post("/status/200")


async def test_calls_without_a_key_share_nothing(gateway: Service) -> None:
    """An adapter that names no key gets no kept answer and no shared flight."""
    command = guard_of(gateway.guards, "store", KEEPING)
    outbound = Outbound(gateway.runtime, "store", command=command)

    async def answer(text: str) -> str:
        await asyncio.sleep(0)
        return text

    answers = await asyncio.gather(
        outbound.call("read", lambda _: answer("one")),
        outbound.call("read", lambda _: answer("two")),
    )
    assert list(answers) == ["one", "two"]


async def test_the_guard_of_one_instance_is_listed_and_follows_its_service(
    gateway: Service, port: int
) -> None:
    """Live settings of a service's guard reach the guards of its instances with the next call."""
    client = account(gateway, port, config=CommandConfig(timeout_s=5.0))
    await client.get("/status/200", instance="account-0")
    (found,) = [one for one in gateway.guards if one.name.endswith("@account-0")]
    assert found.dependency == "account"
    changed = CommandConfig(
        timeout_s=4.0,
        fallback=FallbackConfig(enabled=False),
        bulkhead=BulkheadConfig(max_concurrent=3),
    )
    gateway.guards.configure(client.command.name, changed)
    await client.get("/status/200", instance="account-0")
    assert found.config == changed
    assert client.stats().calls == 2
