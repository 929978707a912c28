"""Unmodified clients in Python and JavaScript against real registries, through their failures."""

from collections.abc import Callable
from pathlib import Path

import pytest
from benchmarks.registry_nodes import Node, free_ports, peers_on_loopback, wait_until
from tests.registry.classic_clients import Kind, node_client, python_client, running

pytestmark = pytest.mark.slow

CLIENTS = pytest.mark.parametrize("chosen", [python_client, node_client], ids=["python", "node"])


def renewed_ms(node: Node, kind: Kind) -> int:
    """When the client's lease was renewed last, 0 if there is none."""
    answer = node.call("GET", kind.path)
    if answer.status != 200:
        return 0
    return int(answer.json["instance"]["leaseInfo"]["lastRenewalTimestamp"])


def await_renewal(node: Node, kind: Kind) -> None:
    """Wait until the client has renewed once more."""
    before_ms = renewed_ms(node, kind)
    wait_until(lambda: renewed_ms(node, kind) > before_ms)


@CLIENTS
def test_the_whole_life_of_a_client(chosen: Callable[[], Kind], tmp_path: Path) -> None:
    """Register, renew, discover who comes, stop seeing who leaves, deregister."""
    kind = chosen()
    node = Node(tmp_path, free_ports(1)[0], ["registry.probing=false"])
    try:
        node.start()
        with running(kind, [node.url]) as client:
            held = node.call("GET", kind.path).json["instance"]
            assert held["status"] == "UP"
            assert held["metadata"]["build_number"] == "7"
            await_renewal(node, kind)
            wait_until(lambda: client.finds(kind.app, kind.address))
            node.register("OTHER", "other-1", port={"$": 9101, "@enabled": "true"})
            wait_until(lambda: client.finds("OTHER", "127.0.0.1:9101"))
            node.cancel("OTHER", "other-1")
            wait_until(lambda: not client.finds("OTHER", "127.0.0.1:9101"))
            assert client.tell("stop") == "done"
            assert node.call("GET", kind.path).status == 404
    finally:
        node.end()


@CLIENTS
def test_a_client_survives_a_restart_of_the_registry(
    chosen: Callable[[], Kind], tmp_path: Path
) -> None:
    """A registry that is killed and comes back has its clients at once, and they renew there."""
    kind = chosen()
    node = Node(tmp_path, free_ports(1)[0], ["registry.probing=false"])
    try:
        node.start()
        with running(kind, [node.url]) as client:
            await_renewal(node, kind)
            node.end()
            node.start()
            assert kind.instance_id in node.native()
            await_renewal(node, kind)
            node.register("OTHER", "other-1", port={"$": 9101, "@enabled": "true"})
            wait_until(lambda: client.finds("OTHER", "127.0.0.1:9101"))
    finally:
        node.end()


@CLIENTS
def test_a_client_survives_the_loss_of_a_peer(chosen: Callable[[], Kind], tmp_path: Path) -> None:
    """Of two registries either may die: the client renews at the other and sees who comes."""
    kind = chosen()
    with (
        peers_on_loopback(tmp_path, 2, "registry.probing=false") as (first, second),
        running(kind, [first.url, second.url]) as client,
    ):
        wait_until(lambda: kind.instance_id in first.native() | second.native())
        await_renewal(second, kind)
        first.end()
        await_renewal(second, kind)
        second.register("OTHER", "other-1", port={"$": 9101, "@enabled": "true"})
        wait_until(lambda: client.finds("OTHER", "127.0.0.1:9101"))
        assert client.tell("stop") == "done"
        wait_until(lambda: kind.instance_id not in second.native())
