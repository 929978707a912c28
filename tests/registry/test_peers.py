"""Registries that are peers, each a process of its own."""

import json
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from benchmarks.registry_nodes import Node, document, free_ports, peers_on_loopback, wait_until
from tests.registry.eureka_stub import Stub, eureka_stub

pytestmark = pytest.mark.slow

QUICK = (
    "registry.probing=false",
    "registry.peer_ping_s=0.3",
    "registry.reconcile_every_s=1.0",
)


@contextmanager
def single(folder: Path, *settings: str) -> Iterator[Node]:
    """One registry with these settings."""
    node = Node(folder, free_ports(1)[0], (*QUICK, *settings))
    try:
        node.start()
        yield node
    finally:
        node.end()


def is_equal(nodes: list[Node], names: set[str]) -> bool:
    """Whether all show the same, in both views, and it is these instances.

    One that has just started may still be filled by a peer, and answers no classic list until then.
    """
    if not all(node.peers()["is_ready"] for node in nodes):
        return False
    first, *others = [(node.native(), node.classic()) for node in nodes]
    return set(first[0]) == names and all(each == first for each in others)


def test_whatever_is_done_at_one_shows_at_all(tmp_path: Path) -> None:
    """Three peers: each deed is seen at every other, once, and passed on by nobody else."""
    with peers_on_loopback(tmp_path, 3, *QUICK) as nodes:
        first, second, third = nodes
        wait_until(lambda: all(peer["is_up"] for node in nodes for peer in node.peers()["peers"]))
        assert first.register("APP", "a-1", metadata={"zone": "z1"}) == 204
        wait_until(lambda: is_equal(nodes, {"a-1"}))
        assert second.call("PUT", "/eureka/apps/APP/a-1/metadata?k=v").status == 200
        wait_until(lambda: first.native()["a-1"]["metadata"].get("k") == "v")
        out = "/eureka/apps/APP/a-1/status?value=OUT_OF_SERVICE"
        assert third.call("PUT", out).status == 200
        wait_until(lambda: first.native()["a-1"]["status"] == "OUT_OF_SERVICE")
        wait_until(lambda: is_equal(nodes, {"a-1"}))
        assert first.call("DELETE", "/eureka/apps/APP/a-1/status?value=UP").status == 200
        wait_until(lambda: all(node.native()["a-1"]["status"] == "UP" for node in nodes))
        assert second.cancel("APP", "a-1") == 200
        wait_until(lambda: is_equal(nodes, set()))
        received = [node.call("GET", "/api/v1/stats").json["peering"]["received"] for node in nodes]
        assert received == [3, 3, 4]  # of five deeds, each two peers those of the others


def test_a_killed_peer_comes_back_equal(tmp_path: Path) -> None:
    """What happened meanwhile is known after the restart, with the old disk and with a new one."""
    with peers_on_loopback(tmp_path, 2, *QUICK) as nodes:
        stays, restarted = nodes
        for name in ("kept", "cancelled", "changed"):
            assert restarted.register("APP", name) == 204
        wait_until(lambda: is_equal(nodes, {"kept", "cancelled", "changed"}))
        restarted.end()
        assert stays.cancel("APP", "cancelled") == 200
        assert stays.register("APP", "new") == 204
        assert stays.register("APP", "changed", metadata={"v": "2"}) == 204
        wait_until(lambda: not stays.peers()["peers"][0]["is_up"])
        assert stays.peers()["peers"][0]["last_failure"]
        assert stays.call("GET", "/healthcheck").status == 200
        restarted.start()
        wait_until(lambda: is_equal(nodes, {"kept", "changed", "new"}))
        restarted.end()
        shutil.rmtree(restarted.folder / "data")
        restarted.start()
        wait_until(lambda: is_equal(nodes, {"kept", "changed", "new"}))
        assert restarted.native()["changed"]["metadata"] == {"v": "2"}


def test_a_one_way_link_is_enough_to_know(tmp_path: Path) -> None:
    """Who reaches a peer that never speaks learns all of it by comparing, and loses nobody."""
    with single(tmp_path / "mute") as mute:
        peers = f"registry.peers={json.dumps([mute.url])}"
        with single(tmp_path / "asking", peers) as asking:
            assert mute.register("APP", "lives", renewal_s=1, lease_s=6) == 204
            assert mute.register("APP", "cancelled") == 204
            wait_until(lambda: set(asking.native()) == {"lives", "cancelled"})
            assert mute.cancel("APP", "cancelled") == 200
            for _ in range(8):
                assert mute.renew("APP", "lives") == 200
                wait_until(partial(was_compared_after, asking, compared_ms(asking)))
                assert "lives" in asking.native()
            assert set(asking.native()) == {"lives"}
            wait_until(lambda: asking.native() == {})  # its lease runs out where it was kept
            assert mute.native() == {}


