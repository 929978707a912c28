"""Cases produced by the reference implementation of the stack language, on its dataset.

Only cases whose words are all declared here are run; how many were is printed by `pytest -s`,
and a floor is asserted so that no word can be lost unnoticed.
"""

import json
from typing import Any

import numpy as np
import pytest
from tests.metrics.atlas_cases import (
    FOLDER,
    Case,
    cases,
    reference_engine,
    uses_only_known_words,
)

from breakwater.metrics import Expression, Line, MetricsError
from breakwater.metrics.language.durations import parse_duration
from breakwater.metrics.language.escapes import escape
from breakwater.metrics.language.kinds import shown
from breakwater.metrics.language.program import parse_query, run
from breakwater.metrics.language.query import conjunctive, disjunctive
from breakwater.metrics.steps import step_for_width
from breakwater.metrics.times import parse_range, parse_time, zone_named
from breakwater.model import InvalidTagsError, series_id, validate_tags
from breakwater.model.percentiles import UPPER_BOUNDS, bucket_of

pytestmark = pytest.mark.skipif(
    not FOLDER.exists(), reason=f"the reference cases are not at {FOLDER}"
)

KNOWN_DEVIATIONS = {
    "S101": "the reference's debug text of a bare aggregate leaves its offset out; ours has it",
    "S133": "the reference prints a bare clamp as '<function1>'; ours prints the program",
    "E2633": "an offset off the step's grid gives the reference no first point; ours has it",
}
REFERENCES = {"now": 1704153600000, "e": 1704153600000, "s": 1704067200000, "epoch": 0}


@pytest.fixture(scope="module", autouse=True)
def dataset() -> None:
    """The reference's dataset is loaded once, before the first case."""
    reference_engine()


def selected(name: str, field: str) -> list[Case]:
    """Cases of a file that use only declared words and deviate from the reference nowhere."""
    return [
        case
        for case in cases(name)
        if case["id"] not in KNOWN_DEVIATIONS and uses_only_known_words(case[field])
    ]


def identified(case: Case) -> str:
    """A case's name in the test report."""
    return f"{case.get('id', '')} {case.get('q', case.get('program', ''))}"[:100]


@pytest.mark.parametrize("case", selected("eval", "q"), ids=identified)
def test_evaluation(case: Case) -> None:
    """Same expressions, lines, labels, legends and values; an error where the reference has one.

    A case's window is [start, end) of END stamps, so ours is (start - step, end - step].
    """
    step = case["step"]
    window = {"start_ms": case["start"] - step, "end_ms": case["end"] - step, "step_ms": step}
    if "error" in case:
        with pytest.raises(MetricsError):
            reference_engine().query(case["q"], **window)
        return
    result = reference_engine().query(case["q"], **window)
    assert [each.text for each in result.expressions] == [each["expr"] for each in case["result"]]
    for ours, theirs in zip(result.expressions, case["result"], strict=True):
        compare(ours, theirs)


def compare(ours: Expression, theirs: dict[str, Any]) -> None:
    """Compare one expression's lines by their tags."""
    assert ours.settings == theirs["settings"]
    assert set(ours.grouping) == set(theirs["finalGrouping"])
    found = {tags_key(line.tags): line for line in ours.lines}
    expected = merged(theirs["lines"]) if ":all" in theirs["expr"] else theirs["lines"]
    assert found.keys() == {tags_key(line["tags"]) for line in expected}
    for line in expected:
        same_line(found[tags_key(line["tags"])], line)


def same_line(ours: Line, theirs: dict[str, Any]) -> None:
    """Compare label, legend and values of one line."""
    assert (ours.label, ours.legend) == (theirs["label"], theirs["legend"])
    values = np.array(theirs["values"], dtype=np.float64)
    np.testing.assert_allclose(ours.values, values, rtol=1e-9, atol=1e-12, equal_nan=True)


def tags_key(tags: dict[str, str]) -> str:
    """Tags as something to look up by."""
    return json.dumps(tags, sort_keys=True)


