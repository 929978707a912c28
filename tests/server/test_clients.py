"""Unmodified public clients, each in a program of its own, against a running platform."""

import subprocess
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

if TYPE_CHECKING:
    from tests.server.conftest import RunningServer

pytestmark = pytest.mark.slow

SPECTATOR = """
import sys
from spectator import Config, Registry
registry = Registry(Config(f"udp://127.0.0.1:{sys.argv[1]}", {"nf.app": "thin"}))
registry.counter("thin.requests", {"id": "a b"}).increment(5)
registry.gauge("thin.depth").set(7)
registry.max_gauge("thin.peak").set(9)
for seconds in (0.1, 0.3):
    registry.timer("thin.latency").record(seconds)
    registry.pct_timer("thin.percentile").record(seconds)
registry.distribution_summary("thin.sizes").record(100)
registry.close()
"""

EUREKA = """
import sys
from py_eureka_client import eureka_client
url = f"http://127.0.0.1:{sys.argv[1]}/eureka/"
eureka_client.init(eureka_server=url, app_name="thin", instance_port=9, instance_host="127.0.0.1")
print(eureka_client.walk_nodes("thin", "/x", walker=lambda found: found))
eureka_client.stop()
"""


def program(source: str, port: int) -> str:
    """Run a client's program to its end; what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", source, str(port)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_netflix_spectator_py(server: "RunningServer", until: Callable[..., None]) -> None:
    """Every kind of meter of the thin client arrives under the statistic it stands for."""
    begin_ms = int(time.time() * 1000) // 1000 * 1000
    program(SPECTATOR, server.udp_port)

    def seen(query: str) -> list[float]:
        """What the query saw since the client ran: rates per second, on a step of one second."""
        path = f"/api/v1/graph?q={quote(query)}&s={begin_ms}&e=now&step=1s&format=std.json"
        answer = server.call("GET", path)
        assert answer.status == 200, answer.body
        return [row[0] for row in answer.json["values"] if row[0] != "NaN"]

    for query, over_time, value in (
        ("name,thin.requests,:eq,id,a_b,:eq,:and,:sum", sum, 5.0),
        ("name,thin.depth,:eq,:max", max, 7.0),
        ("name,thin.peak,:eq,:max", max, 9.0),
        ("name,thin.latency,:eq,statistic,count,:eq,:and,:sum", sum, 2.0),
        ("name,thin.latency,:eq,statistic,totalTime,:eq,:and,:sum", sum, 0.4),
        ("name,thin.latency,:eq,statistic,max,:eq,:and,:max", max, 0.3),
        ("name,thin.sizes,:eq,statistic,totalAmount,:eq,:and,:sum", sum, 100.0),
        ("name,thin.percentile,:eq,statistic,percentile,:eq,:and,:sum", sum, 2.0),
    ):
        until(lambda: over_time(seen(query) or [0.0]) == pytest.approx(value))  # noqa: B023 - at once


def test_py_eureka_client(server: "RunningServer") -> None:
    """The Python Eureka client registers and finds itself."""
    assert program(EUREKA, server.http_port) == "http://127.0.0.1:9/x"
    gone = server.call("GET", "/eureka/apps/THIN", headers={"accept": "application/json"})
    assert gone.status == 404
