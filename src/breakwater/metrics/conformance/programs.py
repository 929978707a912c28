"""Cases of programs that are only read: stacks, normal forms, queries, listings of tags."""

from typing import Any

from breakwater.metrics.conformance.evaluation import check_error
from breakwater.metrics.conformance.outcome import Case, WaivedError, expect
from breakwater.metrics.engine import MetricsEngine
from breakwater.metrics.language.expressions import Aggregate, Clamp
from breakwater.metrics.language.kinds import Item, shown
from breakwater.metrics.language.normalize import normalize
from breakwater.metrics.language.program import parse_query, run
from breakwater.metrics.selection.query import conjunctive, disjunctive

_FUNCTION_TEXT = "<function1>"


def check_stack(case: Case, engine: MetricsEngine) -> None:
    """The same stack, top first, by canonical text; `std` programs have the std words alone."""
    vocabulary = engine.vocabulary
    if case.get("vocab") == "std":
        vocabulary = vocabulary.limited("std")
    if "error" in case:
        check_error(lambda: run(case["program"], vocabulary))
        return
    items = run(case["program"], vocabulary)[::-1]
    found, wanted = [shown(item) for item in items], case["stack_top_first"]
    if found != wanted and len(found) == len(wanted):
        reasons = [
            _waiver(item, text)
            for item, text in zip(items, wanted, strict=True)
            if shown(item) != text
        ]
        if all(reasons):
            raise WaivedError("; ".join(sorted({reason or "" for reason in reasons})))
    expect("stack", found, wanted)


def _waiver(item: Item, wanted: Any) -> str | None:
    """Why the reference's text of an item is not one to print; None when it is."""
    if isinstance(item, Clamp) and wanted == _FUNCTION_TEXT:
        return f"the reference prints a bare clamp as {_FUNCTION_TEXT}"
    if isinstance(item, Aggregate) and item.with_offset(0).text() == wanted:
        return "the reference leaves out the offset of a bare aggregate"
    return None


def check_normal_form(case: Case, engine: MetricsEngine) -> None:
    """The same normal forms in the same order."""
    wanted = next(value for key, value in case.items() if key not in ("q", "id", "error"))
    expect("normal form", normalize(case["q"], engine.vocabulary), wanted)


def check_query(case: Case, engine: MetricsEngine) -> None:
    """The same text, label, exact keys, normal forms and verdicts on tag maps."""
    query = parse_query(case["query"], engine.vocabulary)
    expect("text", query.text(), case["toString"])
    expect("label", query.label(), case["label"])
    expect("exact keys", sorted(query.exact_tags()), sorted(case["exactKeys"]))
    expect("cnf", [part.text() for part in conjunctive(query)], case["cnf"])
    expect("dnf", [part.text() for part in disjunctive(query)], case["dnf"])
    for tags, matches, could_match in case["matches"]:
        expect(f"matches {tags}", query.matches(tags), matches)
        expect(f"could match {tags}", query.could_match(tags), could_match)


def check_listing(case: Case, engine: MetricsEngine) -> None:
    """The same page of keys or values among the series a query matches."""
    key, query = case["key"], case["q"] or ""
    found = engine.tag_keys(query) if key is None else engine.tag_values(key, query)
    page = [item for item in found if item > case["offset"]][: case["limit"]]
    expect("page", page, case["out"])
