"""Two services as processes, a platform as a process, and what a dashboard would see."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.sdk.streams.dashboard import DEMANDED_OF_COMMANDS
from tests.server.conftest import RunningServer, running, wait_until

DEADLINE_S = 60.0
pytestmark = pytest.mark.slow


@contextmanager
def service(platform: RunningServer, name: str, instance: str) -> Iterator[int]:
    """One service process; gives its port."""
    url = f"http://127.0.0.1:{platform.http_port}"
    metrics = f"udp://127.0.0.1:{platform.udp_port}"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.guards.service_process", name, instance],
        env={**os.environ, "BREAKWATER_URL": url, "BREAKWATER_METRICS": metrics},
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
        process.stdin.close()
        assert process.wait(DEADLINE_S) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(DEADLINE_S)
        process.stdin.close()
        process.stdout.close()


def call(port: int, query: str = "") -> str:
    """What the service answers."""
    url = f"http://127.0.0.1:{port}/call?{query}"
    with urllib.request.urlopen(url, timeout=DEADLINE_S) as answer:
        return str(json.loads(answer.read()))


def messages(port: int, path: str) -> Generator[dict[str, Any], None, None]:
    """The messages of a stream, for as long as it is read."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=DEADLINE_S) as answer:
        for line in answer:
            if line.startswith(b"data: "):
                yield json.loads(line.removeprefix(b"data: "))


def test_two_services_one_dashboard(tmp_path: Path) -> None:
    """Calls in two processes are found in one stream, summed, with all a dashboard demands.

    A process that ends leaves the sums; a setting reaches those that are there.
    """
    with running(tmp_path) as platform, ExitStack() as first:
        port_a = first.enter_context(service(platform, "gateway", "gateway-a-1"))
        with service(platform, "gateway", "gateway-b-1") as port_b:
            assert [call(port_a) for _ in range(3)] == ["found"] * 3
            assert call(port_b) == "found"
            assert call(port_b, "fail") == "guest"

            def registered() -> int:
                view = platform.call("GET", "/api/v1/registry/instances").json
                return len(view["instances"])

            wait_until(lambda: registered() == 2)
            seen = messages(platform.http_port, "/turbine.stream?cluster=GATEWAY")
            account = next(each for each in seen if each.get("reportingHosts") == 2)
            seen.close()
            assert account["name"] == "Account"
            assert account["rollingCountSuccess"] == 4
            assert account["rollingCountFailure"] == account["rollingCountFallbackSuccess"] == 1
            assert [name for name in DEMANDED_OF_COMMANDS if account.get(name) is None] == []
            assert account["isCircuitBreakerOpen"] is False

            view = platform.call("GET", "/api/v1/guards?service=gateway").json
            (guarded,) = view["services"][0]["commands"]
            assert (guarded["hosts"], guarded["counts"]["Success"]) == (2, 4)
            assert guarded["error_percent"] == 20.0

        wait_until(lambda: registered() == 1)
        told = {"key": "breaker.mode", "value": "forced_open", "service": "gateway"}
        assert platform.call("PUT", "/api/v1/guards/config", told).status == 200
        wait_until(lambda: call(port_a) == "guest")
        seen = messages(platform.http_port, "/turbine.stream?cluster=gateway")
        alone = next(each for each in seen if each.get("isCircuitBreakerOpen") is True)
        seen.close()
        assert alone["reportingHosts"] == 1
        assert alone["propertyValue_circuitBreakerForceOpen"] is True
        (change,) = platform.call("GET", "/api/v1/changes?kind=config").json["changes"]
        assert (change["target"], change["detail"]["key"]) == ("gateway", "breaker.mode")
