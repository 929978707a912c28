"""The Eureka protocol as its clients see it: paths, status codes, spellings."""

import gzip
import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from tests.registry.instances import instance

from breakwater.registry import InstanceStatus, Registry, RegistrySettings
from breakwater.registry.eureka.endpoints import EurekaEndpoints
from breakwater.registry.eureka.forms import JSON, XML
from breakwater.testing import FakeClock

WANT_JSON = {"accept": "application/json"}
ONE = "/eureka/apps/MY-APP/127.0.0.1%3Amy-app%3A9099"
ID = "127.0.0.1:my-app:9099"


def body_of(**fields: object) -> dict[str, Any]:
    """The JSON that registers the instance every test uses, with `fields` changed."""
    info = instance(ID, "MY-APP", vip_address="my-app", secure_vip_address="my-app-s")
    document: dict[str, Any] = json.loads(JSON.instance(JSON.fragment(info, is_compact=False)))
    document["instance"].update(fields)
    return document


@pytest.fixture
def registry(clock: FakeClock) -> Registry:
    """An empty registry that takes bodies of 4 KiB and three instances."""
    return Registry(RegistrySettings(max_instances=3, max_body_bytes=4_096), clock)


@pytest.fixture
def client(registry: Registry) -> Iterator[TestClient]:
    """A client of the registry, with nothing registered."""
    with TestClient(Starlette(routes=EurekaEndpoints(registry).routes())) as client:
        del client.headers["accept"]
        del client.headers["accept-encoding"]
        yield client


@pytest.fixture
def ready(client: TestClient) -> TestClient:
    """The client, after one instance was registered."""
    assert client.post("/eureka/apps/MY-APP", json=body_of()).status_code == 204
    return client


@pytest.mark.parametrize("base", ["/eureka", "/eureka/v2"])
def test_register_and_fetch_under_both_bases(client: TestClient, base: str) -> None:
    """Netflix's and Spring Cloud's paths serve the same registry; register answers 204, empty."""
    answer = client.post(f"{base}/apps/my-app", json=body_of())
    assert (answer.status_code, answer.content) == (204, b"")
    for path in ("/apps", "/apps/", "/apps/delta", "/apps/MY-APP", "/apps/my-app/"):
        found = client.get(base + path, headers=WANT_JSON)
        assert found.status_code == 200
        assert found.headers["content-type"] == "application/json"
        assert ID in found.text


def test_xml_registers_too(client: TestClient) -> None:
    """A body in XML is taken as well, by its type or by its first character."""
    body = XML.fragment(instance(ID, "MY-APP", metadata={"a_b": "c"}), is_compact=False)
    for headers in ({"content-type": "application/xml;charset=UTF-8"}, {}):
        assert client.post("/eureka/apps/MY-APP", content=body, headers=headers).status_code == 204
    found = client.get(ONE, headers=WANT_JSON).json()["instance"]
    assert found["metadata"] == {"a_b": "c"}


def test_packed_bodies_are_taken(client: TestClient) -> None:
    """A gzip body is unpacked within the bound; another encoding is refused."""
    packed = gzip.compress(json.dumps(body_of()).encode())
    url = "/eureka/apps/MY-APP"
    assert client.post(url, content=packed, headers={"content-encoding": "gzip"}).status_code == 204
    for content, encoding, status in (
        (packed, "br", 400),
        (b"no gzip", "gzip", 400),
        (packed[:-9], "gzip", 400),
        (gzip.compress(b" " * 1_000_000), "gzip", 413),
    ):
        answer = client.post(url, content=content, headers={"content-encoding": encoding})
        assert answer.status_code == status, encoding


@pytest.mark.parametrize(
    ("accept", "is_json"),
    [
        (None, False),
        ("*/*", False),
        ("application/xml", False),
        ("application/json", True),
        ("application/vnd.x+JSON, */*", True),
    ],
)
def test_xml_unless_json_is_asked_for(
    ready: TestClient,
    accept: str | None,
    is_json: bool,  # noqa: FBT001 - a table's column
) -> None:
    """JSON only if Accept contains it; XML for everybody else, also without the header."""
    answer = ready.get("/eureka/apps/", headers={} if accept is None else {"accept": accept})
    kind = "application/json" if is_json else "application/xml"
    assert answer.headers["content-type"].split(";")[0] == kind
    assert answer.text.startswith('{"applications"' if is_json else "<applications>")


def test_the_list_carries_version_and_hash(ready: TestClient, registry: Registry) -> None:
    """The whole list has the reconciliation code of all statuses, sorted by name."""
    registry.register("B", instance("b", "B", status=InstanceStatus.DOWN))
    found = ready.get("/eureka/apps", headers=WANT_JSON).json()["applications"]
    assert (found["versions__delta"], found["apps__hashcode"]) == ("1", "DOWN_1_UP_1_")
    assert [app["name"] for app in found["application"]] == ["MY-APP", "B"]
    assert isinstance(found["application"][0]["instance"], list)
    root = ET.fromstring(ready.get("/eureka/apps").content)
    assert root.findtext("apps__hashcode") == "DOWN_1_UP_1_"
    assert [app.findtext("name") for app in root.findall("application")] == ["MY-APP", "B"]


