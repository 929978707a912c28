"""A full disk under a running platform: reads go on, writes are refused, and it comes back."""

import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

if TYPE_CHECKING:
    from tests.server.conftest import Answer, RunningServer

pytestmark = pytest.mark.slow

Start = Callable[..., AbstractContextManager["RunningServer"]]
Until = Callable[..., None]
QUERY = "/api/v1/graph?q=name,shop.orders,:eq,(,no,),:by&s=e-2m&step=1s&format=json"


def publish(server: "RunningServer", number: int) -> "Answer":
    """One datapoint of a series of its own."""
    now_ms = int(time.time() * 1000) // 1000 * 1000
    metric = {
        "tags": {"name": "shop.orders", "no": f"n{number}"}, "timestamp": now_ms, "value": number,
    }  # fmt: skip
    return server.call("POST", "/api/v1/publish", {"metrics": [metric]})


def series(server: "RunningServer") -> set[str]:
    """The series that are there."""
    graph = server.call("GET", QUERY).json
    return {tags["no"] for tags in graph["metrics"] if "no" in tags}


def test_a_full_disk_and_back(start_server: Start, until: Until, tmp_path: Path) -> None:
    """What was acknowledged before and after is there after a kill; health tells in between."""
    with start_server(tmp_path) as server:
        assert publish(server, 1).status == 200
        process = psutil.Process(server.process.pid)
        process.rlimit(psutil.RLIMIT_FSIZE, (16, psutil.RLIM_INFINITY))  # no file may grow
        refused = publish(server, 2)
        assert refused.status == 503
        assert "File too large" in refused.json["message"]
        assert refused.headers["retry-after"] == "1"
        assert publish(server, 3).status == 503
        assert "n1" in series(server)
        health = server.call("GET", "/healthcheck")
        assert health.status == 500
        assert health.json["metrics-log"] is False
        log = server.call("GET", "/api/v1/stats").json["metrics"]["durability"]["log"]
        assert log["refused"] >= 2
        process.rlimit(psutil.RLIMIT_FSIZE, (psutil.RLIM_INFINITY, psutil.RLIM_INFINITY))
        until(lambda: publish(server, 4).status == 200)
        assert server.call("GET", "/healthcheck").json["metrics-log"] is True
        server.stop(signal.SIGKILL)
    with start_server(tmp_path) as again:
        assert {"n1", "n4"} <= series(again)


def test_a_clean_restart_keeps_everything(start_server: Start, tmp_path: Path) -> None:
    """Metrics are there again after SIGTERM, from a snapshot."""
    with start_server(tmp_path) as first:
        assert publish(first, 1).status == 200
        assert first.stop() == 0
    with start_server(tmp_path) as second:
        assert series(second) == {"n1"}
        recovered = second.call("GET", "/api/v1/stats").json["metrics"]["durability"]["recovered"]
        assert recovered["snapshot"] > 0
        assert recovered["damaged"] == []


def test_metrics_can_be_kept_in_memory_only(start_server: Start, tmp_path: Path) -> None:
    """With metrics.durable off nothing is written and nothing comes back."""
    with start_server(tmp_path, "--set", "metrics.durable=false") as server:
        assert publish(server, 1).status == 200
        assert not (tmp_path / "data" / "metrics").exists()
