"""Flask under guard: the real framework under a real server."""

from collections.abc import Callable, Iterator

import flask
import pytest
import requests
from tests.sdk.fleet import PATIENCE_S, MeterListener, wsgi_serving

from breakwater.sdk import CallRefusedError, DeadlineExceededError, Service, remaining_s
from breakwater.sdk.flask import guard_flask


@pytest.fixture
def url(service_of: Callable[..., Service]) -> Iterator[str]:
    """Where the application is served."""
    app = flask.Flask("catalogue")

    @app.get("/v1/titles/<int:number>")
    def title(number: int) -> dict[str, object]:
        left_s = remaining_s()
        return {"number": number, "left": left_s is not None and left_s > 0}

    @app.get("/files/<path:name>")
    def file(name: str) -> flask.Response:
        def pieces() -> Iterator[str]:
            yield name
            yield str((remaining_s() or 0) > 0)

        return flask.Response(flask.stream_with_context(pieces()))

    @app.get("/refused")
    def refused() -> str:
        raise CallRefusedError("breaker_open", "account", "", None, 1.5)

    @app.get("/late")
    def late() -> str:
        raise DeadlineExceededError(service="account")

    with service_of("catalogue", url="none") as service:
        guard_flask(service, app)
        with wsgi_serving(app) as found:
            yield found


def test_requests_are_recorded_under_their_rules(url: str, meters: MeterListener) -> None:
    """Converters do not show, nor does what is in their place."""
    headers = {"breakwater-caller": "gateway", "breakwater-deadline-ms": "5000"}
    reply = requests.get(f"{url}/v1/titles/7", headers=headers, timeout=PATIENCE_S)
    assert reply.json() == {"number": 7, "left": True}
    line = meters.wait_for("ipc.server.call", "ipc.client.app=gateway")
    assert "ipc.endpoint=v1.titles.~number" in line
    reply = requests.get(f"{url}/files/a/b", headers=headers, timeout=PATIENCE_S)
    assert reply.text == "a/bTrue"
    meters.wait_for("ipc.endpoint=files.~name", "ipc.status=success")


def test_refusals_that_no_view_caught_are_answered(url: str, meters: MeterListener) -> None:
    """503 with Retry-After, 504 for a deadline; a path nobody serves stays 404."""
    reply = requests.get(f"{url}/refused", timeout=PATIENCE_S)
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "2")
    assert "circuit is open" in reply.json()["message"]
    assert requests.get(f"{url}/late", timeout=PATIENCE_S).status_code == 504
    assert requests.get(f"{url}/nowhere", timeout=PATIENCE_S).status_code == 404
    meters.wait_for("ipc.endpoint=refused", "ipc.status=unavailable")
