"""The server side under WSGI: a real wsgiref server with threads, real sockets."""

import json
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
import requests
from tests.sdk.fleet import PATIENCE_S, MeterListener, wsgi_serving
from tests.sdk.streaming import rule

from breakwater.model import FaultKind
from breakwater.sdk import Service, current, remaining_s
from breakwater.sdk.guard.config import SheddingConfig
from breakwater.sdk.guard.sharing.scope import current_scope
from breakwater.sdk.wsgi import guarded_app


class Backend:
    """A WSGI application whose answers tell what it saw."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.go_on = threading.Event()
        self.closed = threading.Event()
        self.calls = 0

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        """Answer by path."""
        self.calls += 1
        path = environ["PATH_INFO"]
        if path == "/broken":
            raise KeyError(path)
        code = path.removeprefix("/status/") if path.startswith("/status/") else "200"
        start(f"{code} X", [("content-type", "application/json")])
        if path == "/wait":
            self.entered.set()
            self.go_on.wait(PATIENCE_S)
        if path == "/stream":
            return self.pieces()
        if path == "/half":
            return self.half()
        left_s = remaining_s()
        seen = {
            "trace": current().trace is not None,
            "left": left_s is not None and 0 < left_s <= 5.0,
            "scope": current_scope() is not None,
        }
        return [json.dumps(seen).encode()]

    def pieces(self) -> Iterator[bytes]:
        """A body in two pieces, made in the context of the request."""
        try:
            yield b"one " if remaining_s() is not None else b"none "
            self.entered.set()
            self.go_on.wait(PATIENCE_S)
            while True:
                yield b"x" * 65_536 if self.is_endless else b"two"
                if not self.is_endless:
                    return
        finally:
            self.closed.set()

    is_endless = False

    def half(self) -> Iterator[bytes]:
        """A body that breaks off."""
        yield b"half"
        raise LookupError


@pytest.fixture
def backend() -> Backend:
    """The application."""
    return Backend()


@pytest.fixture
def catalogue(service_of: Callable[..., Service]) -> Iterator[Service]:
    """The service that serves."""
    with service_of("catalogue", url="none") as made:
        yield made


def test_a_request_is_recorded_and_works_in_its_context(
    catalogue: Service, backend: Backend, meters: MeterListener
) -> None:
    """Deadline, trace and scope are there; the caller is named."""
    headers = {"breakwater-caller": "gateway", "breakwater-deadline-ms": "5000"}
    with wsgi_serving(guarded_app(catalogue, backend)) as url:
        reply = requests.get(f"{url}/v1/titles/7", headers=headers, timeout=PATIENCE_S)
    assert reply.json() == {"trace": True, "left": True, "scope": True}
    assert reply.headers["content-length"] == str(len(reply.content))
    line = meters.wait_for("T:ipc.server.call", "ipc.client.app=gateway")
    for tag in ("ipc.server.app=catalogue", "ipc.endpoint=v1.titles.~", "ipc.status=success"):
        assert tag in line


def test_the_status_of_the_answer_is_recorded(
    catalogue: Service, backend: Backend, meters: MeterListener
) -> None:
    """Also of a path that was not found, which teaches no name."""
    with wsgi_serving(guarded_app(catalogue, backend)) as url:
        requests.get(f"{url}/status/503", timeout=PATIENCE_S)
        requests.get(f"{url}/status/404", timeout=PATIENCE_S)
    meters.wait_for("ipc.status=unavailable", "ipc.status.detail=http_503")
    meters.wait_for("ipc.status=bad_request", "ipc.status.detail=http_404")


def test_an_error_of_the_application_is_recorded_and_the_servers_affair(
    catalogue: Service, backend: Backend, meters: MeterListener, capfd: pytest.CaptureFixture[str]
) -> None:
    """The middleware swallows nothing."""
    with wsgi_serving(guarded_app(catalogue, backend)) as url:
        assert requests.get(f"{url}/broken", timeout=PATIENCE_S).status_code == 500
    meters.wait_for("ipc.status=unexpected_error", "ipc.status.detail=KeyError")
    assert "KeyError" in capfd.readouterr().err


def test_a_body_that_breaks_off_is_an_error(
    catalogue: Service, backend: Backend, meters: MeterListener, capfd: pytest.CaptureFixture[str]
) -> None:
    """Although its head said 200."""
    with wsgi_serving(guarded_app(catalogue, backend)) as url:
        assert requests.get(f"{url}/half", timeout=PATIENCE_S).status_code == 200
        meters.wait_for("ipc.endpoint=half", "ipc.status.detail=LookupError")
    assert "LookupError" in capfd.readouterr().err


def test_work_whose_deadline_has_passed_is_refused(
    catalogue: Service, backend: Backend, meters: MeterListener
) -> None:
    """The application is not bothered."""
    with wsgi_serving(guarded_app(catalogue, backend)) as url:
        headers = {"breakwater-deadline-ms": "0"}
        reply = requests.get(f"{url}/x", headers=headers, timeout=PATIENCE_S)
    assert (reply.status_code, reply.json()["message"]) == (504, "past_deadline")
    assert backend.calls == 0
    meters.wait_for("ipc.status=timeout", "ipc.status.detail=past_deadline")
    assert catalogue.stats().servers[0].past_deadline == 1


def test_more_than_there_is_room_for_is_refused(
    catalogue: Service, backend: Backend, meters: MeterListener
) -> None:
    """With the reason and when to come again."""
    app = guarded_app(catalogue, backend, shedding=SheddingConfig(limit=1, queue=0))
    with wsgi_serving(app) as url:
        waiting = threading.Thread(target=requests.get, args=(f"{url}/wait",))
        waiting.start()
        assert backend.entered.wait(PATIENCE_S)
        reply = requests.get(f"{url}/x", timeout=PATIENCE_S)
        backend.go_on.set()
        waiting.join()
        assert requests.get(f"{url}/x", timeout=PATIENCE_S).status_code == 200
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")
    meters.wait_for("ipc.status=unavailable", "ipc.status.detail=bulkhead_full")
    meters.wait_for("guard.shed", "reason=bulkhead_full")


def test_a_request_waits_for_its_turn(catalogue: Service, backend: Backend) -> None:
    """In a short queue, on its own thread."""
    shedding = SheddingConfig(limit=1, queue=1, interval_s=PATIENCE_S)
    app = guarded_app(catalogue, backend, shedding=shedding)
    codes: list[int] = []

    def ask(url: str) -> None:
        codes.append(requests.get(url, timeout=PATIENCE_S).status_code)

    with wsgi_serving(app) as url:
        threads = [threading.Thread(target=ask, args=(f"{url}/wait",)) for _ in range(2)]
        for thread in threads:
            thread.start()
        assert backend.entered.wait(PATIENCE_S)
        backend.go_on.set()
        for thread in threads:
            thread.join()
    assert codes == [200, 200]


def test_a_body_in_pieces_lasts_until_its_end(
    catalogue: Service, backend: Backend, meters: MeterListener
) -> None:
    """Its generator runs in the context of the request and is closed."""
    backend.go_on.set()
    with wsgi_serving(guarded_app(catalogue, backend)) as url:
        headers = {"breakwater-deadline-ms": "5000"}
        assert requests.get(f"{url}/stream", headers=headers, timeout=PATIENCE_S).text == "one two"
    assert backend.closed.is_set()
    meters.wait_for("ipc.endpoint=stream", "ipc.status=success")


def test_a_client_that_leaves_is_recorded_as_such(
    catalogue: Service, backend: Backend, meters: MeterListener
) -> None:
    """The server closes the iterable, and the application's generator is closed with it."""
    backend.is_endless = True
    with wsgi_serving(guarded_app(catalogue, backend)) as url:
        client = socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])))
        client.sendall(b"GET /stream HTTP/1.1\r\nhost: x\r\n\r\n")
        assert backend.entered.wait(PATIENCE_S)
        client.close()
        backend.go_on.set()
        assert backend.closed.wait(PATIENCE_S)
        meters.wait_for("ipc.endpoint=stream", "ipc.status=cancelled")
    assert catalogue.stats().servers[0].departed == 1


