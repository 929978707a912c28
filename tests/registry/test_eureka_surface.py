"""Every operation of the Eureka protocol, under both bases and in both spellings."""

import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from tests.registry.instances import instance

from breakwater.registry import InstanceStatus, Registry, RegistrySettings
from breakwater.registry.eureka.endpoints import BASES, EurekaEndpoints
from breakwater.registry.eureka.forms import JSON, XML
from breakwater.registry.eureka.server_pages import Replica
from breakwater.registry.holding.happenings import Origin
from breakwater.testing import FakeClock

WANT_JSON = {"accept": "application/json"}
REPLICATED = {"x-netflix-discovery-replication": "true"}
ID = "host:svc:80"
NAME = "host%3Asvc%3A80"
DISABLED = InstanceStatus.OUT_OF_SERVICE


def member(instance_id: str = ID, **fields: object) -> Any:
    """One instance of the application SVC, in the group `blue`."""
    given = {"vip_address": "svc", "secure_vip_address": "svc-s", "asg_name": "blue", **fields}
    return instance(instance_id, "SVC", **given)


@pytest.fixture
def registry(clock: FakeClock) -> Registry:
    """A registry with one instance."""
    registry = Registry(RegistrySettings(), clock)
    registry.register("SVC", member())
    return registry


def client_of(registry: Registry, **given: Any) -> TestClient:
    """A client of that registry that names no form of its own."""
    client = TestClient(Starlette(routes=EurekaEndpoints(registry, **given).routes()))
    del client.headers["accept"]
    del client.headers["accept-encoding"]
    return client


@pytest.fixture
def client(registry: Registry) -> Iterator[TestClient]:
    """A client of that registry."""
    with client_of(registry) as client:
        yield client


STATUS_TABLE = [
    ("GET", "/apps", 200),
    ("GET", "/apps/", 200),
    ("GET", "/apps/?regions=us-east-1,eu", 200),
    ("GET", "/apps/delta", 200),
    ("GET", "/apps/delta/?regions=eu", 200),
    ("GET", "/apps/SVC", 200),
    ("GET", "/apps/svc/", 200),
    ("GET", "/apps/NOBODY", 404),
    ("GET", f"/apps/SVC/{NAME}", 200),
    ("GET", "/apps/SVC/nobody", 404),
    ("GET", f"/instances/{NAME}", 200),
    ("GET", "/instances/nobody", 404),
    ("GET", "/vips/svc", 200),
    ("GET", "/vips/svc-s", 404),
    ("GET", "/svips/svc-s", 200),
    ("GET", "/svips/svc", 404),
    ("GET", "/status", 200),
    ("GET", "/serverinfo/statusoverrides", 200),
    ("HEAD", "/apps", 200),
    ("HEAD", f"/apps/SVC/{NAME}", 200),
    ("PUT", f"/apps/SVC/{NAME}", 200),
    ("PUT", f"/apps/SVC/{NAME}?status=UP&lastDirtyTimestamp=1000", 200),
    ("PUT", f"/apps/SVC/{NAME}?status=UP&lastDirtyTimestamp=999", 200),
    ("PUT", f"/apps/SVC/{NAME}?status=UP&lastDirtyTimestamp=1001", 404),
    ("PUT", f"/apps/SVC/{NAME}?lastDirtyTimestamp=soon", 400),
    ("PUT", "/apps/SVC/nobody?status=UP", 404),
    ("PUT", f"/apps/SVC/{NAME}/status?value=OUT_OF_SERVICE", 200),
    ("PUT", f"/apps/SVC/{NAME}/status?value=out_of_service", 200),
    ("PUT", f"/apps/SVC/{NAME}/status?value=GONE", 500),
    ("PUT", f"/apps/SVC/{NAME}/status", 500),
    ("PUT", "/apps/SVC/nobody/status?value=UP", 404),
    ("DELETE", f"/apps/SVC/{NAME}/status", 200),
    ("DELETE", f"/apps/SVC/{NAME}/status?value=UP", 200),
    ("DELETE", f"/apps/SVC/{NAME}/status?value=GONE", 500),
    ("DELETE", "/apps/SVC/nobody/status", 404),
    ("PUT", f"/apps/SVC/{NAME}/metadata?a=b", 200),
    ("PUT", "/apps/SVC/nobody/metadata?a=b", 404),
    ("PUT", "/asg/blue/status?value=DISABLED", 200),
    ("PUT", "/asg/blue/status?value=enabled", 200),
    ("PUT", "/asg/any/slashed/status?value=ENABLED", 200),
    ("PUT", "/asg/blue/status?value=OFF", 500),
    ("PUT", "/asg/blue/status", 500),
    ("DELETE", f"/apps/SVC/{NAME}", 200),
    ("DELETE", "/apps/SVC/nobody", 404),
    ("POST", "/apps", 405),
    ("DELETE", "/apps/SVC", 405),
    ("GET", "/asg/blue/status", 405),
    ("GET", "/nothing", 404),
]


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize(("method", "path", "status"), STATUS_TABLE)
def test_status_codes(client: TestClient, base: str, method: str, path: str, status: int) -> None:
    """Every operation answers the code that deployed clients rely on, under both bases."""
    assert client.request(method, base + path).status_code == status


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("codec", [JSON, XML])
def test_register_in_both_spellings(
    registry: Registry, client: TestClient, base: str, codec: Any
) -> None:
    """A registration is 204 without a body; a bad one 400 and says why."""
    headers = {"content-type": codec.media_type}
    body = codec.instance(codec.fragment(member("other"), is_compact=False))
    answer = client.post(f"{base}/apps/svc", content=body, headers=headers)
    assert (answer.status_code, answer.content) == (204, b"")
    assert registry.instance("SVC", "other").asg_name == "blue"
    answer = client.post(f"{base}/apps/OTHER", content=body, headers=headers)
    assert answer.status_code == 400
    assert "expecting OTHER but was SVC" in answer.text


