"""Three registries that are killed again and again while everybody registers and cancels."""

import random
import threading
from functools import partial
from http.client import HTTPException
from pathlib import Path

import pytest
from benchmarks.registry_nodes import Node, peers_on_loopback, wait_until

pytestmark = pytest.mark.slow

KILLS = 6
CLIENTS = 3


class Client:
    """Registers each instance once, somewhere, and may cancel it once, anywhere."""

    def __init__(self, nodes: list[Node], number: int) -> None:
        self._nodes = nodes
        self._number = number
        self._random = random.Random(number)
        self.there: list[str] = []
        self.gone: list[str] = []
        self.unsure: list[str] = []
        self.ending = threading.Event()

    def work(self) -> None:
        """Until told to end; a registry that is down is passed over."""
        count = 0
        while not self.ending.wait(0.01):
            count += 1
            name = f"c{self._number}-{count}"
            try:
                self._step(name)
            except (OSError, HTTPException):
                continue

    def _step(self, name: str) -> None:
        node = self._random.choice(self._nodes)
        if not self.there or self._random.random() < 0.6:
            self.unsure.append(name)
            assert node.register("APP", name) == 204
            self.unsure.remove(name)
            self.there.append(name)
            return
        chosen = self.there.pop(self._random.randrange(len(self.there)))
        self.unsure.append(chosen)
        if node.cancel("APP", chosen) == 200:
            self.gone.append(chosen)
        else:
            self.there.append(chosen)  # not known there yet
        self.unsure.remove(chosen)


def test_in_the_end_all_know_what_any_acknowledged(tmp_path: Path) -> None:
    """Whoever was acknowledged anywhere is at all three, whoever was cancelled anywhere at none."""
    chance = random.Random(3)
    with peers_on_loopback(
        tmp_path, 3,
        "registry.probing=false", "registry.peer_ping_s=0.3", "registry.reconcile_every_s=1.0",
    ) as nodes:  # fmt: skip
        clients = [Client(nodes, number) for number in range(CLIENTS)]
        threads = [threading.Thread(target=client.work) for client in clients]
        for thread in threads:
            thread.start()
        try:
            for number in range(KILLS):
                wait_until(partial(has_done, clients, 25 * (number + 1)))
                node = chance.choice(nodes)
                node.end()
                node.start()
        finally:
            for client in clients:
                client.ending.set()
            for thread in threads:
                thread.join()
        there = {name for client in clients for name in client.there}
        gone = {name for client in clients for name in client.gone}
        wait_until(partial(has_settled, nodes, there, gone))


def has_done(clients: list[Client], count: int) -> bool:
    """Whether so much was acknowledged."""
    return sum(len(client.there) + len(client.gone) for client in clients) >= count


def has_settled(nodes: list[Node], there: set[str], gone: set[str]) -> bool:
    """Whether all show the same, everybody who is there and nobody who is gone."""
    first, *others = [(node.native(), node.classic()) for node in nodes]
    shown = set(first[0])
    return there <= shown and not gone & shown and all(each == first for each in others)
