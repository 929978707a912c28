"""Long lists kept as pages."""

import gzip
import json
import xml.etree.ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from breakwater.registry.eureka.forms import JSON, XML
from breakwater.registry.eureka.packing import gzip_of, part_of
from breakwater.registry.eureka.pages import FULL, Pages

Held = dict[str, dict[str, int]]
STEPS = st.lists(
    st.tuples(st.sampled_from("ABCDE"), st.integers(0, 90), st.integers(0, 3)), max_size=300
)


def as_json(pages: Pages) -> Held:
    """What a reader of the JSON list finds, application by application."""
    parts = [page.part(frame) for page, frame in pages.frames()]
    text = b"".join(page.text(frame) for page, frame in pages.frames())
    assert gzip.decompress(gzip_of(parts)) == text
    found = json.loads(JSON.heading("1", "") + text + JSON.ending)["applications"]["application"]
    names = [app["name"] for app in found]
    assert len(names) == len(set(names))
    return {app["name"]: {one["id"]: one["v"] for one in app["instance"]} for app in found}


def fragment(instance_id: str, value: int) -> bytes:
    """One instance, small."""
    return json.dumps({"id": instance_id, "v": value}).encode()


@given(steps=STEPS)
def test_pages_hold_what_was_put_and_not_dropped(steps: list[tuple[str, int, int]]) -> None:
    """Whatever comes and goes, the list holds each instance once, under its application."""
    pages = Pages(JSON)
    held: dict[str, dict[str, int]] = {}
    for app, number, value in steps:
        name = f"i-{number}"
        if value:
            pages.put(app, name, fragment(name, value))
            held.setdefault(app, {})[name] = value
        else:
            pages.drop(app, name)
            held.get(app, {}).pop(name, None)
    present = {app: members for app, members in held.items() if members}
    assert as_json(pages) == present
    assert len(pages) == sum(map(len, present.values()))
    assert all(0 < page.size <= FULL for page, _ in pages.frames())


def test_pages_do_not_wear_thin() -> None:
    """After most have gone, what is left has moved together."""
    pages = Pages(JSON)
    for number in range(20 * FULL):
        pages.put(f"A{number % 3}", f"i-{number}", fragment(f"i-{number}", 1))
    for number in range(20 * FULL):
        if number % 16:
            pages.drop(f"A{number % 3}", f"i-{number}")
    assert len(pages) == 20 * FULL // 16
    assert len(list(pages.frames())) <= 9
    assert sum(map(len, as_json(pages).values())) == len(pages)


def test_many_small_applications_share_pages() -> None:
    """However applications grow in turn, pages are not left half empty."""
    pages = Pages(JSON)
    for number in range(1_500):
        pages.put(f"A{number % 300}", f"i-{number}", fragment(f"i-{number}", 1))
    assert len(list(pages.frames())) <= 1.4 * 1_500 / FULL
    assert {len(members) for members in as_json(pages).values()} == {5}


def test_a_change_costs_one_page() -> None:
    """All pages but the one that was written on keep their packed form."""
    pages = Pages(JSON)
    for number in range(10 * FULL):
        pages.put("A", f"i-{number}", fragment(f"i-{number}", 1))
    before = [page.part(frame) for page, frame in pages.frames()]
    pages.put("A", "i-100", fragment("i-100", 2))
    after = [page.part(frame) for page, frame in pages.frames()]
    assert sum(one is not two for one, two in zip(before, after, strict=True)) == 1


def test_pages_in_xml() -> None:
    """The same pages in the other spelling, whose parts need nothing between them."""
    pages = Pages(XML)
    for number in range(3 * FULL):
        pages.put("A" if number % 9 else "B", f"i-{number}", b"<instance>%d</instance>" % number)
    text = b"".join(page.text(frame) for page, frame in pages.frames())
    root = ET.fromstring(XML.heading("1", "UP_1_") + text + XML.ending)
    assert {app.findtext("name"): len(app) - 1 for app in root.findall("application")} == {
        "A": 170,
        "B": 22,
    }


def test_one_application_can_be_had_alone() -> None:
    """One with pages of its own can be answered from them; one that shares a page cannot."""
    pages = Pages(JSON)
    pages.put("B", "b", fragment("b", 1))
    for number in range(2 * FULL):
        pages.put("A", f"i-{number}", fragment(f"i-{number}", 1))
    frames = pages.frames_of("A")
    assert frames is not None
    text = b"".join(page.text(frame) for page, frame in frames)
    assert len(json.loads(text)["instance"]) == 2 * FULL
    pages.put("C", "c", fragment("c", 1))
    assert pages.frames_of("B") is None
    assert pages.frames_of("D") is None
    assert part_of(b"").size == 0
