"""The Python client that people use, unmodified, in a process of its own, against a real server."""

import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from tests.registry.instances import instance
from tests.registry.registry_server import DEADLINE_S, Served, served

from breakwater.model import InstanceView
from breakwater.registry import InstanceInfo
from breakwater.registry.answers import JSON

PROGRAM = Path(__file__).with_name("eureka_program.py")
APP = "/eureka/apps/MY-APP"
ONE = APP + "/127.0.0.1%3Amy-app%3A9099"

pytestmark = pytest.mark.slow


class Program:
    """The running client."""

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


@contextmanager
def running(place: Served, duration_s: int = 30) -> Iterator[Program]:
    """Start the client and wait until it is registered; leave no process behind."""
    with subprocess.Popen(
        [sys.executable, str(PROGRAM), place.url, str(duration_s)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        program = Program(process)
        deadline = threading.Timer(3 * DEADLINE_S, process.kill)
        deadline.start()
        try:
            assert program.answer() == "ready"
            yield program
        finally:
            deadline.cancel()
            process.kill()


def held(place: Served) -> InstanceInfo:
    """The client's instance, as another client of the server reads it."""
    request = urllib.request.Request(place.url + ONE, headers={"accept": "application/json"})
    with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
        return JSON.read_instance(answer.read())


def register_other(place: Served) -> None:
    """Register an instance of another application over HTTP."""
    info = instance("other-1", "OTHER", last_dirty_ms=0)
    body = JSON.instance(JSON.fragment(info, is_compact=False))
    request = urllib.request.Request(f"{place.url}/eureka/apps/OTHER", data=body, method="POST")
    with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
        assert answer.status == 204


def test_the_whole_life_of_a_client() -> None:
    """Register, heartbeat, discover by delta, override, register again, deregister."""
    with served() as place, running(place) as program:
        assert place.next_answer("POST", APP) == 204
        assert place.next_answer("GET", "/eureka/apps/") == 200
        assert held(place).status == "UP"
        assert held(place).metadata["build_number"] == "7"

        assert place.next_answer("PUT", ONE) == 200
        assert program.tell("find my-app") == "http://127.0.0.1:9099/x"
        register_other(place)
        assert place.next_answer("GET", "/eureka/apps/delta") == 200
        for _ in range(2):  # the client has taken in what it fetched once it beats again
            assert place.next_answer("PUT", ONE) == 200
        assert program.tell("find other") == "http://127.0.0.1:9101/x"

        assert program.tell("status OUT_OF_SERVICE") == "done"
        assert place.next_answer("PUT", ONE + "/status") == 200
        assert held(place).overridden_status == "OUT_OF_SERVICE"
        assert program.tell("free") == "done"
        assert place.next_answer("DELETE", ONE + "/status") == 200
        assert place.next_answer("PUT", ONE) == 404
        assert place.next_answer("POST", APP) == 204
        # Its two threads share one lock; spoken to before it beats again, the client may hang.
        assert place.next_answer("PUT", ONE) == 200
        assert held(place).lease.last_renewal_ms >= held(place).lease.registration_ms > 0

        assert program.tell("stop") == "done"
        assert place.next_answer("POST", APP) == 204
        assert place.next_answer("DELETE", ONE) == 200
        assert place.registry.stats().cancellations == 1


def test_a_killed_client_is_gone_when_its_lease_ends() -> None:
    """A client that dies without a word is dropped by the evictor, and waiters learn of it."""
    with served() as place, running(place, duration_s=2) as program:
        assert place.next_answer("PUT", ONE) == 200
        view = poll(place, revision=None)
        assert [one.service for one in view.instances] == ["my-app"]
        program.process.kill()
        assert poll(place, revision=view.revision).instances == []
        assert place.registry.stats().evictions == 1


def poll(place: Served, revision: int | None) -> InstanceView:
    """The native view, or the next one after `revision`."""
    query = "" if revision is None else f"?revision={revision}&wait_s=20"
    url = f"{place.url}/api/v1/registry/instances{query}"
    with urllib.request.urlopen(url, timeout=2 * DEADLINE_S) as answer:
        return msgspec.json.decode(answer.read(), type=InstanceView)
