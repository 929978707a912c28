"""The graph and tag endpoints over HTTP."""

import json
import math

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from breakwater.metrics import MetricsEngine, MetricsSettings
from breakwater.metrics.http import routes
from breakwater.testing import FakeClock

T0 = 1_699_999_980_000


@pytest.fixture
def client() -> TestClient:
    """A client of an engine that holds two apps for three seconds, one with a gap."""
    clock = FakeClock(T0)
    engine = MetricsEngine(MetricsSettings(), clock)
    for second in (1, 2, 3):
        clock.advance(1)
        for app in ("api", "www"):
            if (app, second) != ("www", 2):
                tags = {"name": "calls", "nf.app": app, "nf.node": f"{app}-1"}
                engine.write_series(tags, T0 + second * 1000, float(second))
    return TestClient(Starlette(routes=routes(engine)))


Q = "name,calls,:eq,(,nf.app,),:by,$nf.app,:legend"


def test_graph_as_standard_json(client: TestClient) -> None:
    """Values stand by time, then by line; a missing one is the text NaN."""
    query = {"q": Q, "s": "e-3s", "e": "now", "step": "1s", "format": "std.json"}
    answer = client.get("/api/v1/graph", params=query)
    assert answer.status_code == 200
    assert answer.headers["x-breakwater-cost"].startswith("series=2, input-datapoints=6, lines=2")
    body = answer.json()
    assert body.pop("explain")["inputDatapoints"] == 6
    assert body == {
        "start": T0 + 1000,
        "step": 1000,
        "legend": ["api", "www"],
        "metrics": [{"name": "calls", "nf.app": "api"}, {"name": "calls", "nf.app": "www"}],
        "values": [[1.0, 1.0], [2.0, "NaN"], [3.0, 3.0]],
        "notices": [],
    }


def test_graph_as_bare_json(client: TestClient) -> None:
    """Old clients read NaN bare."""
    query = {"q": Q, "s": "e-3s", "step": "1s", "format": "json"}
    answer = client.get("/api/v1/graph", params=query)
    assert b"[2.0,NaN]" in answer.content
    assert math.isnan(json.loads(answer.content)["values"][1][1])


def test_step_follows_the_width(client: TestClient) -> None:
    """Without a step there is at most one point a pixel."""
    query = {"q": Q, "s": "e-1h", "w": "100", "format": "std.json"}
    answer = client.get("/api/v1/graph", params=query)
    assert answer.json()["step"] == 60_000


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "'q' is missing"),
        ({"q": "name,:eq"}, "no matches for word ':eq' at character 5"),
        ({"q": Q, "format": "gif"}, "'format' is 'gif'"),
        ({"q": Q, "s": "e-5x"}, "unknown unit 'x'"),
        ({"q": Q, "s": "2024-13-01"}, "invalid time"),
        ({"q": Q, "tz": "Mars/North"}, "unknown time zone"),
        ({"q": Q, "w": "none"}, "expected 1 to 10000 pixels"),
        ({"q": Q, "s": "e-30d", "step": "1s", "format": "json"}, "too many points"),
    ],
)
def test_bad_requests_say_what_is_allowed(
    client: TestClient, params: dict[str, str], message: str
) -> None:
    """Each parameter that cannot be used is a 400 with the reason."""
    answer = client.get("/api/v1/graph", params=params)
    assert answer.status_code == 400
    body = answer.json()
    assert body["type"] == "error"
    assert message in body["message"]


def test_keys_and_values_are_listed(client: TestClient) -> None:
    """Tags in use, restricted by a query."""
    assert client.get("/api/v1/tags").json() == ["name", "nf.app", "nf.node"]
    assert client.get("/api/v1/tags/nf.app").json() == ["api", "www"]
    query = {"q": "nf.app,www,:eq"}
    assert client.get("/api/v1/tags/nf.node", params=query).json() == ["www-1"]
    verbose = client.get("/api/v1/tags/nf.app", params={"verbose": "1"}).json()
    assert verbose[0] == {"key": "nf.app", "value": "api", "count": 1}
    assert client.get("/api/v1/tags", params={"format": "txt"}).text == "name\nnf.app\nnf.node"


def test_pages_of_tags_follow_each_other(client: TestClient) -> None:
    """A page names the offset of the next; the last page names none."""
    first = client.get("/api/v1/tags", params={"limit": "2"})
    offset = first.headers["x-nflx-atlas-next-offset"]
    last = client.get("/api/v1/tags", params={"limit": "2", "offset": offset})
    assert first.json() + last.json() == ["name", "nf.app", "nf.node"]
    assert "x-nflx-atlas-next-offset" not in last.headers


def test_tags_in_another_form_are_refused(client: TestClient) -> None:
    """A form that is not known is said to be so, as it is for graphs."""
    answer = client.get("/api/v1/tags", params={"format": "xml"})
    assert (answer.status_code, "one of json, txt" in answer.json()["message"]) == (400, True)


@pytest.mark.parametrize("limit", ["0", "-1", "x", "1001"])
def test_a_limit_out_of_range_is_refused(client: TestClient, limit: str) -> None:
    """The limit is a number from 1 to 1000."""
    answer = client.get("/api/v1/tags", params={"limit": limit})
    assert (answer.status_code, "1 to 1000" in answer.json()["message"]) == (400, True)
