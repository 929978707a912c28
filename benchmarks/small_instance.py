"""An instance for `crash_visibility`: registers, renews, and answers whoever connects.

Run as `python -I -S small_instance.py PORT APP NAME COUNT LEASE_S INTERVAL_S`: it has only the
standard library, so that a hundred of them start at once. With a COUNT above one it plays so many
instances at one address.
"""

import json
import random
import socket
import sys
import threading
import time

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"


def main() -> None:
    """Play the instances until killed."""
    port, app, name = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    count, lease_s, interval_s = (int(word) for word in sys.argv[4:7])
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    threading.Thread(target=answer, args=(listener,), daemon=True).start()
    names = [name] if count == 1 else [f"{name}-{number}" for number in range(count)]
    link = Link(port)
    due = []
    for each in names:
        link.ask("POST", f"/eureka/apps/{app}", described(app, each, listener, lease_s, interval_s))
        due.append((time.monotonic() + random.uniform(0, interval_s), each))
    due.sort()
    print("ready", flush=True)
    while True:
        at_s, each = due.pop(0)
        time.sleep(max(0.0, at_s - time.monotonic()))
        link.ask("PUT", f"/eureka/apps/{app}/{each}?status=UP")
        due.append((at_s + interval_s, each))


def answer(listener: socket.socket) -> None:
    """Say that all is well, to anybody."""
    while True:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(1)
            try:
                if connection.recv(4096):
                    connection.sendall(ANSWER)
            except OSError:
                continue


class Link:
    """One connection to the registry, made anew when it breaks."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None

    def ask(self, method: str, path: str, body: bytes = b"") -> None:
        """Send a request and read the head of its answer; tried until it is answered."""
        head = (
            f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{self._port}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        while True:
            try:
                if self._socket is None:
                    self._socket = socket.create_connection(("127.0.0.1", self._port), 10)
                self._socket.sendall(head.encode() + body)
                if self._socket.recv(65_536).startswith(b"HTTP/1.1 20"):
                    return
            except OSError as error:
                print(f"{method} {path}: {error}; tried again", file=sys.stderr)
            self._socket = None
            time.sleep(0.2)


def described(app: str, name: str, listener: socket.socket, lease_s: int, interval_s: int) -> bytes:
    """An instance in Eureka's words."""
    port = listener.getsockname()[1]
    instance = {
        "instanceId": name,
        "hostName": "127.0.0.1",
        "app": app,
        "ipAddr": "127.0.0.1",
        "status": "UP",
        "port": {"$": port, "@enabled": "true"},
        "dataCenterInfo": {
            "@class": "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo",
            "name": "MyOwn",
        },
        "leaseInfo": {"durationInSecs": lease_s, "renewalIntervalInSecs": interval_s},
        "healthCheckUrl": f"http://127.0.0.1:{port}/health",
        "vipAddress": app.lower(),
    }
    return json.dumps({"instance": instance}).encode()


if __name__ == "__main__":
    main()
