"""Registries as processes of their own, alone or as peers, on loopback or in network namespaces."""

import http.client
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

DEADLINE_S: Final = 60.0
ALONE: Final = ("-m", "benchmarks.registry_alone")
PLATFORM: Final = ("-m", "breakwater.cli", "serve")
_HOME: Final = str(Path(__file__).resolve().parent.parent)
_JSON: Final = {"accept": "application/json"}


class Answer:
    """Status and body of one HTTP answer."""

    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self.body = body

    @property
    def json(self) -> Any:  # Any: decoded JSON
        """The body, decoded."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise ValueError(f"HTTP {self.status}, no JSON: {self.body[:300]!r}") from None


class Node:
    """One registry, which can be killed and started again in its own folder.

    program: the whole platform, or the registry alone, which starts sooner. prefix: what to put
    before the command, to run it in a namespace. address: where it is asked.
    """

    def __init__(
        self,
        folder: Path,
        port: int,
        settings: Sequence[str] = (),
        *,
        host: str = "127.0.0.1",
        address: str = "127.0.0.1",
        prefix: Sequence[str] = (),
        token: str = "",
        program: Sequence[str] = ALONE,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = port
        self.address = address
        self.url = f"http://{address}:{port}"
        self._host = host
        self._settings = tuple(settings)
        self._prefix = tuple(prefix)
        self._program = tuple(program)
        self._headers = {"authorization": f"Bearer {token}"} if token else {}
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it and wait until it is ready."""
        self.launch()
        self.await_ready()

    def launch(self) -> None:
        """Start it; another may be started meanwhile."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("BREAKWATER_")}
        flags = [part for each in self._settings for part in ("--set", each)]
        with (self.folder / "stderr").open("a") as log:
            self.process = subprocess.Popen(
                [*self._prefix, sys.executable, *self._program,
                 "--host", self._host, "--port", str(self.port), "--udp-port", "0",
                 "--data-dir", str(self.folder / "data"), "--die-with-parent",
                 "--set", "incidents.enabled=false", *flags],
                cwd=_HOME, env=environment, stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip

    def await_ready(self) -> None:
        """Wait for its ready line."""
        assert self.process is not None
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], DEADLINE_S)
        line = self.process.stdout.readline() if readable else ""
        if not line:
            raise RuntimeError(f"no ready line: {(self.folder / 'stderr').read_text()[-2000:]}")

    def end(self, how: signal.Signals = signal.SIGKILL) -> None:
        """End it, if it runs, and wait until it has ended."""
        process, self.process = self.process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(how)
        process.wait(DEADLINE_S)
        assert process.stdout is not None
        process.stdout.close()

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = DEADLINE_S,
    ) -> Answer:
        """One request; a body is sent as JSON. Raises OSError while nobody answers."""
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection = http.client.HTTPConnection(self.address, self.port, timeout=timeout_s)
        kind = {} if content is None else {"content-type": "application/json"}
        try:
            connection.request(
                method, path, content, {**_JSON, **kind, **self._headers, **(headers or {})}
            )
            answer = connection.getresponse()
            return Answer(answer.status, answer.read())
        finally:
            connection.close()

    def register(self, app: str, instance_id: str, **fields: object) -> int:
        """Register an instance; the status of the answer."""
        return self.call("POST", f"/eureka/apps/{app}", document(app, instance_id, **fields)).status

    def renew(self, app: str, instance_id: str) -> int:
        """Renew a lease; the status of the answer."""
        return self.call("PUT", f"/eureka/apps/{app}/{instance_id}?status=UP").status

    def cancel(self, app: str, instance_id: str) -> int:
        """End a lease; the status of the answer."""
        return self.call("DELETE", f"/eureka/apps/{app}/{instance_id}").status

    def native(self) -> dict[str, dict[str, Any]]:
        """The native view by instance id, apart from how sure it is."""
        view = self.call("GET", "/api/v1/registry/instances").json
        return {
            one["instance_id"]: {key: one[key] for key in one if key != "health"}
            for one in view["instances"]
        }

    def classic(self) -> dict[str, dict[str, Any]]:
        """The classic view by instance id, apart from what each registry notes for itself."""
        found = {}
        for application in self.call("GET", "/eureka/apps/").json["applications"]["application"]:
            for one in application["instance"]:
                for own in ("lastUpdatedTimestamp", "actionType"):
                    one.pop(own, None)
                for own in ("registrationTimestamp", "lastRenewalTimestamp"):
                    one["leaseInfo"].pop(own, None)
                found[one["instanceId"]] = one
        return found

    def peers(self) -> dict[str, Any]:
        """How it stands with its peers."""
        told: dict[str, Any] = self.call("GET", "/api/v1/registry/peers").json
        return told


def document(app: str, instance_id: str, **fields: object) -> dict[str, Any]:
    """A registration as classic clients send it, with `fields` changed."""
    lease = {
        "renewalIntervalInSecs": fields.pop("renewal_s", 30),
        "durationInSecs": fields.pop("lease_s", 90),
    }
    return {
        "instance": {
            "instanceId": instance_id, "hostName": "127.0.0.1", "app": app,
            "ipAddr": "127.0.0.1", "vipAddress": app.lower(), "status": "UP",
            "port": {"$": 9, "@enabled": "true"}, "leaseInfo": lease,
            "dataCenterInfo": {
                "@class": "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo",
                "name": "MyOwn",
            },
            "lastDirtyTimestamp": str(time.time_ns() // 1_000_000),
            **fields,
        }
    }  # fmt: skip


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [each.getsockname()[1] for each in held]
    finally:
        for each in held:
            each.close()


@contextmanager
def peers_on_loopback(
    folder: Path, count: int, *settings: str, program: Sequence[str] = ALONE
) -> Iterator[list[Node]]:
    """So many registries that know each other, all ready; none is left at the end."""
    ports = free_ports(count)
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    nodes = []
    for number, port in enumerate(ports):
        others = json.dumps([url for url in urls if url != urls[number]])
        own = (f"registry.peers={others}", f"registry.url={urls[number]}")
        nodes.append(Node(folder / f"node-{number}", port, (*own, *settings), program=program))
    try:
        for node in nodes:
            node.launch()
        for node in nodes:
            node.await_ready()
        yield nodes
    finally:
        for node in nodes:
            node.end()


def wait_until(holds: Callable[[], object], deadline_s: float = DEADLINE_S) -> float:
    """Return as soon as the condition holds, with the seconds that took; fail at the deadline."""
    pause = threading.Event()
    begun_s = time.monotonic()
    while not holds():
        if time.monotonic() - begun_s > deadline_s:
            raise AssertionError(f"the condition did not come true within {deadline_s} s")
        pause.wait(0.05)
    return time.monotonic() - begun_s
