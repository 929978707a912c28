"""The two ways publish JSON is read: the compiled one gives what the general one does, or none."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.ingest.taking import T0, metric, payload

from breakwater.ingest.errors import InputError
from breakwater.ingest.publish_text import PublishText, decoded, scanned, separated


def in_general(body: bytes) -> PublishText:
    """The payload as the general decoder reads it."""
    apart = separated(body)
    return PublishText(apart.common, decoded(apart.metrics))


def spelled(text: PublishText) -> list[tuple[bytes, int, str]]:
    """What a payload says, so that it can be compared: values by their exact spelling."""
    columns = text.columns
    return [
        (columns.spelling(n), int(columns.stamps[n]), repr(float(columns.values[n])))
        for n in range(len(columns.stamps))
    ]


def check_agreement(body: bytes) -> bool:
    """Whether the compiled loops knew the payload; if they did, the general decoder agrees."""
    found = scanned(body)
    if found is None:
        return False
    expected = in_general(body)
    assert found.common == expected.common
    assert spelled(found) == spelled(expected)
    return True


SPACE = st.sampled_from(["", "", "", " ", "\n", "\t \r\n"])
PLAIN = st.text("abcXYZ019.-_^~ !#[]{}:,/", max_size=20)
TEXT = st.one_of(PLAIN, PLAIN, PLAIN, st.text(max_size=12))
NUMBER = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(10**20), 10**20).map(str),
    st.tuples(st.integers(-(10**18), 10**18), st.integers(-70, 70)).map(lambda t: f"{t[0]}e{t[1]}"),
    st.decimals(allow_nan=False, allow_infinity=False, places=4).map(str),
    st.sampled_from(
        ["-0", "-0.0", "0.0", "0e5", "01", "1.", ".5", "-", "+1", "1E+5", "1e400", "0x1"]
    ),
)
STAMP = st.one_of(st.just(str(T0)), st.integers(-(10**19), 10**19).map(str), NUMBER)
VALUE = st.one_of(NUMBER, NUMBER, st.sampled_from(['"NaN"', "null", "true", '"x"', "[1]", "{}"]))


@st.composite
def objects(draw: st.DrawFn, members: st.SearchStrategy[tuple[str, str]], most: int) -> str:
    """An object as JSON text with white space here and there; keys may come twice."""
    pairs = draw(st.lists(members, max_size=most))
    space = draw(SPACE)
    inside = f"{space},{space}".join(
        f"{json.dumps(key, ensure_ascii=draw(st.booleans()))}{space}:{space}{value}"
        for key, value in pairs
    )
    return f"{{{space}{inside}{space}}}"


TAGS = objects(st.tuples(TEXT, TEXT.map(json.dumps)), most=4)
WHOLE_METRIC = st.tuples(TAGS, STAMP, VALUE, st.permutations(["tags", "timestamp", "value"])).map(
    lambda t: (
        "{"
        + ",".join(
            f'"{key}": {dict(zip(("tags", "timestamp", "value"), t, strict=False))[key]}'
            for key in t[3]
        )
        + "}"
    )
)
ODD_METRIC = objects(
    st.tuples(
        st.sampled_from(["tags", "timestamp", "value", "start", "values", "other", "valuf"]),
        st.one_of(TAGS, STAMP, VALUE),
    ),
    most=5,
)
METRICS = st.lists(st.one_of(WHOLE_METRIC, WHOLE_METRIC, WHOLE_METRIC, ODD_METRIC), max_size=4).map(
    lambda metrics: f"[{','.join(metrics)}]"
)
PAYLOAD = st.one_of(
    st.tuples(TAGS, METRICS).map(lambda t: f'{{"tags":{t[0]},"metrics":{t[1]}}}'),
    st.tuples(METRICS, TAGS, SPACE).map(lambda t: f'{{"metrics":{t[0]},"tags":{t[1]}}}{t[2]}'),
    METRICS.map(lambda metrics: f'{{"metrics":{metrics}}}'),
    objects(st.tuples(st.sampled_from(["tags", "metrics", "x"]), st.one_of(TAGS, METRICS)), most=3),
)


@pytest.mark.slow
@settings(max_examples=2_000, deadline=None)
@given(PAYLOAD)
def test_odd_payloads_are_read_alike(text: str) -> None:
    """Whatever the payload says and however it is written, both ways agree or one passes."""
    body = text.encode("utf-8", "surrogatepass")
    try:
        expected = in_general(body)
    except InputError:
        assert scanned(body) is None
        return
    found = scanned(body)
    if found is not None:
        assert (found.common, spelled(found)) == (expected.common, spelled(expected))


@pytest.mark.slow
@settings(max_examples=1_000, deadline=None)
@given(PAYLOAD, st.data())
def test_broken_payloads_are_read_alike(text: str, data: st.DataObject) -> None:
    """A byte more, less or other at any place: what one way refuses the other does not read."""
    body = bytearray(text.encode("utf-8", "surrogatepass"))
    place = data.draw(st.integers(0, len(body) - 1))
    how = data.draw(st.sampled_from(["cut", "drop", "set", "add"]))
    byte = data.draw(st.one_of(st.sampled_from(b'",:{}[]0-.eE \\\x00\x1f'), st.integers(0, 255)))
    if how == "cut":
        del body[place:]
    elif how == "drop":
        del body[place]
    elif how == "set":
        body[place] = byte
    else:
        body.insert(place, byte)
    check_agreement(bytes(body))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_are_read_to_the_nearest_double(number: float) -> None:
    """A number is the double its text is nearest to, or it is left to the general decoder."""
    found = scanned(payload(metric(number, name="hits")))
    if 1e-40 < abs(number) < 1e40 or number == 0:
        assert found is not None
    if found is not None:
        assert math.copysign(1, found.columns.values[0]) == math.copysign(1, number)
        assert found.columns.values[0] == number


@given(st.integers(2**53, 2**62), st.integers(-20, 20))
def test_numbers_half_way_between_doubles_are_rounded_to_even(mantissa: int, power: int) -> None:
    """Nineteen digits and a power of ten are rounded as Python rounds them."""
    text = f"{mantissa}e{power}"
    found = scanned(b'{"metrics":[{"tags":{},"timestamp":1,"value":%b}]}' % text.encode())
    assert found is not None
    assert found.columns.values[0] == float(text)


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("value", [1, 0, -2.5, 1e-7, 123456.789, "NaN", 0.1 + 0.2])
def test_the_usual_shape_is_read_by_the_compiled_loops(indent: int | None, value: object) -> None:
    """What clients send needs no general decoder, however it is laid out."""
    document = {"tags": {"nf.app": "x"}, "metrics": [metric(value, name="hits")] * 3}
    assert check_agreement(json.dumps(document, indent=indent).encode())
    assert check_agreement(json.dumps({"metrics": []}, indent=indent).encode())


@pytest.mark.parametrize(
    "text",
    [
        '{"metrics":[{"tags":{"name":"a\\u0062"},"timestamp":1,"value":1}]}',
        '{"metrics":[{"tags":{"name":"ä"},"timestamp":1,"value":1}]}',
        '{"metrics":[{"tags":{"name":"a"},"timestamp":1,"value":1,"value":2}]}',
        '{"metrics":[{"tags":{"name":"a"},"start":1,"values":[1]}]}',
        '{"metrics":[{"tags":{"name":"a"},"timestamp":1.5,"value":1}]}',
        '{"metrics":[{"tags":{"name":"a"},"timestamp":1,"value":1,"more":[{}]}]}',
        '{"metrics":[{"tags":{"name":"a"},"timestamp":1,"value":1}],"more":{"tags":{}}}',
        '{"metrics":[{"tags":{"name":"a"},"timestamp":1,"value":12345678901234567890}]}',
        '{"metrics":[{"tags":{"name":"a"},"timestamp":1,"value":1e-300}]}',
    ],
)
def test_unusual_payloads_are_left_to_the_general_decoder(text: str) -> None:
    """What the compiled loops do not know is no error, and is read all the same."""
    assert scanned(text.encode()) is None
    assert len(in_general(text.encode()).columns.stamps) == 1


def test_columns_point_into_the_text() -> None:
    """Where the tags of each metric stand is told, and its stamp and value."""
    found = scanned(payload(metric(1.5, at=5, name="a"), metric("NaN", at=-6, name="b"), app="x"))
    assert found is not None
    columns = found.columns
    assert found.common == b'{"app": "x"}'
    assert [columns.spelling(n) for n in range(2)] == [b'{"name": "a"}', b'{"name": "b"}']
    assert columns.stamps.tolist() == [5, -6]
    assert np.isnan(columns.values).tolist() == [False, True]


PAIRS = st.lists(
    st.tuples(
        st.sampled_from(["name", "k", "key", "zone.long"]), st.sampled_from(["v", "vw", "x"])
    ),
    max_size=6,
)
CHANGES = st.lists(
    st.tuples(st.sampled_from(["set", "drop", "add", "space", "same"]), st.integers(0, 5)),
    max_size=2,
)


@st.composite
def metrics_alike(draw: st.DrawFn) -> str:
    """Metrics of which each has most of the tags of the one before, at most some bytes apart."""
    pairs = [f'"{key}":"{value}"' for key, value in draw(PAIRS)]
    metrics = []
    for _ in range(draw(st.integers(1, 6))):
        for what, place in draw(CHANGES):
            if what == "add":
                pairs.insert(place, f'"n{place}":"{draw(PLAIN)}"')
            elif place < len(pairs) and what == "drop":
                del pairs[place]
            elif place < len(pairs) and what == "set":
                pairs[place] = f'{pairs[place][:-1]}{draw(st.sampled_from(["y", "é", "{", ","]))}"'
            elif place < len(pairs) and what == "space":
                pairs[place] += " "
        metrics.append(f'{{"tags":{{{",".join(pairs)}}},"timestamp":{T0},"value":1}}')
    return f'{{"metrics":[{",".join(metrics)}]}}'


@pytest.mark.slow
@settings(max_examples=500, deadline=None)
@given(metrics_alike(), st.data())
def test_what_metrics_have_in_common_is_read_alike(text: str, data: st.DataObject) -> None:
    """Tags that are those of the metric before, in part or whole, broken or not."""
    body = bytearray(text.encode())
    if data.draw(st.booleans()):
        place = data.draw(st.integers(0, len(body) - 1))
        body[place] = data.draw(st.sampled_from(list(b'"{}[]:, aN\\')))
    try:
        expected = in_general(bytes(body))
    except InputError:
        assert scanned(bytes(body)) is None
        return
    found = scanned(bytes(body))
    if found is not None:
        assert (found.common, spelled(found)) == (expected.common, spelled(expected))


@pytest.mark.parametrize("count", [255, 256, 257])
def test_very_many_tags_are_left_to_the_general_decoder(count: int) -> None:
    """The compiled loops keep the places of so many tags and no more."""
    tags = {f"k{n}": "v" for n in range(count)}
    body = payload(*(metric(float(n), T0, **tags) for n in range(3)))
    assert check_agreement(body) == (count <= 256)
