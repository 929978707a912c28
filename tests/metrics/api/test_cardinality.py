"""Where the series come from, over HTTP."""

import msgspec
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from breakwater.metrics import Cardinality, MetricsEngine, MetricsSettings
from breakwater.metrics.http import routes
from breakwater.testing import FakeClock


@pytest.fixture
def client() -> TestClient:
    """A client of an engine whose requests have more paths than a name may have series."""
    engine = MetricsEngine(MetricsSettings(max_series_per_name=5), FakeClock(1_700_000_040_000))
    engine.resolve_all([{"name": "requests", "nf.app": "web", "path": f"p{n}"} for n in range(30)])
    return TestClient(Starlette(routes=routes(engine)))


def test_the_view_says_what_the_index_holds(client: TestClient) -> None:
    """Keys, names and applications with their series, and the limit that was met."""
    answer = client.get("/api/v1/cardinality")
    found = msgspec.json.decode(answer.content, type=Cardinality)
    assert found.series == 6
    assert [(each.key, each.values) for each in found.keys] == [
        ("path", 6),
        ("name", 1),
        ("nf.app", 1),
    ]
    assert [(each.value, each.limit, each.keys) for each in found.limits] == [
        ("requests", 5, ["path"])
    ]
    assert sum(minute.new for minute in found.churn) == 6


@pytest.mark.parametrize("limit", ["0", "1001", "x", "-1", "9" * 30])
def test_a_bad_limit_is_refused(client: TestClient, limit: str) -> None:
    """The message says what is allowed."""
    answer = client.get("/api/v1/cardinality", params={"limit": limit})
    assert answer.status_code == 400
    assert "expected 1 to 1000" in answer.json()["message"]
