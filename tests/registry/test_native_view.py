"""The view that our own SDK waits on, over HTTP."""

import threading
import urllib.request
from collections.abc import Iterator

import msgspec
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from tests.registry.instances import instance
from tests.registry.registry_server import DEADLINE_S, served

from breakwater.model import InstanceView, SystemClock
from breakwater.registry import Directory, RegistrySettings
from breakwater.registry.http import routes

PATH = "/api/v1/registry/instances"


@pytest.fixture
def directory() -> Directory:
    """A directory with one instance each of two services."""
    directory = Directory(RegistrySettings(max_waiters=0), SystemClock())
    registry = directory.registry
    registry.register("RANKER", instance(metadata={"zone": "a"}))
    registry.register("FEATURES", instance("features-a-1", "FEATURES"))
    return directory


@pytest.fixture
def client(directory: Directory) -> Iterator[TestClient]:
    """A client of that registry."""
    with TestClient(Starlette(routes=routes(directory))) as client:
        yield client


def test_the_view_decodes_into_the_model(client: TestClient, directory: Directory) -> None:
    """The answer is an InstanceView, at once without a revision and with another one."""
    for query in ("", "?revision=1&wait_s=20", "?wait_s=20"):
        view = msgspec.json.decode(client.get(PATH + query).content, type=InstanceView)
        assert view == directory.view()
    assert client.get(PATH).json()["instances"][0] == {
        "service": "ranker",
        "instance_id": "ranker-a-1",
        "host": "127.0.0.1",
        "port": 9101,
        "zone": "a",
        "status": "UP",
        "metadata": {"zone": "a"},
        "health": "fresh",
        "up_since_ms": directory.view().instances[0].up_since_ms,
    }


def test_one_service_can_be_asked_for(client: TestClient) -> None:
    """`service` chooses, in any case; an unknown service has no instances."""
    found = client.get(f"{PATH}?service=Features").json()["instances"]
    assert [one["instance_id"] for one in found] == ["features-a-1"]
    assert client.get(f"{PATH}?service=nobody").json()["instances"] == []


@pytest.mark.parametrize(
    ("query", "status", "told"),
    [
        ("revision=x", 400, "'revision' is 'x', must be a whole number"),
        ("wait_s=x", 400, "must be a number from 0"),
        ("wait_s=-1", 400, "must be a number from 0"),
        ("wait_s=inf", 400, "must be a number from 0"),
    ],
)
def test_bad_questions(client: TestClient, query: str, status: int, told: str) -> None:
    """A parameter that is no number is named."""
    answer = client.get(f"{PATH}?{query}")
    assert (answer.status_code, answer.json()["type"]) == (status, "error")
    assert told in answer.json()["message"]


def test_too_many_waiters(client: TestClient, directory: Directory) -> None:
    """Beyond the bound a long poll answers 503 and says what to do."""
    answer = client.get(f"{PATH}?revision={directory.native.revision}&wait_s=1")
    assert answer.status_code == 503
    assert "without wait_s" in answer.json()["message"]


def test_a_change_is_pushed() -> None:
    """A long poll is answered by the registration of another process, long before its time."""
    with served() as place:
        seen: list[InstanceView] = []

        def wait() -> None:
            url = f"{place.url}{PATH}?revision={place.directory.native.revision}&wait_s=60"
            with urllib.request.urlopen(url, timeout=DEADLINE_S) as answer:
                seen.append(msgspec.json.decode(answer.read(), type=InstanceView))

        waiter = threading.Thread(target=wait)
        waiter.start()
        body = b"""<instance><hostName>h</hostName><app>A</app><ipAddr>1.2.3.4</ipAddr>
            <dataCenterInfo class="x"><name>MyOwn</name></dataCenterInfo></instance>"""
        request = urllib.request.Request(f"{place.url}/eureka/apps/A", data=body, method="POST")
        request.add_header("content-type", "application/xml")
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
            assert answer.status == 204
        waiter.join(DEADLINE_S)
    assert [one.host for one in seen[0].instances] == ["1.2.3.4"]
