"""The unmodified Python client of spectatord, over a real socket, into the engine and out again."""

import anyio
import pytest
from spectator.config import Config
from spectator.registry import Registry

from breakwater.ingest import IngestSettings, LineAggregator, UdpLineServer
from breakwater.metrics import MetricsEngine, MetricsSettings
from breakwater.model import SystemClock
from breakwater.testing import FakeClock

T0 = 1_700_000_000_000


def test_every_meter_of_the_client_can_be_queried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counters, gauges, timers, distributions and their percentile kinds arrive with their tags."""
    monkeypatch.delenv("SPECTATOR_OUTPUT_LOCATION", raising=False)
    clock = FakeClock(T0 + 500)
    engine = MetricsEngine(MetricsSettings(), clock)
    settings = IngestSettings(port=0)
    server = UdpLineServer(settings, LineAggregator(settings, engine, clock), clock, step_ms=1000)
    server.bind()
    client = Registry(
        Config(location=f"udp://127.0.0.1:{server.port}", extra_common_tags={"nf.app": "shop"})
    )
    client.counter("orders", {"result": "ok"}).increment(4)
    client.gauge("depth").set(7)
    client.max_gauge("peak").set(3)
    client.timer("wait").record(0.25)
    client.distribution_summary("size").record(100)
    client.pct_timer("call").record(0.1)
    client.pct_distribution_summary("load").record(50)
    client.age_gauge("seen").now()
    client.monotonic_counter("total").set(5)
    client.monotonic_counter("total").set(8)
    server.flush()
    clock.advance(1)
    server.close()
    client.close()

    def value(query: str) -> float:
        program = f"{query},nf.app,shop,:eq,:and,:sum"
        (line,) = engine.query(program, start_ms=T0, end_ms=T0 + 1000).lines
        return float(line.values[0])

    assert value("name,orders,:eq,result,ok,:eq,:and") == 4.0
    assert value("name,depth,:eq") == 7.0
    assert value("name,peak,:eq") == 3.0
    assert value("name,wait,:eq,statistic,totalTime,:eq,:and") == 0.25
    assert value("name,size,:eq,statistic,totalAmount,:eq,:and") == 100.0
    assert value("name,call,:eq,statistic,percentile,:eq,:and") == 1.0
    assert value("name,load,:eq,statistic,max,:eq,:and") == 50.0
    assert value("name,seen,:eq") == 0.0
    assert value("name,total,:eq") == 3.0


class TellingEngine(MetricsEngine):
    """An engine that tells when a step has become complete with something in it."""

    def __init__(self) -> None:
        super().__init__(MetricsSettings(), SystemClock())
        self.has_news = anyio.Event()

    def complete(self, timestamp_ms: int) -> None:
        super().complete(timestamp_ms)
        if self.tag_values("name"):
            self.has_news.set()


@pytest.mark.slow
@pytest.mark.anyio
async def test_a_step_is_queryable_soon_after_its_end() -> None:
    """With the real clock, the server closes steps by itself and says which are complete."""
    clock = SystemClock()
    engine = TellingEngine()
    settings = IngestSettings(port=0)
    server = UdpLineServer(settings, LineAggregator(settings, engine, clock), clock, step_ms=1000)
    async with server, anyio.create_task_group() as tasks:
        tasks.start_soon(server.run)
        client = Registry(Config(location=f"udp://127.0.0.1:{server.port}"))
        client.counter("orders").increment(5)
        sent_ms = clock.now_ms()
        with anyio.fail_after(5):
            await engine.has_news.wait()
        stored_ms = clock.now_ms()
        client.close()
        tasks.cancel_scope.cancel()
    end_ms = engine.latest_complete_ms()
    (line,) = engine.query("name,orders,:eq", start_ms=end_ms - 3000, end_ms=end_ms).lines
    assert 5.0 in line.values
    assert sent_ms <= stored_ms
