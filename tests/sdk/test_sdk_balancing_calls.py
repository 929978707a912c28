"""What calls tell the balancer: every way an attempt can end, over every client library."""

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
import httpx
import pytest
import requests
from tests.sdk.balancing import SERVICE
from tests.sdk.callee import Callee
from tests.sdk.fleet import PATIENCE_S, MeterListener
from tests.sdk.guarding import break_at, wait_until_async

from breakwater.model import Instance, Status
from breakwater.sdk import (
    BalancerConfig,
    CallError,
    CallRefusedError,
    CommandConfig,
    HedgeConfig,
    NoInstanceError,
    Service,
    deadline,
)
from breakwater.sdk.aiohttp import Client
from breakwater.sdk.aiohttp_session import guarded_middleware
from breakwater.sdk.attempt import Attempt
from breakwater.sdk.choice import evidence_of
from breakwater.sdk.discovery import Evidence, InstanceLoad
from breakwater.sdk.guard import BulkheadConfig, Verdict
from breakwater.sdk.httpx import guarded_async_transport, guarded_transport
from breakwater.sdk.requests import guarded_adapter

URL = "http://prices/status/200"


def at(*ports: int) -> list[Instance]:
    """Instances prices-0, prices-1 ... on these ports."""
    return [
        Instance(service=SERVICE, instance_id=f"prices-{n}", host="127.0.0.1", port=port)
        for n, port in enumerate(ports)
    ]


def loads(service: Service) -> list[InstanceLoad]:
    """How they stand."""
    return service.runtime.resolver.loads(SERVICE)


def client_of(service: Service, *ports: int, **options: Any) -> Client:
    """Our own client for these."""
    return service.client(SERVICE, instances=at(*ports), **{"timeout_s": PATIENCE_S, **options})


def told(one: InstanceLoad) -> tuple[int, int, int, int, int]:
    """Under way, calls, failures, refused, timeouts."""
    return (one.in_flight, one.calls, one.failures, one.refused, one.timeouts)


@pytest.mark.anyio
async def test_answers_good_and_bad_are_told(gateway: Service, port: int) -> None:
    """A 404 is an answer, a 500 a failure, a 429 says nothing of the instance."""
    client = client_of(gateway, port, breaker=None)
    for code in (200, 404, 500, 503, 429):
        try:
            await client.get(f"/status/{code}")
        except CallError:
            continue
    assert told(loads(gateway)[0]) == (0, 4, 2, 0, 0)


@pytest.mark.anyio
async def test_refused_and_late_calls_are_told(gateway: Service, port: int, refusing: int) -> None:
    """Each in its own column."""
    client = client_of(gateway, port, refusing, timeout_s=0.2, retries=1)
    for _ in range(2):
        await client.get("/status/200")
    assert told(loads(gateway)[1]) == (0, 1, 1, 1, 0)
    with pytest.raises(CallError):
        await client.get("/hang", timeout_s=0.05)
    assert told(loads(gateway)[0])[2:] == (1, 0, 1)


@pytest.mark.anyio
async def test_calls_that_say_nothing_are_not_held_against_it(
    gateway: Service, port: int, callee: Callee
) -> None:
    """Cancelled, cut short by the caller's deadline, refused by the guard, never sent."""
    config = CommandConfig(timeout_s=60.0, bulkhead=BulkheadConfig(max_concurrent=1))
    client = client_of(gateway, port, config=config)
    call = asyncio.ensure_future(client.get("/hang"))
    assert await asyncio.to_thread(callee.is_hanging.wait, PATIENCE_S)
    assert loads(gateway)[0].in_flight == 1
    with pytest.raises(CallRefusedError):
        await client.get("/status/200")
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    for seconds in (0.05, 0.0):
        with deadline(seconds), pytest.raises(CallError):
            await client.get("/hang")
    assert told(loads(gateway)[0]) == (0, 0, 0, 0, 0)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "fault", [{"kind": "error", "status": 500}, {"kind": "error", "status": 404}]
)
async def test_faults_on_purpose_are_not_held_against_it(
    gateway: Service, port: int, fault: dict[str, Any]
) -> None:
    """What this process did to its own calls says nothing of the instance, good or bad."""
    client = client_of(gateway, port)
    break_at(gateway, "outbound", **fault)
    for _ in range(6):
        with pytest.raises(CallError):
            await client.get("/status/200")
    assert told(loads(gateway)[0]) == (0, 0, 0, 0, 0)


