"""A registry that is killed at any moment, or whose disk is full."""

import random
import threading
from functools import partial
from http.client import HTTPException
from pathlib import Path

import psutil
import pytest
from benchmarks.registry_nodes import Node, free_ports, wait_until

pytestmark = pytest.mark.slow

ROUNDS = 6
WORKERS = 4


class Worker:
    """Registers and cancels its own instances, and knows what it was answered."""

    def __init__(self, node: Node, number: int, seed: int) -> None:
        self._node = node
        self._random = random.Random(seed)
        self._number = number
        self._count = 0
        self.there: dict[str, str] = {}
        self.gone: set[str] = set()
        self.unsure: set[str] = set()
        self.acknowledged = 0

    def work(self) -> None:
        """Until the registry is gone."""
        while True:
            self._count += 1
            name = f"w{self._number}-{self._count}"
            try:
                self._step(name)
            except (OSError, HTTPException):
                return
            self.acknowledged += 1

    def _step(self, name: str) -> None:
        if self.there and self._random.random() < 0.4:
            known = self._random.choice(sorted(self.there))
            self.unsure.add(known)
            if self._random.random() < 0.5:
                assert self._node.cancel("APP", known) == 200
                del self.there[known]
                self.gone.add(known)
            else:
                path = f"/eureka/apps/APP/{known}/metadata?round={self._count}"
                assert self._node.call("PUT", path).status == 200
                self.there[known] = str(self._count)
            self.unsure.discard(known)
            return
        self.unsure.add(name)
        assert self._node.register("APP", name) == 204
        self.there[name] = ""
        self.unsure.discard(name)


def test_nothing_acknowledged_is_lost_and_nobody_comes_back(tmp_path: Path) -> None:
    """Kills at random moments: whoever was acknowledged is there, nobody cancelled is."""
    node = Node(tmp_path, free_ports(1)[0], ["registry.probing=false"])
    chance = random.Random(11)
    workers = [Worker(node, number, seed=number) for number in range(WORKERS)]
    try:
        for _ in range(ROUNDS):
            node.start()
            view = node.native()
            for worker in workers:
                for name, metadata in worker.there.items():
                    if name not in worker.unsure:
                        assert view[name]["metadata"].get("round", "") == metadata
                assert sorted((worker.gone - worker.unsure) & set(view)) == []
                settle_doubts(worker, view)
            threads = [threading.Thread(target=worker.work) for worker in workers]
            before = sum(worker.acknowledged for worker in workers)
            for thread in threads:
                thread.start()
            wanted = before + chance.randrange(20, 120)
            wait_until(partial(has_enough, workers, wanted))
            node.end()
            for thread in threads:
                thread.join()
    finally:
        node.end()
    assert sum(worker.acknowledged for worker in workers) > 100


def has_enough(workers: list[Worker], wanted: int) -> bool:
    """Whether so many answers have come."""
    return sum(worker.acknowledged for worker in workers) >= wanted


def settle_doubts(worker: Worker, view: dict[str, dict[str, object]]) -> None:
    """What was under way at the kill is whatever it turned out to be, and that for good."""
    for name in worker.unsure:
        if name in view:
            metadata = view[name]["metadata"]
            assert isinstance(metadata, dict)
            worker.there[name] = metadata.get("round", "")
        else:
            worker.there.pop(name, None)
            worker.gone.add(name)
    worker.unsure.clear()


def test_discovery_goes_on_while_the_disk_is_full(tmp_path: Path) -> None:
    """On a full disk registrations are taken, counted, shown as a fault, and written later."""
    node = Node(tmp_path, free_ports(1)[0], ["registry.probing=false"])
    try:
        node.start()
        assert node.process is not None
        assert node.register("APP", "before") == 204
        process = psutil.Process(node.process.pid)
        process.rlimit(psutil.RLIMIT_FSIZE, (16, psutil.RLIM_INFINITY))  # no file may grow
        assert node.register("APP", "during") == 204
        assert set(node.native()) == {"before", "during"}
        assert node.call("GET", "/healthcheck").json["registry-disk"] is False
        keeping = node.call("GET", "/api/v1/stats").json["keeping"]
        assert keeping["not_durable"] == 1
        assert keeping["unwritten"] == 1
        process.rlimit(psutil.RLIMIT_FSIZE, (psutil.RLIM_INFINITY, psutil.RLIM_INFINITY))
        wait_until(lambda: node.call("GET", "/healthcheck").json["registry-disk"])
        node.end()
        node.start()
        assert set(node.native()) == {"before", "during"}
    finally:
        node.end()