def compared_ms(node: Node) -> int:
    """When a node was compared with its peer last."""
    last: int = node.peers()["peers"][0]["last_compared_ms"]
    return last


def was_compared_after(node: Node, before_ms: int) -> bool:
    """Whether it was compared with its peer again."""
    return compared_ms(node) > before_ms


def test_a_registry_that_knows_nothing_asks_first(tmp_path: Path) -> None:
    """Classic lists are refused while the only peer is silent and nothing is known; then not."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        peers = json.dumps([f"http://127.0.0.1:{silent.getsockname()[1]}"])
        with single(tmp_path, f"registry.peers={peers}", "registry.start_copy_s=4.0") as node:
            assert node.call("GET", "/eureka/apps/").status == 403
            assert node.peers()["is_ready"] is False
            wait_until(lambda: node.call("GET", "/eureka/apps/").status == 200)
            assert node.peers()["is_ready"] is True


def test_whoever_knows_somebody_answers(tmp_path: Path) -> None:
    """One registration, or no peer at all, and lists are answered."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        peers = json.dumps([f"http://127.0.0.1:{silent.getsockname()[1]}"])
        with single(tmp_path / "one", f"registry.peers={peers}") as node:
            assert node.register("APP", "a-1") == 204
            assert node.call("GET", "/eureka/apps/").status == 200
    with single(tmp_path / "alone") as node:
        assert node.call("GET", "/eureka/apps/").status == 200


def test_a_registry_named_as_its_own_peer_leaves_itself_alone(tmp_path: Path) -> None:
    """By its URL it is left out; by another name it is recognised."""
    port = free_ports(1)[0]
    urls = json.dumps([f"http://127.0.0.1:{port}", f"http://localhost:{port}"])
    settings = (*QUICK, f"registry.peers={urls}", f"registry.url=http://127.0.0.1:{port}")
    node = Node(tmp_path, port, settings)
    try:
        node.start()
        (peer,) = wait_for_kind(node, "self")
        assert peer["url"] == f"http://localhost:{port}"
        assert node.register("APP", "a-1") == 204
        assert node.peers()["peers"][0]["waiting"] == 0
        assert node.call("GET", "/eureka/apps/").status == 200
    finally:
        node.end()


def wait_for_kind(node: Node, kind: str) -> list[dict[str, Any]]:
    """The peers of a node once the first of them is known to be of that kind."""
    wait_until(lambda: node.peers()["peers"][0]["kind"] == kind)
    found: list[dict[str, Any]] = node.peers()["peers"]
    return found


@contextmanager
def beside_eureka(folder: Path) -> Iterator[tuple[Node, Stub]]:
    """A registry with a Eureka server as its peer."""
    with eureka_stub() as stub:
        stub.holds = [document("HELD", "theirs", lastDirtyTimestamp="5")["instance"]]
        with single(folder, f"registry.peers={json.dumps([stub.url])}") as node:
            wait_for_kind(node, "eureka")
            yield node, stub


def test_a_eureka_server_can_be_a_peer(tmp_path: Path) -> None:
    """What it holds is taken at the start, and it is told in its own words, nothing besides."""
    with beside_eureka(tmp_path) as (node, stub):
        wait_until(lambda: "theirs" in node.native())
        assert node.register("APP", "a-1") == 204
        wait_until(lambda: stub.actions("a-1") == ["Register"])
        assert node.renew("APP", "a-1") == 200
        assert node.call("PUT", "/eureka/apps/APP/a-1/status?value=DOWN").status == 200
        assert node.cancel("APP", "a-1") == 200
        wait_until(lambda: "Cancel" in stub.actions("a-1"))
        assert stub.actions("a-1") == ["Register", "Heartbeat", "StatusUpdate", "Cancel"]
        assert all(set(body) == {"replicationList"} for body in stub.bodies)
        assert all("x-netflix-discovery-replication" not in each for each in stub.headers)
        assert not [entry for entry in stub.told if entry["id"] == "theirs"]


def test_a_eureka_server_is_told_of_groups(tmp_path: Path) -> None:
    """A switch is forwarded as Eureka servers do it; that one of them refuses it harms nothing."""
    with beside_eureka(tmp_path) as (node, stub):
        assert node.call("PUT", "/eureka/asg/blue%2F1/status?value=DISABLED").status == 200
        wait_until(lambda: stub.switched)
        assert stub.switched == ["/eureka/v2/asg/blue%2F1/status?value=DISABLED true"]
        assert node.register("APP", "a-1") == 204
        wait_until(lambda: stub.actions("a-1") == ["Register"])
        assert len(stub.switched) == 1


