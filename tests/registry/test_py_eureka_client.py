"""The Python client that people use, unmodified, in a process of its own, against a real server."""

import urllib.request

import msgspec
import pytest
from benchmarks.registry_nodes import wait_until
from tests.registry.classic_clients import python_client, running
from tests.registry.instances import instance
from tests.registry.registry_server import DEADLINE_S, Served, served

from breakwater.model import InstanceView
from breakwater.registry import InstanceInfo
from breakwater.registry.eureka.forms import JSON

APP = "/eureka/apps/MY-APP"
ONE = APP + "/127.0.0.1%3Amy-app%3A9099"

pytestmark = pytest.mark.slow


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
    with served() as place, running(python_client(), [place.url]) as program:
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
    with served() as place, running(python_client(), [place.url], lease_s=2) as program:
        assert place.next_answer("PUT", ONE) == 200
        view = poll(place, revision=None)
        assert [one.service for one in view.instances] == ["my-app"]
        program.process.kill()
        while view.instances:  # first it is late, then known to be lost
            view = poll(place, revision=view.revision)
        wait_until(lambda: place.registry.stats().evictions == 1)


def poll(place: Served, revision: int | None) -> InstanceView:
    """The native view, or the next one after `revision`."""
    query = "" if revision is None else f"?revision={revision}&wait_s=20"
    url = f"{place.url}/api/v1/registry/instances{query}"
    with urllib.request.urlopen(url, timeout=2 * DEADLINE_S) as answer:
        return msgspec.json.decode(answer.read(), type=InstanceView)
