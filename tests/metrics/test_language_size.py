"""Short programs that build without end are refused before anybody walks what they build."""

import pytest

from breakwater.metrics import MetricsEngine, MetricsSettings, QueryError, QueryValueError
from breakwater.metrics.language.program import parse, parse_query, run
from breakwater.metrics.language.size import MAX_LEVELS, MAX_PARTS, Measure
from breakwater.testing import FakeClock

DATA = "name,calls,:eq,:sum"


@pytest.mark.parametrize(
    "program",
    [
        DATA + ",:dup,:add" * 40,
        "name,calls,:eq" + ",:dup,:and" * 40,
        DATA + ",:avg" * 40,
        DATA + ",:dup,:add" * 10 + ",name,calls,:eq" + ",:dup,:or" * 10 + ",:cq",
    ],
)
def test_doubling_is_refused(program: str) -> None:
    """A tree that doubles with every word would take for ever to hash, though it shares all."""
    with pytest.raises(QueryValueError, match=f"parts; at most {MAX_PARTS} are allowed"):
        run(program)


@pytest.mark.parametrize(
    "program", [DATA + ",:abs" * 5000, "a,b,:eq" + ",:not" * 5000, "a,b,:eq" + ",a,c,:eq,:or" * 900]
)
def test_depth_is_refused(program: str) -> None:
    """A tree deeper than the interpreter can walk is an error of the query, not of the server."""
    with pytest.raises(QueryValueError, match=f"levels; at most {MAX_LEVELS} are allowed"):
        run(program)


def test_the_deepest_tree_allowed_can_be_evaluated() -> None:
    """What passes the measure is answered."""
    engine = MetricsEngine(MetricsSettings(), FakeClock())
    deepest = DATA + ",:abs" * (MAX_LEVELS - 2)
    now_ms = engine.clock.now_ms()
    assert len(engine.query(deepest, start_ms=now_ms, end_ms=now_ms).lines) == 1
    query = "a,b,:eq" + ",a,c,:eq,:or" * (MAX_LEVELS - 1)
    assert engine.tag_keys(query) == []


def test_shared_parts_count_as_often_as_they_occur() -> None:
    """The size is that of the tree, worked out in the time of the graph."""
    (styled,) = parse(DATA + ",:dup,:add" * 3)
    size = Measure().of(styled.inner)
    assert size.parts == 7 + 8 * Measure().of(parse(DATA)[0].inner).parts
    assert Measure().of("a literal").parts == 0


@pytest.mark.parametrize(
    "program",
    [
        "%999999999s,(,a,),:format",
        "%0999999999d,(,1,),:format",
        "%.999999999f,(,1,),:format",
        "a" + ",:dup,2,:nlist,%s%s,:swap,:format" * 40,
        "x" * 60_000 + ",:dup,2,:nlist,%s%s,:swap,:format",
    ],
)
def test_text_is_bounded(program: str) -> None:
    """A pattern cannot ask for more text than a program may have."""
    with pytest.raises(QueryValueError, match=r"too wide|grows beyond 65536"):
        run(program)


def test_substitutions_in_a_legend_are_bounded() -> None:
    """Long replacements would be written once for every character of every legend."""
    with pytest.raises(QueryValueError, match="at most 2048"):
        run(f"{DATA},(),{'b' * 5000},:s")


@pytest.mark.parametrize("length", ["9" * 5000 + "s", "P" + "9" * 5000 + "D", "9" * 15 + "y"])
def test_lengths_of_time_are_bounded(length: str) -> None:
    """A length of time with more digits than can be counted with is no length of time."""
    with pytest.raises(QueryError):
        run(f"{DATA},{length},:offset")
    with pytest.raises(QueryError):
        parse_query(f"{DATA},(,{length},),:offset")
