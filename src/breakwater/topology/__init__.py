"""Who calls whom, how often, how long and how badly, seen from both ends of every edge.

The graph is never configured: it is read from the call telemetry itself (`ipc.client.call`,
`ipc.server.call`), so it is as old as the last step. `observe` runs a fixed handful of group-by
queries and returns one `CallWindow` of plain arrays, which is all that `diagnosis` ever sees.
Tags that would give an answer away (`ipc.failure.injected`) are never read here.
"""

from breakwater.topology.graph import CallGraph
from breakwater.topology.observation import STARTS_QUERY, QueryEngine, observe
from breakwater.topology.summary import EdgeRates, Topology, summarise
from breakwater.topology.window import (
    STATUSES,
    UNKNOWN,
    CallWindow,
    Edge,
    InstanceKey,
    Route,
    failures,
    of_status,
    root_edges,
    total,
)

__all__ = [
    "STARTS_QUERY",
    "STATUSES",
    "UNKNOWN",
    "CallGraph",
    "CallWindow",
    "Edge",
    "EdgeRates",
    "InstanceKey",
    "QueryEngine",
    "Route",
    "Topology",
    "failures",
    "observe",
    "of_status",
    "root_edges",
    "summarise",
    "total",
]
