"""The clients of Eureka that people use, unmodified, each in a process of its own."""

import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

DEADLINE_S = 60.0
HERE = Path(__file__).parent
NODE_FOLDER = HERE.parent.parent / ".venv" / "eureka-js"
"""Where npm puts the Node.js client; made by the first test that needs it."""


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """A client: how its service is called in the registry, and what it is run by."""

    app: str
    instance_id: str
    address: str
    argv: list[str]

    @property
    def path(self) -> str:
        """Its place in the registry."""
        return f"/eureka/apps/{self.app}/{self.instance_id}"


def python_client() -> Kind:
    """py-eureka-client, from PyPI."""
    return Kind(
        app="MY-APP",
        instance_id="127.0.0.1:my-app:9099",
        address="127.0.0.1:9099",
        argv=[sys.executable, str(HERE / "eureka_program.py")],
    )


def node_client() -> Kind:
    """eureka-js-client, from npm; skips the test where Node.js or npm's registry is not there."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("the Node.js client needs node and npm (Debian: apt-get install nodejs npm)")
    _install(npm)
    return Kind(
        app="JS-APP",
        instance_id="127.0.0.1:js-app:9098",
        address="127.0.0.1:9098",
        argv=[node, str(NODE_FOLDER / "service.js")],
    )


def _install(npm: str) -> None:
    """Have the client and our program beside it, once for all test runs."""
    NODE_FOLDER.mkdir(parents=True, exist_ok=True)
    wanted = (HERE / "eureka_js" / "package-lock.json").read_bytes()
    for name in ("package.json", "package-lock.json", "service.js"):
        shutil.copy(HERE / "eureka_js" / name, NODE_FOLDER / name)
    done = NODE_FOLDER / ".installed"
    if done.exists() and done.read_bytes() == wanted:
        return
    installed = subprocess.run(
        [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
        cwd=NODE_FOLDER,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if installed.returncode:
        pytest.skip(f"npm cannot install the Node.js client: {installed.stderr[-300:]}")
    done.write_bytes(wanted)


class Client:
    """A running client; it obeys words."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def answer(self) -> str:
        """The next line it says, passing over what the client's own log prints."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("> "):
                return line[2:].strip()
        raise AssertionError("the client ended without an answer")

    def tell(self, line: str) -> str:
        """Give it a word and return its answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.answer()

    def finds(self, app: str, address: str) -> bool:
        """Whether it knows an instance of `app` at `address` now."""
        return address in self.tell(f"find {app}")


@contextmanager
def running(kind: Kind, urls: list[str], lease_s: int = 30) -> Iterator[Client]:
    """Start the client and wait until it is registered; leave no process behind."""
    with subprocess.Popen(
        [*kind.argv, ",".join(urls), str(lease_s)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        client = Client(process)
        deadline = threading.Timer(3 * DEADLINE_S, process.kill)
        deadline.start()
        try:
            assert client.answer() == "ready"
            yield client
        finally:
            deadline.cancel()
            process.kill()
