"""The server side of every edge, under a real uvicorn."""

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp
import anyio.lowlevel
import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from tests.sdk.fleet import PATIENCE_S, MeterListener, Platform, serving

from breakwater.model import SystemClock
from breakwater.sdk import Service, baggage, current, remaining_s

AN_HOUR_S = 3600.0


class LeapingClock(SystemClock):
    """A clock that runs as all do, but for the leaps it is told to make."""

    def __init__(self) -> None:
        self._leapt_s = 0.0

    def monotonic_s(self) -> float:
        return super().monotonic_s() + self._leapt_s

    def leap(self, seconds: float) -> None:
        """Let so much time have passed."""
        self._leapt_s += seconds


class Backend:
    """An application whose handlers tell what happened to them."""

    def __init__(self, clock: LeapingClock) -> None:
        self.clock = clock
        self.looked = asyncio.Event()
        self.told_of_departure = asyncio.Event()
        self.entered = threading.Event()
        self.cancelled = threading.Event()
        self.after = threading.Event()
        self.app = Starlette(
            routes=[
                Route("/v1/titles/{id}", self.title),
                Route("/status/{code:int}", self.status),
                Route("/context", self.context),
                Route("/echo", self.echo, methods=["POST"]),
                Route("/hang", self.hang, methods=["GET", "POST"]),
                Route("/broken", self.broken),
                Route("/background", self.background),
                Route("/stream", self.stream),
            ]
        )

    def observed(self, app: Any) -> Any:
        """`app`, telling the handlers what it has received of the server, whoever asked."""

        async def outermost(scope: Any, receive: Any, send: Any) -> None:
            async def telling() -> Any:
                message = await receive()
                if scope["type"] == "http":
                    self.looked.set()
                if message["type"] == "http.disconnect":
                    self.told_of_departure.set()
                return message

            await app(scope, telling, send)

        return outermost

    async def title(self, request: Request) -> Response:
        """Answer."""
        return JSONResponse({"id": request.path_params["id"]})

    async def status(self, request: Request) -> Response:
        """Answer with a given status."""
        return Response(status_code=request.path_params["code"])

    async def context(self, _request: Request) -> Response:
        """Tell the context the handler sees."""
        seen = current()
        with baggage(more="x"):
            left_s = remaining_s()
        trace_id = seen.trace.trace_id if seen.trace else None
        return JSONResponse(
            {"left_s": left_s, "trace": trace_id, "level": seen.criticality, **seen.baggage}
        )

    async def echo(self, request: Request) -> Response:
        """Give the body back, once somebody else has begun to take it in."""
        await self.looked.wait()
        return Response(await request.body())

    async def hang(self, _request: Request) -> Response:
        """Wait for ever."""
        self.entered.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return Response()

    async def broken(self, _request: Request) -> Response:
        """Raise."""
        raise KeyError("broken")

    async def background(self, _request: Request) -> Response:
        """Answer, and work on for an hour afterwards, until the client is known to have left."""

        async def work() -> None:
            await self.told_of_departure.wait()
            self.clock.leap(AN_HOUR_S)
            self.after.set()

        return Response(background=BackgroundTask(work))

    async def stream(self, _request: Request) -> Response:
        """Answer without end."""

        async def chunks() -> Any:
            while True:
                yield b"x" * 1000
                await anyio.lowlevel.checkpoint()  # a send need not let others run

        return StreamingResponse(chunks())


@pytest.fixture
def backend() -> Backend:
    """What the server under test runs."""
    return Backend(LeapingClock())


@pytest.fixture
def service(service_of: Callable[..., Service], backend: Backend) -> Service:
    """The service under test."""
    return service_of("cdn", port=8100, clock=backend.clock)


@pytest.fixture
def url(service: Service, backend: Backend) -> Iterator[str]:
    """Where it answers."""
    with serving(backend.observed(service.asgi(backend.app))) as port:
        yield f"http://127.0.0.1:{port}"