def test_faults_hit_inside_the_servers_clock(
    catalogue: Service, backend: Backend, meters: MeterListener
) -> None:
    """An error is an answer; a hang ends with the caller's deadline."""
    fault = {"point": "inbound", "service": "catalogue"}
    catalogue.runtime.faults.accept(rule(FaultKind.ERROR, status=503, **fault))
    with wsgi_serving(guarded_app(catalogue, backend)) as url:
        assert requests.get(f"{url}/x", timeout=PATIENCE_S).status_code == 503
        catalogue.runtime.faults.accept(rule(FaultKind.HANG, **fault))
        headers = {"breakwater-deadline-ms": "30"}
        reply = requests.get(f"{url}/x", headers=headers, timeout=PATIENCE_S)
    assert (reply.status_code, reply.json()["message"]) == (504, "deadline passed")
    assert backend.calls == 0
    assert "ipc.failure.injected=true" in meters.wait_for("ipc.status.detail=http_503")


def test_the_first_request_starts_the_service(
    service_of: Callable[..., Service], backend: Backend
) -> None:
    """So that every worker a server forks has threads of its own."""
    service = service_of("catalogue", url="none")
    with wsgi_serving(guarded_app(service, backend)) as url:
        assert not service.stats().is_started
        requests.get(f"{url}/x", timeout=PATIENCE_S)
        assert service.stats().is_started
    service.stop()


def test_the_user_may_name_endpoints(
    catalogue: Service, backend: Backend, meters: MeterListener
) -> None:
    """From the environ."""
    app = guarded_app(catalogue, backend, endpoint=lambda environ: environ["REQUEST_METHOD"])
    with wsgi_serving(app) as url:
        requests.head(f"{url}/x", timeout=PATIENCE_S)
    meters.wait_for("ipc.endpoint=HEAD", "ipc.status=success")
