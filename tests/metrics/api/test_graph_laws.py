"""Laws of the graph endpoint that hold for every request."""

import json
from functools import cache

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.testclient import TestClient

from breakwater.metrics import MetricsEngine, MetricsSettings
from breakwater.metrics.api.axes import AXIS_NAMES
from breakwater.metrics.api.graphs import graph_routes
from breakwater.metrics.api.queue import QueryQueue
from breakwater.metrics.language.vocabulary import STANDARD
from breakwater.testing import FakeClock

NAMES = (
    "s e tz step w h title no_legend no_legend_stats axis_per_line only_graph vision theme palette "
    "layout zoom hints cq features id changes"
).split()
VALUES = [
    *("", "0", "1", "-1", "9", "1e308", "-1e308", "1e-300", "nan", "inf", "0.5", "200", "5s", "1d"),
    *("auto-data", "auto-style", "log", "pow2", "dark", "asc", "desc", "max", "off", "binary"),
    *("e-1m", "s+1h", "now", "epoch", "2024-02-29", "UTC", "Asia/Kolkata", "image", "ih", "all"),
    *("reds", "hash:tol", "(,f00,)", "$name", "<&\"'>", "\x00", "\ud83d", "a" * 300, "²"),
]
PROGRAMS = [
    "name,calls,:eq",
    "name,calls,:eq,(,app,),:by",
    "name,calls,:eq,(,app,),:by,:stack,2,:lw,40,:alpha",
    "name,calls,:eq,(,app,),:by,:heatmap",
    "name,calls,:eq,:sum,:area,-5,1,:axis,f00,:color,:vspan",
    "name,none,:eq,(,app,),:by",
    "1e308,1,:axis,-1e308,2,:axis,0,:heatmap",
    "name,calls,:eq,:dup,1m,:offset,max,:sort,1,:limit",
]
FORMATS = ["svg", "csv", "txt", "json", "std.json", "stats.json", "v2.json"]


@cache
def client() -> TestClient:
    """A client of an engine that holds a minute of three apps, one with strange values."""
    clock = FakeClock()
    engine = MetricsEngine(MetricsSettings(), clock)
    strange = [0.0, -0.0, 1e308, -1e308, 5e-324, float("inf"), float("-inf")]
    for second in range(60):
        clock.advance(1)
        for app in ("a", "b", "c"):
            value = strange[second % 7] if app == "c" else float(second % 9)
            engine.write_series({"name": "calls", "app": app}, clock.now_ms(), value)
    return TestClient(Starlette(routes=graph_routes(engine, QueryQueue(engine))))


axis_names = st.sampled_from([*AXIS_NAMES, *(f"{name}.{n}" for name in AXIS_NAMES for n in (0, 1))])
given_parameters = st.dictionaries(
    st.one_of(st.sampled_from(NAMES), axis_names), st.sampled_from(VALUES), max_size=4
)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.sampled_from(PROGRAMS), st.sampled_from(FORMATS), given_parameters)
def test_every_request_is_answered_or_refused(
    program: str, form: str, parameters: dict[str, str]
) -> None:
    """What is wrong is said; nothing breaks, and what claims to be JSON is."""
    asked = {"s": "e-1m", "hints": "no-image", **parameters, "q": program, "format": form}
    texts = {name: text.encode("utf-8", "replace").decode() for name, text in asked.items()}
    answer = client().get("/api/v1/graph", params=texts)
    assert answer.status_code in {200, 400}, answer.text
    if answer.status_code == 400:
        assert answer.json()["message"]
    elif form.endswith("json") and form != "json":
        msgspec.json.decode(answer.content)
    elif form == "json":
        json.loads(answer.content)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([f":{name}" for name in sorted(STANDARD.words)]), max_size=6))
def test_every_word_after_a_query_is_answered_or_refused(words: list[str]) -> None:
    """Programs of random words are drawn or refused."""
    program = ",".join(["name,calls,:eq,(,app,),:by,2,3,app", *words])
    asked = {"q": program, "s": "e-1m", "format": "svg"}
    answer = client().get("/api/v1/graph", params=asked)
    assert answer.status_code in {200, 400}, answer.text