def test_groups_are_disabled_at_every_peer(tmp_path: Path) -> None:
    """A disabled group is so at every peer, after a kill too, until it is enabled anywhere."""
    with peers_on_loopback(tmp_path, 2, *QUICK) as nodes:
        first, second = nodes
        assert first.register("APP", "a-1", asgName="blue") == 204
        wait_until(lambda: is_equal(nodes, {"a-1"}))
        assert first.call("PUT", "/eureka/asg/blue/status?value=DISABLED").status == 200
        wait_until(lambda: second.call("GET", "/api/v1/registry/digest").json["groups"])
        assert second.register("APP", "a-2", asgName="blue") == 204
        assert second.native()["a-2"]["status"] == "OUT_OF_SERVICE"
        first.end()
        assert second.call("PUT", "/eureka/asg/green/status?value=DISABLED").status == 200
        first.start()
        assert first.register("APP", "a-3", asgName="blue") == 204
        assert first.native()["a-3"]["status"] == "OUT_OF_SERVICE"
        wait_until(lambda: len(first.call("GET", "/api/v1/registry/digest").json["groups"]) == 2)
        assert second.call("PUT", "/eureka/asg/blue/status?value=ENABLED").status == 200
        wait_until(lambda: is_equal(nodes, {"a-1", "a-2", "a-3"}))
        wait_until(lambda: all(one["status"] == "UP" for one in first.native().values()))


def test_a_peer_that_does_not_know_an_instance_is_told(tmp_path: Path) -> None:
    """404 on a heartbeat is followed by the whole registration."""
    with beside_eureka(tmp_path) as (node, stub):
        assert node.register("APP", "a-1") == 204
        wait_until(lambda: stub.actions("a-1") == ["Register"])
        stub.answer = lambda entry: {"statusCode": 404 if entry["action"] == "Heartbeat" else 200}
        assert node.renew("APP", "a-1") == 200
        wait_until(lambda: stub.actions("a-1") == ["Register", "Heartbeat", "Register"])


def test_the_newer_copy_of_a_peer_is_taken(tmp_path: Path) -> None:
    """409 with a copy replaces ours, whatever we thought."""
    newer = document("APP", "a-1", lastDirtyTimestamp=str(2**52), metadata={"v": "newer"})
    with beside_eureka(tmp_path) as (node, stub):
        assert node.register("APP", "a-1") == 204
        stub.answer = lambda entry: (
            {"statusCode": 409, "responseEntity": newer["instance"]}
            if entry["action"] == "Heartbeat"
            else {"statusCode": 200}
        )
        assert node.renew("APP", "a-1") == 200
        wait_until(lambda: node.native()["a-1"]["metadata"] == {"v": "newer"})


def test_a_busy_peer_is_told_later(tmp_path: Path) -> None:
    """503 makes tasks wait; they are told once the peer has time."""
    with beside_eureka(tmp_path) as (node, stub):
        stub.is_busy_for = 2
        assert node.register("APP", "a-1") == 204
        wait_until(lambda: stub.actions("a-1") == ["Register"])
        assert stub.is_busy_for == 0
        (peer,) = node.peers()["peers"]
        assert peer["failures"] >= 2


def test_acts_of_operators_hold_at_every_peer(tmp_path: Path) -> None:
    """An act at one registry is in force at all, can be undone at any, and outlives a restart."""
    acts = "/api/v1/registry/acts"
    with peers_on_loopback(tmp_path, 2, *QUICK) as nodes:
        first, second = nodes
        assert first.register("APP", "a-1") == 204
        wait_until(lambda: is_equal(nodes, {"a-1"}))
        act = {"kind": "drain", "service": "app", "instance_id": "a-1", "actor": "test"}
        made = first.call("POST", acts, act)
        assert made.status == 201
        wait_until(lambda: second.native()["a-1"]["status"] == "OUT_OF_SERVICE")
        wait_until(lambda: [each["id"] for each in second.call("GET", acts).json["acts"]])
        second.end()
        second.start()
        assert [each["id"] for each in second.call("GET", acts).json["acts"]] == [made.json["id"]]
        assert second.call("DELETE", f"{acts}/{made.json['id']}").status == 200
        wait_until(lambda: first.call("GET", acts).json["acts"] == [])
        wait_until(lambda: all(node.native()["a-1"]["status"] == "UP" for node in nodes))
        held_out = {**act, "kind": "drop", "for_s": 600}
        assert first.call("POST", acts, held_out).status == 201
        wait_until(lambda: second.call("GET", acts).json["acts"])
        wait_until(lambda: is_equal(nodes, set()))
        assert second.register("APP", "a-1") == 204
        assert second.native()["a-1"]["status"] == "OUT_OF_SERVICE"
        wait_until(lambda: is_equal(nodes, {"a-1"}))
