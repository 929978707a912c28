"""The call context over HTTP headers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakwater.sdk import Criticality
from breakwater.sdk import context as ctx
from breakwater.sdk.context import CallContext, Trace
from breakwater.sdk.propagation import (
    format_baggage,
    new_id,
    parse_baggage,
    parse_traceparent,
    read_headers,
    write_headers,
)
from breakwater.testing import FakeClock

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"


def read(**headers: str) -> "ctx.CallContext":
    """The context that these headers bring at time 100."""
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return read_headers(pairs, 100.0).context


@pytest.mark.parametrize(
    ("headers", "deadline_s"),
    [
        ({"breakwater_deadline_ms": "250"}, 100.25),
        ({"breakwater_deadline_ms": "0"}, 100.0),
        ({"breakwater_deadline_ms": "12.5"}, 100.0125),
        ({"grpc_timeout": "2S"}, 102.0),
        ({"grpc_timeout": "1500m"}, 101.5),
        ({"x_envoy_expected_rq_timeout_ms": "500"}, 100.5),
        ({"x_envoy_expected_rq_timeout_ms": "0"}, None),
        ({"breakwater_deadline_ms": "900", "grpc_timeout": "1S"}, 100.9),
        ({}, None),
    ],
)
def test_the_nearest_budget_is_the_deadline(
    headers: dict[str, str], deadline_s: float | None
) -> None:
    """Whoever sets a limit along the way, the least one holds."""
    found = read(**headers).deadline_s
    assert found == (None if deadline_s is None else pytest.approx(deadline_s))


@pytest.mark.parametrize(
    "headers",
    [
        {"breakwater_deadline_ms": "-5"},
        {"breakwater_deadline_ms": "soon"},
        {"breakwater_deadline_ms": "1e9"},
        {"grpc_timeout": "999999999S"},
        {"grpc_timeout": "5"},
        {"traceparent": "hello"},
        {"traceparent": f"00-{'0' * 32}-{SPAN}-01"},
        {"traceparent": f"00-{TRACE}-{'0' * 16}-01"},
        {"traceparent": f"ff-{TRACE}-{SPAN}-01"},
        {"traceparent": f"00-{TRACE}-{SPAN}-01-extra"},
        {"traceparent": f"00-{TRACE.upper()}-{SPAN}-01"},
        {"baggage": "no equals sign"},
        {"baggage": "bw.criticality=whatever"},
        {"baggage": "k=" + "v" * 9000},
    ],
)
def test_a_malformed_header_is_ignored_and_counted(headers: dict[str, str]) -> None:
    """A request is served as if the header were absent; the count tells that it was not."""
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    inbound = read_headers(pairs, 100.0)
    assert inbound.malformed == 1
    assert inbound.context.deadline_s is None
    assert inbound.context.criticality is Criticality.CRITICAL


def test_a_trace_goes_on_under_a_new_span() -> None:
    """Each hop is a span of the same trace."""
    trace = read(traceparent=f"00-{TRACE}-{SPAN}-01", tracestate="a=1").trace
    assert trace is not None
    assert trace.trace_id == TRACE
    assert trace.span_id != SPAN
    sent = write_headers(CallContext(trace=trace), None)
    assert sent["traceparent"].split("-")[1] == TRACE
    assert sent["traceparent"].split("-")[2] not in (SPAN, trace.span_id)
    assert sent["tracestate"] == "a=1"


def test_a_later_version_of_traceparent_is_read_as_far_as_it_is_known() -> None:
    """W3C: a higher version may carry more, the first four fields stay."""
    assert parse_traceparent(f"01-{TRACE}-{SPAN}-03-more") == Trace(
        trace_id=TRACE, span_id=SPAN, flags=1
    )


def test_a_request_without_a_trace_begins_one() -> None:
    """Every record can be joined to a trace."""
    trace = read().trace
    assert trace is not None
    assert parse_traceparent(f"00-{trace.trace_id}-{trace.span_id}-01") is not None


@given(
    st.dictionaries(st.text("abcxyz.-_", min_size=1, max_size=8), st.text(max_size=20), max_size=10)
)
def test_baggage_survives_the_way(entries: dict[str, str]) -> None:
    """Any text comes out as it went in."""
    surrogates_replaced = {k: v.encode(errors="replace").decode() for k, v in entries.items()}
    assert parse_baggage(format_baggage(surrogates_replaced)) == (surrogates_replaced, 0)


@given(
    budget_s=st.floats(0, 1000),
    level=st.sampled_from(Criticality),
    entries=st.dictionaries(st.sampled_from(["user", "cell"]), st.text("ab ,;=%é", max_size=9)),
)
def test_a_context_survives_a_hop(
    budget_s: float, level: Criticality, entries: dict[str, str]
) -> None:
    """What one process sends, the next one reads."""
    sent = write_headers(CallContext(baggage=entries, criticality=level), budget_s)
    pairs = [(name.encode(), value.encode()) for name, value in sent.items()]
    inbound = read_headers(pairs, 50.0)
    assert inbound.malformed == 0
    assert inbound.context.deadline_s == pytest.approx(50.0 + budget_s, abs=0.001)
    assert inbound.context.criticality is level
    assert inbound.context.baggage == entries


@given(st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=60))))
def test_no_header_can_break_reading(headers: list[tuple[bytes, bytes]]) -> None:
    """Bytes from outside never raise."""
    named = [
        (name, value)
        for value_name, value in headers
        for name in (value_name, b"traceparent", b"baggage", b"grpc-timeout", b"breakwater-caller")
    ]
    read_headers(named, 0.0)


def test_an_identifier_is_never_all_zeros() -> None:
    """A trace id of zeros is invalid by the standard."""
    assert len(new_id(16)) == 32
    assert new_id(8).strip("0")


def test_a_deadline_never_moves_out(clock: FakeClock) -> None:
    """An inner limit may be nearer than the outer one, never farther."""
    assert ctx.remaining_s(clock) is None
    with ctx.deadline(1.0, clock):
        with ctx.deadline(5.0, clock):
            assert ctx.remaining_s(clock) == pytest.approx(1.0)
        with ctx.deadline(0.2, clock):
            clock.advance(0.5)
            assert ctx.remaining_s(clock) == pytest.approx(-0.3)
    assert ctx.remaining_s(clock) is None


def test_blocks_restore_what_was_before() -> None:
    """Criticality and baggage hold for the block only."""
    with ctx.criticality(Criticality.SHEDDABLE), ctx.baggage(cell="b"), ctx.baggage(user="7"):
        assert ctx.current().criticality is Criticality.SHEDDABLE
        assert ctx.current().baggage == {"cell": "b", "user": "7"}
    assert ctx.current() == CallContext()
