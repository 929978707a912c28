"""The local copy of the registry: differences, several registries, the file."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import msgspec
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sdk.fleet import Platform, instance

from breakwater.model import Instance, InstanceKey, ViewChange
from breakwater.sdk.discovery import InstancesChanged, RegistryView, ViewFile
from breakwater.sdk.discovery.viewfile import EVERY_S, MAX_AGE_MS
from breakwater.sdk.errors import PlatformError
from breakwater.sdk.link import Link
from breakwater.sdk.settings import Address, resolve_settings
from breakwater.testing import FakeClock


def fed_by_hand(clock: FakeClock, file: ViewFile | None = None) -> RegistryView:
    """A view without a registry."""
    return RegistryView((), clock=clock, random=Random(1), file=file)


def one(number: int, status: str = "UP", service: str = "cdn") -> Instance:
    """An instance."""
    return Instance(
        service=service, instance_id=f"{service}-{number}", host="h", port=number, status=status
    )


def change(
    revision: int, since: int | None, *instances: Instance, gone: tuple[int, ...] = ()
) -> bytes:
    """One answer."""
    keys = [InstanceKey(service="CDN", instance_id=f"cdn-{number}") for number in gone]
    told = ViewChange(revision=revision, since=since, instances=list(instances), gone=keys)
    return msgspec.json.encode(told)


def ids(view: RegistryView, service: str = "cdn") -> list[str]:
    """Who is known."""
    return sorted(found.instance_id for found in view.instances(service))


def test_differences_lead_from_one_view_to_the_next(clock: FakeClock) -> None:
    """New and changed instances are taken in, those that left are dropped, others stay."""
    view = fed_by_hand(clock)
    assert view.accept(change(5, None, one(1), one(2), one(3))) == 5
    assert view.accept(change(7, 5, one(4), one(2, "OUT_OF_SERVICE"), gone=(1,))) == 7
    assert ids(view) == ["cdn-3", "cdn-4"]
    assert view.accept(change(8, 7, one(2))) == 8
    assert ids(view) == ["cdn-2", "cdn-3", "cdn-4"]


def test_a_difference_from_another_revision_is_not_taken(clock: FakeClock) -> None:
    """It asks to be told everything, and what is known stays."""
    view = fed_by_hand(clock)
    view.accept(change(5, None, one(1)))
    assert view.accept(change(9, 6, gone=(1,))) is None
    assert ids(view) == ["cdn-1"]
    assert view.accept(change(9, None, one(2))) == 9
    assert ids(view) == ["cdn-2"]


STEPS = st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["UP", "DOWN", "gone"])), max_size=30)


@given(steps=STEPS, wholes=st.sets(st.integers(0, 30)))
def test_differences_and_wholes_agree(steps: list[tuple[int, str]], wholes: set[int]) -> None:
    """Whichever way the changes are told, the copy is what the registry has."""
    view = fed_by_hand(FakeClock())
    held: dict[int, str] = {}
    view.accept(change(0, None))
    for number, (index, status) in enumerate(steps):
        was = index in held
        held = (
            {**held, index: status}
            if status != "gone"
            else {k: v for k, v in held.items() if k != index}
        )
        if number in wholes:
            body = change(number + 1, None, *(one(key, value) for key, value in held.items()))
        elif status == "gone":
            body = change(number + 1, number, gone=(index,) if was else ())
        else:
            body = change(number + 1, number, one(index, status))
        assert view.accept(body) == number + 1
        assert ids(view) == [f"cdn-{key}" for key in sorted(held) if held[key] == "UP"]


def test_the_file_helps_a_start_without_a_registry(tmp_path: Path, clock: FakeClock) -> None:
    """What was known last is known again, until the registry says otherwise."""
    path = str(tmp_path / "view.json")
    ViewFile(path, clock).write([one(1), one(2)])
    view = RegistryView(
        (Address(host="127.0.0.1", port=9),),
        clock=clock,
        random=Random(1),
        file=ViewFile(path, clock),
    )
    view.start()
    try:
        assert ids(view) == ["cdn-1", "cdn-2"]
        assert view.stats().from_file == 2
    finally:
        view.stop()


def test_the_file_is_written_once_a_second(tmp_path: Path, clock: FakeClock) -> None:
    """A storm of changes does not become a storm of writes; the end is always written."""
    file = ViewFile(str(tmp_path / "view.json"), clock)
    file.write([one(1)])
    file.write([one(2)])
    assert file.read() == [one(1)]
    clock.advance(EVERY_S)
    file.write([one(3)])
    assert file.read() == [one(3)]
    file.write([one(4)])
    file.finish()
    assert file.read() == [one(4)]
    assert [path.name for path in tmp_path.iterdir()] == ["view.json"]


def test_what_is_old_is_not_made_to_look_new(tmp_path: Path, clock: FakeClock) -> None:
    """A process that heard nothing for long leaves the file to those who did."""
    path = str(tmp_path / "view.json")
    deaf, listening = ViewFile(path, clock), ViewFile(path, clock)
    deaf.write([one(1)])
    deaf.write([one(2)])
    clock.advance(3_600)
    listening.write([one(3)])
    listening.finish()
    assert ViewFile(path, clock).read() == [one(3)]
    clock.advance(MAX_AGE_MS / 1000 - 3_000)
    deaf.finish()
    clock.advance(3_000)
    assert ViewFile(path, clock).read() == []


def test_processes_of_one_number_do_not_share_what_is_half_written(
    tmp_path: Path, clock: FakeClock
) -> None:
    """Writing at the same time leaves one whole copy, and nothing beside it."""
    path = str(tmp_path / "view.json")
    files = [ViewFile(path, clock) for _ in range(8)]
    many = [one(number) for number in range(500)]
    writers = [threading.Thread(target=file.write, args=(many,)) for file in files]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [file.failures for file in files] == [0] * 8
    assert files[0].read() == many
    assert [found.name for found in tmp_path.iterdir()] == ["view.json"]


def test_an_old_or_broken_file_is_not_used(tmp_path: Path, clock: FakeClock) -> None:
    """Addresses are given to others in time; nonsense and a missing folder are counted."""
    path = tmp_path / "view.json"
    file = ViewFile(str(path), clock)
    assert (file.read(), file.failures) == ([], 0)
    file.write([one(1)])
    clock.advance(MAX_AGE_MS / 1000 + 1)
    assert file.read() == []
    path.write_text("nonsense")
    assert (file.read(), file.failures) == ([], 1)
    lost = ViewFile(str(tmp_path / "no" / "folder.json"), clock)
    lost.write([one(1)])
    assert lost.failures == 1


@pytest.mark.slow
def test_a_second_registry_takes_over(clock: FakeClock) -> None:
    """When the first does not answer, or not well, the next is asked, with nobody forgotten."""
    first, second = Platform(), Platform()
    first.set_view(instance("cdn", 1), instance("cdn", 2), revision=40)
    second.set_view(instance("cdn", 1), revision=90)
    addresses = tuple(Address(host="127.0.0.1", port=each.port) for each in (first, second))
    view = RegistryView(addresses, clock=clock, random=Random(1))
    try:
        view.start()
        assert view.wait_first(10)
        assert ids(view) == ["cdn-1", "cdn-2"]
        first.stop()
        second.wait_for(lambda: second.count("GET", "/changes") >= 2)
        assert ids(view) == ["cdn-1", "cdn-2"]
        assert view.stats().is_on_grace
        asked = next(path for _, path, _ in second.requests)
        assert "revision=" not in asked
    finally:
        view.stop()
        second.stop()


@pytest.mark.slow
def test_a_registry_that_talks_nonsense_is_left_for_another(clock: FakeClock) -> None:
    """What answers, but not as a registry does, is as good as silent."""
    first, second = Platform(), Platform()
    first.garbage = b"<html>sign in</html>"
    second.set_view(instance("cdn", 1))
    addresses = tuple(Address(host="127.0.0.1", port=each.port) for each in (first, second))
    view = RegistryView(addresses, clock=clock, random=Random(1))
    try:
        view.start()
        second.wait_for(lambda: second.count("GET", "revision=1") > 0)
        assert ids(view) == ["cdn-1"]
        assert second.count("GET", "wait_s=5") > 0
    finally:
        view.stop()
        first.stop()
        second.stop()


@pytest.mark.slow
def test_a_link_that_was_aborted_while_it_opened_sends_nothing() -> None:
    """A request that hung in the opening must not arrive after what was sent because of it."""
    with socket.socket() as server, closing_all() as held:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        server.settimeout(20)
        port = server.getsockname()[1]
        held.append(socket.create_connection(("127.0.0.1", port)))  # the one that has room
        link = Link(Address(host="127.0.0.1", port=port))
        said: list[str] = []

        def ask() -> None:
            try:
                link.request("POST", "/", b"{}", timeout_s=20)
            except PlatformError as error:
                said.append(str(error))

        asking = threading.Thread(target=ask)
        asking.start()
        wait_for_connecting(port)
        link.abort()
        held.extend(server.accept()[0] for _ in range(2))
        asking.join(20)
        assert "the link was closed" in said[0]
        held[-1].settimeout(20)
        assert held[-1].recv(100) == b""


@contextmanager
def closing_all() -> Iterator[list[socket.socket]]:
    """Sockets to be closed."""
    held: list[socket.socket] = []
    try:
        yield held
    finally:
        for one in held:
            one.close()


def wait_for_connecting(port: int) -> None:
    """Wait until a connection to `port` hangs half open."""
    due = threading.Event()
    for _ in range(2_000):
        found = psutil.Process().net_connections("tcp4")
        if any(one.raddr and one.raddr.port == port and one.status == "SYN_SENT" for one in found):
            return
        due.wait(0.005)
    raise AssertionError("nobody hangs in a connection")


def test_a_host_that_no_name_has_is_an_unreachable_platform() -> None:
    """Whatever the address, a request ends with an answer or one kind of error."""
    with pytest.raises(PlatformError, match="UnicodeError"):
        Link(Address(host="a..b", port=1)).request("GET", "/", timeout_s=1)


def test_registries_named_twice_are_asked_once() -> None:
    """The one behind them would never have its turn otherwise."""
    found = resolve_settings("x", {"registry": "http://a:1,http://a:1, http://b:2"}, {})
    assert [one.host for one in found.registry] == ["a", "b"]


def test_a_link_asks_the_next_address_after_a_failure() -> None:
    """Each failure turns to the next address, the last one back to the first."""
    platform = Platform()
    try:
        dead = Address(host="127.0.0.1", port=9)
        link = Link(dead, Address(host="127.0.0.1", port=platform.port))
        with pytest.raises(PlatformError, match=r"127\.0\.0\.1:9 failed"):
            link.request("GET", "/api/v1/registry/changes", timeout_s=2)
        answer = link.request("GET", "/api/v1/registry/changes", timeout_s=2)
        assert json.loads(answer.body)["revision"] == 0
        link.turn()
        with pytest.raises(PlatformError, match=r"127\.0\.0\.1:9 failed"):
            link.request("GET", "/api/v1/registry/changes", timeout_s=2)
        link.drop()
    finally:
        platform.stop()


def test_whoever_wants_is_told_who_came_and_who_left(clock: FakeClock) -> None:
    """One event a service, of what differs; a hook of one service hears of no other."""
    view = fed_by_hand(clock)
    seen: list[InstancesChanged] = []
    of_cdn: list[InstancesChanged] = []
    view.hooks.add(seen.append)
    stop = view.hooks.add(of_cdn.append, "CDN")
    view.accept(change(1, None, one(1), one(2), one(3, service="edge")))
    assert [event.service for event in seen] == ["cdn", "edge"]
    moved = msgspec.structs.replace(one(2), port=99)
    view.accept(change(2, 1, moved, one(4), gone=(1,)))
    event = seen[-1]
    assert [found.instance_id for found in event.joined] == ["cdn-4"]
    assert [found.instance_id for found in event.left] == ["cdn-1"]
    assert event.changed == (moved,)
    assert event.instances == view.instances("cdn")
    view.accept(change(3, 2))
    assert len(seen) == 3
    assert len(of_cdn) == 2
    stop()
    view.accept(change(4, 3, one(5)))
    assert len(of_cdn) == 2


def test_a_hook_that_fails_breaks_nothing(clock: FakeClock) -> None:
    """It is counted; the others are told, and the view is what the registry says."""
    view = fed_by_hand(clock)
    seen: list[InstancesChanged] = []

    def broken(_change: InstancesChanged) -> None:
        raise LookupError("mine")

    view.hooks.add(broken)
    view.hooks.add(seen.append)
    assert view.accept(change(1, None, one(1))) == 1
    assert (len(seen), view.stats().hook_failures) == (1, 1)
    assert ids(view) == ["cdn-1"]