@pytest.mark.anyio
async def test_a_raced_call_counts_where_it_went(
    gateway: Service, port: int, callee: Callee
) -> None:
    """Both attempts are under way at their instances; the loser is given back, and says nothing."""
    hedge = HedgeConfig(delay_s=0.01, budget_percent=100.0)
    client = client_of(gateway, port, port, config=CommandConfig(hedge=hedge, timeout_s=PATIENCE_S))
    await client.get("/status/200")  # the budget is a share of the calls that succeed
    before = [one.calls for one in loads(gateway)]
    call = asyncio.ensure_future(client.get("/hang"))
    await wait_until_async(lambda: [one.in_flight for one in loads(gateway)] == [1, 1])
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await wait_until_async(lambda: all(one.in_flight == 0 for one in loads(gateway)))
    assert [one.calls for one in loads(gateway)] == before


def test_a_body_that_is_read_is_under_way(caller: Service, port: int) -> None:
    """A response in pieces counts at its instance until it is closed, and then as a success."""
    caller.balancer.pin(SERVICE, at(port))
    with httpx.Client(transport=guarded_transport(caller)) as user:
        with user.stream("GET", URL) as response:
            assert told(loads(caller)[0]) == (1, 0, 0, 0, 0)
            response.read()
        assert told(loads(caller)[0]) == (0, 1, 0, 0, 0)


def test_an_attempt_that_nobody_waits_for_gives_its_place_back(caller: Service) -> None:
    """It was left in its thread before it had chosen where to go."""
    caller.balancer.pin(SERVICE, at(1, 2))
    attempt = Attempt.__new__(Attempt)
    attempt._pick, attempt._is_over_there = None, False
    attempt.leave(Evidence.NOTHING)
    for _ in range(2):
        pick = caller.balancer.pick(SERVICE)
        assert pick is not None
        attempt.go_to(pick)
    assert [one.in_flight for one in loads(caller)] == [0, 0]


@pytest.mark.anyio
async def test_one_that_is_asked_for_by_name_counts_too(gateway: Service, port: int) -> None:
    """A pinned call is under way there like any other, and finds out that it is back."""
    client = client_of(gateway, port, port)
    gateway.runtime.resolver.note(SERVICE, "prices-1", Evidence.REFUSED)
    reply = await client.get("/status/200", instance="prices-1")
    assert reply.instance == "prices-1"
    assert [one.state for one in loads(gateway)] == ["in_use", "in_use"]
    with pytest.raises(NoInstanceError, match="no instance prices-9 of it is known"):
        await client.get("/status/200", instance="prices-9")


async def by_aiohttp(service: Service, **headers: str) -> None:
    """One call of a user's aiohttp session."""
    middleware = guarded_middleware(service)
    async with (
        aiohttp.ClientSession(middlewares=[middleware]) as session,
        session.get(URL, headers=headers) as response,
    ):
        await response.read()


async def by_httpx_async(service: Service, **extensions: str) -> None:
    """One call of a user's async httpx client."""
    async with httpx.AsyncClient(transport=guarded_async_transport(service)) as user:
        await user.get(URL, extensions=extensions)


async def by_httpx(service: Service, **extensions: str) -> None:
    """One call of a user's httpx client."""
    with httpx.Client(transport=guarded_transport(service)) as user:
        await asyncio.to_thread(user.get, URL, extensions=extensions)


async def by_requests(service: Service, **headers: str) -> None:
    """One call of a user's session of requests."""
    with requests.Session() as session:
        session.mount("http://", guarded_adapter(service))
        await asyncio.to_thread(session.get, URL, headers=headers)


