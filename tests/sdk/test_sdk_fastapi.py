"""FastAPI under guard: the real framework under uvicorn."""

from collections.abc import Callable, Iterator

import fastapi
import pytest
import requests
from tests.sdk.fleet import PATIENCE_S, MeterListener, serving

from breakwater.sdk import CallRefusedError, Service
from breakwater.sdk.fastapi import Context, TimeLeft, guard_fastapi


@pytest.fixture
def service(service_of: Callable[..., Service]) -> Service:
    """The service that serves; the application's lifespan starts it."""
    return service_of("catalogue", url="none")


@pytest.fixture
def url(service: Service) -> Iterator[str]:
    """Where the application is served."""
    app = fastapi.FastAPI()
    router = fastapi.APIRouter(prefix="/v1")

    @router.get("/titles/{number}")
    async def title(number: int, call: Context, left_s: TimeLeft) -> dict[str, object]:
        is_left = left_s is not None and left_s > 0
        return {"number": number, "trace": call.trace is not None, "left": is_left}

    @router.get("/sync/{number}")
    def in_a_thread(number: int, call: Context) -> dict[str, object]:
        return {"number": number, "trace": call.trace is not None}

    @app.get("/refused")
    async def refused() -> str:
        raise CallRefusedError("bulkhead_full", "account", "", 5, None)

    app.include_router(router)
    guard_fastapi(service, app)
    with serving(app) as port:
        yield f"http://127.0.0.1:{port}"


def test_requests_are_recorded_under_their_routes(
    url: str, service: Service, meters: MeterListener
) -> None:
    """Prefixes of routers belong to it; the context is a dependency, in threads too."""
    assert service.stats().is_started
    headers = {"breakwater-caller": "gateway", "breakwater-deadline-ms": "5000"}
    reply = requests.get(f"{url}/v1/titles/7", headers=headers, timeout=PATIENCE_S)
    assert reply.json() == {"number": 7, "trace": True, "left": True}
    reply = requests.get(f"{url}/v1/sync/7", headers=headers, timeout=PATIENCE_S)
    assert reply.json() == {"number": 7, "trace": True}
    line = meters.wait_for("ipc.server.call", "ipc.client.app=gateway")
    assert "ipc.endpoint=v1.titles.~number" in line


def test_refusals_that_no_route_caught_are_answered(url: str, meters: MeterListener) -> None:
    """503 with the reason, not 500."""
    reply = requests.get(f"{url}/refused", timeout=PATIENCE_S)
    assert reply.status_code == 503
    assert "5 calls are under way" in reply.json()["message"]
    meters.wait_for("ipc.endpoint=refused", "ipc.status=unavailable")


def test_what_does_not_validate_is_the_callers_fault(url: str, meters: MeterListener) -> None:
    """The route is known all the same."""
    assert requests.get(f"{url}/v1/titles/seven", timeout=PATIENCE_S).status_code == 422
    meters.wait_for("ipc.endpoint=v1.titles.~number", "ipc.status=bad_request")
