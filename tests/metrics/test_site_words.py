"""Words a site adds by its settings, and what families of words may use each other."""

import pytest

from breakwater.metrics import MetricsEngine, MetricsSettings, QuerySyntaxError, QueryValueError
from breakwater.metrics.language.normalize import normalize
from breakwater.metrics.language.program import parse, run
from breakwater.metrics.language.vocabulary import BARE, STANDARD
from breakwater.testing import FakeClock

SITE = STANDARD.with_site(
    ["square=:dup,:mul", "loop=:loop", "twice=:dup,:dup,:add,twice,:named-rewrite"],
    ["per-node=name,nodes,:eq"],
    ["nf.app"],
)


def text(program: str) -> str:
    """The canonical text of a program's only expression."""
    (styled,) = parse(program, SITE)
    return styled.text()


def test_a_macro_runs_its_program() -> None:
    """A site's word does what the words of its program do."""
    assert text("3,:square") == "9.0,:const"


def test_a_macro_that_calls_itself_is_stopped() -> None:
    """Nesting is bounded for macros as for lists."""
    with pytest.raises(QueryValueError, match="looping detected"):
        parse(":loop", SITE)


def test_a_macro_can_print_as_itself() -> None:
    """`:named-rewrite` inside a macro keeps its word, through later changes too."""
    assert text("name,a,:eq,:twice") == "name,a,:eq,:twice"
    changed = "name,a,:eq,:twice,k,v,:eq,:cq,1h,:offset"
    assert text(changed) == "name,a,:eq,k,v,:eq,:and,:twice,1h,:offset"
    (styled,) = parse(changed, SITE)
    assert styled.inner.evaluated.text().count("k,v,:eq") == 2  # type: ignore[attr-defined] # a named rewrite


def test_named_rewrite_outside_of_a_macro_needs_a_word_that_can_be_read_back() -> None:
    """A name that nothing stands for would print a program nobody can run."""
    with pytest.raises(QueryValueError, match="'mine' is neither"):
        parse("name,a,:eq,name,b,:eq,mine,:named-rewrite", SITE)


@pytest.mark.parametrize(
    ("program", "evaluated"),
    [
        (
            "name,a,:eq,nf.app,x,:eq,:and,status,200,:eq,:and,:per-node",
            (
                "name,a,:eq,nf.app,x,:eq,:and,status,200,:eq,:and,:sum,"
                "name,nodes,:eq,nf.app,x,:eq,:and,:sum,:div"
            ),
        ),
        (
            "name,a,:eq,status,200,:eq,:not,:and,:per-node,(,nf.app,status,),:by",
            (
                "name,a,:eq,status,200,:eq,:not,:and,:sum,(,nf.app,status,),:by,"
                "name,nodes,:eq,:sum,(,nf.app,),:by,:div"
            ),
        ),
        (
            "name,a,:eq,:per-node,(,status,),:by",
            "name,a,:eq,:sum,(,status,),:by,name,nodes,:eq,:sum,:div",
        ),
    ],
)
def test_an_average_asks_the_second_metric_only_for_keys_it_carries(
    program: str, evaluated: str
) -> None:
    """Query and grouping are narrowed to what the second metric has."""
    (styled,) = parse(program, SITE)
    assert styled.text() == program
    assert styled.inner.evaluated.text() == evaluated  # type: ignore[attr-defined] # a named rewrite


@pytest.mark.parametrize(
    ("words", "averages", "message"),
    [
        (["square"], [], "expected name=program"),
        (["a b=:dup"], [], "expected name=program"),
        (["a=/* :dup"], [], "program of word 'a'"),
        ([], ["x=:nope"], "base query of average 'x'"),
        ([], ["x=a,b,:eq,:sum"], "must be one query"),
    ],
)
def test_a_bad_word_is_refused_at_the_start(
    words: list[str], averages: list[str], message: str
) -> None:
    """An engine does not start with a word that could never run."""
    bad = MetricsSettings(words=words, custom_averages=averages)
    with pytest.raises(QueryValueError, match=message):
        MetricsEngine(bad, FakeClock())


def test_an_engine_has_its_sites_words() -> None:
    """Words from settings work in queries; default averages go when a site sets its own."""
    engine = MetricsEngine(MetricsSettings(words=["square=:dup,:mul"]), FakeClock())
    now_ms = engine.clock.now_ms()
    (line,) = engine.query("3,:square", start_ms=now_ms, end_ms=now_ms).lines
    assert line.values.tolist() == [9.0]
    assert engine.query("name,a,:eq,:node-avg", start_ms=now_ms, end_ms=now_ms).lines
    other = MetricsEngine(MetricsSettings(custom_averages=[]), FakeClock())
    with pytest.raises(QuerySyntaxError, match="unknown word ':node-avg'"):
        other.query("name,a,:eq,:node-avg", start_ms=now_ms, end_ms=now_ms)


@pytest.mark.parametrize(
    ("family", "program", "is_known"),
    [
        ("std", "a,:dup", True),
        ("std", "a,b,:eq", False),
        ("query", "a,b,:eq", True),
        ("query", "a,b,:eq,:sum", False),
        ("data", "a,b,:eq,:sum,1h,:offset", True),
        ("math", "a,b,:eq,:avg", True),
        ("math", "a,b,:eq,3,:delay", False),
        ("filter", "a,b,:eq,max,:stat", True),
        ("style", "a,b,:eq,x,:legend", True),
        ("style", "a,b,:eq,:node-avg", False),
        ("custom", "a,b,:eq,:node-avg", True),
        ("event", "a,b,:eq,(,c,),:table", True),
        ("event", "a,b,:eq,:sum", False),
    ],
)
def test_families_build_on_each_other(family: str, program: str, is_known: bool) -> None:  # noqa: FBT001 - a parameter of the table
    """A family's programs may use its words and those it builds on."""
    vocabulary = STANDARD.limited(family)
    if is_known:
        run(program, vocabulary)
        return
    with pytest.raises(QuerySyntaxError, match="unknown word"):
        run(program, vocabulary)


def test_an_unknown_family_is_refused() -> None:
    """The message lists the families there are."""
    with pytest.raises(QueryValueError, match="unknown vocabulary 'x'; known: std, query"):
        BARE.limited("x")


@pytest.mark.parametrize("program", ["a,b,:eq,(,c,),:table", "a,b,:eq,(,c,),(,d,),:sample"])
def test_events_can_be_written_but_not_evaluated(program: str) -> None:
    """Event words print and normalise; a metrics engine says that it has no events."""
    assert normalize(program) == [program]
    with pytest.raises(QueryValueError, match="asks for events"):
        parse(program)


def test_an_error_inside_a_list_says_where_the_list_was_run() -> None:
    """The position is that of the word that ran the list."""
    with pytest.raises(QuerySyntaxError, match="run by ':each' at character") as caught:
        run("(,a,),(,:add,),:each")
    assert (caught.value.position, caught.value.word) == (15, "add")
