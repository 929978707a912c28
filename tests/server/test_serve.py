"""A running platform, from outside: what it answers, refuses and survives."""

import json
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.server.conftest import RunningServer

pytestmark = pytest.mark.slow

Until = Callable[..., None]


def is_error(body: bytes) -> bool:
    """Whether a body has the one shape of errors."""
    told = json.loads(body)
    return told["type"] == "error" and bool(told["message"])


def test_ready_line_and_file_name_the_bound_ports(server: "RunningServer") -> None:
    """Port 0 takes free ports; line and file say which."""
    assert server.http_port > 0
    assert server.udp_port > 0
    assert server.line.startswith("Breakwater is ready: ")
    assert f"http://127.0.0.1:{server.http_port}" in server.line
    assert f"udp://127.0.0.1:{server.udp_port}" in server.line
    assert server.ready["pid"] == server.process.pid
    assert server.ready["url"] == f"http://127.0.0.1:{server.http_port}"


def test_every_part_is_well(server: "RunningServer") -> None:
    """The health check names every part and whether it works."""
    answer = server.call("GET", "/healthcheck")
    assert answer.status == 200
    assert answer.json == {
        "udp": True, "metrics": True, "registry": True, "chaos": True, "selfwatch": True,
        "incidents": True, "guards": True, "guard-settings": True, "journal": True,
        "metrics-log": True, "metrics-clock": True, "registry-disk": True,
    }  # fmt: skip


def test_published_datapoints_are_queried(server: "RunningServer") -> None:
    """What was published is in the next graph."""
    now_ms = int(time.time() * 1000) // 1000 * 1000
    payload = {
        "tags": {"nf.app": "shop"},
        "metrics": [
            {"tags": {"name": "orders", "nf.node": node}, "timestamp": now_ms, "value": value}
            for node, value in (("a", 3.0), ("b", 4.0))
        ],
    }
    assert server.call("POST", "/api/v1/publish", payload).status == 200
    path = f"/api/v1/graph?q=name,orders,:eq,:sum&s={now_ms - 5000}&e={now_ms}&step=1s&format=json"
    answer = server.call("GET", path)
    assert answer.status == 200, answer.body
    assert answer.json["values"][-1] == [7.0]
    tags = server.call("GET", "/api/v1/tags/nf.node?q=name,orders,:eq").json
    assert tags == ["a", "b"]


def test_udp_lines_are_queried(server: "RunningServer", until: Until) -> None:
    """A spectatord line shows in a query once its step has ended."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"c:clicks,nf.app=shop:5\n", ("127.0.0.1", server.udp_port))
    path = "/api/v1/tags/name?q=name,clicks,:eq"
    until(lambda: server.call("GET", path).json == ["clicks"])


def test_instances_register_the_eureka_way(server: "RunningServer") -> None:
    """Register, find, and cancel over the classic protocol; the native view agrees."""
    instance = {
        "instance": {
            "instanceId": "web-1", "hostName": "127.0.0.1", "app": "WEB", "ipAddr": "127.0.0.1",
            "vipAddress": "web", "status": "UP", "port": {"$": 8080, "@enabled": "true"},
            "dataCenterInfo": {
                "@class": "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo", "name": "MyOwn",
            },
        }
    }  # fmt: skip
    json_only = {"accept": "application/json"}
    assert server.call("POST", "/eureka/apps/WEB", instance).status == 204
    found = server.call("GET", "/eureka/apps/WEB", headers=json_only).json
    assert found["application"]["name"] == "WEB"
    view = server.call("GET", "/api/v1/registry/instances").json
    assert [entry["instance_id"] for entry in view["instances"]] == ["web-1"]
    assert server.call("DELETE", "/eureka/apps/WEB/web-1").status == 200
    assert server.call("GET", "/eureka/apps/WEB", headers=json_only).status == 404


def test_changes_are_recorded(server: "RunningServer") -> None:
    """A change that was acknowledged is in the journal."""
    change = {"kind": "deploy", "target": "web", "actor": "ci", "source": "test"}
    made = server.call("POST", "/api/v1/changes", change)
    assert made.status == 201
    listed = server.call("GET", "/api/v1/changes?target=web").json["changes"]
    assert [entry["id"] for entry in listed] == [made.json["id"]]


def test_chaos_is_leashed(server: "RunningServer") -> None:
    """Without being told otherwise the platform breaks nothing."""
    fault = {"kind": "delay", "service": "web", "duration_s": 5, "delay_ms": 100, "actor": "test"}
    answer = server.call("POST", "/api/v1/chaos/faults", fault)
    assert answer.status in {400, 403, 404}
    assert server.call("GET", "/api/v1/chaos/faults?active=true").json["faults"] == []


def test_rules_topology_triage_and_incidents_answer(server: "RunningServer") -> None:
    """Every room's reading routes are mounted."""
    assert server.call("GET", "/api/v1/faults/rules?service=web&instance=w1").json["rules"] == []
    for path in ("/api/v1/topology", "/api/v1/triage", "/api/v1/incidents"):
        assert server.call("GET", path).status == 200, path