async def by_ours(service: Service, **given: str) -> None:
    """One call of our own client."""
    await service.client(SERVICE).get("/status/200", **given)


LIBRARIES = [
    pytest.param(by_ours, "sticky", CallError, id="ours"),
    pytest.param(by_aiohttp, "breakwater-sticky", aiohttp.ClientError, id="aiohttp"),
    pytest.param(by_httpx, "breakwater.sticky", httpx.ConnectError, id="httpx"),
    pytest.param(by_httpx_async, "breakwater.sticky", httpx.ConnectError, id="httpx-async"),
    pytest.param(by_requests, "breakwater-sticky", requests.ConnectionError, id="requests"),
]
Call = Callable[..., Any]


@pytest.mark.anyio
@pytest.mark.parametrize(("call", "key", "error"), LIBRARIES)
async def test_a_sticky_key_keeps_its_instance(
    gateway: Service, port: int, callee: Callee, call: Call, key: str, error: type[Exception]
) -> None:
    """Twelve calls of one key go to one of four instances; the key itself is not sent."""
    gateway.runtime.resolver.pin(SERVICE, at(port, port, port, port))
    for _ in range(12):
        await call(gateway, **{key: "user-7"})
    assert sorted(one.calls for one in loads(gateway)) == [0, 0, 0, 12]
    assert all(one.in_flight == 0 for one in loads(gateway))
    assert not any(word for headers in callee.headers for word in headers if "sticky" in word)


@pytest.mark.anyio
@pytest.mark.parametrize(("call", "key", "error"), LIBRARIES)
async def test_a_service_where_all_refuse_fails_at_once(
    gateway: Service, refusing: int, call: Call, key: str, error: type[Exception]
) -> None:
    """With an error of the library's own kind that says so, and names it."""
    gateway.runtime.resolver.pin(SERVICE, at(refusing, refusing))
    for name in ("prices-0", "prices-1"):
        for _ in range(3):
            gateway.runtime.resolver.note(SERVICE, name, Evidence.REFUSED)
    trial = gateway.runtime.resolver.pick(SERVICE)
    assert trial is not None
    with pytest.raises(NoInstanceError) as raised:
        await call(gateway)
    trial.settle()
    assert isinstance(raised.value, error)
    assert (raised.value.detail, raised.value.status) == ("all_refused", Status.UNAVAILABLE)
    assert "all 2 of its instances refuse connections" in str(raised.value)
    assert "prices" in str(raised.value)
    assert 0 < (raised.value.retry_after_s or 0.0) <= 0.5


@pytest.mark.anyio
async def test_the_silence_of_all_is_not_held_against_the_guard(
    gateway: Service, refusing: int
) -> None:
    """Calls without anybody to go to leave the breaker as it is, and a fallback answers."""
    client = client_of(gateway, refusing)
    for _ in range(3):
        gateway.runtime.resolver.note(SERVICE, "prices-0", Evidence.REFUSED)
    trial = gateway.runtime.resolver.pick(SERVICE)
    assert trial is not None
    for _ in range(30):
        reply = await client.get("/status/200", fallback=lambda _error: "stale")
        assert reply.value == "stale"
    breaker = client.stats().breaker
    assert breaker is not None
    assert breaker.window_failures == 0
    trial.settle()


@pytest.mark.anyio
async def test_only_calls_that_are_repeated_are_trials(
    gateway: Service, port: int, refusing: int
) -> None:
    """A POST is not risked where a GET finds out without harm."""
    quick = BalancerConfig(refused_base_s=1e-6, refused_max_s=1e-6)
    client = client_of(gateway, port, refusing, retries=1, balancing=quick)
    gateway.runtime.resolver.note(SERVICE, "prices-1", Evidence.REFUSED)
    for _ in range(10):
        await client.post("/status/200")
    assert gateway.balancer.stats().trials == 0
    for _ in range(10):
        await client.get("/status/200")
    assert gateway.balancer.stats().trials >= 9


