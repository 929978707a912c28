"""Changes, events, evidence, records and acts over HTTP."""

import json
import threading
import urllib.request
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any

import anyio
import msgspec
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from tests.registry.instances import instance
from tests.registry.registry_server import DEADLINE_S, Served, served

from breakwater.model import Health, InstanceKey, SystemClock, ViewChange
from breakwater.registry import Directory, LeaseInfo, RegistrySettings, TooManyWaitersError
from breakwater.registry.http import routes
from breakwater.testing import FakeClock

BASE = "/api/v1/registry"
GONE = InstanceKey(service="ranker", instance_id="ranker-a-1")


@pytest.fixture
def directory() -> Directory:
    """A directory with one instance each of two services."""
    directory = Directory(RegistrySettings(max_callees=2, max_waiters=1), SystemClock())
    directory.registry.register("RANKER", instance(metadata={"zone": "a"}))
    directory.registry.register("FEATURES", instance("features:a/1", "FEATURES"))
    return directory


@pytest.fixture
def client(directory: Directory) -> Iterator[TestClient]:
    """A client of that registry."""
    with TestClient(Starlette(routes=routes(directory))) as client:
        yield client


def change(client: TestClient, query: str = "") -> ViewChange:
    """The answer to a question for changes."""
    answer = client.get(f"{BASE}/changes{query}")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    return msgspec.json.decode(answer.content, type=ViewChange)


def test_the_first_answer_is_everything(client: TestClient, directory: Directory) -> None:
    """Without a revision, or with one nobody knows here, everything is told."""
    for query in ("", "?revision=1&wait_s=20", "?wait_s=20"):
        told = change(client, query)
        assert (told.since, told.gone) == (None, [])
        assert told.instances == directory.view().instances
        assert told.revision == directory.native.revision


def test_only_what_changed_is_told(client: TestClient, directory: Directory) -> None:
    """With a known revision: who is new or different, and who left."""
    revision = directory.native.revision
    directory.registry.update_metadata("FEATURES", "features:a/1", {"x": "y"})
    directory.registry.cancel("RANKER", "ranker-a-1")
    told = change(client, f"?revision={revision}")
    assert (told.since, told.gone) == (revision, [GONE])
    assert [one.metadata for one in told.instances] == [{"x": "y"}]
    of_one = change(client, f"?revision={revision}&service=Ranker")
    assert (of_one.gone, of_one.instances) == ([GONE], [])
    nothing = change(client, f"?revision={told.revision}")
    assert (nothing.since, nothing.instances, nothing.gone) == (told.revision, [], [])


def test_two_servers_never_share_a_revision(clock: FakeClock) -> None:
    """What one server told is answered with everything by another that began a moment later."""
    ours = Directory(RegistrySettings(), clock)
    clock.advance(0.001)
    theirs = Directory(RegistrySettings(), clock)
    for directory in (ours, theirs):
        for number in range(3):
            directory.registry.register("RANKER", instance(f"i-{number}"))
    assert theirs.native.change(ours.native.revision).since is None
    assert ours.native.change(theirs.native.revision).since is None


def test_a_change_of_health_is_a_change(clock: FakeClock) -> None:
    """The revision moves when an instance is doubted, and when it is proven gone."""
    directory = Directory(RegistrySettings(probing=False), clock)
    directory.registry.register("RANKER", instance())
    first = directory.native.revision
    clock.advance(8)
    directory.judge.round()
    told = directory.native.change(first)
    assert [one.health for one in told.instances] == [Health.LATE]
    directory.registry.renew("RANKER", "ranker-a-1")
    assert [one.health for one in directory.native.change(told.revision).instances] == ["fresh"]


@pytest.mark.anyio
async def test_waiters_of_one_service_sleep_through_the_others(directory: Directory) -> None:
    """A waiter is woken by changes of its service, and by no other; its answer is of that one."""
    revision = directory.native.revision
    woken: list[bool] = []

    async def wait() -> None:
        woken.append(await directory.native.wait_news(revision, 60, "ranker"))

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        directory.registry.update_metadata("FEATURES", "features:a/1", {"x": "y"})
        await anyio.wait_all_tasks_blocked()
        assert woken == []
        directory.registry.update_metadata("RANKER", "ranker-a-1", {"x": "y"})
    assert woken == [True]
    assert directory.native._news == {}


@pytest.mark.slow
@pytest.mark.anyio
async def test_an_answer_is_encoded_once_for_all_who_wait(clock: FakeClock) -> None:
    """Five thousand waiters woken by one change are told with the same bytes."""
    directory = Directory(RegistrySettings(), clock)
    directory.registry.register("RANKER", instance())
    view = directory.native
    revision, before = view.revision, view.encodings
    bodies: list[bytes] = []

    async def wait() -> None:
        await view.wait_news(revision, 60)
        bodies.append(view.encoded_change(revision))

    async with anyio.create_task_group() as group:
        for _ in range(5_000):
            group.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        directory.registry.cancel("RANKER", "ranker-a-1")
    assert len({id(body) for body in bodies}) == 1
    assert (len(bodies), view.encodings - before) == (5_000, 1)


