"""What is read, as the language hands it over and as the rest of the room sees it."""

import msgspec
import pytest

from breakwater.metrics.cost import selections
from breakwater.metrics.language.expressions import Aggregate, All, GroupBy
from breakwater.metrics.language.program import parse
from breakwater.metrics.selection.query import Equal
from breakwater.metrics.selection.selection import DEFAULT_CONSOLIDATION, Selection

CALLS = Equal("name", "calls")
BY_ZONE = Selection(
    query=CALLS, kind="max", consolidated_by="sum", keys=("zone",), offset_ms=60_000
)


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        *((kind, "") for kind in DEFAULT_CONSOLIDATION),
        *((kind, ",(,zone,nf.node,),:by") for kind in DEFAULT_CONSOLIDATION if kind != "all"),
    ],
)
@pytest.mark.parametrize("by", ["", "sum", "avg", "min", "max"])
@pytest.mark.parametrize("when", ["", ",90s,:offset"])
def test_a_selection_is_named_by_the_program_that_reads_it(
    kind: str, keys: str, by: str, when: str
) -> None:
    """Its text, read again, is the same selection."""
    way = f",:cf-{by}" if by else ""
    (read,) = selections(parse(f"name,calls,:eq,:{kind}{way}{when}{keys}"))
    assert selections(parse(read.text())) == [read]
    assert read.kind == kind
    assert read.consolidated_by == (by or DEFAULT_CONSOLIDATION[kind])
    assert read.offset_ms == (90_000 if when else 0)
    assert read.keys == (("zone", "nf.node") if keys else None)


def test_data_expressions_say_what_they_read() -> None:
    """A way to consolidate that is not given is the usual one; what is read is made once."""
    grouped = GroupBy(Aggregate(CALLS, "sum", 60_000, "max"), ("zone",))
    assert grouped.selection == BY_ZONE
    assert grouped.selection is grouped.selection
    assert grouped.inner.with_offset(0).selection.offset_ms == 0
    assert Aggregate(CALLS).selection == Aggregate(CALLS, "avg").selection
    assert All(CALLS).selection.consolidated_by == "sum"


def test_lines_of_a_selection_are_one_or_many() -> None:
    """One line is there even where nothing matches; groups and series are as many as there are."""
    one = msgspec.structs.replace(BY_ZONE, keys=None)
    every = msgspec.structs.replace(one, kind="all")
    assert [each.is_one_line for each in (one, BY_ZONE, every)] == [True, False, False]
    assert [each.keeps_series for each in (one, BY_ZONE, every)] == [False, False, True]


def test_a_selection_asks_for_keys_of_its_query_and_its_groups() -> None:
    """These have to be kept for an answer."""
    assert BY_ZONE.asked_keys() == {"name", "zone"}


def test_without_an_offset_it_is_of_its_own_time() -> None:
    """All else stays, and one that has none is itself."""
    now = BY_ZONE.without_offset()
    assert now == msgspec.structs.replace(BY_ZONE, offset_ms=0)
    assert now.without_offset() is now