def merged(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The reference gives ungrouped `:all` a line for each block; join those of one series."""
    joined: dict[str, dict[str, Any]] = {}
    for line in lines:
        known = joined.setdefault(tags_key(line["tags"]), dict(line))
        known["values"] = [
            first if first is not None else second
            for first, second in zip(known["values"], line["values"], strict=True)
        ]
    return list(joined.values())


@pytest.mark.parametrize("case", selected("stack", "program"), ids=identified)
def test_stack(case: Case) -> None:
    """The same stack, top first, or an error."""
    if "error" in case:
        with pytest.raises(MetricsError):
            run(case["program"])
        return
    assert [shown(item) for item in reversed(run(case["program"]))] == case["stack_top_first"]


@pytest.mark.parametrize("case", cases("query"), ids=lambda case: case["query"])
def test_query(case: Case) -> None:
    """The same text, label, exact keys, normal forms and verdicts on tag maps."""
    query = parse_query(case["query"])
    assert (query.text(), query.label()) == (case["toString"], case["label"])
    assert sorted(query.exact_tags()) == sorted(case["exactKeys"])
    assert [part.text() for part in conjunctive(query)] == case["cnf"]
    assert [part.text() for part in disjunctive(query)] == case["dnf"]
    for tags, matches, could_match in case["matches"]:
        assert (query.matches(tags), query.could_match(tags)) == (matches, could_match)


def test_index_listings() -> None:
    """Keys and values among the matching series, from an offset, are the reference's."""
    engine = reference_engine()
    for case in cases("index"):
        query = case["q"] or ""
        if case["key"] is None:
            found = engine.tag_keys(query)
        else:
            found = engine.tag_values(case["key"], query)
        page = [item for item in found if item > case["offset"]][: case["limit"]]
        assert page == case["out"], case


def primitive(name: str, given: Any) -> Any:  # noqa: PLR0911 - a table of functions under test
    """Our answer to a primitive case; None when the primitive is not built yet."""
    if name == "parseDuration_ms":
        return parse_duration(given)
    if name == "parseDate_ms":
        return parse_time(given[1], REFERENCES, zone_named(given[0]))
    if name == "timeRange_ms":
        return list(parse_range(given[0], given[1], REFERENCES["now"]))
    if name == "step_compute":
        block_ms, primary_ms, width_px, hours = given
        return step_for_width(primary_ms, width_px, hours * 3_600_000, block_ms=block_ms)
    if name == "percentile_bucket_index":
        return bucket_of(given)
    if name == "percentile_bucket_values":
        return list(UPPER_BOUNDS)
    if name == "item_id":
        return series_id(given).hex()
    return escape(given) if name == "escape" else None


@pytest.mark.parametrize(
    "case", cases("primitive"), ids=lambda case: f"{case['fn']} {case['in']}"[:80]
)
def test_primitives(case: Case) -> None:
    """Durations, dates, ranges, steps, buckets, ids and escapes agree."""
    if case["fn"].startswith(("unit_prefix", "random")):
        pytest.skip(f"{case['fn']} belongs to words that are not declared yet")
    if "error" in case:
        with pytest.raises(MetricsError):
            primitive(case["fn"], case["in"])
        return
    assert primitive(case["fn"], case["in"]) == case["out"]


@pytest.mark.parametrize("case", cases("validation"), ids=lambda case: str(case.get("rule")))
def test_tag_rules(case: Case) -> None:
    """The same verdict on tags, by the same rule."""
    if case["pass"]:
        validate_tags(case["tags"])
        return
    with pytest.raises(InvalidTagsError) as caught:
        validate_tags(case["tags"])
    assert caught.value.rule == case["rule"]


def test_enough_cases_ran() -> None:
    """The share of the cases that is run does not shrink."""
    counts = {
        name: (len(selected(name, field)), len(cases(name)))
        for name, field in (("eval", "q"), ("stack", "program"))
    }
    print(f"conformance: {counts}")  # noqa: T201 - the count is what is asked for with -s
    assert counts["eval"][0] >= 392
    assert counts["stack"][0] >= 70
