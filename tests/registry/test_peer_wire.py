"""What registries say to each other, and what they make of it."""

import asyncio
import json

import aiohttp
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.registry.instances import any_instance, instance

from breakwater.registry import (
    InstanceInfo,
    InstanceStatus,
    InvalidInstanceError,
    Registry,
    RegistrySettings,
    UnusablePeerError,
)
from breakwater.registry.errors import PeerFailedError
from breakwater.registry.holding.happenings import Deed, Happening, Origin
from breakwater.registry.peers.address import peer_address
from breakwater.registry.peers.batch import (
    Entry,
    Outcome,
    Rider,
    read_batch,
    read_outcomes,
    write_batch,
    write_outcomes,
)
from breakwater.registry.peers.digest import Digest, mark_of
from breakwater.registry.peers.hearing import Hearing
from breakwater.registry.peers.outbox import BATCH, Outbox, Task, TaskAction
from breakwater.registry.peers.peering import Peering
from breakwater.registry.peers.receiving import received
from breakwater.registry.peers.wire import PeerWire
from breakwater.testing import FakeClock


def task(
    action: TaskAction = TaskAction.REGISTER,
    instance_id: str = "ranker-a-1",
    *,
    made_s: float = 0.0,
    expires_s: float = 30.0,
    metadata: dict[str, str] | None = None,
    status: InstanceStatus = InstanceStatus.UP,
) -> Task:
    """A task about a small instance."""
    return Task(
        action=action,
        info=instance(instance_id, metadata=metadata or {}, status=status),
        override_ms=7,
        made_s=made_s,
        expires_s=expires_s,
    )


def test_a_batch_is_spelled_as_eureka_spells_it() -> None:
    """To a classic peer goes what its own kind would send, and nothing else."""
    told = [
        task(),
        task(TaskAction.HEARTBEAT),
        task(TaskAction.CANCEL),
        task(TaskAction.STATUS_UPDATE, status=InstanceStatus.OUT_OF_SERVICE),
        task(TaskAction.DELETE_STATUS_OVERRIDE),
    ]
    document = json.loads(write_batch(told, None))
    assert list(document) == ["replicationList"]
    entries = document["replicationList"]
    assert [entry["action"] for entry in entries] == [
        "Register", "Heartbeat", "Cancel", "StatusUpdate", "DeleteStatusOverride",
    ]  # fmt: skip
    described = entries[0].pop("instanceInfo")
    assert described["instanceId"] == "ranker-a-1"
    assert entries[0] == {
        "appName": "RANKER", "id": "ranker-a-1", "lastDirtyTimestamp": 1000,
        "overriddenStatus": "UNKNOWN", "status": "UP", "action": "Register",
    }  # fmt: skip
    assert all("instanceInfo" not in entry for entry in entries[1:])


def test_a_batch_of_a_eureka_server_is_read() -> None:
    """Numbers as text, a wrapped instance and fields nobody knows are taken."""
    body = {
        "replicationList": [
            {"appName": "ranker", "id": "r-1", "lastDirtyTimestamp": "5", "status": "UP",
             "overriddenStatus": None, "action": "Heartbeat", "instanceInfo": None, "x": 1},
            {"appName": "RANKER", "id": "r-1", "lastDirtyTimestamp": 6, "action": "Dance"},
        ]
    }  # fmt: skip
    beat, odd = read_batch(json.dumps(body).encode()).entries
    assert beat == Entry(
        action=TaskAction.HEARTBEAT,
        app="RANKER",
        instance_id="r-1",
        last_dirty_ms=5,
        status=InstanceStatus.UP,
    )
    assert isinstance(odd, InvalidInstanceError)
    with pytest.raises(InvalidInstanceError):
        read_batch(b"not json")


@given(any_instance)
def test_an_instance_comes_over_as_it_is(info: InstanceInfo) -> None:
    """Whatever can be registered says the same on the other side."""
    told = Task(action=TaskAction.REGISTER, info=info, override_ms=0, made_s=0, expires_s=1)
    (entry,) = read_batch(write_batch([told], Rider(name="a"))).entries
    assert isinstance(entry, Entry)
    assert entry.info is not None
    assert mark_of(entry.info) == mark_of(told.info)


def test_our_own_kind_is_told_more() -> None:
    """A registry of our kind learns who speaks, what operators did, and when overrides were set."""
    body = write_batch([task()], Rider(name="http://a:7101", acts=msgspec.Raw(b'[{"id":"x"}]')))
    batch = read_batch(body)
    assert batch.rider is not None
    assert batch.rider.name == "http://a:7101"
    assert json.loads(bytes(batch.rider.acts)) == [{"id": "x"}]
    (entry,) = batch.entries
    assert isinstance(entry, Entry)
    assert entry.override_ms == 7


def test_outcomes_come_back() -> None:
    """Status codes and the newer copy survive the wire, the copy wrapped or not."""
    outcomes = [Outcome(status=200), Outcome(status=404), Outcome(status=409, info=instance())]
    again = read_outcomes(write_outcomes(outcomes))
    assert [each.status for each in again] == [200, 404, 409]
    assert again[2].info is not None
    wrapped = b'{"responseList":[{"statusCode":409,"responseEntity":{"instance":{"app":"A"}}}]}'
    (told,) = read_outcomes(wrapped)
    assert told.info is not None
    assert told.info.app == "A"