async def get(url: str, **headers: str) -> tuple[int, bytes]:
    """Status and body of a plain request, underscores in header names being dashes."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    async with aiohttp.ClientSession() as session, session.get(url, headers=sent) as response:
        return response.status, await response.read()


@pytest.mark.anyio
async def test_a_request_is_recorded_with_caller_endpoint_and_status(
    url: str, meters: MeterListener
) -> None:
    """One percentile timer a request; the endpoint is the route, not the path."""
    assert (await get(f"{url}/v1/titles/7", breakwater_caller="gateway"))[0] == 200
    line = meters.wait_for("T:ipc.server.call", "ipc.endpoint=v1.titles.~id")
    for tag in (
        "nf.app=cdn",
        "nf.node=cdn-1",
        "nf.zone=a",
        "ipc.client.app=gateway",
        "ipc.server.app=cdn",
        "ipc.result=success",
        "ipc.status=success",
        "ipc.attempt=initial",
        "ipc.attempt.final=true",
    ):
        assert f",{tag}," in line or f",{tag}:" in line
    assert "ipc.status.detail" not in line
    assert 0 < float(line.rpartition(":")[2]) < PATIENCE_S


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (400, "bad_request"),
        (403, "access_denied"),
        (404, "bad_request"),
        (408, "timeout"),
        (429, "throttled"),
        (500, "unexpected_error"),
        (502, "connection_error"),
        (503, "unavailable"),
        (504, "timeout"),
    ],
)
@pytest.mark.anyio
async def test_answers_are_classified(
    url: str, meters: MeterListener, code: int, status: str
) -> None:
    """The status code decides, and stands in the detail."""
    assert (await get(f"{url}/status/{code}"))[0] == code
    meters.wait_for("ipc.client.app=unknown", f"ipc.status={status},ipc.status.detail=http_{code}:")


@pytest.mark.anyio
async def test_a_handler_that_raises_is_an_unexpected_error(
    url: str, meters: MeterListener
) -> None:
    """The framework's 500 is what the caller saw, and what is recorded."""
    assert (await get(f"{url}/broken"))[0] == 500
    meters.wait_for("ipc.endpoint=broken", "ipc.status=unexpected_error")


@pytest.mark.anyio
async def test_the_context_of_the_caller_is_there(url: str) -> None:
    """Deadline, trace, baggage and criticality are bound while the handler runs."""
    _, body = await get(
        f"{url}/context",
        breakwater_deadline_ms="60000",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        baggage="cell=b,bw.criticality=sheddable",
    )
    seen = json.loads(body)
    assert 30 < seen.pop("left_s") < 60
    assert seen == {
        "trace": "0af7651916cd43dd8448eb211c80319c",
        "level": "sheddable",
        "cell": "b",
    }


@pytest.mark.anyio
async def test_work_past_its_deadline_is_refused(
    url: str, meters: MeterListener, backend: Backend
) -> None:
    """504 at once; the handler never runs."""
    assert (await get(f"{url}/hang", breakwater_deadline_ms="0"))[0] == 504
    meters.wait_for("ipc.status=timeout,ipc.status.detail=past_deadline")
    assert not backend.entered.is_set()


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.anyio
async def test_a_client_that_leaves_cancels_the_work(
    url: str, meters: MeterListener, backend: Backend, method: str
) -> None:
    """A request nobody waits for is recorded as cancelled, with the time it took."""
    address = url.removeprefix("http://").split(":")
    with socket.create_connection((address[0], int(address[1]))) as sock:
        sock.sendall(f"{method} /hang HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc".encode())
        assert await asyncio.to_thread(backend.entered.wait, PATIENCE_S)
    assert await asyncio.to_thread(backend.cancelled.wait, PATIENCE_S)
    line = meters.wait_for("ipc.server.call", "ipc.endpoint=hang", "ipc.status=cancelled")
    assert float(line.rpartition(":")[2]) > 0


