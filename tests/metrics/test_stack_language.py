"""The stack language: what a program means, and how it is told what is wrong with it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakwater.metrics import QueryError, QuerySyntaxError, QueryValueError
from breakwater.metrics.language.program import parse, parse_query, run
from breakwater.metrics.language.registry import WORDS
from breakwater.metrics.language.vocabulary import STANDARD
from breakwater.metrics.selection.escapes import escape, number_text, unescape


def text(program: str) -> str:
    """The canonical text of a program's only expression."""
    (styled,) = parse(program)
    return styled.text()


def test_error_says_position_word_stack_and_expectation() -> None:
    """A word whose types do not fit is explained completely."""
    with pytest.raises(QuerySyntaxError) as caught:
        run("name,calls,:eq, :in")
    message = str(caught.value)
    assert "':in' at character 16" in message
    assert "the stack held [Equal]" in message
    assert "key:String values:StringList -- Query" in message
    assert (caught.value.position, caught.value.word) == (16, "in")


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("", "empty"),
        ("a,:nope", "unknown word ':nope' at character 2"),
        ("(,a", "unmatched opening parenthesis at character 0"),
        ("a,)", "unmatched closing parenthesis at character 2"),
        ("a,b", "left String\\(a\\)"),
        ("/* a", "unclosed comment"),
        ("x" * 70_000, "at most 65536"),
    ],
)
def test_what_is_no_program(program: str, message: str) -> None:
    """Text that cannot be read as a program is a syntax error."""
    with pytest.raises(QuerySyntaxError, match=message):
        parse(program)


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("name,a(b,:re", "word ':re' at character 9: pattern 'a\\(b' is not usable: missing \\)"),
        ("name,(?i)a,:re", "inline flags are not allowed"),
        ("name,(a)\\1,:re", "no back-references"),
        ("name,a,:eq,(,101,),:percentiles", "expected 0 to 100"),
        ("name,a,:eq,(,),:by", "list of keys is empty"),
        ("name,a,:eq,zz,:order", "allowed: asc, desc"),
        ("name,a,:eq,12,:axis", "allowed: 0 to 9"),
        ("x,:get", "variable 'x' is not set"),
        ("f,(,f,:fcall,),:set,f,:fcall", "looping detected"),
        ("(,a,),(,:drop,),:map", "left no item"),
    ],
)
def test_what_has_no_meaning(program: str, message: str) -> None:
    """Values that are not allowed are refused where they stand, with what is allowed."""
    with pytest.raises(QueryValueError, match=message):
        run(program)


@pytest.mark.parametrize(
    ("program", "canonical"),
    [
        ("42", "42.0,:const"),
        ("1,2,:add", "3.0,:const"),
        ("name,a,:eq", "name,a,:eq,:sum"),
        ("name,a,:eq,:avg,nf.app,b,:eq,:cq", "name,a,:eq,nf.app,b,:eq,:and,:avg"),
        ("name,a,:eq,:avg,(,k,),:by", "name,a,:eq,:avg,(,k,),:by"),
        ("name,a,:eq,:sum,:pct,(,k,),:by", "name,a,:eq,:sum,(,k,),:by,:pct"),
        ("name,a,:eq,:dist-avg,1h,:offset", "name,a,:eq,:dist-avg,1h,:offset"),
        ("name,a,:eq,1h,:offset,2h,:offset", "name,a,:eq,:sum,2h,:offset"),
        ("name,a,:eq,red,:color,f00,:color", "name,a,:eq,:sum,f00,:color"),
        ("name,a,:eq,x,:legend,:strip-style", "name,a,:eq,:sum"),
        ("/* why /* nested */ */name,a,:eq", "name,a,:eq,:sum"),
        ("name,a\\u002cb,:eq", "name,a\\u002cb,:eq,:sum"),
        ("name,(,a,),:in", "name,a,:eq,:sum"),
        (":true,name,a,:eq,:and", "name,a,:eq,:sum"),
        ("name,a.b,:starts", "name,a\\.b,:re,:sum"),
        ("name,a,:ends", "name,.*a$,:re,:sum"),
    ],
)
def test_canonical_text(program: str, canonical: str) -> None:
    """A program prints in one way, whatever words built it."""
    assert text(program) == canonical


@given(st.text(max_size=20).filter(lambda value: "\\u" not in value))
def test_escaped_text_is_read_back(value: str) -> None:
    """Any literal survives being written into a program."""
    assert unescape(escape(value)) == value


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_printed_numbers_are_read_back(value: float) -> None:
    """A number's text is that number."""
    assert float(number_text(value)) == value


PARTS = st.sampled_from(
    ["a", "name", "1", "2.5", "nan", "(", ")", "5m", *sorted(f":{name}" for name in WORDS)]
)


@given(st.lists(PARTS, max_size=12) | st.lists(st.text(max_size=6), max_size=6))
def test_no_program_fails_in_another_way(parts: list[str]) -> None:
    """Any program runs or raises QueryError; what it builds prints and reads back."""
    program = ",".join(parts)
    try:
        parsed = parse(program)
    except QueryError:
        return
    for styled in parsed:
        again = parse(styled.text())
        assert again[-1].text() == styled.text()


def test_query_programs_give_one_query() -> None:
    """Where a query is wanted, expressions are refused and nothing means everything."""
    assert parse_query("").text() == ":true"
    with pytest.raises(QuerySyntaxError, match="expected one query"):
        parse_query("name,a,:eq,:sum")


def test_every_word_is_documented_by_its_signature() -> None:
    """Each declaration says what it takes, what it leaves and what it does."""
    assert len(WORDS) >= 155
    for word in (each for words in STANDARD.words.values() for each in words):
        assert "--" in word.signature
        assert word.summary.endswith("."), word.name


def test_the_reference_lists_every_word() -> None:
    """docs/formats/stack-language.md has a row for each word, with its signatures."""
    document = Path(__file__).parents[2] / "docs" / "formats" / "stack-language.md"
    rows = {
        line.split("`")[1]: line for line in document.read_text().splitlines() if "| `:" in line
    }
    assert rows.keys() == {f":{name}" for name in STANDARD.words}
    for name, words in STANDARD.words.items():
        for word in words:
            if f":{name}" in rows and word.family != "style" and len(words) == 1:
                assert " ".join(word.signature.split()) in rows[f":{name}"]


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("%2$s-%1$s", "b-7"),
        ("%s%%%S", "7%B"),
        ("%05.1f", "007.0"),
        ("%x", "7"),
        ("%4d|%-3s|", "   7|b  |"),
    ],
)
def test_format_fills_patterns(pattern: str, text: str) -> None:
    """Placeholders take the values in turn, or by their number."""
    assert run(f"{pattern},(,7,b,),:format") == [text]


def test_sides_that_cannot_be_joined_are_refused_where_they_meet() -> None:
    """Groupings of which neither holds the other have no lines in common."""
    with pytest.raises(QueryValueError, match=r"\(,k,\) and \(,j,\)"):
        run("name,a,:eq,(,k,),:by,name,a,:eq,(,j,),:by,:add")
