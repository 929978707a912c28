"""What is said of programs without running them on datapoints."""

import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.testclient import TestClient

from breakwater.metrics import MetricsEngine, MetricsSettings, QueryError
from breakwater.metrics.http import routes
from breakwater.metrics.language.completion import candidates
from breakwater.metrics.language.explain import explain
from breakwater.metrics.language.infix import infix
from breakwater.metrics.language.program import parse
from breakwater.metrics.language.strip import strip, without_keys
from breakwater.metrics.language.trace import trace
from breakwater.metrics.language.vocabulary import STANDARD
from breakwater.testing import FakeClock

ERRORS = "name,errors,:eq,(,nf.app,),:by"
BY_APP = 'sum by (nf.app) {name = "%s"}'
BY_NOTHING = "0 divided by 0 is 0, anything else divided by 0 is no value"
SHARE = f"{ERRORS},name,requests,:eq,(,nf.app,),:by,:div,100,:mul,$nf.app,:legend,:area"


@pytest.fixture(scope="module")
def client() -> TestClient:
    """A client of an engine whose site has a word of its own."""
    engine = MetricsEngine(MetricsSettings(words=["twice=2,:mul"]), FakeClock())
    return TestClient(Starlette(routes=routes(engine)))


def said(client: TestClient, what: str, **params: Any) -> Any:
    """The answer of one endpoint."""
    answer = client.get(f"/api/v1/expr{what}", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_debug_shows_every_step(client: TestClient) -> None:
    """The first step is before anything ran, the last after everything did."""
    steps = said(client, "/debug", q="a,1,:set,name,sps,:eq,(,b,),:by")
    assert steps == said(client, "", q="a,1,:set,name,sps,:eq,(,b,),:by")
    assert steps[0]["program"] == "a 1 :set name sps :eq ( b ) :by".split()
    assert steps[0]["context"] == {"stack": [], "variables": {}}
    assert [len(step["program"]) for step in steps] == [10, 9, 8, 7, 6, 5, 4, 1, 0]
    assert steps[5]["context"] == {"stack": ["sps", "name"], "variables": {"a": "1"}}
    assert steps[7]["context"]["stack"] == [["b"], "name,sps,:eq"]
    assert steps[8]["context"]["stack"] == ["name,sps,:eq,:sum,(,b,),:by"]


def test_debug_of_a_failing_program_shows_how_far_it_came(client: TestClient) -> None:
    """The steps before the word that failed come with the error."""
    answer = client.get("/api/v1/expr/debug", params={"q": "name,sps,:eq,:nonsense,1"})
    assert answer.status_code == 400
    body = answer.json()
    assert body["message"] == "unknown word ':nonsense' at character 13"
    assert body["steps"][-1]["program"] == [":nonsense", "1"]


def test_a_trace_that_would_be_very_long_is_refused() -> None:
    """What all steps hold together is bounded, whatever the length of the program."""
    with pytest.raises(QueryError, match="more than 4000000 characters"):
        trace(",".join(["word"] * 900 + [":clear"]) * 4, STANDARD)


def test_normal_forms_and_queries(client: TestClient) -> None:
    """Equal programs have one form; each query is listed once."""
    q = "nf.app,a,:eq,name,x,:eq,:and,:dup,:max,1,:const"
    assert said(client, "/normalize", q=q)[0] == "name,x,:eq,nf.app,a,:eq,:and,:sum"
    assert said(client, "/queries", q=q) == ["nf.app,a,:eq,name,x,:eq,:and"]
    assert said(client, "/queries", q="name,x,:eq,:avg") == ["name,x,:eq"]


def test_lists_of_offsets_are_written_out(client: TestClient) -> None:
    """The older way of showing last week beside today becomes two expressions."""
    assert said(client, "/rewrite", q="name,x,:eq,:sum,(,0h,1w,),:offset") == [
        "name,x,:eq,:sum",
        "name,x,:eq,:sum,1w,:offset",
    ]


def test_completion(client: TestClient) -> None:
    """What is on the stack says which words could follow; part of a word narrows them."""
    after_query = {entry["name"] for entry in said(client, "/complete", q="name,x,:eq")}
    assert {"sum", "not", "dup", "area", "twice"} <= after_query
    assert not {"and", "by", "swap"} & after_query
    found = said(client, "/complete", q="name,x,:eq,5,:rolling-c")
    assert found == [
        {
            "name": "rolling-count",
            "family": "stateful",
            "signature": "lines:Expr n:Int -- Expr",
            "description": "How many of the last n points are not zero.",
        }
    ]
    assert {"depth", "true"} <= {entry["name"] for entry in said(client, "/complete", q="")}


def test_words_are_those_of_the_vocabulary(client: TestClient) -> None:
    """Editors get every word with what it takes, those of the site among them."""
    words = client.get("/api/v1/words").json()
    assert {
        "name": "twice",
        "family": "custom",
        "signature": "-- *",
        "description": "Shorthand for 2,:mul.",
    } in words
    assert len({entry["name"] for entry in words}) >= 160
    queries = client.get("/api/v1/words", params={"vocab": "query"}).json()
    assert {entry["family"] for entry in queries} == {"std", "query"}


def test_stripping(client: TestClient) -> None:
    """Conditions on keys go, with them what they restricted; families of words go, too."""
    q = "name,x,:eq,nf.app,a,:eq,:and,:sum,5,:rolling-max,hot,:legend"
    assert said(client, "/strip", q=q, k="nf.app") == ["name,x,:eq,:sum,5,:rolling-max,hot,:legend"]
    assert said(client, "/strip", q=q, r=["style", "stateful"]) == [
        "name,x,:eq,nf.app,a,:eq,:and,:sum"
    ]
    refused = client.get("/api/v1/expr/strip", params={"q": q, "r": "math"})
    assert "'math' cannot be taken out; allowed: stateful, filter, style" in refused.text


@pytest.mark.parametrize(
    ("program", "stripped"),
    [
        ("a,1,:eq,b,2,:eq,:or", ":true"),
        ("a,1,:eq,b,2,:eq,:and,:not", ":true"),
        ("b,2,:eq,:not,a,1,:re,:and", "b,2,:eq,:not"),
        ("a,:has,c,(,1,2,),:in,:and", "c,(,1,2,),:in"),
    ],
)
def test_a_stripped_query_matches_no_less(program: str, stripped: str) -> None:
    """What is not asked any more must not exclude anything."""
    query = parse(program)[0].inner.query  # type: ignore[attr-defined]  # a sum
    assert without_keys(query, ["a"]).text() == stripped


@pytest.mark.parametrize(
    ("program", "formula"),
    [
        (
            SHARE,
            f'{BY_APP % "errors"} / {BY_APP % "requests"} * 100 | legend "$nf.app" | ls "area"',
        ),
        ("1,2,:const,:add,name,x,:eq,:mul", '3 * sum {name = "x"}'),
        ("name,x,:eq,1,name,y,:eq,:sub,:sub", 'sum {name = "x"} - (1 - sum {name = "y"})'),
        ("name,x,:eq,2,:pow,:neg", '-sum {name = "x"} ^ 2'),
        (
            "name,x,:eq,a,y.*,:re,:or,b,:has,:and,:max,1w,:offset,:cf-sum",
            'max {(name = "x" or a ~ "^y.*") and has b} over time sum offset 1w',
        ),
        (
            "name,x,:eq,(,a,),:by,:stat-max,5,:gt,:filter,max,3,:topk",
            'topk(sum by (a) {name = "x"} where stat-max > 5, 3, max)',
        ),
        (
            "name,x,:eq,(,a,),:by,5,2,:rolling-mean,avg,5m,:consolidate",
            'consolidate(rolling-mean(sum by (a) {name = "x"}, 5, 2), avg, 5m)',
        ),
        ("name,x,:eq,:avg,(,a,),:by", 'avg by (a) {name = "x"}'),
        ("name,x,:eq,(,50,99,),:percentiles", 'percentiles [50, 99] {name = "x"}'),
        (
            "name,x,:eq,:not,(,a,),:by,:max,name,y,:eq,:fadd",
            'fadd(max(sum by (a) {not name = "x"}), sum {name = "y"})',
        ),
    ],
)
def test_formulas(program: str, formula: str) -> None:
    """Operators stand between what they combine, parentheses where they are needed."""
    assert [infix(styled) for styled in parse(program)] == [formula]


def test_in_words(client: TestClient) -> None:
    """One step after the other; what is used twice is told once."""
    told = said(client, "/explain", q=SHARE)["expressions"][0]
    assert told["steps"] == [
        "[1] the sum of all series whose name is 'errors', one line for each nf.app",
        "[2] the sum of all series whose name is 'requests', one line for each nf.app",
        f"[3] [1] divided by [2]; {BY_NOTHING}; line by line, joined by their keys",
        "[4] [3] times 100",
    ]
    assert told["shown"] == "with the legend '$nf.app', drawn as area"
    assert told["formula"].endswith("* 100")
    twice = said(client, "/explain", q="name,x,:eq,:dup,:add")["expressions"][0]
    assert len(twice["steps"]) == 2


def test_every_word_that_gives_an_expression_can_be_explained() -> None:
    """Whatever the conformance programs ask for is said in words and as a formula."""
    stacks = [
        "name,x,:eq,(,a,),:by",
        "name,x,:eq",
        "name,x,:eq,5",
        "name,x,:eq,5m",
        "name,x,:eq,(,a,),:by,max,3",
        "name,x,:eq,(,25,50,),",
        "name,x,:eq,avg,5m",
        "name,x,:eq,10,0.1,0.2",
        "name,x,:eq,5,2",
        "name,x,:eq,a,b",
        "name,x,:eq,max",
        "",
        "name,x,:eq,0,10",
        "hourOfDay",
        "e-1h,e",
        "5",
        "name,x,:eq,(,a,)",
    ]
    explained = set()
    for stack in stacks:
        for entry in candidates(stack, STANDARD):
            program = f"{stack},:{entry.name}"
            try:
                parsed = parse(program)
            except QueryError:
                continue
            for styled in parsed:
                assert explain(styled).steps
                assert infix(styled)
                assert strip(styled, ["a"], ["style"]).text()
                explained.add(entry.name)
    assert len(explained) > 120


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                "name",
                "x",
                ":eq",
                "(",
                ")",
                ":by",
                "5",
                ":sum",
                ":dup",
                ":add",
                ":and",
                ":max",
                ":area",
                ":rolling-max",
                ":not",
                ":avg",
                "a",
                ":cq",
                ":nlist",
                ":each",
                ":set",
                ":get",
            ]
        ),
        max_size=25,
    )
)
def test_any_program_is_answered_or_refused(words: list[str]) -> None:
    """Whatever is typed, nothing but a QueryError comes out."""
    program = ",".join(words)
    for work in (trace, candidates):
        with contextlib.suppress(QueryError):
            work(program, STANDARD)


def test_what_is_missing_or_unknown_is_said(client: TestClient) -> None:
    """Without a program, or with a family that does not exist, the answer is 400."""
    assert "'q' is missing" in client.get("/api/v1/expr/normalize").text
    unknown = client.get("/api/v1/expr/debug", params={"q": "1", "vocab": "nope"})
    assert "unknown vocabulary 'nope'; known: std, query" in unknown.text
    limited = client.get("/api/v1/expr/infix", params={"q": "name,x,:eq", "vocab": "std"})
    assert "unknown word ':eq'" in limited.text


def test_long_programs_are_worked_on_in_a_thread(client: TestClient) -> None:
    """A program of many words does not hold up others, and comes to the same."""
    q = ",".join(["name,x,:eq"] + ["1,:add"] * 190)
    assert said(client, "/infix", q=q)[0].count("+") == 190