@pytest.mark.anyio
async def test_a_stream_that_is_left_is_recorded_as_cancelled(
    url: str, meters: MeterListener
) -> None:
    """An answer that was not given in full is no success."""
    async with aiohttp.ClientSession() as session, session.get(f"{url}/stream") as response:
        await response.content.read(1000)
        response.close()
    meters.wait_for("ipc.endpoint=stream", "ipc.status=cancelled")


@pytest.mark.anyio
async def test_a_body_reaches_a_handler_that_reads_late(url: str) -> None:
    """Watching for a departure does not eat what the application has not read yet."""
    body = bytes(range(256)) * 2000
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/echo", data=body) as response,
    ):
        assert await response.read() == body


@pytest.mark.anyio
async def test_work_after_the_answer_is_not_cancelled(
    url: str, meters: MeterListener, backend: Backend
) -> None:
    """The record ends with the answer, background work goes on."""
    assert (await get(f"{url}/background"))[0] == 200
    assert await asyncio.to_thread(backend.after.wait, PATIENCE_S)
    line = meters.wait_for("ipc.endpoint=background", "ipc.status=success")
    assert float(line.rpartition(":")[2]) < AN_HOUR_S


@pytest.mark.anyio
async def test_unknown_paths_share_one_endpoint(url: str, meters: MeterListener) -> None:
    """A scanner does not make series."""
    for word in ("admin", "login", "phpmyadmin"):
        assert (await get(f"{url}/{word}"))[0] == 404
    assert await asyncio.to_thread(meters.wait_for, "ipc.endpoint=other")
    assert not meters.having("ipc.endpoint=admin")


@pytest.mark.slow
@pytest.mark.anyio
async def test_callers_in_flight_are_seen(url: str, meters: MeterListener) -> None:
    """A call that hangs shows as a level that does not go down."""
    hung = asyncio.ensure_future(get(f"{url}/hang", breakwater_caller="gateway"))
    await asyncio.to_thread(meters.wait_for, "m:ipc.server.inflight", "ipc.client.app=gateway:1")
    hung.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hung


@pytest.mark.anyio
async def test_lifespan_takes_and_gives_back_the_lease(
    service: Service, backend: Backend, platform: Platform
) -> None:
    """Starting and stopping the server is all a user does."""
    with serving(service.asgi(backend.app)):
        platform.wait_for(lambda: "cdn-1" in platform.leases)
    assert platform.leases == {}
    assert not service.stats().is_started


@pytest.mark.anyio
async def test_an_application_without_lifespan_is_served_too(
    service: Service, platform: Platform
) -> None:
    """A bare ASGI function that knows only HTTP."""

    async def bare(scope: Any, _receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    with serving(service.asgi(bare)) as port:
        platform.wait_for(lambda: "cdn-1" in platform.leases)
        assert (await get(f"http://127.0.0.1:{port}/x"))[0] == 204
    assert platform.leases == {}


@pytest.mark.anyio
async def test_an_application_that_cannot_start_takes_no_lease(
    service: Service, platform: Platform
) -> None:
    """A failed start is passed on as it is; the instance must not be found as if it were up."""
    heard: list[str] = []

    async def broken(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})
        raise RuntimeError("no database")

    async def receive() -> dict[str, str]:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        heard.append(message["type"])

    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(RuntimeError, match="no database"):
            await service.asgi(broken)({"type": "lifespan"}, receive, send)
    assert heard == ["lifespan.startup.failed"]
    assert not service.stats().is_started
    assert platform.leases == {}


