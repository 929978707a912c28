"""Encoded answers that are kept."""

import gzip
import json
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.registry.instances import instance

from breakwater.registry import InstanceStatus, Registry, RegistrySettings, UnknownInstanceError
from breakwater.registry.eureka.answers import Answers
from breakwater.registry.eureka.forms import Answer, Form
from breakwater.testing import FakeClock

FORM = Form(is_json=True)
COMPACT = Form(is_json=True, is_compact=True)

pytestmark = pytest.mark.anyio


def read(answer: Answer) -> dict[str, Any]:
    """The list in an answer, whether packed or not."""
    body = gzip.decompress(answer.body) if answer.is_packed else answer.body
    found: dict[str, Any] = json.loads(body)
    return found


def rows_of(answer: Answer) -> dict[tuple[str, str], tuple[str, str]]:
    """Application and id -> status and action, of a list of applications."""
    return {
        (app["name"], one["instanceId"]): (one["status"], one["actionType"])
        for app in read(answer)["applications"]["application"]
        for one in app["instance"]
    }


@pytest.fixture
def registry() -> Registry:
    """An empty registry."""
    return Registry(RegistrySettings(), FakeClock())


async def test_one_revision_is_encoded_once(registry: Registry) -> None:
    """The same bytes are given until something changes; so is their gzip form."""
    for number in range(4):
        registry.register("A", instance(f"i-{number}", "A"))
    answers = Answers(registry)
    whole, packed = await answers.whole(FORM), await answers.whole(FORM, packs=True)
    assert (whole.is_packed, packed.is_packed) == (False, True)
    registry.renew("A", "i-0")
    assert await answers.whole(FORM) is whole
    assert await answers.whole(FORM, packs=True) is packed
    delta = await answers.delta(FORM)
    assert await answers.delta(FORM) is delta
    registry.cancel("A", "i-0")
    assert await answers.whole(FORM) is not whole
    assert await answers.delta(FORM) is not delta
    assert len(rows_of(await answers.whole(FORM, packs=True))) == 3


async def test_parts_are_kept_until_they_change(registry: Registry) -> None:
    """A change elsewhere leaves the answers about one application and one address as they are."""
    registry.register("A", instance("a", "A", vip_address="va", secure_vip_address="sa"))
    registry.register("B", instance("b", "B", vip_address="vb"))
    answers = Answers(registry)
    app = await answers.application("a", FORM)
    vip = await answers.behind_address("va", FORM, is_secure=False)
    svip = await answers.behind_address("sa", FORM, is_secure=True)
    registry.update_metadata("B", "b", {"x": "y"})
    assert await answers.application("A", FORM) is app
    assert await answers.behind_address("va", FORM, is_secure=False) is vip
    registry.update_metadata("A", "a", {"x": "y"})
    assert await answers.application("A", FORM) is not app
    assert await answers.behind_address("va", FORM, is_secure=False) is not vip
    again = await answers.behind_address("sa", FORM, is_secure=True)
    assert again is not svip
    assert rows_of(again) == {("A", "a"): ("UP", "MODIFIED")}
    registry.cancel("A", "a")
    with pytest.raises(UnknownInstanceError):
        await answers.behind_address("va", FORM, is_secure=False)
    with pytest.raises(UnknownInstanceError):
        await answers.application("A", FORM)
    registry.register("A", instance("a", "A"))
    assert await answers.application("A", FORM) is not app


@pytest.mark.parametrize("packs", [False, True])
async def test_a_large_application_comes_from_its_pages(registry: Registry, *, packs: bool) -> None:
    """However it is put together, one application holds all of its instances and no other."""
    for number in range(300):
        registry.register("A", instance(f"i-{number}", "A"))
        registry.register("B", instance(f"i-{number}", "B"))
    found = read(await Answers(registry).application("A", FORM, packs=packs))["application"]
    assert found["name"] == "A"
    names = {one["instanceId"] for one in found["instance"] if one["app"] == "A"}
    assert (len(names), len(found["instance"])) == (300, 300)
    behind = await Answers(registry).behind_address("a", FORM, is_secure=False, packs=packs)
    assert (behind.is_packed, len(rows_of(behind))) == (packs, 300)


async def test_bytes_of_instances_that_left_are_dropped(registry: Registry) -> None:
    """However many instances come and go, nothing of them is kept."""
    answers = Answers(registry)
    for number in range(300):
        registry.register("A", instance(f"i-{number}", "A"))
        await answers.application("A", FORM)
        await answers.whole(COMPACT)
        registry.cancel("A", f"i-{number}")
    assert answers.stats().fragments == 0
    assert rows_of(await answers.whole(COMPACT)) == {}


