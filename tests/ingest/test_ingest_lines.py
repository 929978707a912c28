"""The line protocol: what a line names, and what is refused."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakwater.ingest import LineError
from breakwater.ingest.lines import UPDATES, MeterKind, parse_meter


def test_a_meter_is_type_name_and_tags() -> None:
    """The part before the amount gives the type, the name and the tags."""
    name = parse_meter(b"c:server.requests,nf.app=api,status=200")
    assert name.kind is MeterKind.COUNTER
    assert name.tags == {"name": "server.requests", "nf.app": "api", "status": "200"}


def test_characters_outside_the_alphabet_become_underscores() -> None:
    """Names and tags are made valid the way thin clients do it."""
    assert parse_meter(b"c:my name,ke/y=a b").tags == {"name": "my_name", "ke_y": "a_b"}


def test_order_of_tags_does_not_matter() -> None:
    """Two spellings of one meter have one identity."""
    first, second = parse_meter(b"c:nn,aa=1,bb=2"), parse_meter(b"c:nn,bb=2,aa=1")
    assert first.identity() == second.identity()


@pytest.mark.parametrize(
    ("raw", "option"), [(b"g,120:nn", 120), (b"X,1700000000000:nn", 1700000000000)]
)
def test_option_of_gauges_and_sampled_totals(raw: bytes, option: int) -> None:
    """A gauge's TTL and a sampled total's time stand behind the type."""
    assert parse_meter(raw).option == option


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"c", "no_name"),
        (b"c:", "no_name"),
        (b"z:nn", "unknown_type"),
        (b"g,soon:nn", "bad_option"),
        (b"c,5:nn", "bad_option"),
        (b"X:nn", "bad_option"),
        (b"c:nn,tag", "bad_tag"),
        (b"c:nn,tag=", "bad_tag"),
        (b"c:nn,nf.unknown=1", "ReservedKeyRule"),
        (b"c:nn,k=v", "KeyLengthRule"),
        (b"c:n", "NameValueLengthRule"),
    ],
)
def test_what_is_wrong_is_counted_under_its_own_reason(raw: bytes, reason: str) -> None:
    """Each way a meter can be malformed has a reason of its own."""
    with pytest.raises(LineError) as caught:
        parse_meter(raw)
    assert caught.value.reason == reason


def test_what_follows_the_amount_is_passed_over() -> None:
    """Trailing garbage after a number does not spoil the line."""
    assert UPDATES.findall(b"c:nn:1.5e3xyz\ng:mm:-2:3") == [(b"c:nn", b"1.5e3"), (b"g:mm", b"-2")]


@given(st.binary(max_size=60))
def test_no_bytes_make_the_parser_fail_in_another_way(raw: bytes) -> None:
    """Whatever arrives, the parser answers or raises LineError."""
    with contextlib.suppress(LineError):
        assert parse_meter(raw).tags["name"]
