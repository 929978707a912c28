"""What surrounds every service: errors, endpoint names, background work."""

from collections.abc import Sequence

import anyio.lowlevel
import pytest
from starlette.routing import Route

from breakwater.model import LimitExceededError, Status, UnavailableError
from breakwater.reference.answers import code_of, record, together
from breakwater.reference.application import (
    SERVICES,
    Background,
    World,
    _WithBackground,
    endpoint_namer,
    make_part,
)
from breakwater.reference.errors import (
    FullError,
    LicenceRefusedError,
    MalformedRequestError,
    UnauthenticatedError,
    UnknownItemError,
    UnknownServiceError,
)
from breakwater.reference.services.account import Identity
from breakwater.sdk import (
    CallError,
    CallFailedError,
    CallRefusedError,
    DeadlineExceededError,
    Reply,
    Service,
)


def _failed(status: Status, code: int | None = None) -> CallFailedError:
    return CallFailedError(status, service="x", endpoint="y", code=code)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MalformedRequestError("x"), 400),
        (UnauthenticatedError("x"), 401),
        (LicenceRefusedError("region", "x"), 403),
        (UnknownItemError("x"), 404),
        (FullError("x"), 503),
        (LimitExceededError("x"), 503),
        (UnavailableError("x"), 503),
    ],
)
def test_own_errors_have_one_http_code_each(error: Exception, code: int) -> None:
    """What the caller can do decides the code."""
    assert code_of(error) == code  # type: ignore[arg-type] # all are BreakwaterErrors


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (_failed(Status.UNEXPECTED_ERROR, 500), 500),
        (_failed(Status.CONNECTION_ERROR), 502),
        (_failed(Status.UNAVAILABLE, 503), 503),
        (_failed(Status.TIMEOUT), 504),
        (DeadlineExceededError(service="x"), 504),
        (CallRefusedError("breaker_open", "x"), 503),
        (CallRefusedError("bulkhead_full", "x"), 503),
        (_failed(Status.ACCESS_DENIED, 403), 403),
        (_failed(Status.BAD_REQUEST, 404), 404),
    ],
)
def test_a_callees_failure_keeps_its_class(error: CallError, code: int) -> None:
    """Timeouts stay timeouts, refusals stay refusals, and a no stays that no."""
    assert code_of(error) == code


def test_an_answer_of_another_shape_is_the_callees_failure() -> None:
    """What cannot be read is an unavailable callee, named, and not a crash."""
    for body in (b"{}", b"<html>", b""):
        with pytest.raises(UnavailableError, match="account-a-1 answered with no Identity"):
            record(Reply(body=body, instance="account-a-1"), Identity)


def test_unknown_services_are_refused_with_the_list() -> None:
    """The message names every service there is."""
    service = Service("x", url="none", metrics="none")
    with pytest.raises(UnknownServiceError, match=", ".join(SERVICES)):
        make_part("x", service, World(seed=1, secret="s", instance="x"))


def test_endpoints_are_few_and_known_before_routing() -> None:
    """A request is named by its route; ids never reach the name."""

    async def nothing() -> None:
        """Never called."""

    name = endpoint_namer(
        [Route("/v1/a/{id}", nothing, name="one"), Route("/v1/a", nothing, methods=["POST"])]
    )
    assert name({"path": "/v1/a/77", "method": "GET"}) == "one"
    assert name({"path": "/v1/a", "method": "POST"}) == "nothing"
    assert name({"path": "/v1/a", "method": "GET"}) == "unknown"
    assert name({"path": "/v2", "method": "GET"}) == "unknown"


@pytest.mark.anyio
async def test_together_waits_for_all_before_it_raises() -> None:
    """A failure does not cut short the calls beside it, and the first in order is raised."""
    finished: list[str] = []

    async def fail(name: str) -> None:
        raise UnavailableError(name)

    async def finish() -> str:
        await anyio.lowlevel.checkpoint()
        finished.append("done")
        return "done"

    with pytest.raises(UnavailableError, match="first"):
        await together(finish(), fail("first"), fail("second"))
    assert finished == ["done"]
    assert await together(finish(), finish()) == ("done", "done")


class Worker:
    """A part that does nothing but its background work."""

    def __init__(self, *works: Background) -> None:
        """Given work."""
        self._works = works

    def routes(self) -> Sequence[Route]:
        """None."""
        return ()

    def background(self) -> Sequence[Background]:
        """The work given."""
        return self._works

    def stats(self) -> object:
        """Nothing."""
        return None


@pytest.mark.anyio
async def test_background_work_runs_between_startup_and_shutdown() -> None:
    """It begins when the application has started, and has ended before shutdown goes on."""
    events: list[str] = []
    begun = anyio.Event()

    async def work() -> None:
        events.append("work")
        begun.set()
        try:
            await anyio.sleep_forever()
        finally:
            events.append("ended")

    await _lifespan(Worker(Background(action=work)), events, begun)
    assert events == ["startup", "work", "ended", "shutdown"]


@pytest.mark.anyio
@pytest.mark.slow
async def test_failing_work_is_told_of_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    """An unexpected error neither ends the service nor goes unseen."""
    tries: list[int] = []
    again = anyio.Event()

    async def work() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise ValueError("unexpected")
        again.set()
        await anyio.sleep_forever()

    await _lifespan(Worker(Background(action=work)), [], again)
    assert len(tries) == 2
    assert "background work failed" in caplog.text


async def _lifespan(worker: Worker, events: list[str], until: anyio.Event) -> None:
    """Run an application's lifespan around `worker`, shutting down once `until` is set."""

    async def inner(scope: object, receive: object, send: object) -> None:
        assert callable(receive)
        assert callable(send)
        events.append((await receive())["type"].removeprefix("lifespan."))
        await send({"type": "lifespan.startup.complete"})
        events.append((await receive())["type"].removeprefix("lifespan."))
        await send({"type": "lifespan.shutdown.complete"})

    messages = iter(["lifespan.startup", "lifespan.shutdown"])

    async def receive() -> dict[str, str]:
        message = next(messages)
        if message == "lifespan.shutdown":
            await until.wait()
        return {"type": message}

    async def send(message: object) -> None:
        assert message

    with anyio.fail_after(20):
        await _WithBackground(inner, worker)({"type": "lifespan"}, receive, send)