async def test_a_form_nobody_asks_for_is_forgotten() -> None:
    """Changes are noted for a form for a while; then it is made anew when asked for again."""
    registry = Registry(RegistrySettings(), FakeClock())
    answers = Answers(registry)
    await answers.whole(FORM)
    for number in range(5_000):
        registry.register("A", instance(f"i-{number}", "A"))
        registry.cancel("A", f"i-{number}")
    registry.register("A", instance("last", "A"))
    assert set(rows_of(await answers.whole(FORM))) == {("A", "last")}


async def test_a_crowd_is_answered_with_one_copy(registry: Registry) -> None:
    """Many who ask at the same time after a change get the same bytes, made once."""
    for number in range(400):
        registry.register(f"A{number % 7}", instance(f"i-{number}", f"A{number % 7}"))
    answers = Answers(registry)
    got: list[Answer] = []

    async def ask() -> None:
        got.append(await answers.whole(FORM, packs=True))

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(ask)
    assert len(got) == 20
    assert all(each is got[0] for each in got)
    assert (answers.stats().lists, answers.stats().lists_made) == (1, 1)
    assert len(rows_of(got[0])) == 400


async def test_a_crowd_at_a_large_part_is_answered_with_one_copy(registry: Registry) -> None:
    """So it is for everybody behind an address, and for an application."""
    for number in range(300):
        registry.register("A", instance(f"i-{number}", "A"))
    answers = Answers(registry)
    behind: list[Answer] = []
    apps: list[Answer] = []

    async def ask() -> None:
        behind.append(await answers.behind_address("a", FORM, is_secure=False, packs=True))
        apps.append(await answers.application("A", FORM, packs=True))

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(ask)
    assert all(each is behind[0] for each in behind)
    assert all(each is apps[0] for each in apps)
    assert answers.stats().small_answers_bytes == len(behind[0].body) + len(apps[0].body)


async def test_a_change_while_it_is_written_is_in_the_answer(registry: Registry) -> None:
    """Others have their turn while a long list is written; what they change is in it."""
    for number in range(400):
        registry.register("A", instance(f"i-{number}", "A"))
    answers = Answers(registry)
    got: list[Answer] = []

    async def ask() -> None:
        got.append(await answers.whole(FORM, packs=True))

    async def change() -> None:
        registry.cancel("A", "i-0")
        registry.register("A", instance("late", "A"))

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        group.start_soon(change)
    rows = rows_of(got[0])
    assert len(rows) == 400
    assert read(got[0])["applications"]["apps__hashcode"] == "UP_400_"
    assert ("A", "late") in rows
    assert ("A", "i-0") not in rows


STEP = st.tuples(
    st.sampled_from(["register", "down", "cancel", "tick", "label"]),
    st.sampled_from(["A", "B", "C"]),
    st.integers(0, 3),
)


@settings(max_examples=60)
@given(rounds=st.lists(st.lists(STEP, max_size=8), min_size=1, max_size=8))
def test_every_list_is_what_the_registry_holds(
    rounds: list[list[tuple[str, str, int]]],
) -> None:
    """After any changes: whole lists, deltas, codes and addresses agree with the registry."""
    anyio.run(_check_rounds, rounds)


async def _check_rounds(rounds: list[list[tuple[str, str, int]]]) -> None:
    clock = FakeClock()
    registry = Registry(RegistrySettings(), clock)
    answers = Answers(registry)
    for steps in rounds:
        for step in steps:
            _perform(registry, clock, *step)
        whole = await answers.whole(FORM, packs=True)
        present = {
            (info.app, info.instance_id): (info.status.value, info.action.value)
            for info in registry.infos()
        }
        assert rows_of(whole) == present
        assert rows_of(await answers.delta(FORM)) == {
            (info.app, info.instance_id): (info.status.value, info.action.value)
            for info in registry.recent()
        }
        statuses = [status for status, _ in present.values()]
        code = "".join(f"{name}_{statuses.count(name)}_" for name in sorted(set(statuses)))
        assert read(whole)["applications"]["apps__hashcode"] == code
        for app in ("a", "b", "c"):
            behind = {key: row for key, row in present.items() if key[0] == app.upper()}
            if behind:
                assert rows_of(await answers.behind_address(app, FORM, is_secure=False)) == behind
                one = read(await answers.application(app, FORM))["application"]["instance"]
                assert len(one) == len(behind)


def _perform(registry: Registry, clock: FakeClock, deed: str, app: str, number: int) -> None:
    name = f"{app}-{number}"
    try:
        if deed == "register":
            registry.register(app, instance(name, app, last_dirty_ms=clock.now_ms()))
        elif deed == "down":
            down = instance(name, app, status=InstanceStatus.DOWN, last_dirty_ms=clock.now_ms())
            registry.register(app, down)
        elif deed == "label":
            registry.update_metadata(app, name, {"at": str(clock.now_ms())})
        elif deed == "cancel":
            registry.cancel(app, name)
        else:
            clock.advance(70)
            registry.evict()
    except UnknownInstanceError:
        return  # a random deed may well name an instance that is gone