@pytest.mark.parametrize("accepts_json", [True, False])
@pytest.mark.parametrize("path", [path for _, path, status in STATUS_TABLE[:16] if status == 200])
def test_lists_come_in_both_spellings(
    client: TestClient,
    path: str,
    accepts_json: bool,  # noqa: FBT001 - a table's column
) -> None:
    """What is read is JSON where that is accepted and XML otherwise, and names the instance."""
    answer = client.get(f"/eureka{path}", headers=WANT_JSON if accepts_json else {})
    assert ID in answer.text
    if accepts_json:
        json.loads(answer.content)
    else:
        ET.fromstring(answer.content)


def test_the_older_replica_is_told_in_both_spellings(client: TestClient) -> None:
    """409 carries the held instance, in the form that is accepted."""
    url = f"/eureka/apps/SVC/{NAME}?lastDirtyTimestamp=1"
    answer = client.put(url, headers=REPLICATED | WANT_JSON)
    assert (answer.status_code, answer.json()["instance"]["instanceId"]) == (409, ID)
    answer = client.put(url, headers=REPLICATED)
    assert (answer.status_code, ET.fromstring(answer.content).findtext("app")) == (409, "SVC")


def test_lists_wait_until_the_registry_is_ready(registry: Registry) -> None:
    """While it is being filled, lists are 403; single instances and renewals are served."""
    ready = [False]
    with client_of(registry, is_ready=lambda: ready[0]) as client:
        for path in ("/apps", "/apps/delta", "/apps/SVC", "/vips/svc", "/svips/svc-s"):
            assert client.get(f"/eureka{path}").status_code == 403
        assert client.get(f"/eureka/apps/SVC/{NAME}").status_code == 200
        assert client.put(f"/eureka/apps/SVC/{NAME}").status_code == 200
        ready[0] = True
        assert client.get("/eureka/apps").status_code == 200


def test_deltas_can_be_off(clock: FakeClock) -> None:
    """Without deltas they are 403, and a client fetches everything instead."""
    with client_of(Registry(RegistrySettings(serves_deltas=False), clock)) as client:
        assert client.get("/eureka/apps/delta").status_code == 403
        assert client.get("/eureka/apps").status_code == 200


def test_fetches_can_be_limited(clock: FakeClock) -> None:
    """Beyond the rate a client nobody vouches for is 503; renewals are never limited."""
    registry = Registry(RegistrySettings(limits_fetches=True, fetch_burst=1), clock)
    registry.register("SVC", member())
    with client_of(registry) as client:
        assert client.get("/eureka/apps").status_code == 200
        refused = client.get("/eureka/v2/apps/delta")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        known = {"discoveryidentity-name": "DefaultClient"}
        assert client.get("/eureka/apps", headers=known).status_code == 200
        for _ in range(5):
            assert client.put(f"/eureka/apps/SVC/{NAME}").status_code == 200


