"""Series read by the pairs they are spelled with are the series that their text means."""

import json

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.ingest.memory_sink import MemorySink
from tests.ingest.remote_write_encoding import delimited, label, packed, sample, series
from tests.ingest.taking import T0, metric, payload, published, publisher, remote_writer, written

from breakwater.ingest.columns import columns_over
from breakwater.ingest.publish_text import split_tags
from breakwater.ingest.spelling import MOST_PAIRS, PairTable, ReadPair
from breakwater.ingest.tag_rules import TagRules
from breakwater.model import InvalidTagsError, canonical, sanitize, validate_tags
from breakwater.testing import FakeClock

KEYS = st.sampled_from(["name", "app", "nf.app", "nf.odd", "atlas.dstype", "k", "a b", "ключ"])
VALUES = st.sampled_from(["", "v", "hits", "count", "v v", "ü", 'q"q', "x" * 130])
SPACE = st.sampled_from(["", "", "", " ", "\n "])
MANY = st.integers(17, 24).map(lambda n: [("name", "hits"), *((f"key{i}", "v") for i in range(n))])
TAGS = st.one_of(st.lists(st.tuples(KEYS, VALUES), max_size=5), MANY)


@st.composite
def spelled_tags(draw: st.DrawFn) -> str:
    """Tags as JSON text: a key may come twice, be escaped, or have white space around it."""
    space, is_ascii = draw(SPACE), draw(st.booleans())
    pairs = [
        f"{json.dumps(key, ensure_ascii=is_ascii)}{space}:{space}{json.dumps(value)}"
        for key, value in draw(TAGS)
    ]
    return f"{{{space}{f'{space},{space}'.join(pairs)}{space}}}"


def expected_of(texts: list[str], common: dict[str, str]) -> tuple[set[str], int]:
    """The series that the texts mean, and how many mean none."""
    kept, refused = set(), 0
    for text in texts:
        tags = common | json.loads(text)
        try:
            validate_tags(tags)
            kept.add(canonical(tags))
        except InvalidTagsError:
            refused += 1
    return kept, refused


@pytest.mark.slow
@settings(deadline=None)
@given(
    st.lists(spelled_tags(), min_size=1, max_size=12),
    st.dictionaries(st.sampled_from(["name", "app", "region"]), st.just("hits"), max_size=2),
)
def test_tags_are_what_their_json_says(texts: list[str], common: dict[str, str]) -> None:
    """However tags are spelled and whatever is common, the series are those of a plain reader."""
    sink, clock = MemorySink(), FakeClock(now_ms=T0)
    metrics = ",".join(f'{{"tags":{each},"timestamp":{T0},"value":1}}' for each in texts)
    body = f'{{"tags":{json.dumps(common)},"metrics":[{metrics}]}}'.encode()
    one = publisher(sink, clock)
    kept, refused = expected_of(texts, common)
    for _ in range(2):
        taken = published(one, body)
        assert (taken.accepted, taken.refused) == (len(texts) - refused, refused)
    assert {name for name, _ in sink.points} == kept


def test_very_many_new_pairs_are_read_in_turns() -> None:
    """Every series of a payload is made, even when each of them has pairs of its own."""
    sink, clock = MemorySink(), FakeClock(now_ms=T0)
    tags = [{"name": f"m{n}", "one": f"a{n}", "two": f"b{n}"} for n in range(3_000)]
    body = payload(*(metric(float(n), T0, **each) for n, each in enumerate(tags)))
    assert published(publisher(sink, clock), body).accepted == 3_000
    assert {name: value for (name, _), value in sink.points.items()} == {
        canonical(each): float(n) for n, each in enumerate(tags)
    }


def test_very_many_odd_series_are_read_in_turns() -> None:
    """Series that must be looked at closely are all made, between others and in their order."""
    sink, clock = MemorySink(), FakeClock(now_ms=T0)
    names = ["x" * (300 if n % 7 == 0 else 3) + str(n) for n in range(4_000)]
    bodies = (series({"__name__": each, "empty": ""}, (T0, 1.0)) for each in names)
    taken = written(remote_writer(sink, clock), packed(*bodies))
    assert taken.accepted == 4_000
    cut = {each[:255] for each in names}
    assert {name.rpartition("name=")[2] for name, _ in sink.points} == cut


