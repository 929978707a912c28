"""Lines of group-by answers added into arrays: edges, instances and routes by step."""

from collections.abc import Iterable, Sequence
from typing import Final, Self

import numpy as np

from breakwater.metrics import Line, QueryResult
from breakwater.model import Status
from breakwater.model import calls as names
from breakwater.topology.window import (
    STATUSES,
    UNKNOWN,
    Array,
    Edge,
    InstanceKey,
    Route,
)

_STATUS_AT: Final = {status.value: at for at, status in enumerate(STATUSES)}
_OTHER: Final = _STATUS_AT[Status.UNEXPECTED_ERROR]
_FIRST: Final = "initial"


class Rows:
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
        cls,
        client: QueryResult,
        server: QueryResult,
        gauges: Sequence[QueryResult],
        *,
        step_s: float,
    ) -> Self:
        """The rows that counts by caller, by callee and gauges name between them."""
        results = (client, server)
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

    def by_instance(self, counts: QueryResult, times: QueryResult, key: str) -> tuple[Array, Array]:
        """Counts [I, S, T] and request-seconds [I, T] by the instance named in tag `key`."""
        calls = np.zeros((len(self.instances), len(STATUSES), self.steps))
        time_s = np.zeros((len(self.instances), self.steps))
        for line in counts.lines:
            at = self._instance_at.get(_instance(line, key))
            if at is not None:
                calls[at, _status(line)] += np.nan_to_num(line.values) * self._step_s
        for line in times.lines:
            at = self._instance_at.get(_instance(line, key))
            if at is not None and not _is_fallback(line):
                time_s[at] += np.nan_to_num(line.values) * self._step_s
        return calls, time_s

    def by_route(
        self, client: Sequence[QueryResult], server: Sequence[QueryResult]
    ) -> tuple[tuple[Route, ...], Array, Array]:
        """Counts and request-seconds [R, T] of every edge by endpoint.

        The caller's record counts; where the caller is outside the fleet, the callee's.
        """
        sums: list[dict[Route, Array]] = [{}, {}]
        for results, by_callee in ((client, False), (server, True)):
            for result, into in zip(results, sums, strict=True):
                for line in result.lines:
                    edge = _edge(line)
                    if (edge.caller == UNKNOWN) is by_callee:
                        route = Route(edge, line.tags.get(names.ENDPOINT, UNKNOWN))
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
