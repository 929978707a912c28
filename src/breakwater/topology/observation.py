"""From metric queries to a `CallWindow`."""

from collections.abc import Iterable, Sequence
from typing import Final, Protocol

import msgspec
import numpy as np

from breakwater.metrics import Line, QueryResult
from breakwater.model import Status
from breakwater.model import calls as names
from breakwater.topology.window import (
    STATUSES,
    UNKNOWN,
    Array,
    CallWindow,
    Edge,
    InstanceKey,
    Route,
    root_edges,
)

_NEGLIGIBLE: Final = 0.01
_FIRST: Final = "initial"
_STATUS_AT: Final = {status.value: at for at, status in enumerate(STATUSES)}
_OTHER: Final = _STATUS_AT[Status.UNEXPECTED_ERROR]
_CLIENT_KEYS: Final = (names.CLIENT_APP, names.SERVER_APP, names.SERVER_NODE, names.STATUS)
_ATTEMPT_KEYS: Final = (names.CLIENT_APP, names.SERVER_APP, names.ATTEMPT)
_ROUTE_KEYS: Final = (names.CLIENT_APP, names.SERVER_APP, names.ENDPOINT)
_SERVER_KEYS: Final = (names.CLIENT_APP, names.SERVER_APP, names.NODE, names.STATUS)
STARTS_QUERY: Final = "name,stream.starts,:eq,:sum,(,result,),:by"


class QueryEngine(Protocol):
    """What is needed of the metrics room: run one program over one window."""

    def query(
        self, program: str, *, start_ms: int, end_ms: int, step_ms: int | None = None
    ) -> QueryResult:
        """Values of `program` over (start_ms, end_ms] on the step grid."""
        ...


def call_query(name: str, statistic: str, keys: Sequence[str]) -> str:
    """The program that sums one statistic of a call meter by `keys`; fallbacks are no calls."""
    is_call = "" if names.STATUS in keys else f"{names.STATUS},{Status.FALLBACK},:eq,:not,:and,"
    return f"name,{name},:eq,statistic,{statistic},:eq,:and,{is_call}:sum,(,{','.join(keys)},),:by"


def observe(
    engine: QueryEngine,
    *,
    start_ms: int,
    end_ms: int,
    step_ms: int,
    starts_query: str = STARTS_QUERY,
) -> CallWindow:
    """Read all calls of the window (start_ms, end_ms] from the metrics engine.

    Thirteen queries, each one group-by; cost grows with edges x instances x statuses, not with
    traffic. `starts_query` is the business indicator, grouped by a tag `result` whose value
    `success` counts as good and every other as bad.
    """

    def run(program: str) -> QueryResult:
        return engine.query(program, start_ms=start_ms, end_ms=end_ms, step_ms=step_ms)

    client = run(call_query(names.CLIENT_CALL, "count", _CLIENT_KEYS))
    client_time = run(call_query(names.CLIENT_CALL, "totalTime", _CLIENT_KEYS))
    server = run(call_query(names.SERVER_CALL, "count", _SERVER_KEYS))
    server_time = run(call_query(names.SERVER_CALL, "totalTime", _SERVER_KEYS))
    attempts = run(call_query(names.CLIENT_CALL, "count", _ATTEMPT_KEYS))
    gauges = [
        run(f"name,{name},:eq,:max,(,{names.APP},{names.NODE},),:by")
        for name in (names.PROCESS_CPU, names.PROCESS_STALL, names.PROCESS_ALIVE)
    ]
    routes = [
        [run(call_query(name, statistic, _ROUTE_KEYS)) for statistic in ("count", "totalTime")]
        for name in (names.CLIENT_CALL, names.SERVER_CALL)
    ]
    starts = run(starts_query)
    shape = _Shape.of([client, server], gauges, step_s=step_ms / 1000)
    first_ms, steps = client.start_ms, shape.steps
    seen = shape.by_instance([client, client_time], names.SERVER_NODE)
    served = shape.by_instance([server, server_time], names.NODE)
    gauge_rows = [shape.gauge(result) for result in gauges]
    route_keys, route_calls, route_time_s = shape.routes(*routes)
    window = CallWindow(
        end_ms=first_ms + step_ms * np.arange(steps, dtype=np.int64),
        step_ms=step_ms,
        edges=shape.edges,
        client_calls=shape.edge_calls(client),
        client_time_s=shape.edge_time(client_time),
        server_calls=shape.edge_calls(server),
        server_time_s=shape.edge_time(server_time),
        retries=shape.retries(attempts),
        routes=route_keys,
        route_calls=route_calls,
        route_time_s=route_time_s,
        instances=shape.instances,
        seen_calls=seen[0],
        seen_time_s=seen[1],
        served_calls=served[0],
        served_time_s=served[1],
        cpu=gauge_rows[0],
        stall_s=gauge_rows[1],
        alive=gauge_rows[2],
        starts=shape.plain(line for line in starts.lines if line.tags.get("result") == "success"),
        start_failures=shape.plain(
            line for line in starts.lines if line.tags.get("result") != "success"
        ),
    )
    return _with_outside(window)