def test_a_group_is_switched(registry: Registry, client: TestClient) -> None:
    """A disabled group is out of service, who joins it later too; enabled, it serves again."""
    registry.register("SVC", member("green", asg_name="green"))
    registry.register("SVC", member("down", status=InstanceStatus.DOWN))
    registry.register("SVC", member("held"))
    registry.override_status("SVC", "held", InstanceStatus.UP)
    assert client.put("/eureka/asg/blue/status?value=DISABLED").status_code == 200
    registry.register("SVC", member("late"))
    shown = {info.instance_id: info.status.value for info in registry.infos()}
    assert shown == {
        ID: "OUT_OF_SERVICE",
        "late": "OUT_OF_SERVICE",
        "green": "UP",
        "down": "DOWN",
        "held": "UP",
    }
    registry.register("SVC", member(last_dirty_ms=2_000))
    assert registry.instance("SVC", ID).status is DISABLED
    assert registry.groups.disabled == ["blue"]
    client.put("/eureka/asg/blue/status?value=ENABLED")
    assert {info.status.value for info in registry.infos()} == {"UP", "DOWN"}
    assert registry.groups.disabled == []
    assert client.put(f"/eureka/asg/{'x' * 513}/status?value=DISABLED").status_code == 400


def test_overrides_outlive_evictions(registry: Registry, clock: FakeClock) -> None:
    """Who comes back within the hour finds the operator's status; after that it is forgotten."""
    registry.override_status("SVC", ID, DISABLED)
    clock.advance(20)
    assert len(registry.evict()) == 1
    clock.advance(3_000)
    registry.evict()
    registry.register("SVC", member(last_dirty_ms=clock.now_ms()))
    assert registry.instance("SVC", ID).status is DISABLED
    for _ in range(300):
        clock.advance(14)
        registry.renew("SVC", ID)
    assert registry.instance("SVC", ID).overridden_status is DISABLED
    clock.advance(20)
    registry.evict()
    clock.advance(3_601)
    registry.evict()
    registry.register("SVC", member(last_dirty_ms=clock.now_ms()))
    assert registry.instance("SVC", ID).status is InstanceStatus.UP


def test_a_peer_tells_of_an_override_with_a_renewal(registry: Registry, client: TestClient) -> None:
    """It is kept when the peer knows a newer version, and shows when the instance speaks again."""
    url = f"/eureka/apps/SVC/{NAME}?lastDirtyTimestamp=2000&overriddenstatus=OUT_OF_SERVICE"
    assert client.put(url).status_code == 404
    assert registry.instance("SVC", ID).overridden_status is InstanceStatus.UNKNOWN
    assert (
        client.put(url.replace("OUT_OF_SERVICE", "UNKNOWN"), headers=REPLICATED).status_code == 404
    )
    assert client.put(url, headers=REPLICATED).status_code == 404
    held = registry.instance("SVC", ID)
    assert (held.status, held.overridden_status) == (InstanceStatus.UP, DISABLED)
    registry.renew("SVC", ID)
    assert registry.instance("SVC", ID).status is DISABLED
    registry.store_override("SVC", ID, DISABLED, origin=Origin.PEER)


def test_every_override_is_listed(registry: Registry, client: TestClient) -> None:
    """The page of overrides is JSON by instance id, whatever is accepted."""
    registry.override_status("SVC", ID, DISABLED)
    for headers in ({}, WANT_JSON):
        answer = client.get("/eureka/serverinfo/statusoverrides", headers=headers)
        assert answer.json() == {ID: "OUT_OF_SERVICE"}


def test_the_status_page(registry: Registry, clock: FakeClock) -> None:
    """Replicas, uptime and Eureka's own figures, in Eureka's two spellings."""
    replicas = [
        Replica(url="http://a/eureka/", is_available=True),
        Replica(url="http://b/eureka/", is_available=False),
    ]
    with client_of(registry, replicas=lambda: replicas) as client:
        clock.advance(86_400 + 3_660)
        found = client.get("/eureka/status", headers=WANT_JSON).json()
        root = ET.fromstring(client.get("/eureka/v2/status").content)
    assert found["generalStats"]["server-uptime"] == "1 day 01:01"
    assert found["applicationStats"] == {
        "registered-replicas": "http://a/eureka/, http://b/eureka/",
        "available-replicas": "http://a/eureka/,",
        "unavailable-replicas": "http://b/eureka/,",
        "expected-clients": "2",
        "renews-threshold": "3",
        "renews-last-min": "0",
        "self-preservation": "true",
    }
    assert found["instanceInfo"]["app"] == "BREAKWATER"
    assert root.tag == "com.netflix.eureka.util.StatusInfo"
    assert root.findtext("applicationStats/available-replicas") == "http://a/eureka/,"
    assert root.findtext("instanceInfo/app") == "BREAKWATER"


