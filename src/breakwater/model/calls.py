"""What is recorded about one call between two services, and under which names.

The names are those of the Netflix IPC metric specification. Both ends of every edge write one
record a call: the caller `ipc.client.call`, the callee `ipc.server.call`. What lies between the
two clocks is the network, a queue, or a request that never arrived.
"""

from enum import StrEnum
from typing import Final

CLIENT_CALL: Final = "ipc.client.call"
SERVER_CALL: Final = "ipc.server.call"
CLIENT_INFLIGHT: Final = "ipc.client.inflight"
SERVER_INFLIGHT: Final = "ipc.server.inflight"

CLIENT_APP: Final = "ipc.client.app"
SERVER_APP: Final = "ipc.server.app"
SERVER_NODE: Final = "ipc.server.node"
"""The callee's instance as the caller chose it; it shows an instance that can no longer report."""
ENDPOINT: Final = "ipc.endpoint"
RESULT: Final = "ipc.result"
STATUS: Final = "ipc.status"
STATUS_DETAIL: Final = "ipc.status.detail"
ATTEMPT: Final = "ipc.attempt"
ATTEMPT_FINAL: Final = "ipc.attempt.final"
FAILURE_INJECTED: Final = "ipc.failure.injected"

APP: Final = "nf.app"
NODE: Final = "nf.node"
ZONE: Final = "nf.zone"

PROCESS_ALIVE: Final = "process.alive"
"""Counter that grows about once a second; unlike a gauge it falls silent with its process."""
PROCESS_CPU: Final = "process.cpu.utilization"
"""Gauge: share of one core used by the process since the last report, 0 to number of cores."""
PROCESS_STALL: Final = "process.loop.lag"
"""Max gauge: seconds the event loop, or a timer thread in sync programs, woke up late."""


class Status(StrEnum):
    """How a call ended, from the point of view of the side that records it."""

    SUCCESS = "success"
    BAD_REQUEST = "bad_request"
    UNEXPECTED_ERROR = "unexpected_error"
    CONNECTION_ERROR = "connection_error"
    UNAVAILABLE = "unavailable"
    THROTTLED = "throttled"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    ACCESS_DENIED = "access_denied"
    SHORT_CIRCUITED = "short_circuited"
    REJECTED = "rejected"
    FALLBACK = "fallback"


CALLERS_FAULT: Final = frozenset((Status.BAD_REQUEST, Status.ACCESS_DENIED, Status.THROTTLED))
"""Failures that speak of the request, not of the health of the callee."""


def status_of_http(code: int) -> Status:
    """The call status that an HTTP response code stands for."""
    if code < 400:
        return Status.SUCCESS
    return _HTTP.get(code, Status.BAD_REQUEST if code < 500 else Status.UNEXPECTED_ERROR)


_HTTP: Final = {
    401: Status.ACCESS_DENIED,
    403: Status.ACCESS_DENIED,
    408: Status.TIMEOUT,
    429: Status.THROTTLED,
    499: Status.CANCELLED,
    502: Status.CONNECTION_ERROR,
    503: Status.UNAVAILABLE,
    504: Status.TIMEOUT,
}