def _with_outside(window: CallWindow) -> CallWindow:
    """Let callers that do not say who they are stand for the world outside the fleet.

    They write no telemetry, so the callee's record is the only one there is and counts for both
    ends. Where they make less than a hundredth of the calls a service takes or makes (health
    checks, a person with curl) they are left out.
    """
    calls = np.maximum(window.client_calls, window.server_calls).sum(axis=(1, 2))
    whole: dict[str, float] = {}
    for edge, count in zip(window.edges, calls, strict=True):
        for service in edge:
            whole[service] = whole.get(service, 0.0) + float(count)
    kept = [
        at
        for at, edge in enumerate(window.edges)
        if edge.caller != UNKNOWN or calls[at] > _NEGLIGIBLE * whole[edge.callee]
    ]
    edges = {window.edges[at] for at in kept}
    routes = [at for at, route in enumerate(window.routes) if route.edge in edges]
    outside = np.array([window.edges[at].caller == UNKNOWN for at in kept], dtype=bool)
    client_calls, client_time_s = window.client_calls[kept], window.client_time_s[kept]
    server_calls, server_time_s = window.server_calls[kept], window.server_time_s[kept]
    client_calls[outside], client_time_s[outside] = server_calls[outside], server_time_s[outside]
    return msgspec.structs.replace(
        window,
        edges=tuple(window.edges[at] for at in kept),
        client_calls=client_calls,
        client_time_s=client_time_s,
        server_calls=server_calls,
        server_time_s=server_time_s,
        retries=window.retries[kept],
        routes=tuple(window.routes[at] for at in routes),
        route_calls=window.route_calls[routes],
        route_time_s=window.route_time_s[routes],
    )


