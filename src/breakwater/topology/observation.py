"""From metric queries to a `CallWindow`."""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec
import numpy as np

from breakwater.metrics import QueryResult
from breakwater.model import Status
from breakwater.model import calls as names
from breakwater.topology.rows import Rows
from breakwater.topology.window import UNKNOWN, CallWindow, root_edges

_NEGLIGIBLE: Final = 0.01
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

    return _with_outside(_assemble(_ask(run, starts_query), step_ms))


class _Answers(msgspec.Struct, frozen=True, kw_only=True):
    """What the engine said; pairs are counts and request-seconds."""

    client: tuple[QueryResult, QueryResult]
    server: tuple[QueryResult, QueryResult]
    client_routes: tuple[QueryResult, QueryResult]
    server_routes: tuple[QueryResult, QueryResult]
    attempts: QueryResult
    cpu: QueryResult
    stall: QueryResult
    alive: QueryResult
    starts: QueryResult


def _ask(run: Callable[[str], QueryResult], starts_query: str) -> _Answers:
    def calls(name: str, keys: Sequence[str]) -> tuple[QueryResult, QueryResult]:
        return run(call_query(name, "count", keys)), run(call_query(name, "totalTime", keys))

    def gauge(name: str) -> QueryResult:
        return run(f"name,{name},:eq,:max,(,{names.APP},{names.NODE},),:by")

    return _Answers(
        client=calls(names.CLIENT_CALL, _CLIENT_KEYS),
        server=calls(names.SERVER_CALL, _SERVER_KEYS),
        client_routes=calls(names.CLIENT_CALL, _ROUTE_KEYS),
        server_routes=calls(names.SERVER_CALL, _ROUTE_KEYS),
        attempts=run(call_query(names.CLIENT_CALL, "count", _ATTEMPT_KEYS)),
        cpu=gauge(names.PROCESS_CPU),
        stall=gauge(names.PROCESS_STALL),
        alive=gauge(names.PROCESS_ALIVE),
        starts=run(starts_query),
    )


def _assemble(found: _Answers, step_ms: int) -> CallWindow:
    gauges = (found.cpu, found.stall, found.alive)
    rows = Rows.of(found.client[0], found.server[0], gauges, step_s=step_ms / 1000)
    seen_calls, seen_time_s = rows.by_instance(*found.client, names.SERVER_NODE)
    served_calls, served_time_s = rows.by_instance(*found.server, names.NODE)
    routes, route_calls, route_time_s = rows.by_route(found.client_routes, found.server_routes)
    good = [line for line in found.starts.lines if line.tags.get("result") == "success"]
    bad = [line for line in found.starts.lines if line.tags.get("result") != "success"]
    return CallWindow(
        end_ms=found.client[0].start_ms + step_ms * np.arange(rows.steps, dtype=np.int64),
        step_ms=step_ms,
        edges=rows.edges,
        client_calls=rows.edge_calls(found.client[0]),
        client_time_s=rows.edge_time(found.client[1]),
        server_calls=rows.edge_calls(found.server[0]),
        server_time_s=rows.edge_time(found.server[1]),
        retries=rows.retries(found.attempts),
        routes=routes,
        route_calls=route_calls,
        route_time_s=route_time_s,
        instances=rows.instances,
        seen_calls=seen_calls,
        seen_time_s=seen_time_s,
        served_calls=served_calls,
        served_time_s=served_time_s,
        cpu=rows.gauge(found.cpu),
        stall_s=rows.gauge(found.stall),
        alive=rows.gauge(found.alive),
        starts=rows.plain(good),
        start_failures=rows.plain(bad),
    )


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
    edges = [window.edges[at] for at in kept]
    roots = {edge for edge, is_root in zip(edges, root_edges(edges), strict=True) if is_root}
    routes = [at for at, route in enumerate(window.routes) if route.edge in roots]
    outside = np.array([edge.caller == UNKNOWN for edge in edges], dtype=bool)
    client_calls, client_time_s = window.client_calls[kept], window.client_time_s[kept]
    server_calls, server_time_s = window.server_calls[kept], window.server_time_s[kept]
    client_calls[outside], client_time_s[outside] = server_calls[outside], server_time_s[outside]
    return msgspec.structs.replace(
        window,
        edges=tuple(edges),
        client_calls=client_calls,
        client_time_s=client_time_s,
        server_calls=server_calls,
        server_time_s=server_time_s,
        retries=window.retries[kept],
        routes=tuple(window.routes[at] for at in routes),
        route_calls=window.route_calls[routes],
        route_time_s=window.route_time_s[routes],
    )
