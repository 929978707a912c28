"""The normal form of programs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakwater.metrics import QueryError, QueryValueError
from breakwater.metrics.language.normalize import normalize, normalized_query
from breakwater.metrics.language.program import parse_query


@pytest.mark.parametrize(
    ("program", "normal"),
    [
        (
            "statistic,count,:eq,z,1,:eq,:and,name,a,:eq,:and",
            "name,a,:eq,z,1,:eq,:and,statistic,count,:eq,:and,:sum",
        ),
        ("k,(,c,a,c,),:in", "k,(,a,c,),:in,:sum"),
        (
            "b,1,:eq,a,1,:eq,:or,name,n,:eq,:and",
            "name,n,:eq,a,1,:eq,:and,name,n,:eq,b,1,:eq,:and,:or,:sum",
        ),
        ("a,1,:eq,:true,:and,:false,:or", "a,1,:eq,:sum"),
        ("a,1,:eq,a,1,:eq,:and", "a,1,:eq,:sum"),
        ("a,1,:eq,b,2,:eq,:and,:not", "a,1,:eq,:not,b,2,:eq,:not,:or,:sum"),
        ("name,a,:eq,:line,$k,:legend", "name,a,:eq,:sum,$(k),:legend"),
        (
            "name,a,:eq,(,k,),:by,:dup,max,:stat,5,:gt,:filter",
            "name,a,:eq,:sum,(,k,),:by,:stat-max,5.0,:gt,:filter",
        ),
        ("name,a,:eq,k,v,:eq,:and,:avg", "name,a,:eq,k,v,:eq,:and,:avg"),
        ("name,a,:eq,1w,:offset,:avg,2h,:offset", "name,a,:eq,:sum,2h,:offset,:avg"),
        ("name,a,:eq,reds,:palette,40,:alpha", "name,a,:eq,:sum,reds,:palette,40,:alpha"),
        ("name,a,:eq,(,f00,0f0,),:palette", "name,a,:eq,:sum,(,f00,0f0,),:palette"),
        ("name,a,:eq,(,0h,1d,),:offset", "name,a,:eq,:sum,(,0h,1d,),:offset"),
        ("name,a,:eq,hex,:decode,a,b,:s", "name,a,:eq,:sum,hex,:decode,a,b,:s"),
    ],
)
def test_normal_forms(program: str, normal: str) -> None:
    """Conditions in order, variables and statistics one way, nothing that changes nothing."""
    assert normalize(program) == [normal]


CLAUSES = st.sampled_from(["a,x,:eq", "a,y,:eq", "b,x,:eq", "b,y,:eq", "c,x,:eq", "c,y,:eq"])
QUERIES = st.recursive(
    CLAUSES | st.sampled_from([":true", ":false"]),
    lambda inner: (
        st.tuples(inner, inner, st.sampled_from([":and", ":or"])).map(",".join)
        | inner.map(lambda text: f"{text},:not")
    ),
    max_leaves=6,
)


@given(QUERIES, st.dictionaries(st.sampled_from("abc"), st.sampled_from("xy")))
def test_a_normal_form_means_the_same(program: str, tags: dict[str, str]) -> None:
    """It matches the same series, and is its own normal form."""
    query = parse_query(program)
    normal = normalized_query(query)
    assert normal.matches(tags) == query.matches(tags)
    assert normalize(normal.text()) == normalize(program)


def test_a_form_that_would_explode_is_refused() -> None:
    """A product of sums has as many alternatives as the product of their sizes."""
    sums = [f"k{n},a,:eq,k{n},b,:eq,:or" for n in range(20)]
    program = ",".join([sums[0], *(f"{each},:and" for each in sums[1:])])
    with pytest.raises(QueryValueError, match="more than 10000 conditions"):
        normalize(program)


@pytest.mark.parametrize("program", ["a", "(,a,)", "a,:eq"])
def test_what_is_no_expression_has_no_normal_form(program: str) -> None:
    """Literals and lists are refused as they are where a program is evaluated."""
    with pytest.raises(QueryError):
        normalize(program)
