"""Legends, and numbers written for people."""

import math

import numpy as np
import pytest

from breakwater.metrics.language.program import parse
from breakwater.metrics.language.variables import Template
from breakwater.metrics.text.legends import Legend, short_legends
from breakwater.metrics.text.units import binary_text, decimal_text, duration_text

TAGS = {"name": "calls", "nf.app": "ranker_21"}
VALUES = np.array([1500.0, math.nan, 500.0])


def legend(words: str, label: str | None = "label") -> str:
    """The legend that style words give a line."""
    (styled,) = parse(f"name,calls,:eq,{words}")
    return Legend(styled).text(TAGS, label, VALUES)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("$name,:legend", "calls"),
        ("$(nf.app)+x,:legend", "ranker_21+x"),
        ("$unknown,:legend", "unknown"),
        (
            "$(atlas.max)+$(atlas.min)+$(atlas.avg)+$(atlas.last)+$(atlas.total),:legend",
            "1.5k+500.0+1.0k+500.0+2.0k",
        ),
        ("1h,:offset,$(atlas.offset),:legend", "1h"),
        ("$(nf.app),:legend,hex,:decode", "ranker!"),
        ("$(nf.app),:legend,none,:decode", "ranker_21"),
        ("$(nf.app),:legend,(rank)(.*),$(2)-$(1),:s", "er_21-rank"),
        ("$(nf.app),:legend,^(?<who>[a-z]*).*$,$who,:s", "ranker"),
        ("$(nf.app),:legend,ranker,$name,:s", "calls_21"),
        ("$(nf.app),:legend,r,R,:s,R,X,:s", "XankeX_21"),
        ("a_2Cb,:legend,hex,:decode", "a,b"),
        ("a_zz,:legend,hex,:decode", "a_zz"),
        (":sum", "label"),
    ],
)
def test_legends(words: str, text: str) -> None:
    """Variables are tags, the offset and statistics; steps are applied in their order."""
    assert legend(words) == text


def test_a_derived_legend_shows_the_offset() -> None:
    """A line without a label of its own is named by its tags and the offset."""
    assert legend(":abs", None) == "atlas.offset=0w, name=calls, nf.app=ranker_21"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.0"),
        (999.0, "999.0"),
        (-1500.0, "-1.5k"),
        (2.5e9, "2.5G"),
        (0.03, "30.0m"),
        (5e-7, "500.0n"),
        (2e-6, "2.0\u03bc"),
        (1e30, " 1e+30"),
        (math.nan, "NaN"),
        (-math.inf, "-Infinity"),
    ],
)
def test_decimal_prefixes(value: float, text: str) -> None:
    """Powers of a thousand, one digit after the point."""
    assert decimal_text(value) == text


def test_binary_prefixes_and_durations() -> None:
    """Powers of 1024; seconds as the largest unit that fits."""
    assert [binary_text(value) for value in (1023.0, 1024.0, 3.0 * 1024**3)] == [
        "1023.0",
        "1.0Ki",
        "3.0Gi",
    ]
    assert [duration_text(value) for value in (0.03, 1.0, 90.0, 5400.0, 2e6)] == [
        "30.0ms",
        "1.0s",
        "1.5m",
        "1.5h",
        "3.3w",
    ]


A = "name,a,:eq"
B = "name,b,:eq"


@pytest.mark.parametrize(
    ("program", "legends"),
    [
        (A, ["a"]),
        (f"{A},:avg", ["a"]),
        (f"{A},(,nf.app,nf.zone,),:by", ["$(nf.app) $(nf.zone)"]),
        (f"{A},x,1,:eq,:and,{A},x,2,:eq,:and", ["1", "2"]),
        (f"{A},x,1,:eq,:and,{A},x,1,:eq,:not,:and", ["1", "!1"]),
        (f"{A},x,1,:re,:and,{A},x,b,:lt,:and", ["1", "b"]),
        (f"{A},x,1,:eq,:and,{A},x,2,:eq,:and,{B}", ["a 1", "a 2", "b"]),
        (f"{A},:sum,{A},:max", [None, None]),
        (f"{A},(,x,),:by,{B},(,x,),:by", ["a $(x)", "b $(x)"]),
        (f"{A},(,x,),:by,{A},:max,(,x,),:by", ["$(x)", "$(x)"]),
        (f"{A},:dup,1h,:offset", ["a", "a (offset=$(atlas.offset))"]),
        (f"{A},mine,:legend,{B}", ["mine", "b"]),
        (f"{A},{B},:div", ['sum {name = "a"} / sum {name = "b"}']),
        (f"{A},{B},:div,100,:mul,p,:legend", ["p"]),
        (f"{A},:dup,2,:mul", [None, 'sum {name = "a"} * 2']),
        (f"{A},:avg,{A},:max", ['avg {name = "a"}', None]),
        (f"{A},(,x,),:by,{B},(,x,),:by,:div", ["$(x)"]),
        (
            f"{A},{B},:div,{B},{A},:div",
            [
                'sum {name = "a"} / sum {name = "b"}',
                'sum {name = "b"} / sum {name = "a"}',
            ],
        ),
        ("x,$y,:eq,name,b,:eq,:div", [None]),
        ("minuteOfDay,:time", [None]),
        (f"{A},:dist-avg,0.5", ["a", None]),
        (f"{A},{B},:or", [None]),
        ("2", [None]),
    ],
)
def test_short_legends_tell_lines_apart(program: str, legends: list[str | None]) -> None:
    """By as little as does; a legend of one's own stands."""
    assert [each.get("legend") for each in short_legends(parse(program))] == legends


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("no variable", "no variable"),
        ("$nf.app", "web"),
        ("$(nf.app)", "web"),
        ("on $(nf.node), $unknown $(nf.app)s", "on i-1, unknown webs"),
        ("$ $() $nf.app$(nf.node)", "$ $() webi-1"),
    ],
)
def test_a_template_is_filled_from_tags(text: str, expected: str) -> None:
    """Both ways to write a variable; one without a value stands for its name."""
    template = Template(text)
    for _ in range(2):
        assert template.filled({"nf.app": "web", "nf.node": "i-1"}) == expected