def test_an_empty_registry_is_an_empty_list(client: TestClient) -> None:
    """Nobody registered is an answer, not an error."""
    for path in ("/eureka/apps", "/eureka/apps/delta"):
        found = client.get(path, headers=WANT_JSON).json()["applications"]
        assert (found["application"], found["apps__hashcode"]) == ([], "")
        assert client.get(path).status_code == 200


def test_compact_is_on_request(ready: TestClient) -> None:
    """X-Eureka-Accept: compact leaves the lease and the metadata out."""
    headers = WANT_JSON | {"x-eureka-accept": "compact"}
    assert "leaseInfo" not in ready.get("/eureka/apps", headers=headers).text
    assert "leaseInfo" in ready.get("/eureka/apps", headers=WANT_JSON).text


def test_large_answers_are_packed_on_request(ready: TestClient) -> None:
    """An answer is packed only if the client accepts gzip and it pays."""
    small = ready.get("/eureka/apps", headers=WANT_JSON | {"accept-encoding": "gzip"})
    assert "content-encoding" not in small.headers
    assert ready.post("/eureka/apps/MY-APP", json=body_of(instanceId="i-2")).status_code == 204
    plain = ready.get("/eureka/apps", headers=WANT_JSON)
    assert "content-encoding" not in plain.headers
    packed = ready.get("/eureka/apps", headers=WANT_JSON | {"accept-encoding": "gzip, deflate"})
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.json() == plain.json()
    assert "accept-encoding" in packed.headers["vary"]
    assert int(packed.headers["content-length"]) < len(plain.content)


def test_renew(ready: TestClient, registry: Registry) -> None:
    """A renew answers 200 and nothing; unknown or newer is 404, which means: register again."""
    answer = ready.put(f"{ONE}?status=UP&lastDirtyTimestamp=1000")
    assert (answer.status_code, answer.content) == (200, b"")
    assert ready.put(f"{ONE}?status=UP&lastDirtyTimestamp=null").status_code == 200
    assert ready.put(f"{ONE}?lastDirtyTimestamp=1001").status_code == 404
    assert ready.put("/eureka/apps/MY-APP/nobody").status_code == 404
    assert ready.put("/eureka/apps/NOBODY/x").status_code == 404
    assert ready.put(f"{ONE}?lastDirtyTimestamp=soon").status_code == 400
    assert registry.stats().renewals == 2


def test_an_older_replica_is_answered_409(ready: TestClient) -> None:
    """A peer that is behind gets the held instance; an ordinary client that is behind gets 200."""
    headers = WANT_JSON | {"x-netflix-discovery-replication": "true"}
    answer = ready.put(f"{ONE}?lastDirtyTimestamp=999", headers=headers)
    assert answer.status_code == 409
    assert answer.json()["instance"]["instanceId"] == ID
    assert ready.put(f"{ONE}?lastDirtyTimestamp=999").status_code == 200


def test_cancel(ready: TestClient) -> None:
    """A cancel answers 200, the second one 404, and the delta tells of it."""
    assert ready.delete(ONE).status_code == 200
    assert ready.delete(ONE).status_code == 404
    assert ready.get(ONE).status_code == 404
    delta = ready.get("/eureka/apps/delta", headers=WANT_JSON).json()["applications"]
    assert delta["application"][0]["instance"][0]["actionType"] == "DELETED"
    assert delta["apps__hashcode"] == ""


def test_status_override(ready: TestClient) -> None:
    """An override shows at once, outlives renewals, and can be taken away with or without value."""
    url = f"{ONE}/status?value=OUT_OF_SERVICE&lastDirtyTimestamp=1000"
    assert ready.put(url).status_code == 200
    found = ready.get(ONE, headers=WANT_JSON).json()["instance"]
    assert (found["status"], found["overriddenStatus"]) == ("OUT_OF_SERVICE", "OUT_OF_SERVICE")
    assert ready.delete(f"{ONE}/status?value=UP").status_code == 200
    assert ready.get(ONE, headers=WANT_JSON).json()["instance"]["status"] == "UP"
    ready.put(url)
    assert ready.delete(f"{ONE}/status").status_code == 200
    assert ready.put(ONE).status_code == 404


@pytest.mark.parametrize(
    ("method", "query", "status"),
    [
        ("PUT", "?value=AWAY", 500),
        ("PUT", "", 500),
        ("DELETE", "?value=AWAY", 500),
        ("PUT", "?value=UP&lastDirtyTimestamp=x", 400),
    ],
)
def test_a_bad_override(ready: TestClient, method: str, query: str, status: int) -> None:
    """An unknown status answers 500, as clients expect, and lists the known ones."""
    answer = ready.request(method, f"{ONE}/status{query}")
    assert answer.status_code == status
    if status == 500:
        assert "UP, DOWN, STARTING, OUT_OF_SERVICE, UNKNOWN" in answer.text
    assert ready.request(method, "/eureka/apps/MY-APP/x/status?value=UP").status_code == 404


