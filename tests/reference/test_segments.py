"""Segments: names that parse, lengths that add up, bytes that repeat."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakwater.reference.errors import UnknownItemError
from breakwater.reference.segments import (
    INIT_BYTES,
    MAX_BYTES,
    MIN_BYTES,
    SegmentName,
    parse_segment,
    payload,
    segment_bytes,
    segment_count,
    segment_durations_ms,
)
from breakwater.reference.titles import Library, Title, generate_titles

LIBRARY = Library(generate_titles(1, 20))


@given(st.integers(0, 999_999))
def test_a_name_reads_back_from_its_path(number: int) -> None:
    """Writing a segment's path and reading it gives the same segment."""
    name = SegmentName("t0001", "v720", number)
    assert parse_segment(name.path.removeprefix("/v1/segments/")) == name


@pytest.mark.parametrize(
    "path",
    ["", "t1/v1", "t1/v1/0.m4s", "t1/v1/1.mp4", "t1/v1/init.m4s", "../etc/1.m4s", "t1/v1/-1.m4s"],
)
def test_other_paths_name_no_segment(path: str) -> None:
    """A path that is not exactly a segment's is unknown."""
    with pytest.raises(UnknownItemError):
        parse_segment(path)


@pytest.mark.parametrize("title", generate_titles(2, 30), ids=lambda t: t.id)
def test_durations_sum_to_the_title(title: Title) -> None:
    """All segments together last exactly as long as the title, none longer than the target."""
    durations = segment_durations_ms(title)
    assert sum(durations) == title.duration_ms
    assert len(durations) == segment_count(title)
    assert 0 < durations[-1] <= durations[0]


def test_bytes_are_the_same_for_everybody_and_differ_between_segments() -> None:
    """Any process computes the same content, and no two segments share it."""
    one = payload(LIBRARY, SegmentName("t0001", "v360", 1))
    assert one == payload(Library(generate_titles(1, 20)), SegmentName("t0001", "v360", 1))
    assert one != payload(LIBRARY, SegmentName("t0001", "v360", 2))
    assert len(payload(LIBRARY, SegmentName("t0001", "v360", 0))) == INIT_BYTES


def test_sizes_grow_with_the_rung_within_bounds() -> None:
    """A higher rung is never smaller, and every size stays between the bounds."""
    for title in generate_titles(1, 20):
        sizes = [segment_bytes(rung) for rung in title.ladder if rung.height]
        assert sizes == sorted(sizes)
        assert all(MIN_BYTES <= size <= MAX_BYTES for size in sizes)


def test_a_segment_past_the_end_is_unknown() -> None:
    """The message says which numbers there are."""
    count = segment_count(LIBRARY.title("t0001"))
    payload(LIBRARY, SegmentName("t0001", "v240", count))
    with pytest.raises(UnknownItemError, match=f"1 to {count}"):
        payload(LIBRARY, SegmentName("t0001", "v240", count + 1))
