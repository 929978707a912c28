"""Classes and the archive as callers see them: graphs that reach back, and exports on command."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import uvicorn
from click.testing import CliRunner
from starlette.applications import Starlette
from starlette.testclient import TestClient
from tests.metrics.rolling import MINUTES, T0, TENS, Fleet, tiered

from breakwater.metrics import ArchiveSettings, MetricsEngine, MetricsSettings
from breakwater.metrics.commands import metrics
from breakwater.metrics.http import routes
from breakwater.testing import FakeClock

HOUR_MS = 3_600_000
START = T0 // HOUR_MS * HOUR_MS


@pytest.fixture(scope="module")
def reaching() -> TestClient:
    """A server with some minutes in a class of ten second steps."""
    clock = FakeClock(T0)
    engine = tiered(clock, TENS)
    Fleet(1, 400).feed(clock, engine, first=0, last=400)
    return TestClient(Starlette(routes=routes(engine)))


def graph(client: TestClient, program: str, **more: str) -> Any:
    """The answer of the graph endpoint as JSON."""
    asked = {"q": program, "format": "std.json", **more}
    answer = client.get("/api/v1/graph", params=asked)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_graph_that_reaches_back_gets_the_step_of_the_class(reaching: TestClient) -> None:
    """The step is rounded up, once for all lines, and the notice says from when on and why."""
    found = graph(reaching, "name,load,:eq,:sum", s="e-5m", step="1s")
    assert found["step"] == 10_000
    assert len(found["values"]) == 30
    assert not any(value == ["NaN"] for value in found["values"])
    assert "the step is 10s instead of 1s: what is older than" in found["notices"][0]
    assert graph(reaching, "name,load,:eq,:sum", s="e-30s", step="1s")["step"] == 1000


def test_a_stream_that_reaches_back_gets_it_too(reaching: TestClient) -> None:
    """Server-sent events have the same step and the same notice."""
    asked = {"q": "name,load,:eq,:sum", "s": "e-5m", "step": "1s"}
    body = reaching.get("/api/v2/fetch", params=asked).text
    assert '"step":10000' in body
    assert "the step is 10s instead of 1s" in body


def test_a_window_in_a_class_is_cheap(reaching: TestClient) -> None:
    """The estimate counts what is stored there."""
    asked = {"q": "name,load,:eq,:sum", "s": "e-3m", "e": "now-2m", "step": "10s", "format": "json"}
    headers = reaching.get("/api/v1/graph", params=asked).headers
    assert "input-datapoints=" in headers["x-breakwater-cost"]
    cost = dict(part.split("=") for part in headers["x-breakwater-cost"].split(", "))
    assert int(cost["input-datapoints"]) <= 18 * int(cost["series"])


def test_without_an_archive_there_is_nothing_to_show(reaching: TestClient) -> None:
    """The answer says which setting is missing."""
    for method in ("GET", "POST"):
        answer = reaching.request(method, "/api/v1/archive")
        assert answer.status_code == 400
        assert "set metrics.archive.url" in answer.json()["message"]


@pytest.fixture
def archiving(tmp_path: Path) -> Iterator[tuple[MetricsEngine, FakeClock]]:
    """An engine with an archive that has not seen an hour yet."""
    clock = FakeClock(START)
    settings = MetricsSettings(
        step_ms=20_000,
        block_slots=30,
        max_series=500,
        classes=[msgspec.structs.replace(MINUTES, retention_s=7200)],
        archive=ArchiveSettings(url=str(tmp_path / "archive")),
    )
    engine = MetricsEngine(settings, clock)
    yield engine, clock
    engine.close()


def fed(engine: MetricsEngine, clock: FakeClock) -> None:
    """An hour and a half of two series."""
    for _ in range(270):
        clock.advance(20)
        for app in ("a", "b"):
            engine.write_series({"name": "calls", "nf.app": app}, clock.now_ms(), 1.0)
        engine.maintain()


@pytest.mark.slow
def test_an_export_is_done_on_command(
    archiving: tuple[MetricsEngine, FakeClock], tmp_path: Path
) -> None:
    """`breakwater metrics export` waits for the files and names them; again there are none."""
    engine, clock = archiving
    fed(engine, clock)
    listener = socket.create_server(("127.0.0.1", 0))
    app = Starlette(routes=routes(engine))
    config = uvicorn.Config(app, log_level="error", ws="none", lifespan="off", loop="asyncio")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        run = CliRunner(env={"COLUMNS": "200", "BREAKWATER_URL": url})
        first = run.invoke(metrics, ["export"])
        again = run.invoke(metrics, ["export"])
        shown = run.invoke(metrics, ["export", "--show", "--json"])
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()
    assert first.exit_code == again.exit_code == shown.exit_code == 0, first.output
    files = sorted((tmp_path / "archive").rglob("*.parquet"))
    assert len(files) == 1
    path = files[0].relative_to(tmp_path / "archive")
    assert f"wrote {path}" in first.output
    assert "Nothing was ready" in again.output
    view = msgspec.json.decode(shown.output)
    assert view["pending"] == []
    assert view["stats"]["exported_rows"] == 8


def test_old_points_come_from_the_archive_through_the_engine(
    archiving: tuple[MetricsEngine, FakeClock],
) -> None:
    """What no class holds any more is answered from files, with the same numbers."""
    engine, clock = archiving
    fed(engine, clock)
    assert engine.archive is not None
    engine.archive.export_ready()
    for _ in range(1000):  # the class forgets the first hour
        clock.advance(20)
        engine.write_series({"name": "calls", "nf.app": "a"}, clock.now_ms(), 1.0)
        engine.maintain()
    window: dict[str, Any] = {"start_ms": START, "end_ms": START + 1_200_000}
    found = engine.query("name,calls,:eq,:sum", step_ms=60_000, **window)
    np.testing.assert_array_equal(found.lines[0].values, np.full(20, 2.0))
    estimate = engine.estimate("name,calls,:eq,:sum", step_ms=60_000, **window)
    assert estimate.files == 1
    assert engine.estimate_soon("name,calls,:eq,:sum", step_ms=60_000, **window) is None
