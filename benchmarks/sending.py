"""Sending: one encoder, two connections, so that the server always has something to read."""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import Final

from benchmarks.peers import Connection, Engine

Request = tuple[str, bytes, dict[str, str]]

_SENDERS: Final = 2
_AHEAD: Final = 4


def sent(server: Engine, requests: Callable[[], Iterator[Request]]) -> tuple[float, float]:
    """Send all requests; wall and CPU seconds of the server until the last is answered.

    Raises RuntimeError when one was not taken.
    """
    waiting: queue.Queue[Request | None] = queue.Queue(_AHEAD)
    failures: list[Exception] = []
    senders = [
        threading.Thread(target=_send_on, args=(server, waiting, failures)) for _ in range(_SENDERS)
    ]
    source = requests()
    ready = list(islice(source, _AHEAD))  # made before the watch starts
    cpu_s, began_s = server.cpu_s, time.perf_counter()
    for sender in senders:
        sender.start()
    for request in chain(ready, source):
        waiting.put(request)
    for _ in senders:
        waiting.put(None)
    for sender in senders:
        sender.join()
    if failures:
        raise RuntimeError(f"{server.name} did not take a request") from failures[0]
    return time.perf_counter() - began_s, server.cpu_s - cpu_s


def _send_on(
    server: Engine, waiting: "queue.Queue[Request | None]", failures: list[Exception]
) -> None:
    connection = Connection(server.port)
    while (request := waiting.get()) is not None:
        try:
            if not failures:
                connection.post(*request)
        except (OSError, RuntimeError) as error:
            failures.append(error)