LENIENT = [
    ({"overriddenstatus": "OUT_OF_SERVICE"}, "status", "OUT_OF_SERVICE"),
    ({"overriddenStatus": "OUT_OF_SERVICE"}, "status", "OUT_OF_SERVICE"),
    ({"port": {"$": "81", "@enabled": True}}, "port", {"$": 81, "@enabled": "true"}),
    ({"port": 82}, "port", {"$": 82, "@enabled": "true"}),
    ({"countryId": "7"}, "countryId", 7),
    ({"lastDirtyTimestamp": 5_000}, "lastDirtyTimestamp", "5000"),
    ({"isCoordinatingDiscoveryServer": False}, "isCoordinatingDiscoveryServer", "false"),
    ({"metadata": None}, "metadata", {"@class": "java.util.Collections$EmptyMap"}),
    ({"metadata": {"@class": "java.util.Collections$EmptyMap", "a": 1}}, "metadata", {"a": "1"}),
    ({"leaseInfo": {"durationInSecs": "15", "renewalTimestamp": "3"}}, "app", "SVC"),
    ({"whatever": [1, {"x": None}]}, "app", "SVC"),
    ({"app": "svc"}, "app", "SVC"),
]


@pytest.mark.parametrize(("fields", "name", "shown"), LENIENT)
def test_what_is_read_leniently_is_written_strictly(
    client: TestClient, fields: dict[str, object], name: str, shown: object
) -> None:
    """Many spellings of a field go in, the classic one comes out."""
    document = json.loads(JSON.fragment(member(), is_compact=False))
    del document["overriddenStatus"]
    document.update(fields)
    wraps = ({"instance": document}, {"instance": [document]}, document)
    for number, body in enumerate(wraps):
        document["instanceId"] = f"new-{number}"
        assert client.post("/eureka/apps/SVC", json=body).status_code == 204
        url = f"/eureka/apps/SVC/new-{number}"
        assert client.get(url, headers=WANT_JSON).json()["instance"][name] == shown


def test_a_compact_answer_leaves_out_what_a_person_reads(client: TestClient) -> None:
    """Lease, metadata, URLs, sid, country and override are left out of it, in both spellings."""
    headers = {"x-eureka-accept": "compact"}
    found = client.get("/eureka/apps/SVC", headers=headers | WANT_JSON).json()
    one = found["application"]["instance"][0]
    left_out = {"leaseInfo", "metadata", "homePageUrl", "sid", "countryId", "overriddenStatus"}
    assert not left_out & set(one)
    assert {"instanceId", "hostName", "app", "ipAddr", "status", "port", "vipAddress"} <= set(one)
    root = ET.fromstring(client.get("/eureka/apps/SVC", headers=headers).content)
    assert root.find("instance/leaseInfo") is None


@pytest.mark.parametrize("name", ["a/status", "a/metadata", "a/", "/", "50%", "ü/é ?#"])
def test_ids_that_look_like_paths(registry: Registry, client: TestClient, name: str) -> None:
    """What is percent-encoded belongs to the id, whatever it looks like."""
    registry.register("SVC", member(name))
    path = f"/eureka/apps/SVC/{quote(name, safe='')}"
    assert client.put(path).status_code == 200
    assert client.put(f"{path}/status?value=OUT_OF_SERVICE").status_code == 200
    assert client.put(f"{path}/metadata?k=v").status_code == 200
    assert client.delete(f"{path}/status?value=UP").status_code == 200
    found = client.get(path, headers=WANT_JSON).json()["instance"]
    assert (found["instanceId"], found["metadata"], found["status"]) == (name, {"k": "v"}, "UP")
    anywhere = f"/eureka/instances/{quote(name, safe='')}"
    assert client.get(anywhere).status_code == 200
    assert client.delete(path).status_code == 200
    assert client.get(anywhere).status_code == 404


def test_a_slash_at_the_end_is_nothing(client: TestClient) -> None:
    """Every path that is read, and that of an instance, may end with a slash."""
    for path in (f"apps/SVC/{NAME}", f"instances/{NAME}", "vips/svc", "svips/svc-s", "apps/SVC"):
        assert client.get(f"/eureka/{path}/").status_code == 200
    assert client.put(f"/eureka/apps/SVC/{NAME}/?status=UP").status_code == 200
    assert client.delete(f"/eureka/apps/SVC/{NAME}/").status_code == 200