class _Shape:
    """The rows every array of one window shares, and how lines are added into them."""

    def __init__(
        self, edges: tuple[Edge, ...], instances: tuple[InstanceKey, ...], steps: int, step_s: float
    ) -> None:
        self.edges = edges
        self.instances = instances
        self.steps = steps
        self._step_s = step_s
        self._edge_at = {edge: at for at, edge in enumerate(edges)}
        self._instance_at = {key: at for at, key in enumerate(instances)}

    @classmethod
    def of(
        cls, results: Sequence[QueryResult], gauges: Sequence[QueryResult], *, step_s: float
    ) -> "_Shape":
        edges = {_edge(line) for result in results for line in result.lines}
        instances = {
            _instance(line, key)
            for result, key in zip(results, (names.SERVER_NODE, names.NODE), strict=True)
            for line in result.lines
        }
        instances |= {
            InstanceKey(line.tags.get(names.APP, UNKNOWN), line.tags.get(names.NODE, UNKNOWN))
            for result in gauges
            for line in result.lines
        }
        lengths = [len(line.values) for r in (*results, *gauges) for line in r.lines]
        known = {key for key in instances if key.instance not in {"none", UNKNOWN}}
        return cls(
            tuple(sorted(edges - {Edge(UNKNOWN, UNKNOWN)})),
            tuple(sorted(known)),
            max(lengths, default=0),
            step_s,
        )

    def edge_calls(self, result: QueryResult) -> Array:
        """Counts [E, S, T]."""
        out = np.zeros((len(self.edges), len(STATUSES), self.steps))
        for line in result.lines:
            at = self._edge_at.get(_edge(line))
            if at is not None:
                out[at, _status(line)] += np.nan_to_num(line.values) * self._step_s
        return out

    def edge_time(self, result: QueryResult) -> Array:
        """Request-seconds [E, T]; the time of a fallback's own record is not the callee's."""
        out = np.zeros((len(self.edges), self.steps))
        for line in result.lines:
            at = self._edge_at.get(_edge(line))
            if at is not None and not _is_fallback(line):
                out[at] += np.nan_to_num(line.values) * self._step_s
        return out

    def retries(self, result: QueryResult) -> Array:
        """Counts of calls that were not a first attempt [E, T]."""
        out = np.zeros((len(self.edges), self.steps))
        for line in result.lines:
            at = self._edge_at.get(_edge(line))
            if at is not None and line.tags.get(names.ATTEMPT, _FIRST) != _FIRST:
                out[at] += np.nan_to_num(line.values) * self._step_s
        return out

    def by_instance(self, results: Sequence[QueryResult], key: str) -> tuple[Array, Array]:
        """Counts [I, S, T] and request-seconds [I, T] by the instance named in tag `key`."""
        calls = np.zeros((len(self.instances), len(STATUSES), self.steps))
        time_s = np.zeros((len(self.instances), self.steps))
        for line in results[0].lines:
            at = self._instance_at.get(_instance(line, key))
            if at is not None:
                calls[at, _status(line)] += np.nan_to_num(line.values) * self._step_s
        for line in results[1].lines:
            at = self._instance_at.get(_instance(line, key))
            if at is not None and not _is_fallback(line):
                time_s[at] += np.nan_to_num(line.values) * self._step_s
        return calls, time_s

    def routes(
        self, client: Sequence[QueryResult], server: Sequence[QueryResult]
    ) -> tuple[tuple[Route, ...], Array, Array]:
        """Counts and request-seconds [R, T] of the edges that leave a root.

        The caller's record counts; where the caller is outside the fleet, the callee's.
        """
        roots = {
            edge
            for edge, is_root in zip(self.edges, root_edges(self.edges), strict=True)
            if is_root
        }

        def counted(line: Line, *, by_callee: bool) -> bool:
            edge = _edge(line)
            return edge in roots and (edge.caller == UNKNOWN) is by_callee

        sums: list[dict[Route, Array]] = [{}, {}]
        for results, by_callee in ((client, False), (server, True)):
            for result, into in zip(results, sums, strict=True):
                for line in result.lines:
                    if counted(line, by_callee=by_callee):
                        route = Route(_edge(line), line.tags.get(names.ENDPOINT, UNKNOWN))
                        into[route] = np.nan_to_num(line.values) * self._step_s
        keys = tuple(sorted(sums[0]))
        nothing = np.zeros(self.steps)
        calls, time_s = (
            np.array([found.get(key, nothing) for key in keys]).reshape(len(keys), self.steps)
            for found in sums
        )
        return keys, calls, time_s

    def gauge(self, result: QueryResult) -> Array:
        """Gauge values [I, T], NaN where nothing was reported."""
        out = np.full((len(self.instances), self.steps), np.nan)
        for line in result.lines:
            key = InstanceKey(line.tags.get(names.APP, UNKNOWN), line.tags.get(names.NODE, UNKNOWN))
            at = self._instance_at.get(key)
            if at is not None:
                out[at] = line.values
        return out

    def plain(self, lines: Iterable[Line]) -> Array:
        """Sum of lines as counts [T]; lines of no data count as zero."""
        out = np.zeros(self.steps)
        for line in lines:
            if len(line.values) == self.steps:
                out += np.nan_to_num(line.values) * self._step_s
        return out


def _edge(line: Line) -> Edge:
    return Edge(line.tags.get(names.CLIENT_APP, UNKNOWN), line.tags.get(names.SERVER_APP, UNKNOWN))


def _instance(line: Line, key: str) -> InstanceKey:
    return InstanceKey(line.tags.get(names.SERVER_APP, UNKNOWN), line.tags.get(key, UNKNOWN))


def _status(line: Line) -> int:
    return _STATUS_AT.get(line.tags.get(names.STATUS, ""), _OTHER)


def _is_fallback(line: Line) -> bool:
    return line.tags.get(names.STATUS) == Status.FALLBACK