def test_the_newest_task_of_a_kind_is_the_one_told() -> None:
    """A task replaces an older one of its kind for its instance; order is that of the deeds."""
    box = Outbox(capacity=10)
    box.put(task(metadata={"v": "1"}))
    box.put(task(TaskAction.CANCEL))
    box.put(task(metadata={"v": "2"}))
    taken = box.take(now_s=0)
    assert [(each.action, each.info.metadata) for each in taken] == [
        (TaskAction.CANCEL, {}),
        (TaskAction.REGISTER, {"v": "2"}),
    ]


def test_a_slow_peer_gets_its_heartbeats_in_turn() -> None:
    """A newer heartbeat takes the place of the older, so that none is put off for ever."""
    box = Outbox(capacity=10)
    for name in ("one", "two", "one"):
        box.put(task(TaskAction.HEARTBEAT, name))
    assert [each.info.instance_id for each in box.take(now_s=0)] == ["one", "two"]


def test_tasks_expire_and_are_bounded() -> None:
    """What waits too long or is too much is left out and counted."""
    box = Outbox(capacity=3)
    for number in range(5):
        box.put(task(instance_id=f"r-{number}", expires_s=10.0 if number < 4 else 50.0))
    assert box.counts["dropped"] == 2
    assert [each.info.instance_id for each in box.take(now_s=20)] == ["r-4"]
    assert box.counts["expired"] == 2


def test_what_could_not_be_told_waits_unless_it_is_out_of_date() -> None:
    """Tasks that are put back come first, but for those that were replaced meanwhile."""
    box = Outbox(capacity=10)
    for name in ("one", "two"):
        box.put(task(TaskAction.HEARTBEAT, name, made_s=1.0))
    taken = box.take(now_s=0)
    box.put(task(TaskAction.HEARTBEAT, "two", made_s=2.0))
    box.put(task(TaskAction.HEARTBEAT, "three", made_s=3.0))
    box.put_back(taken)
    assert box.oldest_s(now_s=5.0) == 4.0
    again = box.take(now_s=0)
    assert [(each.info.instance_id, each.made_s) for each in again] == [
        ("one", 1.0), ("two", 2.0), ("three", 3.0),
    ]  # fmt: skip


@given(st.integers(0, 3 * BATCH))
def test_a_batch_is_never_larger_than_agreed(count: int) -> None:
    """However much waits, one request holds at most 250 tasks."""
    box = Outbox(capacity=10 * BATCH)
    for number in range(count):
        box.put(task(instance_id=f"r-{number}"))
    assert len(box.take(now_s=0)) == min(count, BATCH)


def test_deeds_of_peers_are_done_and_marked_as_theirs(clock: FakeClock) -> None:
    """Whatever a peer passes on is told to listeners as its deed, so that nobody passes it on."""
    registry = Registry(RegistrySettings(), clock)
    heard: list[Happening] = []
    registry.listen(heard.append)
    up, out = InstanceStatus.UP, InstanceStatus.OUT_OF_SERVICE
    for action, status in (
        (TaskAction.REGISTER, up),
        (TaskAction.HEARTBEAT, up),
        (TaskAction.STATUS_UPDATE, out),
        (TaskAction.DELETE_STATUS_OVERRIDE, up),
        (TaskAction.CANCEL, up),
    ):
        entry = Entry(
            action=action,
            app="RANKER",
            instance_id="ranker-a-1",
            last_dirty_ms=1_000,
            status=status,
            info=instance() if action is TaskAction.REGISTER else None,
        )
        assert received(registry, entry, via="b").status == 200
    assert {happening.origin for happening in heard} == {Origin.PEER}
    assert [happening.deed for happening in heard] == [
        Deed.REGISTERED, Deed.RENEWED, Deed.OVERRIDDEN, Deed.OVERRIDE_REMOVED, Deed.CANCELLED,
    ]  # fmt: skip


def test_a_heartbeat_is_answered_by_what_is_known(clock: FakeClock) -> None:
    """404 asks for the whole instance; 409 carries our copy where that is newer."""
    registry = Registry(RegistrySettings(), clock)
    beat = Entry(
        action=TaskAction.HEARTBEAT, app="RANKER", instance_id="ranker-a-1", last_dirty_ms=500
    )
    assert received(registry, beat, via="b").status == 404
    registry.register("RANKER", instance())
    stale = received(registry, beat, via="b")
    assert stale.status == 409
    assert stale.info is not None
    newer = msgspec.structs.replace(beat, last_dirty_ms=2_000)
    assert received(registry, newer, via="b").status == 404


def test_a_late_cancellation_spares_the_newer_version(clock: FakeClock) -> None:
    """Who registered anew since stays, when the message of the old end comes in at last."""
    registry = Registry(RegistrySettings(), clock)
    registry.register("RANKER", instance(last_dirty_ms=2_000))
    late = Entry(
        action=TaskAction.CANCEL, app="RANKER", instance_id="ranker-a-1", last_dirty_ms=1_000
    )
    assert received(registry, late, via="b").status == 200
    assert len(registry) == 1
    plain = msgspec.structs.replace(late, last_dirty_ms=None)
    assert received(registry, plain, via="b").status == 200
    assert len(registry) == 0


