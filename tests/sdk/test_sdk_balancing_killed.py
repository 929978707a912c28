"""Real server processes under traffic of real clients; one is killed, or frozen."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
import requests
from tests.sdk.balancing import SERVICE
from tests.sdk.guarding import wait_until

from breakwater.model import Instance, SystemClock
from breakwater.sdk import CallError, CommandConfig, RetryConfig, Service
from breakwater.sdk.discovery import InstanceLoad
from breakwater.sdk.guard import BudgetConfig
from breakwater.sdk.httpx import guarded_transport
from breakwater.sdk.requests import guarded_adapter

pytestmark = pytest.mark.slow
PROGRAM = Path(__file__).with_name("small_server.py")
WORKERS = 6
RETRYING = CommandConfig(
    timeout_s=5.0,
    retry=RetryConfig(max_attempts=2, initial_s=0.0, budget=BudgetConfig(tokens=100)),
)
ILL = "prices-0"


@contextmanager
def servers(count: int) -> Iterator[list[tuple[int, Instance]]]:
    """So many server processes: pid and where it is."""
    with ExitStack() as stack:
        started = []
        for number in range(count):
            process = subprocess.Popen(
                [sys.executable, str(PROGRAM), f"prices-{number}"],
                stdout=subprocess.PIPE,
                text=True,
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            started.append(process)
        found = []
        for number, process in enumerate(started):
            assert process.stdout is not None
            stack.enter_context(process.stdout)
            port = int(process.stdout.readline())
            made = Instance(
                service=SERVICE, instance_id=f"prices-{number}", host="127.0.0.1", port=port
            )
            found.append((process.pid, made))
        yield found


class Traffic:
    """Calls from several threads or tasks until told to stop; what failed is kept."""

    def __init__(self) -> None:
        self.is_over = False
        self.may_last = False
        self.answers = 0
        self.failures: list[str] = []

    def note(self, call: Callable[[], object]) -> None:
        """One call of a thread."""
        try:
            call()
        except Exception as error:  # noqa: BLE001 - whatever a library raises is a failed call
            self.failures.append(repr(error))
        else:
            self.answers += 1


def ill_one(service: Service) -> InstanceLoad:
    """How the instance that dies stands."""
    return next(one for one in service.runtime.resolver.loads(SERVICE) if one.instance_id == ILL)


def watch(service: Service, traffic: Traffic, strike: Callable[[], None]) -> None:
    """Strike under traffic; a second later only trials go there, for two seconds more.

    A frozen one is found by calls that take their time to fail: it is waited for.
    """
    clock, resolver = SystemClock(), service.runtime.resolver
    wait_until(lambda: traffic.answers > 200 and ill_one(service).calls > 10)
    strike()
    struck_s = clock.monotonic_s()
    wait_until(lambda: clock.monotonic_s() >= struck_s + 1.0)
    wait_until(lambda: ill_one(service).state != "in_use" or not traffic.may_last)
    seen_s = clock.monotonic_s()
    calls, trials = ill_one(service).calls + ill_one(service).in_flight, resolver.stats().trials
    answers = traffic.answers
    wait_until(lambda: clock.monotonic_s() >= seen_s + 2.0)
    later = ill_one(service).calls + ill_one(service).in_flight - calls
    assert later <= resolver.stats().trials - trials + 1  # one may be between the two looks
    assert later <= 3
    assert ill_one(service).state != "in_use"
    assert traffic.answers > answers + 100


def in_threads(traffic: Traffic, call: Callable[[], object]) -> ExitStack:
    """The traffic, ended when the stack is closed."""

    def work() -> None:
        while not traffic.is_over:
            traffic.note(call)

    threads = [threading.Thread(target=work) for _ in range(WORKERS)]
    stack = ExitStack()
    for thread in threads:
        thread.start()
        stack.callback(thread.join)
    stack.callback(setattr, traffic, "is_over", True)
    return stack


@pytest.mark.parametrize("library", ["httpx", "requests"])
def test_threads_do_not_notice_a_kill(caller: Service, library: str) -> None:
    """With one retry not one call fails, and soon nobody reaches for the dead one but on trial."""
    traffic = Traffic()
    with servers(4) as found, ExitStack() as stack:
        caller.runtime.resolver.pin(SERVICE, [one for _, one in found])
        if library == "httpx":
            transport = guarded_transport(caller, config=RETRYING)
            user = stack.enter_context(httpx.Client(transport=transport))
            call: Callable[[], object] = lambda: user.get("http://prices/").read()  # noqa: E731 - one of two
        else:
            session = stack.enter_context(requests.Session())
            session.mount("http://", guarded_adapter(caller, config=RETRYING))
            call = lambda: session.get("http://prices/").content  # noqa: E731 - as above
        with in_threads(traffic, call):
            watch(caller, traffic, lambda: os.kill(found[0][0], signal.SIGKILL))
    assert traffic.failures == []


@pytest.mark.anyio
async def test_tasks_do_not_notice_a_kill(gateway: Service) -> None:
    """As with threads, for our own client."""
    traffic = Traffic()
    with servers(4) as found:
        client = gateway.client(
            SERVICE, instances=[one for _, one in found], timeout_s=5.0, retries=1
        )

        async def work() -> None:
            while not traffic.is_over:
                try:
                    await client.get("/")
                except CallError as error:
                    traffic.failures.append(repr(error))
                else:
                    traffic.answers += 1

        tasks = [asyncio.ensure_future(work()) for _ in range(WORKERS)]
        try:
            await asyncio.to_thread(
                watch, gateway, traffic, lambda: os.kill(found[0][0], signal.SIGKILL)
            )
        finally:
            traffic.is_over = True
            await asyncio.gather(*tasks)
    assert traffic.failures == []


@pytest.mark.anyio
async def test_a_frozen_one_is_left_after_five_calls(gateway: Service) -> None:
    """It accepts connections and says nothing: the calls under way and five at most are lost."""
    traffic = Traffic()
    with servers(4) as found:
        pid = found[0][0]
        client = gateway.client(SERVICE, instances=[one for _, one in found], timeout_s=0.5)
        traffic.may_last = True

        async def work() -> None:
            while not traffic.is_over:
                try:
                    await client.get("/")
                except CallError as error:
                    traffic.failures.append(repr(error))
                else:
                    traffic.answers += 1

        tasks = [asyncio.ensure_future(work()) for _ in range(WORKERS)]
        try:
            await asyncio.to_thread(watch, gateway, traffic, lambda: os.kill(pid, signal.SIGSTOP))
        finally:
            os.kill(pid, signal.SIGCONT)
            traffic.is_over = True
            await asyncio.gather(*tasks)
    assert ill_one(gateway).timeouts <= WORKERS + 5
