"""The dependency graph of a window in numbers a person reads."""

import msgspec
import numpy as np

from breakwater.topology.window import CallWindow, failures, total


class EdgeRates(msgspec.Struct, frozen=True, kw_only=True):
    """One edge over the window: calls per second, seconds a call by both clocks, failed share."""

    caller: str
    callee: str
    calls_per_s: float
    client_latency_s: float
    server_latency_s: float
    failed_share: float


class Topology(msgspec.Struct, frozen=True, kw_only=True):
    """The graph of the window (start_ms, end_ms]."""

    start_ms: int
    end_ms: int
    services: list[str]
    edges: list[EdgeRates]


def summarise(window: CallWindow) -> Topology:
    """Rates of every edge of `window`; an edge only its callee reports has 0 calls per second."""
    calls, served = total(window.client_calls), total(window.server_calls)
    bad = failures(window.client_calls)
    seconds = max(window.steps * window.step_ms / 1000, 1e-9)
    edges = [
        EdgeRates(
            caller=edge.caller,
            callee=edge.callee,
            calls_per_s=float(calls[at].sum() / seconds),
            client_latency_s=_ratio(window.client_time_s[at].sum(), calls[at].sum()),
            server_latency_s=_ratio(window.server_time_s[at].sum(), served[at].sum()),
            failed_share=_ratio(bad[at].sum(), calls[at].sum()),
        )
        for at, edge in enumerate(window.edges)
    ]
    end = int(window.end_ms[-1]) if window.steps else 0
    return Topology(
        start_ms=end - window.steps * window.step_ms,
        end_ms=end,
        services=list(window.services),
        edges=edges,
    )


def _ratio(part: np.float64, whole: np.float64) -> float:
    return float(part / whole) if whole > 0 else 0.0