def test_stats_of_every_room(server: "RunningServer") -> None:
    """The numbers of all rooms come in one object."""
    told = server.call("GET", "/api/v1/stats").json
    rooms = {"http", "metrics", "udp", "lines", "publish", "registry", "storage", "journal"}
    assert rooms | {"chaos", "incidents", "loops", "process"} <= set(told)
    assert told["http"]["requests"] > 0


def test_the_platform_watches_itself(server: "RunningServer", until: Until) -> None:
    """The platform's own numbers are series like any others."""
    path = "/api/v1/tags/name?q=nf.app,breakwater,:eq"
    until(lambda: "breakwater.registry.instances" in server.call("GET", path).json)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/nowhere", None, 404),
        ("GET", "/api/v1/incidents/999", None, 404),
        ("GET", "/api/v1/changes/999", None, 404),
        ("DELETE", "/api/v1/publish", None, 405),
        ("POST", "/api/v1/publish", b"{not json", 400),
        ("POST", "/api/v1/publish", b"\xff\xfe", 400),
        ("POST", "/api/v1/changes", b"[]", 400),
        ("POST", "/api/v1/chaos/faults", b"{}", 400),
        ("GET", "/api/v1/topology?window_s=x", None, 400),
        ("GET", "/api/v1/triage?start=x", None, 400),
        ("GET", "/api/v1/graph", None, 400),
        ("GET", "/api/v1/graph?q=:nope", None, 400),
    ],
)
def test_errors_have_one_shape(
    server: "RunningServer", method: str, path: str, body: bytes | None, status: int
) -> None:
    """Whatever is wrong, the answer says so as {"type": "error", "message": ...}."""
    answer = server.call(method, path, body)
    assert answer.status == status, answer.body
    assert is_error(answer.body)


def test_a_405_names_what_is_allowed(server: "RunningServer") -> None:
    """The Allow header comes through."""
    assert "POST" in server.call("DELETE", "/api/v1/publish").headers["allow"]


def test_oversized_bodies_are_refused_at_once(server: "RunningServer") -> None:
    """A body announced as too large is answered before it is sent."""
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=30) as raw:
        raw.sendall(
            b"POST /api/v1/publish HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Length: 99999999999\r\n\r\n"
        )
        head = raw.recv(4096)
    assert head.startswith(b"HTTP/1.1 413 ")


def test_foreign_names_and_pages_are_refused(server: "RunningServer") -> None:
    """Without tokens only callers that mean this machine are served."""
    refused = server.call("GET", "/api/v1/tags", headers={"host": "evil.example"})
    assert refused.status == 403
    assert is_error(refused.body)
    page = {"origin": "https://evil.example"}
    assert server.call("POST", "/api/v1/publish", {}, headers=page).status == 403


def test_malformed_lines_are_counted_not_felt(server: "RunningServer", until: Until) -> None:
    """Rubbish on the UDP port changes nothing but a counter."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for rubbish in (b"", b"\xff" * 900, b"c:x:NaN,,:::\nq:y:1\n", b"t" * 60_000):
            sender.sendto(rubbish, ("127.0.0.1", server.udp_port))
    until(lambda: sum(server.call("GET", "/api/v1/stats").json["lines"]["dropped"].values()) > 0)
    assert server.call("GET", "/healthcheck").status == 200
