"""Requests nobody sends in good faith: each is answered with what was wrong and what is allowed."""

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from breakwater.metrics import MetricsEngine, MetricsSettings, QueryTimeoutError
from breakwater.metrics.cost import selections
from breakwater.metrics.http import routes
from breakwater.metrics.language.program import parse, parse_query
from breakwater.metrics.reading.plan import Planner
from breakwater.metrics.selection.escapes import unescape
from breakwater.metrics.series.index import TagIndex
from breakwater.testing import FakeClock

DIGITS = "9" * 5000
ONE = "name,calls,:eq,:sum"


@pytest.fixture
def client() -> TestClient:
    """A client of an engine with two series."""
    engine = MetricsEngine(MetricsSettings(), FakeClock())
    for app in ("a", "b"):
        engine.write_series({"name": "calls", "nf.app": app}, engine.clock.now_ms(), 1.0)
    return TestClient(Starlette(routes=routes(engine)))


@pytest.mark.parametrize(
    ("path", "params", "message"),
    [
        ("graph", {"q": ONE, "step": DIGITS}, "expected a number and a unit"),
        ("graph", {"q": ONE, "step": f"{DIGITS}s"}, "expected a number and a unit"),
        ("graph", {"q": ONE, "step": "0"}, "'step' is '0'"),
        ("graph", {"q": ONE, "step": "٣s"}, "expected a number and a unit"),
        ("graph", {"q": ONE, "s": f"e-{DIGITS}y"}, "expected a number and a unit"),
        ("graph", {"q": ONE, "s": "e-999999999999y"}, "longer than 10000 years"),
        ("graph", {"q": ONE, "w": DIGITS}, "expected 1 to 10000 pixels"),
        ("graph", {"q": f"{ONE},{DIGITS}s,:offset"}, "no matches for word ':offset'"),
        ("graph", {"q": ONE + ",:dup,:add" * 40}, "at most 4096 are allowed"),
        ("graph", {"q": "\\ud800,:get"}, "is not set"),
        ("graph", {"q": f"{ONE},\\ud800,:color"}, "invalid color"),
        ("tags", {"limit": DIGITS}, "expected 1 to 1000"),
        ("tags", {"limit": "²"}, "expected 1 to 1000"),
    ],
)
def test_refused_with_what_is_allowed(
    client: TestClient, path: str, params: dict[str, str], message: str
) -> None:
    """Numbers beyond counting, and text that is no text, are bad input."""
    answer = client.get(f"/api/v1/{path}", params=params)
    assert answer.status_code == 400
    assert message in answer.json()["message"]


@pytest.mark.parametrize("text", ["\\ud800", "\\udfff", "a\\ud83dz"])
def test_half_a_surrogate_pair_stays_as_it_was_written(client: TestClient, text: str) -> None:
    """Half a pair is no character, so it could not be put into the answer."""
    assert unescape(text) == text
    query = {"q": f"{ONE},{text},:legend", "s": "e-1s", "format": "json"}
    answer = client.get("/api/v1/graph", params=query)
    assert answer.json()["legend"] == [text]


def test_a_surrogate_pair_is_one_character() -> None:
    """Programs escaped by Java write characters beyond the first plane as two."""
    assert unescape("a\\ud83d\\ude00z") == "a\U0001f600z"


def test_what_is_kept_on_the_way_is_bounded() -> None:
    """A program of many steps over many points ends before it fills the memory."""
    engine = MetricsEngine(MetricsSettings(max_points=10), FakeClock())
    now_ms = engine.clock.now_ms()
    one_after_the_other = "1" + ",:abs" * 10 + ",".join(["", *[f"{n},:add" for n in range(100)]])
    assert engine.query(one_after_the_other, start_ms=now_ms, end_ms=now_ms).lines
    program = ONE + ",:abs" * 70
    answer = engine.query(program, start_ms=now_ms - 8_000, end_ms=now_ms)
    assert answer.lines[0].values.size == 8
    with pytest.raises(Exception, match="too many points on the way to the answer: 602 > 600"):
        engine.query(ONE + ",:abs" * 85, start_ms=now_ms - 7_000, end_ms=now_ms)


def test_remembered_plans_are_bounded_by_their_rows() -> None:
    """Plans over very many series do not add up without end."""
    index = TagIndex()
    for row in range(10):
        index.add(row, {"name": "calls", "nf.node": f"i-{row}"})
    planner = Planner(index, capacity=500, max_lines=100, max_rows_kept=25)
    for n in range(5):
        (read,) = selections(parse(f"name,calls,:eq,x,{n},:eq,:not,:and,:sum"))
        assert len(planner.plan(read).rows) == 10
    assert len(planner._kept) == 2


def test_a_search_for_series_ends_at_the_deadline() -> None:
    """Many patterns over many values are given up in the middle, and between two values."""
    index = TagIndex()
    for row in range(10_000):
        index.add(row, {"name": "calls", "nf.node": f"i-{row}"})
    query = parse_query("nf.node,.*7$,:re,nf.node,.*8$,:re,:or")
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise QueryTimeoutError("late")

    with pytest.raises(QueryTimeoutError):
        index.rows(query, check)
    assert len(index.rows(query)) == 2_000


def test_a_late_query_says_so() -> None:
    """The deadline counts for the search as it does for the reading."""
    engine = MetricsEngine(MetricsSettings(query_timeout_s=0.0), FakeClock())
    engine.write_series({"name": "calls"}, engine.clock.now_ms(), 1.0)
    with pytest.raises(QueryTimeoutError):
        engine.tag_values("name", "name,c.*s$,:re")