@pytest.mark.slow
@pytest.mark.anyio
async def test_the_bulkhead_answers_503(
    service: Service, backend: Backend, meters: MeterListener
) -> None:
    """One request too many is refused at once and recorded."""
    app = service.asgi(backend.app, max_concurrent=1, endpoint=lambda _scope: "all")
    with serving(app) as port:
        url = f"http://127.0.0.1:{port}"
        hung = asyncio.ensure_future(get(f"{url}/hang"))
        assert await asyncio.to_thread(backend.entered.wait, PATIENCE_S)
        assert (await get(f"{url}/v1/titles/7"))[0] == 503
        meters.wait_for(
            "ipc.endpoint=all", "ipc.status=unavailable,ipc.status.detail=bulkhead_full"
        )
        assert app.stats().rejected == 1
        hung.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hung


@pytest.mark.slow
@pytest.mark.anyio
async def test_callers_without_number_share_a_name(url: str, meters: MeterListener) -> None:
    """The caller's name comes from outside, so only so many get series of their own."""
    async with aiohttp.ClientSession() as session:
        for number in range(201):
            headers = {"breakwater-caller": f"caller-{number}"}
            async with session.get(f"{url}/v1/titles/7", headers=headers) as response:
                assert response.status == 200
    await asyncio.to_thread(meters.wait_for, "ipc.client.app=other")


def inbound(kind: str, **given: Any) -> dict[str, Any]:
    """A rule for what cdn receives."""
    ends_ms = SystemClock().now_ms() + 60_000
    return {
        "id": kind,
        "point": "inbound",
        "kind": kind,
        "service": "cdn",
        "expires_ms": ends_ms,
        **given,
    }


@pytest.fixture
def rules(platform: Platform, service: Service) -> Callable[..., None]:
    """Puts rules in force at the service."""

    def put(*rules: dict[str, Any]) -> None:
        platform.set_rules(*rules)
        revision = f"revision={platform.rules_revision}"
        platform.wait_for(lambda: platform.count("GET", revision) > 0)
        assert service.stats().faults.rules == len(rules)

    return put


@pytest.mark.slow
@pytest.mark.anyio
async def test_an_injected_error_is_answered_and_marked(
    url: str, meters: MeterListener, rules: Callable[..., None], backend: Backend
) -> None:
    """The handler does not run; the record says that it was done on purpose."""
    rules(inbound("error", status=503, peer="gateway"))
    assert (await get(f"{url}/hang", breakwater_caller="gateway"))[0] == 503
    meters.wait_for("ipc.failure.injected=true", "ipc.status=unavailable")
    assert not backend.entered.is_set()
    assert (await get(f"{url}/v1/titles/7", breakwater_caller="player"))[0] == 200
    await asyncio.to_thread(meters.wait_for, "ipc.client.app=player")
    assert not meters.having("ipc.client.app=player", "injected")


@pytest.mark.anyio
async def test_an_injected_delay_lies_within_the_servers_clock(
    url: str, meters: MeterListener, rules: Callable[..., None]
) -> None:
    """A slow service is slow on its own account."""
    rules(inbound("delay", delay_ms=60.0))
    assert (await get(f"{url}/v1/titles/7"))[0] == 200
    line = meters.wait_for("ipc.server.call", "ipc.failure.injected=true")
    assert float(line.rpartition(":")[2]) >= 0.055  # timers may fire a clock tick early


@pytest.mark.slow
@pytest.mark.anyio
async def test_an_injected_hang_ends_with_the_deadline_or_the_client(
    url: str, meters: MeterListener, rules: Callable[..., None]
) -> None:
    """504 when the time is up; cancelled when the client leaves before."""
    rules(inbound("hang"))
    assert (await get(f"{url}/v1/titles/7", breakwater_deadline_ms="40"))[0] == 504
    meters.wait_for("ipc.failure.injected=true", "ipc.status=timeout")
    hung = asyncio.ensure_future(get(f"{url}/v1/titles/7", breakwater_caller="gateway"))
    await asyncio.to_thread(meters.wait_for, "m:ipc.server.inflight", "ipc.client.app=gateway:1")
    hung.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hung
    await asyncio.to_thread(meters.wait_for, "ipc.failure.injected=true", "ipc.status=cancelled")
