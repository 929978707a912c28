"""Instances that hold leases in one registry, for drills: many over plain HTTP, or one by the SDK.

`python -m benchmarks.lease_holder` reads one line of JSON (a `Plan`), then commands: `add ID`,
`cancel ID`. Each is answered by a line once the registry has acknowledged it. Ends with its input.
"""

import http.client
import json
import queue
import socket
import sys
import threading
import time
from typing import Any, Final

import msgspec

_ANSWER_S: Final = 3.0


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Who registers where: by the SDK if `sdk` names an instance, else over HTTP."""

    host: str
    port: int
    token: str
    app: str
    address: str
    ids: list[str] = []
    renewal_s: int = 5
    lease_s: int = 15
    sdk: str = ""


class Holder:
    """Keeps leases: registers, renews, registers again where the registry knows nothing."""

    def __init__(self, plan: Plan, listening: int) -> None:
        self._plan = plan
        self._listening = listening
        self._due_s: dict[str, float] = {}
        self._dirty_ms: dict[str, int] = {}

    def run(self, commands: "queue.SimpleQueue[str]") -> None:
        """Hold leases until the word `end` comes."""
        for each in self._plan.ids:
            self._until_done("POST", each)
        print("ready", flush=True)
        while True:
            wait_s = min(self._due_s.values(), default=time.monotonic() + 1) - time.monotonic()
            try:
                word, _, name = commands.get(timeout=max(0.0, wait_s)).partition(" ")
            except queue.Empty:
                self._renew()
                continue
            if word == "end":
                return
            self._until_done("POST" if word == "add" else "DELETE", name)
            print(f"{word} {name}", flush=True)

    def _renew(self) -> None:
        now_s = time.monotonic()
        for name in [name for name, due_s in self._due_s.items() if due_s <= now_s]:
            if self._ask("PUT", name) == 404:
                self._ask("POST", name)
            self._due_s[name] = now_s + self._plan.renewal_s

    def _until_done(self, method: str, name: str) -> None:
        while self._ask(method, name) not in {200, 204}:
            threading.Event().wait(0.2)
        if method == "POST":
            self._due_s[name] = time.monotonic() + self._plan.renewal_s
        else:
            del self._due_s[name]

    def _ask(self, method: str, name: str) -> int:
        path, body = f"/eureka/apps/{self._plan.app}", None
        if method == "POST":
            self._dirty_ms[name] = time.time_ns() // 1_000_000
            body = json.dumps(self._document(name)).encode()
        else:
            path += f"/{name}"
        if method == "PUT":
            path += f"?status=UP&lastDirtyTimestamp={self._dirty_ms[name]}"
        headers = {"content-type": "application/json"}
        if self._plan.token:
            headers["authorization"] = f"Bearer {self._plan.token}"
        connection = http.client.HTTPConnection(self._plan.host, self._plan.port, timeout=_ANSWER_S)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            return 0
        else:
            return answer.status
        finally:
            connection.close()

    def _document(self, name: str) -> dict[str, Any]:  # Any: JSON
        plan = self._plan
        return {
            "instance": {
                "instanceId": name, "hostName": plan.address, "app": plan.app,
                "ipAddr": plan.address, "vipAddress": plan.app.lower(), "status": "UP",
                "port": {"$": self._listening, "@enabled": "true"},
                "leaseInfo": {
                    "renewalIntervalInSecs": plan.renewal_s, "durationInSecs": plan.lease_s,
                },
                "dataCenterInfo": {
                    "@class": "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo",
                    "name": "MyOwn",
                },
                "metadata": {"made": str(self._dirty_ms[name])},
                "lastDirtyTimestamp": str(self._dirty_ms[name]),
            }
        }  # fmt: skip


def _read(commands: "queue.SimpleQueue[str]") -> None:
    for line in sys.stdin:
        commands.put(line.strip())
    commands.put("end")


def _hold_by_sdk(plan: Plan, listening: int, commands: "queue.SimpleQueue[str]") -> None:
    from breakwater.sdk import Service  # noqa: PLC0415 - only where it is wanted

    url = f"http://{plan.host}:{plan.port}"
    service = Service(
        plan.app.lower(), instance=plan.sdk, host=plan.address, port=listening, url=url,
        token=plan.token, metrics="none",
    )  # fmt: skip
    with service:
        print("ready", flush=True)
        while commands.get() != "end":
            pass


def main() -> None:
    """Hold leases until the input ends."""
    plan = msgspec.json.decode(sys.stdin.readline(), type=Plan)
    commands: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(commands,), daemon=True).start()
    with socket.create_server((plan.address, 0), backlog=64) as door:
        threading.Thread(target=_accept, args=(door,), daemon=True).start()
        listening = door.getsockname()[1]
        if plan.sdk:
            _hold_by_sdk(plan, listening, commands)
        else:
            Holder(plan, listening).run(commands)


def _accept(door: socket.socket) -> None:
    while True:
        try:
            taken, _ = door.accept()
        except OSError:
            return
        taken.close()


if __name__ == "__main__":
    main()