def test_one_bad_entry_spoils_no_other(clock: FakeClock) -> None:
    """What cannot be understood is answered 400; the rest is done."""
    registry = Registry(RegistrySettings(), clock)
    bad = Entry(action=TaskAction.REGISTER, app="RANKER", instance_id="r", info=None)
    assert received(registry, bad, via="b").status == 400
    assert received(registry, InvalidInstanceError("odd"), via="b").status == 400


def test_a_peer_is_silent_until_both_have_compared(clock: FakeClock) -> None:
    """After a silence a peer counts as heard once what it heard meanwhile is known here too."""
    hearing = Hearing(clock, ping_s=2.0)
    assert not hearing.heard("b")
    assert not hearing.is_silent("b")
    clock.advance(6)
    assert hearing.is_silent("b")
    assert hearing.heard("b")
    assert hearing.is_silent("b")
    hearing.compared("b")
    assert not hearing.is_silent("b")


def test_a_peer_we_cannot_ask_is_believed_after_half_a_minute(clock: FakeClock) -> None:
    """Where no comparison comes about, the silence ends by itself while the peer speaks."""
    hearing = Hearing(clock, ping_s=2.0)
    hearing.heard("b")
    clock.advance(6)
    hearing.heard("b")
    for _ in range(16):
        clock.advance(2)
        hearing.heard("b")
    assert not hearing.is_silent("b")


@pytest.mark.parametrize(
    ("url", "classic", "own"),
    [
        ("http://b:7101", "http://b:7101/eureka/v2", "http://b:7101"),
        ("http://b:7101/", "http://b:7101/eureka/v2", "http://b:7101"),
        ("http://b:7101/eureka/", "http://b:7101/eureka", "http://b:7101"),
        ("https://b/x/eureka/v2", "https://b/x/eureka/v2", "https://b/x"),
        ("http://[::1]:7101/eureka", "http://[::1]:7101/eureka", "http://[::1]:7101"),
    ],
)
def test_a_peer_is_named_by_server_or_by_eureka_base(url: str, classic: str, own: str) -> None:
    """Either form of URL leads to both protocols."""
    address = peer_address(url)
    assert (address.classic, address.own) == (classic, own)


def test_secrets_of_a_peer_are_sent_and_not_shown() -> None:
    """Credentials become a header and are left out of what is displayed."""
    assert peer_address("http://b:1", "t").authorization == "Bearer t"
    address = peer_address("http://me:secret@b:1/eureka")
    assert address.authorization == "Basic bWU6c2VjcmV0"
    assert "secret" not in address.shown + address.classic + address.own


@pytest.mark.parametrize("url", ["", "b:7101", "ftp://b", "http://", "http://b:port"])
def test_what_is_no_address_is_refused(url: str) -> None:
    """A peer that cannot be an address is named in the refusal."""
    with pytest.raises(UnusablePeerError, match=r"registry\.peers"):
        peer_address(url)


@pytest.mark.parametrize(
    ("number", "is_taken"),
    [("0", True), (str(2**63 - 1), True), (str(2**63), False), ("-2", False)],
)
def test_numbers_that_no_disk_can_keep_are_not_taken_from_a_peer(
    number: str, *, is_taken: bool
) -> None:
    """A peer that tells more than 64 bits, or less than nothing, is not understood."""
    end = f'["APP", "a-1", {number}, true, 0]'
    body = f'{{"version": 1, "name": "b", "now_ms": 1, "instances": [], "ended": [{end}]}}'
    try:
        msgspec.json.decode(body, type=Digest)
    except msgspec.ValidationError:
        assert not is_taken
    else:
        assert is_taken


async def answered(body: bytes) -> PeerFailedError | None:
    """How asking fares when a peer answers so."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, aiohttp.ClientSession() as session:
        wire = PeerWire(session, peer_address(f"http://127.0.0.1:{port}"), name="us")
        try:
            await wire.digest()
            await wire.everything()
        except PeerFailedError as error:
            return error
    return None


@pytest.mark.anyio
@pytest.mark.parametrize(
    "body", [b"<html>", b"[" * 50_000, b'{"applications": "\xff"}', b'{"version": 9}', b"[1]"]
)
async def test_whatever_a_peer_answers_is_a_failure_of_that_peer(body: bytes) -> None:
    """What is no digest and no list harms nothing but the link."""
    assert await answered(body) is not None


def test_a_registry_that_was_ready_stays_so(clock: FakeClock) -> None:
    """When the last instance leaves before any peer has answered, an empty list is an answer."""
    registry = Registry(RegistrySettings(), clock)
    peering = Peering(registry, RegistrySettings(peers=["http://127.0.0.1:9"]), clock)
    assert not peering.is_ready
    registry.register("RANKER", instance())
    registry.cancel("RANKER", "ranker-a-1")
    assert peering.is_ready