@pytest.mark.anyio
async def test_rules_of_a_client_hold_for_its_service(gateway: Service, port: int) -> None:
    """`balancing=` is for the service that is called, by whatever client of the process."""
    client_of(gateway, port, port, balancing=BalancerConfig(consecutive_failures=1))
    gateway.runtime.resolver.note(SERVICE, "prices-0", Evidence.FAILURE)
    assert [one.state for one in loads(gateway)] == ["ejected", "in_use"]


@pytest.mark.anyio
@pytest.mark.slow
async def test_the_choice_is_metered(
    gateway: Service, port: int, refusing: int, meters: MeterListener
) -> None:
    """Picks, ejections, trials and how many are in use, once a second."""
    client = client_of(gateway, port, refusing, retries=1)
    for _ in range(4):
        await client.get("/status/200")
    for parts in (
        ("c:discovery.picks", "peer=prices", "route=other_zone"),
        ("c:discovery.ejections", "cause=refused", "peer=prices"),
        ("g,15:discovery.instances", "state=in_use", ":1"),
        ("g,15:discovery.instances", "state=refused", ":1"),
    ):
        await asyncio.to_thread(meters.wait_for, *parts)


@pytest.mark.parametrize(
    ("verdict", "error", "status", "detail", "says"),
    [
        (Verdict.SUCCESS, None, Status.SUCCESS, "", Evidence.SUCCESS),
        (Verdict.SUCCESS, ValueError(), Status.BAD_REQUEST, "http_404", Evidence.SUCCESS),
        (Verdict.TIMEOUT, None, Status.SUCCESS, "", Evidence.TIMEOUT),
        (Verdict.CANCELLED, None, Status.SUCCESS, "", Evidence.NOTHING),
        (Verdict.FAILURE, OSError(), Status.CONNECTION_ERROR, "refused", Evidence.REFUSED),
        (Verdict.FAILURE, OSError(), Status.CONNECTION_ERROR, "reset", Evidence.REFUSED),
        (Verdict.FAILURE, OSError(), Status.CONNECTION_ERROR, "EOFError", Evidence.FAILURE),
        (Verdict.FAILURE, OSError(), Status.CONNECTION_ERROR, "http_502", Evidence.FAILURE),
        (Verdict.FAILURE, OSError(), Status.TIMEOUT, "http_504", Evidence.FAILURE),
        (Verdict.FAILURE, OSError(), Status.THROTTLED, "http_429", Evidence.NOTHING),
        (Verdict.TIMEOUT, OSError(), Status.TIMEOUT, "attempt_timeout", Evidence.TIMEOUT),
        (Verdict.TIMEOUT, OSError(), Status.TIMEOUT, "pool_timeout", Evidence.NOTHING),
        (Verdict.FAILURE, KeyError(), Status.UNEXPECTED_ERROR, "KeyError", Evidence.NOTHING),
        (Verdict.FAILURE, KeyError(), Status.UNEXPECTED_ERROR, "bad_result", Evidence.FAILURE),
        (Verdict.FAILURE, GeneratorExit(), Status.CANCELLED, "", Evidence.NOTHING),
        (Verdict.NOT_TRIED, ValueError(), Status.REJECTED, "full", Evidence.NOTHING),
    ],
)
def test_what_the_end_of_an_attempt_says(
    verdict: Verdict, error: BaseException | None, status: Status, detail: str, says: Evidence
) -> None:
    """The same for every library, from status and detail of its record."""
    attempt = Attempt.__new__(Attempt)
    attempt.injected = attempt.was_answered = False
    assert evidence_of(attempt, verdict, error, status, detail) is says
    attempt.injected = True
    expected = says if says is Evidence.REFUSED else Evidence.NOTHING
    assert evidence_of(attempt, verdict, error, status, detail) is expected
    attempt.injected, attempt.was_answered = False, True
    if says is Evidence.REFUSED:
        assert evidence_of(attempt, verdict, error, status, detail) is Evidence.FAILURE
