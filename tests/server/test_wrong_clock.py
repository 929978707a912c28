"""A platform whose clock was hours ahead: what it keeps, and what it takes when that is over."""

import json
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.server.conftest import RunningServer

pytestmark = pytest.mark.slow

Until = Callable[..., None]
PROGRAM = (str(Path(__file__).with_name("shifted_child.py")),)
HOURS_S = 5 * 3600


def publish(server: "RunningServer", name: str, value: float, ahead_s: int = 0) -> int:
    """Publish one gauge; the stamp that was acknowledged."""
    stamp_ms = (int(time.time()) + ahead_s) * 1000
    tags = {"name": name, "atlas.dstype": "gauge"}
    metric = {"tags": tags, "timestamp": stamp_ms, "value": value}
    answer = server.call("POST", "/api/v1/publish", {"tags": {}, "metrics": [metric]})
    assert answer.status == 200, answer.body
    return stamp_ms


def held(server: "RunningServer", name: str, stamp_ms: int) -> float | None:
    """The value of a metric at a stamp."""
    path = f"/api/v1/graph?q=name,{name},:eq,:max&s={stamp_ms - 3000}&e={stamp_ms}&step=1s"
    answer = server.call("GET", f"{path}&format=json")
    assert answer.status == 200, answer.body
    value = json.loads(answer.body.replace(b"NaN", b"null"))["values"][-1][0]
    return None if value is None else float(value)


def future(server: "RunningServer") -> Any:
    """What the statistics say of the future."""
    return server.call("GET", "/api/v1/stats").json["metrics"]["future"]


def is_clock_well(server: "RunningServer") -> bool:
    """What the health check says."""
    return bool(server.call("GET", "/healthcheck").json["metrics-clock"])


def test_a_restart_with_the_true_clock_takes_the_present(
    tmp_path: Path, start_server: Callable[..., Any]
) -> None:
    """Killed with a clock hours ahead and started with the true one, a platform is as before."""
    shift = tmp_path / "shift"
    shift.write_text("0")
    with start_server(tmp_path, program=PROGRAM) as server:
        honest_ms = publish(server, "orders", 1.0)
        server.stop(signal.SIGKILL)
    shift.write_text(str(HOURS_S))
    with start_server(tmp_path, program=PROGRAM) as server:
        wrong_ms = publish(server, "orders", 2.0, ahead_s=HOURS_S)
        assert held(server, "orders", wrong_ms) == 2.0
        server.stop(signal.SIGKILL)
    for turn in range(2):
        with start_server(tmp_path) as server:
            present_ms = publish(server, "orders", 3.0 + turn)
            assert held(server, "orders", present_ms) == 3.0 + turn
            assert held(server, "orders", honest_ms) == 1.0
            assert held(server, "orders", wrong_ms) is None
            assert is_clock_well(server)
            assert future(server)["times"] == (1 if turn == 0 else 0)
            server.stop(signal.SIGKILL)


def test_a_clock_set_back_while_serving(
    tmp_path: Path, start_server: Callable[..., Any], until: Until
) -> None:
    """With a clock that leaps and is set back, published points and lines are taken at once."""
    shift = tmp_path / "shift"
    shift.write_text("0")
    with start_server(tmp_path, program=PROGRAM) as server:
        honest_ms = publish(server, "orders", 1.0)
        shift.write_text(str(HOURS_S))
        until(lambda: server.call("GET", "/api/v1/stats").json["metrics"]["future"]["passed_over"])
        publish(server, "orders", 2.0, ahead_s=HOURS_S)
        shift.write_text("0")
        until(lambda: future(server)["times"] == 1)
        assert is_clock_well(server)
        present_ms = publish(server, "orders", 3.0)
        assert held(server, "orders", present_ms) == 3.0
        assert held(server, "orders", honest_ms) == 1.0
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"c:clicks:5\n", ("127.0.0.1", server.udp_port))
        until(lambda: server.call("GET", "/api/v1/tags/name?q=name,clicks,:eq").json == ["clicks"])
        path = "/api/v1/graph?q=name,clicks,:eq,:sum&s=e-60s&format=json"
        until(lambda: b"5.0" in server.call("GET", path).body)
        assert server.stop(signal.SIGTERM) == 0