def test_metadata(ready: TestClient) -> None:
    """Metadata given in the query is added to the instance."""
    assert ready.put(f"{ONE}/metadata?zone=b&a_b=%26").status_code == 200
    found = ready.get(ONE, headers=WANT_JSON).json()["instance"]
    assert found["metadata"] == {"zone": "b", "a_b": "&"}
    assert "<a__b>&amp;</a__b>" in ready.get(ONE).text
    assert ready.put("/eureka/apps/MY-APP/x/metadata?a=b").status_code == 404
    assert ready.put(f"{ONE}/metadata?a=%00").status_code == 400
    assert ready.put(f"{ONE}/metadata?=b").status_code == 400


def test_look_ups(ready: TestClient) -> None:
    """One instance, an id alone, and virtual addresses; 404 for what nobody has."""
    assert ready.get(ONE).text.startswith("<instance>")
    assert ready.get("/eureka/instances/127.0.0.1%3Amy-app%3A9099").status_code == 200
    found = ready.get("/eureka/vips/my-app", headers=WANT_JSON).json()["applications"]
    assert (found["apps__hashcode"], len(found["application"])) == ("UP_1_", 1)
    assert ready.get("/eureka/svips/my-app-s").status_code == 200
    for missing in ("apps/X", "apps/MY-APP/x", "instances/x", "vips/x", "svips/my-app"):
        assert ready.get(f"/eureka/{missing}").status_code == 404


def test_ids_may_hold_anything(client: TestClient) -> None:
    """Slashes, blanks and percent signs in an id work in every operation."""
    name = "rack 1/50%/é"
    path = "/eureka/apps/MY-APP/rack%201%2F50%25%2F%C3%A9"
    assert client.post("/eureka/apps/MY-APP", json=body_of(instanceId=name)).status_code == 204
    for method, tail in (("PUT", ""), ("PUT", "/status?value=DOWN"), ("PUT", "/metadata?a=b")):
        assert client.request(method, path + tail).status_code == 200
    assert client.get(path, headers=WANT_JSON).json()["instance"]["instanceId"] == name
    assert client.delete(path).status_code == 200


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"instanceId": "", "hostName": ""}, "Missing instanceId"),
        ({"hostName": None}, "Missing hostname"),
        ({"ipAddr": ""}, "Missing ip address"),
        ({"app": ""}, "Missing appName"),
        ({"app": "OTHER"}, "Mismatched appName, expecting MY-APP but was OTHER"),
        ({"dataCenterInfo": None}, "Missing dataCenterInfo"),
        ({"dataCenterInfo": {"@class": "x"}}, "Missing dataCenterInfo Name"),
        ({"status": "ASLEEP"}, "status must be one of UP, DOWN"),
        ({"port": {"$": "http"}}, "port.$ must be a whole number from 0 to 65535, got 'http'"),
    ],
)
def test_bad_registrations(client: TestClient, fields: dict[str, object], told: str) -> None:
    """What is missing or wrong is answered 400 with the reason, and nobody is registered."""
    answer = client.post("/eureka/apps/MY-APP", json=body_of(**fields))
    assert answer.status_code == 400
    assert told in answer.text
    assert client.get("/eureka/apps/MY-APP").status_code == 404


def test_bounds_over_http(ready: TestClient) -> None:
    """Too large is 413, neither JSON nor XML 415, no place left 503."""
    url = "/eureka/apps/MY-APP"
    large = body_of(metadata={"a": "x" * 5_000})
    assert ready.post(url, json=large).status_code == 413
    answer = ready.post(url, content=b"hello", headers={"content-type": "text/plain"})
    assert answer.status_code == 415
    for number in range(2):
        assert ready.post(url, json=body_of(instanceId=f"i-{number}")).status_code == 204
    assert ready.post(url, json=body_of(instanceId="i-2")).status_code == 503


def test_answers_follow_every_change(ready: TestClient, registry: Registry) -> None:
    """Kept bytes are never older than the registry."""
    first = ready.get("/eureka/apps", headers=WANT_JSON).content
    assert ready.get("/eureka/apps", headers=WANT_JSON).content == first
    registry.update_metadata("MY-APP", ID, {"v": "2"})
    second = ready.get("/eureka/apps", headers=WANT_JSON)
    found = second.json()["applications"]["application"][0]["instance"][0]
    assert found["metadata"] == {"v": "2"}
    registry.cancel("MY-APP", ID)
    assert ready.get("/eureka/apps", headers=WANT_JSON).json()["applications"]["application"] == []
