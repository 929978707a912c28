"""A stock Prometheus, and a stock vmagent, scrape something small and send it here."""

import http.server
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

if TYPE_CHECKING:
    from tests.server.conftest import RunningServer

pytestmark = pytest.mark.slow

EXPOSITION = """\
# TYPE shop_orders_total counter
shop_orders_total{shop="a b",k="v"} %d
# TYPE shop_open gauge
shop_open 1
# TYPE shop_took_seconds histogram
shop_took_seconds_bucket{le="0.1"} 1
shop_took_seconds_bucket{le="+Inf"} 2
shop_took_seconds_sum 0.5
shop_took_seconds_count 2
# TYPE shop_nothing gauge
shop_nothing NaN
"""


class _Shop(http.server.BaseHTTPRequestHandler):
    """Something small to scrape: a total grows by three with each look at it."""

    orders = 0

    def do_GET(self) -> None:
        """Show the metrics."""
        type(self).orders += 3
        self.send_response(200)
        self.send_header("content-type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write((EXPOSITION % self.orders).encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def shop() -> Iterator[int]:
    """The port of a shop."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Shop) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made.server_port
        made.shutdown()
        thread.join()


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def prometheus(folder: Path, scraped: list[int], port: int, url: str) -> list[str]:
    """The command line of Prometheus."""
    config = folder / "prometheus.yml"
    config.write_text(f"{scraping(scraped)}remote_write: [{{url: '{url}'}}]\n")
    return [
        "prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip


def vmagent(folder: Path, scraped: list[int], port: int, url: str) -> list[str]:
    """The command line of VictoriaMetrics' agent."""
    config = folder / "scrape.yml"
    config.write_text(scraping(scraped))
    return [
        "vmagent", f"-promscrape.config={config}", f"-remoteWrite.url={url}",
        f"-remoteWrite.tmpDataPath={folder / 'tmp'}", f"-httpListenAddr=127.0.0.1:{port}",
        "-remoteWrite.flushInterval=1s",
    ]  # fmt: skip


def scraping(ports: list[int]) -> str:
    """The part of a configuration that both understand."""
    targets = ", ".join(f"'127.0.0.1:{port}'" for port in ports)
    return (
        "global: {scrape_interval: 1s}\n"
        f"scrape_configs: [{{job_name: shop, static_configs: [{{targets: [{targets}]}}]}}]\n"
    )


@contextmanager
def sending(command: list[str], folder: Path) -> Iterator[None]:
    """Run a sender, if it is installed."""
    program = shutil.which(command[0])
    if program is None:
        pytest.skip(f"{command[0]} is not installed (Debian: prometheus, victoria-metrics)")
    with (folder / "sender").open("wb") as log:
        process = subprocess.Popen([program, *command[1:]], stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(20)


@pytest.mark.parametrize("command", [prometheus, vmagent])
def test_what_is_scraped_elsewhere_is_here(
    server: "RunningServer",
    until: Callable[..., None],
    shop: int,
    tmp_path: Path,
    command: Callable[[Path, list[int], int, str], list[str]],
) -> None:
    """All that a shop and the sender show of themselves arrives, and nothing is refused."""
    begin_ms = int(time.time() * 1000)
    own = free_port()
    url = f"http://127.0.0.1:{server.http_port}/api/v1/write"

    def seen(query: str) -> list[float]:
        """The values since the sender was started."""
        path = f"/api/v1/graph?q={quote(query)}&s={begin_ms}&e=now&step=1s&format=std.json"
        answer = server.call("GET", path)
        assert answer.status == 200, answer.body
        lines = answer.json["values"]
        return [point[0] for point in lines if point and point[0] != "NaN"]

    instance = f"instance,127.0.0.1_{shop},:eq,:and"
    with sending(command(tmp_path, [shop, own], own, url), tmp_path):
        until(lambda: len(seen(f"name,shop_orders_total,:eq,{instance},:sum")) >= 3)
        until(lambda: seen(f"name,up,:eq,instance,127.0.0.1_{own},:eq,:and,:sum"))
    orders = seen(f"name,shop_orders_total,:eq,shop,a_b,:eq,:and,k_,v,:eq,:and,{instance},:sum")
    assert orders == sorted(orders)
    assert all(value % 3 == 0 for value in orders)
    assert set(seen(f"name,shop_open,:eq,{instance},:max")) == {1.0}
    assert set(seen(f"name,shop_took_seconds_bucket,:eq,le,_Inf,:eq,:and,{instance},:sum")) == {2.0}
    stats = server.call("GET", "/api/v1/stats").json["remote_write"]
    assert stats["refused"] == {}
    assert stats["samples"] > 100
    assert stats["no_value"] >= 1
    assert stats["changed"]["keys"] >= 1
