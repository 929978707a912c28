"""Two registries in network namespaces, the link between them cut for a while, then healed.

Run as root with `python -m benchmarks.partition_drill [--defaults] [--cut-s 45] [--alone]`. Each
side has holders of leases that know only their own registry. During the cut each side loses one
instance by cancellation and one by kill -9, and gains one. What must hold: nobody who lives is
missing from either registry at any moment, and soon after the healing both show the same.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from benchmarks.lease_holder import Plan
from benchmarks.registry_nodes import ALONE, PLATFORM, Node, wait_until

APP: Final = "FLEET"
PORT: Final = 7101
_TOKEN: Final = "drill"
_PER_SIDE: Final = 8
_IP: Final = "ip"


class Timing(NamedTuple):
    """How fast everything is: of leases, of registries, and how long the link is cut."""

    renewal_s: int
    lease_s: int
    settings: tuple[str, ...]
    cut_s: float


SHORT: Final = Timing(
    1, 4, ("registry.peer_ping_s=0.4", "registry.reconcile_every_s=3.0"), cut_s=10.0
)
DEFAULTS: Final = Timing(5, 15, (), cut_s=45.0)


class Outcome(NamedTuple):
    """What a drill found; `lost` must be empty, `equal_after_s` at most 30.

    lost: side and instance that was missing though it lived. looks: how often each side was
    looked at.
    """

    lost: list[tuple[str, str]]
    looks: int
    equal_after_s: float
    gone_after_s: float
    shown: int
    left_over: list[str]


class UnsupportedError(RuntimeError):
    """This machine does not let us make network namespaces; the message says why."""


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UnsupportedError(f"{' '.join(command)}: {done.stderr.strip()}")


class Net:
    """Two namespaces with a link between them, and one from each to where we are."""

    def __init__(self, stack: ExitStack) -> None:
        mark = os.getpid() % 10_000
        block = 64 + os.getpid() % 128
        self.names = [f"bw{mark}{side}" for side in "ab"]
        self.peer_ips = [f"10.{block}.0.{number}" for number in (1, 2)]
        self.ips = [f"10.{block}.{number}.2" for number in (1, 2)]
        self._cuts = [f"bwx{mark}{side}" for side in "ab"]
        for name in self.names:
            _run(_IP, "netns", "add", name)
            stack.callback(_run, _IP, "netns", "del", name)
            self._within(name, "link", "set", "lo", "up")
        _run(_IP, "link", "add", self._cuts[0], "type", "veth", "peer", "name", self._cuts[1])
        for name, cut, ip in zip(self.names, self._cuts, self.peer_ips, strict=True):
            _run(_IP, "link", "set", cut, "netns", name)
            self._within(name, "addr", "add", f"{ip}/24", "dev", cut)
            self._within(name, "link", "set", cut, "up")
        for number, name in enumerate(self.names, start=1):
            outer, inner = f"bwo{mark}{number}", f"bwi{mark}{number}"
            _run(_IP, "link", "add", outer, "type", "veth", "peer", "name", inner)
            _run(_IP, "link", "set", inner, "netns", name)
            _run(_IP, "addr", "add", f"10.{block}.{number}.1/24", "dev", outer)
            _run(_IP, "link", "set", outer, "up")
            self._within(name, "addr", "add", f"10.{block}.{number}.2/24", "dev", inner)
            self._within(name, "link", "set", inner, "up")

    def _within(self, name: str, *command: str) -> None:
        _run(_IP, "netns", "exec", name, _IP, *command)

    def prefix(self, side: int) -> tuple[str, ...]:
        """What to put before a command to run it on one side."""
        return (_IP, "netns", "exec", self.names[side])

    def cut(self) -> None:
        """Drop everything between the two, without a word to either."""
        self._within(self.names[0], "link", "set", self._cuts[0], "down")

    def heal(self) -> None:
        """Let it through again."""
        self._within(self.names[0], "link", "set", self._cuts[0], "up")


class Holding:
    """One process that holds leases on one side."""

    def __init__(self, prefix: tuple[str, ...], plan: Plan) -> None:
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "benchmarks.lease_holder"],
            cwd=Path(__file__).resolve().parent.parent,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._plan = plan

    def begin(self) -> None:
        """Register all of it."""
        self.tell(msgspec.json.encode(self._plan).decode())

    def tell(self, line: str) -> None:
        """Say a line and wait for the answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        if not self.process.stdout.readline():
            raise RuntimeError("a holder of leases ended")

    def end(self) -> None:
        """Kill it: it says no word."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()


class Watch(threading.Thread):
    """Looks at both sides all the time for somebody who lives and is not shown."""

    def __init__(self, nodes: list[Node], living: set[str]) -> None:
        super().__init__(daemon=True)
        self._nodes = nodes
        self._living = living
        self._ending = threading.Event()
        self.lost: dict[tuple[str, str], None] = {}
        self.looks = 0

    def run(self) -> None:
        """Look until told to end."""
        while not self._ending.wait(0.1):
            for node, side in zip(self._nodes, "ab", strict=True):
                for shown in (node.native(), node.classic()):
                    for missing in self._living - set(shown):
                        self.lost[side, missing] = None
            self.looks += 1

    def end(self) -> None:
        """Stop looking."""
        self._ending.set()
        self.join()


class PartitionDrill:
    """One drill in a folder of its own."""

    def __init__(
        self, folder: Path, timing: Timing = SHORT, program: tuple[str, ...] = PLATFORM
    ) -> None:
        self._folder = folder
        self._timing = timing
        self._program = program

    def run(self) -> Outcome:
        """Cut, change both sides, heal, and look; raises UnsupportedError."""
        with ExitStack() as stack:
            net = Net(stack)
            nodes = [self._node(net, side) for side in (0, 1)]
            for node in nodes:
                stack.callback(node.end)
                node.launch()
            for node in nodes:
                node.await_ready()
            crews = [self._crew(net, side, stack) for side in (0, 1)]
            everybody = {name for side in "ab" for name in _names(side)}
            wait_until(lambda: all(set(node.native()) == everybody for node in nodes))
            return self._partition(net, nodes, crews, everybody)

    def _partition(
        self, net: Net, nodes: list[Node], crews: list[list[Holding]], everybody: set[str]
    ) -> Outcome:
        gone = {f"{side}-{fate}" for side in "ab" for fate in ("cancelled", "killed")}
        living, new = everybody - gone, {"a-new", "b-new"}
        watch = Watch(nodes, living)
        watch.start()
        net.cut()
        cut_s = time.monotonic()
        for crew, side in zip(crews, "ab", strict=True):
            crew[0].tell(f"cancel {side}-cancelled")
            crew[0].tell(f"add {side}-new")
            crew[1].end()
        while time.monotonic() - cut_s < self._timing.cut_s:
            threading.Event().wait(0.1)
        net.heal()
        wanted = living | new
        equal_after_s = wait_until(lambda: _is_equal(nodes) and wanted <= set(nodes[0].native()))
        gone_after_s = equal_after_s + wait_until(
            lambda: all(set(shown) == wanted for node in nodes for shown in _views(node)), 120
        )
        watch.end()
        if not _is_equal(nodes):
            raise AssertionError("the views were equal, and are not any more")
        shown = set(nodes[0].native())
        return Outcome(
            lost=list(watch.lost),
            looks=watch.looks,
            equal_after_s=equal_after_s,
            gone_after_s=gone_after_s,
            shown=len(shown),
            left_over=sorted(shown - wanted),
        )

    def _node(self, net: Net, side: int) -> Node:
        own, other = net.peer_ips[side], net.peer_ips[1 - side]
        digest = hashlib.sha256(_TOKEN.encode()).hexdigest()
        tokens = f'[{{name = "drill", role = "operator", sha256 = "{digest}"}}]'
        peers = json.dumps([f"http://{other}:{PORT}"])
        settings = (
            f"registry.url=http://{own}:{PORT}",
            f"registry.peers={peers}",
            f"registry.peer_token={_TOKEN}",
            f"tokens={tokens}",
            *self._timing.settings,
        )
        return Node(
            self._folder / "ab"[side], PORT, settings,
            host="0.0.0.0", address=net.ips[side], prefix=net.prefix(side),
            token=_TOKEN, program=self._program,
        )  # fmt: skip

    def _crew(self, net: Net, side: int, stack: ExitStack) -> list[Holding]:
        """The holders of one side: many over HTTP, one that will be killed, one by the SDK."""
        plan = Plan(
            host="127.0.0.1", port=PORT, token=_TOKEN, app=APP, address=net.peer_ips[side],
            renewal_s=self._timing.renewal_s, lease_s=self._timing.lease_s,
        )  # fmt: skip
        names = _names("ab"[side])
        replace = msgspec.structs.replace
        plans = [
            replace(plan, ids=names[:-2]),
            replace(plan, ids=names[-2:-1]),
            replace(plan, sdk=names[-1]),
        ]
        crew = [Holding(net.prefix(side), each) for each in plans]
        for each in crew:
            stack.callback(each.end)
        for each in crew:
            each.begin()
        return crew


def _names(side: str) -> list[str]:
    many = [f"{side}-{number}" for number in range(_PER_SIDE)]
    return [*many, f"{side}-cancelled", f"{side}-killed", f"{side}-sdk"]


def _views(node: Node) -> tuple[dict[str, dict[str, object]], dict[str, dict[str, object]]]:
    return node.native(), node.classic()


def _is_equal(nodes: list[Node]) -> bool:
    one, other = nodes
    return one.native() == other.native() and one.classic() == other.classic()


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def main() -> None:
    """Run one drill and print what it found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--defaults", action="store_true", help="with the default intervals")
    parser.add_argument("--cut-s", type=float, help="how long the link is cut")
    parser.add_argument("--alone", action="store_true", help="without the rest of the platform")
    given = parser.parse_args()
    timing = DEFAULTS if given.defaults else SHORT
    if given.cut_s is not None:
        timing = timing._replace(cut_s=given.cut_s)
    with _folder() as folder:
        outcome = PartitionDrill(folder, timing, ALONE if given.alone else PLATFORM).run()
    print(json.dumps(outcome._asdict(), indent=2))


if __name__ == "__main__":
    main()