@pytest.mark.slow
def test_many_pairs_are_forgotten_without_harm() -> None:
    """Once more pairs are known than is allowed they are read anew, and mean the same."""
    table = PairTable(TagRules(), lambda raw: ReadPair(*json.loads(b"{%b}" % raw).popitem()))
    raws = [msgspec.json.encode({"name": "m", "own": str(n)}) for n in range(900)]
    forgot = 0
    for turn in range(120):
        texts = [raw.replace(b"own", b"own%d" % turn) for raw in raws]
        columns = columns_over(texts, np.zeros(len(raws), dtype=np.int64), np.zeros(len(raws)))
        forgot += table.make_room()
        lines, _ = table.lay(columns.text, split_tags(columns.text, columns.spans))
        last = {table.pairs[place] for place in lines[-1].tolist()}
        assert last == {("name", "m"), (f"own{turn}", "899")}
    assert forgot == 1


@pytest.mark.parametrize("count", [MOST_PAIRS, MOST_PAIRS + 1])
def test_pairs_of_a_series_are_bounded(count: int) -> None:
    """Of a series with more pairs than are read none are found, and the next one is whole."""
    texts = [json.dumps({f"k{n}": "v" for n in range(count)}).encode(), b'{"k":"v"}']
    columns = columns_over(texts, np.zeros(2, dtype=np.int64), np.zeros(2))
    found = split_tags(columns.text, columns.spans)
    sizes = (found.series[:, 1] - found.series[:, 0]).tolist()
    assert sizes == [count if count <= MOST_PAIRS else 0, 1]
    assert len(found.pairs) == sum(sizes)


NAMES = st.sampled_from(
    [
        "__name__",
        "name",
        "name_",
        "j",
        "job",
        "a.b",
        "a/b",
        "a_b",
        "nf.app",
        "atlas.dstype",
        "l" * 70,
    ]
)
TEXTS = st.sampled_from(["", "x", "api", "host:9090", "host_9090", "ü", "v" * 130, "counter"])
LABELS = st.lists(st.tuples(NAMES, TEXTS), max_size=6)


def tags_of(labels: list[tuple[str, str]]) -> str | None:
    """The series that labels become, by the rules one after the other; None when they are none."""
    tags: dict[str, str] = {}
    for name, value in labels:
        if not value:
            continue
        is_name = name == "__name__"
        key = "name" if is_name else sanitize(name)[:60]
        if not is_name and (len(key) < 2 or key == "name"):
            key += "_"
        text = sanitize(value)
        if key in tags:
            return None
        tags[key] = f"{text}_" if is_name and len(text) < 2 else text[: 255 if is_name else 120]
    tags["atlas.dstype"] = "gauge"
    try:
        validate_tags(tags)
    except InvalidTagsError:
        return None
    return canonical(tags)


@pytest.mark.slow
@settings(deadline=None)
@given(st.lists(LABELS, min_size=1, max_size=10), st.booleans())
def test_labels_become_the_tags_that_the_rules_make_of_them(
    many: list[list[tuple[str, str]]],
    is_known: bool,  # noqa: FBT001 - drawn
) -> None:
    """Together or one by one, with labels known or new, also labels that must be changed."""
    sink, clock = MemorySink(), FakeClock(now_ms=T0)
    one = remote_writer(sink, clock)
    if is_known:
        kinds = [("__name__", "hits"), *((name, text) for name in ("job", "a/b") for text in "xy")]
        written(one, packed(*(spelled_series([kinds[0], each]) for each in kinds[1:])))
    expected = [tags_of(labels) for labels in many]
    before = {name for name, _ in sink.points}
    taken = written(one, packed(*(spelled_series(labels) for labels in many)))
    assert taken.refused == expected.count(None)
    assert {name for name, _ in sink.points} == before | {each for each in expected if each}


def spelled_series(labels: list[tuple[str, str]]) -> bytes:
    """One sample of a series, whose labels may have the same name."""
    spelled = b"".join(label(name, value) for name, value in labels)
    return delimited(1, spelled + sample(T0, 1.0))
