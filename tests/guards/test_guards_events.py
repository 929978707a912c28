"""Server-sent events from whoever sends them."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breakwater.guards.errors import EventTooLongError
from breakwater.guards.events import EventParser


def parsed(*pieces: bytes, limit: int = 1_000) -> list[bytes]:
    """All events of a stream that comes in these pieces."""
    parser = EventParser(limit)
    return [data for piece in pieces for data in parser.feed(piece)]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_an_event_ends_at_an_empty_line(end: bytes) -> None:
    """Lines may end with LF, CR or both, and an event without its end is not given."""
    stream = end.join((b"data: 1", b"", b"data: 2", b"", b"data: 3", b""))
    assert parsed(stream) == [b"1", b"2"]


def test_data_lines_are_joined() -> None:
    """Several data lines are one event; one space after the colon is not part of them."""
    assert parsed(b"data: a\ndata:  b\ndata:c\ndata\n\n") == [b"a\n b\nc\n"]


def test_all_else_is_passed_over() -> None:
    """Comments, pings, other fields and a byte order mark are no data."""
    stream = b"\xef\xbb\xbfdata: 1\n\n: hello\n\nping: \n\nevent: x\nid: 7\nretry: 5\ndata: 2\n\n"
    assert parsed(stream) == [b"1", b"2"]


def test_an_endless_event_is_refused() -> None:
    """What is kept of one event is bounded, in one line or in many."""
    with pytest.raises(EventTooLongError, match="longer than 1000 bytes"):
        parsed(b"data: " + b"x" * 2_000)
    with pytest.raises(EventTooLongError):
        parsed(*[b"data: xxxxxxxxxxxxxxxxxxxx\n"] * 100)
    with pytest.raises(EventTooLongError):
        parsed(*[b"data:\n"] * 1_001)
    parser = EventParser(100)
    for _ in range(1_000):
        assert parser.feed(b": short\n\n") == []


@settings(max_examples=50)
@given(
    st.lists(
        st.sampled_from([b"data: ab", b"data:", b": c", b"x", b"", b"data: d:e"]), max_size=12
    ),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
    st.data(),
)
def test_pieces_do_not_matter(lines: list[bytes], end: bytes, data: st.DataObject) -> None:
    """However a stream is cut into pieces, the events are the same."""
    stream = end.join([*lines, b"", b""])
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    places = [0, *cuts, len(stream)]
    pieces = [stream[start:stop] for start, stop in pairwise(places)]
    # A last CR is held back until what follows shows whether it is half of a CRLF.
    assert parsed(*pieces, b"\n") == parsed(stream, b"\n")


@settings(max_examples=50)
@given(st.binary(max_size=400), st.integers(1, 50))
def test_any_bytes_are_survived(stream: bytes, step: int) -> None:
    """Whatever is sent, reading it either gives data or says that an event is too long."""
    parser = EventParser(100)
    try:
        for start in range(0, len(stream), step):
            assert all(
                isinstance(each, bytes) for each in parser.feed(stream[start : start + step])
            )
    except EventTooLongError:
        return
