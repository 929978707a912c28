import numpy as np

from breakwater.metrics import Line, QueryResult
from breakwater.model import Status
from breakwater.topology import (
    STATUSES,
    Edge,
    InstanceKey,
    failures,
    observe,
    of_status,
    root_edges,
    summarise,
    total,
)


class Recorded:
    """Answers each query with the lines given for the metric it names."""

    def __init__(self, lines: dict[tuple[str, str], list[Line]]) -> None:
        self.lines = lines
        self.asked: list[str] = []

    def query(
        self, program: str, *, start_ms: int, end_ms: int, step_ms: int | None = None
    ) -> QueryResult:
        self.asked.append(program)
        words = program.split(",")
        name = words[1]
        statistic = words[4] if words[3] == "statistic" else ""
        return QueryResult(
            start_ms=start_ms + 1000,
            step_ms=1000,
            lines=self.lines.get((name, statistic), []),
            expressions=[],
        )


def _line(values: list[float], **tags: str) -> Line:
    named = {key.replace("_", "."): value for key, value in tags.items()}
    return Line(tags=named, label="", values=np.array(values))


def _fleet() -> Recorded:
    call = {"ipc_client_app": "a", "ipc_server_app": "b"}
    return Recorded(
        {
            ("ipc.client.call", "count"): [
                _line([2, 4], **call, ipc_server_node="b-1", ipc_status="success"),
                _line([1, np.nan], **call, ipc_server_node="b-1", ipc_status="timeout"),
                _line([1, 0], **call, ipc_server_node="none", ipc_status="fallback"),
            ],
            ("ipc.client.call", "totalTime"): [
                _line([0.2, 0.4], **call, ipc_server_node="b-1", ipc_status="success"),
                _line([9, 9], **call, ipc_server_node="none", ipc_status="fallback"),
            ],
            ("ipc.server.call", "count"): [
                _line([3, 4], **call, nf_node="b-1", ipc_status="success")
            ],
            ("process.cpu.utilization", ""): [_line([0.5, np.nan], nf_app="b", nf_node="b-1")],
            ("stream.starts", ""): [_line([5, 6], result="success"), _line([1, 0], result="no")],
        }
    )


def test_both_ends_of_an_edge_become_counts_and_seconds() -> None:
    """Rates become counts per step, a gap becomes zero, both clocks keep their own account."""
    window = observe(_fleet(), start_ms=0, end_ms=2000, step_ms=1000)
    assert window.edges == (Edge("a", "b"),)
    assert of_status(window.client_calls, Status.TIMEOUT).tolist() == [[1, 0]]
    assert total(window.server_calls).tolist() == [[3, 4]]
    assert window.end_ms.tolist() == [1000, 2000]
    assert window.starts.tolist() == [5, 6]
    assert window.start_failures.tolist() == [1, 0]


def test_a_fallback_is_no_call_and_costs_no_time() -> None:
    """The failed attempt is counted once; the answer that hid it is neither call nor time."""
    window = observe(_fleet(), start_ms=0, end_ms=2000, step_ms=1000)
    assert total(window.client_calls).tolist() == [[3, 4]]
    assert failures(window.client_calls).tolist() == [[1, 0]]
    assert window.client_time_s.tolist() == [[0.2, 0.4]]


def test_instances_that_were_never_reached_are_not_instances() -> None:
    """A call that was not sent names no instance; gauges keep their gaps."""
    window = observe(_fleet(), start_ms=0, end_ms=2000, step_ms=1000)
    assert window.instances == (InstanceKey("b", "b-1"),)
    assert window.cpu[0][0] == 0.5
    assert np.isnan(window.cpu[0][1])


def test_injected_faults_are_never_asked_for() -> None:
    """No query of an observation mentions the tag that would give the answer away."""
    engine = _fleet()
    observe(engine, start_ms=0, end_ms=2000, step_ms=1000)
    assert engine.asked
    assert not any("injected" in program or "fault" in program for program in engine.asked)


def test_summary_gives_rates_per_second() -> None:
    """The topology answer divides by the window, and latencies by calls."""
    summary = summarise(observe(_fleet(), start_ms=0, end_ms=2000, step_ms=1000))
    edge = summary.edges[0]
    assert edge.calls_per_s == 3.5
    assert abs(edge.client_latency_s - 0.6 / 7) < 1e-12
    assert abs(edge.failed_share - 1 / 7) < 1e-12


def test_attempts_after_the_first_are_retries() -> None:
    """Calls tagged second or third_up are counted apart; without the tag nothing is a retry."""
    engine = _fleet()
    call = {"ipc_client_app": "a", "ipc_server_app": "b", "ipc_server_node": "b-1"}
    engine.lines["ipc.client.call", "count"].append(
        _line([2, 1], **call, ipc_status="success", ipc_attempt="second")
    )
    assert observe(engine, start_ms=0, end_ms=2000, step_ms=1000).retries.tolist() == [[2, 1]]
    assert observe(_fleet(), start_ms=0, end_ms=2000, step_ms=1000).retries.tolist() == [[0, 0]]


def test_users_routes_are_counted_by_endpoint() -> None:
    """Edges that leave a root are broken down by what is asked for."""
    engine = _fleet()
    for lines in engine.lines.values():
        for line in lines:
            line.tags["ipc.endpoint"] = "home"
    window = observe(engine, start_ms=0, end_ms=2000, step_ms=1000)
    assert [str(route) for route in window.routes] == ["a->b home"]


def test_callers_without_a_name_are_the_world_outside() -> None:
    """Where only the callee reports, its record stands for both ends; a trickle is left out."""
    busy = {"ipc_client_app": "unknown", "ipc_server_app": "b", "nf_node": "b-1"}
    engine = _fleet()
    engine.lines["ipc.server.call", "count"].append(_line([50, 50], **busy, ipc_status="success"))
    window = observe(engine, start_ms=0, end_ms=2000, step_ms=1000)
    assert Edge("unknown", "b") in window.edges
    at = window.edges.index(Edge("unknown", "b"))
    assert total(window.client_calls)[at].tolist() == [50, 50]
    engine = _fleet()
    engine.lines["ipc.server.call", "count"].append(_line([0.01, 0], **busy, ipc_status="success"))
    window = observe(engine, start_ms=0, end_ms=2000, step_ms=1000)
    assert window.edges == (Edge("a", "b"),)


def test_the_outside_is_the_only_root_of_a_service_it_calls() -> None:
    """Calls that a service makes for users are not counted as requests of users again."""
    edges = [Edge("unknown", "shop"), Edge("shop", "prices"), Edge("player", "cdn")]
    assert root_edges(edges).tolist() == [True, False, True]


def test_every_status_has_a_place() -> None:
    """The status axis covers the whole vocabulary."""
    assert set(STATUSES) == set(Status)
