"""One stretch of call telemetry as arrays on a shared time grid."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from breakwater.model import Status

Array = NDArray[np.float64]

STATUSES: Final = tuple(Status)
"""Order of the status axis in every array below."""

UNKNOWN: Final = "unknown"
"""The caller of calls whose caller did not say who it is: the world outside the fleet."""

_FALLBACK: Final = STATUSES.index(Status.FALLBACK)
_NOT_HEALTH: Final = [
    STATUSES.index(s)
    for s in (
        Status.SUCCESS,
        Status.FALLBACK,
        Status.BAD_REQUEST,
        Status.ACCESS_DENIED,
        Status.THROTTLED,
    )
]


_NOT_BY_STEP: Final = frozenset({"step_ms", "edges", "routes", "instances"})


class Edge(NamedTuple):
    """A caller and the service it calls."""

    caller: str
    callee: str

    def __str__(self) -> str:
        return f"{self.caller}->{self.callee}"


class Route(NamedTuple):
    """One endpoint of the callee as one caller uses it."""

    edge: Edge
    endpoint: str

    def __str__(self) -> str:
        return f"{self.edge} {self.endpoint}"


class InstanceKey(NamedTuple):
    """A service and one of its instances."""

    service: str
    instance: str


class CallWindow(msgspec.Struct, frozen=True, kw_only=True):
    """Calls of the whole fleet; axes: E edges, R routes, I instances, S statuses, T steps.

    Counts are calls per step (not rates), times are request-seconds per step; a step without a
    record is 0, except in `cpu`, `stall_s` and `alive`, where NaN means nothing was reported.
    `client_*` is what the caller saw, `server_*` what the callee saw of the same edge. `route_*`
    is the caller's view again, by endpoint, for the edges that leave a root: what users ask for.
    `retries` are the client's calls that were not the first attempt, by edge.
    `seen_*` is what callers saw of one instance, `served_*` what the instance says of itself.
    """

    end_ms: NDArray[np.int64]
    step_ms: int
    edges: tuple[Edge, ...]
    client_calls: Array
    client_time_s: Array
    server_calls: Array
    server_time_s: Array
    retries: Array
    routes: tuple[Route, ...]
    route_calls: Array
    route_time_s: Array
    instances: tuple[InstanceKey, ...]
    seen_calls: Array
    seen_time_s: Array
    served_calls: Array
    served_time_s: Array
    cpu: Array
    stall_s: Array
    alive: Array
    starts: Array
    start_failures: Array

    @property
    def steps(self) -> int:
        """Number of steps, T."""
        return len(self.end_ms)

    def only(self, kept: slice | NDArray[np.bool_]) -> "CallWindow":
        """The same calls in some of the steps."""
        by_step = [name for name in self.__struct_fields__ if name not in _NOT_BY_STEP]
        return msgspec.structs.replace(
            self, **{name: getattr(self, name)[..., kept] for name in by_step}
        )

    @property
    def services(self) -> tuple[str, ...]:
        """Every service on either end of an edge, sorted."""
        return tuple(sorted({name for edge in self.edges for name in edge}))


def root_edges(edges: Sequence[Edge]) -> NDArray[np.bool_]:
    """Which edges leave a root, bool [E]: their caller is called by nobody, or is the outside."""
    called = {edge.callee for edge in edges}
    return np.array([edge.caller not in called for edge in edges], dtype=bool)


def total(calls: Array) -> Array:
    """Calls of any status, [..., S, T] to [..., T]; a fallback is an answer, not one more call."""
    return np.asarray(calls.sum(axis=-2) - calls[..., _FALLBACK, :])


def failures(calls: Array) -> Array:
    """Calls that failed on the callee's account or on the way to it, [..., S, T] to [..., T]."""
    return np.asarray(calls.sum(axis=-2) - calls[..., _NOT_HEALTH, :].sum(axis=-2))


def of_status(calls: Array, *statuses: Status) -> Array:
    """Calls that ended in one of `statuses`, [..., S, T] to [..., T]."""
    return np.asarray(calls[..., [STATUSES.index(s) for s in statuses], :].sum(axis=-2))