async def events_of(stream: AsyncGenerator[bytes, None], count: int) -> list[dict[str, str]]:
    """The next events of a stream, by the names of their fields; a comment under none."""
    found = []
    with anyio.fail_after(10):
        async for raw in stream:
            assert raw.endswith(b"\n\n")
            lines = raw.decode().strip().splitlines()
            found.append({name: text for name, _, text in (x.partition(": ") for x in lines)})
            if len(found) == count:
                return found
    return found


@pytest.mark.anyio
async def test_events_begin_with_everything_and_go_on(directory: Directory) -> None:
    """The first event is everything, each later one a change; its id is the revision."""
    view = directory.native
    async with aclosing(view.follow(None, "ranker")) as stream:
        (whole,) = await events_of(stream, 1)
        assert (whole["event"], whole["id"]) == ("whole", str(view.revision))
        assert view.waiters == 1
        directory.registry.update_metadata("FEATURES", "features:a/1", {"x": "y"})
        directory.registry.cancel("RANKER", "ranker-a-1")
        (left,) = await events_of(stream, 1)
        assert left["event"] == "change"
        assert msgspec.json.decode(left["data"], type=ViewChange).gone == [GONE]
    assert view.waiters == 0
    async with aclosing(view.follow(int(whole["id"]))) as stream:
        (resumed,) = await events_of(stream, 1)
        told = msgspec.json.decode(resumed["data"], type=ViewChange)
        assert (resumed["event"], told.since) == ("change", int(whole["id"]))


@pytest.mark.anyio
async def test_a_quiet_stream_says_that_it_is_alive(directory: Directory) -> None:
    """Without news a comment is sent, and the stream ends with the server."""
    view = directory.native
    async with aclosing(view.follow(view.revision, alive_s=0.001)) as stream:
        assert await events_of(stream, 2) == [{"": "alive"}, {"": "alive"}]
    ended: list[list[dict[str, str]]] = []

    async def follow() -> None:
        async with aclosing(view.follow(view.revision)) as stream:
            ended.append(await events_of(stream, 1))

    async with anyio.create_task_group() as group:
        group.start_soon(follow)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(TooManyWaitersError):
            view.check_place()
        directory.close()
    assert ended == [[]]


def test_a_stream_over_http() -> None:
    """A real client is told everything, then a change, and may resume where it was."""
    with served() as place:
        place.registry.register("RANKER", instance())
        seen: list[bytes] = []
        begun = threading.Event()

        def follow(headers: dict[str, str], lines: int) -> None:
            request = urllib.request.Request(f"{place.url}{BASE}/events", headers=headers)
            with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
                assert answer.headers["content-type"].startswith("text/event-stream")
                for _ in range(lines):
                    seen.append(answer.readline().strip())
                    begun.set()

        reader = threading.Thread(target=follow, args=({}, 8))
        reader.start()
        assert begun.wait(DEADLINE_S)
        _cancel(place)
        reader.join(DEADLINE_S)
        first, last = seen[0].removeprefix(b"id: "), seen[4].removeprefix(b"id: ")
        assert int(last) > int(first)
        assert [seen[1], seen[5]] == [b"event: whole", b"event: change"]
        assert msgspec.json.decode(seen[6][6:], type=ViewChange).gone == [GONE]
        seen.clear()
        follow({"last-event-id": first.decode()}, 3)
        assert seen[1] == b"event: change"


def _cancel(place: Served) -> None:
    url = f"{place.url}/eureka/apps/RANKER/ranker-a-1"
    request = urllib.request.Request(url, method="DELETE")
    with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
        assert answer.status == 200


def report(*names: str, **counts: int) -> dict[str, Any]:
    """What a gateway saw of instances of ranker."""
    callees = [{"service": "Ranker", "instance_id": name, **counts} for name in names]
    caller = {"service": "gateway", "instance_id": "g-1"}
    return {"caller": caller, "window_s": 1.0, "callees": callees}


def test_evidence_is_taken_and_shown(client: TestClient) -> None:
    """What a caller reports stands in the record of the instance; the unknown are counted."""
    answer = client.post(f"{BASE}/evidence", json=report("ranker-a-1", "x", calls=5, failures=2))
    assert (answer.status_code, answer.json()) == (202, {"taken": 1, "unknown": 1})
    record = client.get(f"{BASE}/instances/ranker/ranker-a-1").json()
    (told,) = record["callers"]
    assert told["caller"] == {"service": "gateway", "instance_id": "g-1"}
    assert (told["saw"]["calls"], told["saw"]["failures"]) == (5, 2)


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        (b"{}", 400, "not a CallerReport"),
        (b"[" * 10_000, 400, "not a CallerReport"),
        (json.dumps(report("a", "b", "c")).encode(), 400, "3 instances; at most 2"),
        (b" " * (1 << 20) + b"{}", 413, "1048576"),
    ],
)
def test_evidence_is_bounded(client: TestClient, body: bytes, status: int, told: str) -> None:
    """A report that cannot be read, or is too much, is refused as a whole."""
    answer = client.post(f"{BASE}/evidence", content=body)
    assert (answer.status_code, answer.json()["type"]) == (status, "error")
    assert told in answer.json()["message"]


def test_the_record_of_one_instance(client: TestClient, directory: Directory) -> None:
    """It has the instance as callers see it, its terms, its heartbeats, and how it came to that."""
    registry = directory.registry
    registry.register("RANKER", instance(lease=LeaseInfo(duration_s=15, renewal_interval_s=5)))
    registry.renew("RANKER", "ranker-a-1")
    record = client.get(f"{BASE}/instances/RANKER/ranker-a-1").json()
    assert record["instance"] == msgspec.to_builtins(directory.native.view("ranker").instances[0])
    assert (record["lease"]["duration_s"], record["heartbeats"]["renewals"]) == (15, 1)
    assert 14 < record["lease"]["ends_in_s"] <= 15
    assert (record["reason"], record["override"], record["acts"], record["probes"]) == (
        "",
        "",
        [],
        [],
    )
    assert record["description"]["health_check_url"] == ""
    slashed = client.get(f"{BASE}/instances/features/features%3Aa%2F1")
    assert slashed.json()["instance"]["instance_id"] == "features:a/1"
    unknown = client.get(f"{BASE}/instances/ranker/nobody")
    assert (unknown.status_code, unknown.json()["message"]) == (
        404,
        "no instance nobody of ranker is registered; there are: ranker-a-1",
    )


def test_acts_over_http(client: TestClient, directory: Directory) -> None:
    """Asked for, listed, shown with the instance, asked for again, undone, and gone."""
    wanted = {"kind": "drain", "service": "ranker", "instance_id": "ranker-a-1", "actor": "ann"}
    made = client.post(f"{BASE}/acts", json=wanted)
    assert made.status_code == 201
    act = made.json()
    again = client.post(f"{BASE}/acts", json=wanted)
    assert (again.status_code, again.json()) == (200, act)
    assert client.get(f"{BASE}/acts?service=RANKER").json() == {"acts": [act]}
    assert client.get(f"{BASE}/acts?service=features").json() == {"acts": []}
    record = client.get(f"{BASE}/instances/ranker/ranker-a-1").json()
    assert (record["acts"], record["override"]) == ([act], "OUT_OF_SERVICE")
    over = client.delete(f"{BASE}/acts/{act['id']}?actor=bob")
    assert (over.status_code, over.json()["ended_by"]) == (200, "bob")
    assert client.delete(f"{BASE}/acts/{act['id']}").status_code == 404
    assert client.get(f"{BASE}/acts").json() == {"acts": []}
    assert client.get(f"{BASE}/acts?all=true").json() == {"acts": [over.json()]}
    assert directory.native.view("ranker").instances[0].status == "UP"


@pytest.mark.parametrize(
    ("more", "status", "told"),
    [
        ({"kind": "delete"}, 400, "Invalid enum value 'delete'"),
        ({"for_s": 0}, 400, "for_s"),
        ({"for_s": 1e9}, 400, "for_s"),
        ({"actor": ""}, 400, "actor"),
        ({"reason": "x" * 1_001}, 400, "reason"),
        ({"other": 1}, 400, "other"),
        ({"kind": "override"}, 400, "needs a status"),
        ({"instance_id": "nobody"}, 404, "there are: ranker-a-1"),
        ({"reason": "x" * 20_000}, 413, "16384"),
    ],
)
def test_acts_that_cannot_be(
    client: TestClient, more: dict[str, Any], status: int, told: str
) -> None:
    """What is wrong is named, and nothing is done."""
    wanted = {"kind": "pin", "service": "ranker", "instance_id": "ranker-a-1", "actor": "ann"}
    answer = client.post(f"{BASE}/acts", json={**wanted, **more})
    assert (answer.status_code, answer.json()["type"]) == (status, "error")
    assert told in answer.json()["message"]
    assert client.get(f"{BASE}/acts").json() == {"acts": []}


@pytest.mark.parametrize(
    "lie",
    [
        {"window_s": -1e9},
        {"callees": [{"service": "ranker", "instance_id": "ranker-a-1", "failures": -5}]},
        {"callees": [{"service": "ranker", "instance_id": "ranker-a-1", "breaker": "x" * 65}]},
        {"caller": {"service": "gateway", "instance_id": "g" * 513}},
    ],
)
def test_reports_that_would_never_age_or_be_too_long_are_refused(
    client: TestClient, directory: Directory, lie: dict[str, object]
) -> None:
    """A window that begins in the future, counts below nothing and endless names are not taken."""
    honest = {
        "caller": {"service": "gateway", "instance_id": "g-1"},
        "window_s": 5.0,
        "callees": [{"service": "ranker", "instance_id": "ranker-a-1", "calls": 1}],
    }
    assert client.post(f"{BASE}/evidence", json={**honest, **lie}).status_code == 400
    assert directory.stats().judge.callers == 0
    assert client.post(f"{BASE}/evidence", json=honest).status_code == 202
