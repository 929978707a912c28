"""The pictures of a report, drawn from the very window that was judged."""

import numpy as np
from numpy.typing import NDArray

from breakwater.diagnosis import Diagnosis, Verdict
from breakwater.render import (
    Bar,
    BarTable,
    Chart,
    GraphEdge,
    GraphNode,
    Series,
    Span,
    ThemeName,
    bar_table,
    graph,
    line_chart,
)
from breakwater.topology import CallWindow, failures, root_edges, total

Array = NDArray[np.float64]

_SMOOTH_STEPS = 3


def business_chart(window: CallWindow, judged: Diagnosis, theme: ThemeName) -> str:
    """SVG: stream starts per second, good and failed."""
    step_s = window.step_ms / 1000
    return line_chart(
        Chart(
            title="Stream starts per second",
            times_ms=window.end_ms,
            series=[
                Series(name="started", values=_smooth(window.starts / step_s), style="area"),
                Series(
                    name="failed", values=_smooth(window.start_failures / step_s), colour="danger"
                ),
            ],
            unit="per_second",
            spans=_spans(judged, window),
            height=220,
            low=0.0,
            theme=theme,
        )
    )


def latency_chart(
    window: CallWindow,
    judged: Diagnosis,
    theme: ThemeName,
    *,
    title: str = "Mean latency",
    subtitle: str = "",
) -> str:
    """SVG: mean latency at the edge and around the first suspect, both clocks."""
    calls, served = total(window.client_calls), total(window.server_calls)
    series = [
        _mean_series(str(window.edges[at]), window.client_time_s[at], calls[at])
        for at in np.flatnonzero(root_edges(window.edges))
    ]
    if judged.suspects:
        service = judged.suspects[0].service
        rows = [at for at, edge in enumerate(window.edges) if edge.callee == service]
        seen = _mean_series(
            f"{service}, as callers see it",
            window.client_time_s[rows].sum(axis=0),
            calls[rows].sum(axis=0),
        )
        own = _mean_series(
            f"{service}, by its own clock",
            window.server_time_s[rows].sum(axis=0),
            served[rows].sum(axis=0),
        )
        series += [seen, own]
    return line_chart(
        Chart(
            title=title,
            subtitle=subtitle,
            times_ms=window.end_ms,
            series=series[:8],
            unit="seconds",
            spans=_spans(judged, window),
            height=260,
            low=0.0,
            theme=theme,
        )
    )


def failure_chart(window: CallWindow, judged: Diagnosis, theme: ThemeName) -> str:
    """SVG: failed share of the edges that fail most, as their callers count."""
    calls, bad = total(window.client_calls), failures(window.client_calls)
    order = np.argsort(-bad.sum(axis=1))[:6]
    series = [
        Series(name=str(window.edges[at]), values=_ratio(_smooth(bad[at]), _smooth(calls[at])))
        for at in order
        if bad[at].sum() > 0
    ]
    if not series:
        series = [Series(name="no call failed", values=np.zeros(window.steps), colour="good")]
    return line_chart(
        Chart(
            title="Failed share of calls, by edge",
            times_ms=window.end_ms,
            series=series,
            unit="ratio",
            spans=_spans(judged, window),
            height=220,
            low=0.0,
            high=0.05,
            theme=theme,
        )
    )


def impact_bars(judged: Diagnosis, theme: ThemeName) -> str:
    """SVG: what each service lost on its own account."""
    culprit = judged.culprit
    return bar_table(
        BarTable(
            title="Own impact per service",
            subtitle="lost request-seconds per second since the onset; a failed call counts as one",
            label_head="service",
            value_head="own loss",
            columns=["calls/s", "own time", "between clocks", "failed/s"],
            bars=[
                Bar(
                    label=hop.service,
                    value=max(hop.own_wait_s, 0) + max(hop.gap_s, 0) + max(hop.own_failed_per_s, 0),
                    cells=[
                        f"{hop.calls_per_s:.1f}",
                        f"{max(hop.own_wait_s, 0.0):.2f}",
                        f"{max(hop.gap_s, 0.0):.2f}",
                        f"{max(hop.own_failed_per_s, 0.0):.2f}",
                    ],
                    is_marked=culprit is not None and hop.service == culprit.service,
                )
                for hop in judged.hops
                if hop.calls_per_s > 0
            ],
            theme=theme,
        )
    )


def dependency_graph(window: CallWindow, judged: Diagnosis, theme: ThemeName) -> str:
    """SVG: who calls whom in the window, with the named service marked."""
    culprit = judged.culprit
    named = culprit.service if culprit else None
    calls, bad = total(window.client_calls), failures(window.client_calls)
    seconds = max(window.steps * window.step_ms / 1000, 1e-9)
    after = window.end_ms > (judged.onset_ms or window.end_ms[-1])
    nodes = [
        GraphNode(
            id=service,
            detail=_share_of(judged, service),
            state="culprit" if service == named else "ok",
        )
        for service in window.services
    ]
    edges = []
    for at, edge in enumerate(window.edges):
        is_cut = culprit is not None and str(edge) == culprit.edge and edge.callee == named
        failing = bad[at, after].sum() > 0.05 * max(calls[at, after].sum(), 1.0)
        edges.append(
            GraphEdge(
                source=edge.caller,
                target=edge.callee,
                label=f"{calls[at].sum() / seconds:.0f}/s",
                state="culprit" if is_cut else ("affected" if failing else "ok"),
                weight=float(calls[at].sum() / seconds),
            )
        )
    return graph(nodes, edges, title="Who calls whom", theme=theme)


def _share_of(judged: Diagnosis, service: str) -> str:
    hop = next((hop for hop in judged.hops if hop.service == service), None)
    return f"{hop.share:.0%} of the loss" if hop and hop.share >= 0.01 else ""


def _spans(judged: Diagnosis, window: CallWindow) -> list[Span]:
    if judged.onset_low_ms is None or judged.onset_high_ms is None:
        return []
    word = "change" if judged.verdict is Verdict.TRAFFIC_ONLY else "onset"
    high = max(judged.onset_high_ms, judged.onset_low_ms + window.step_ms)
    return [Span(start_ms=judged.onset_low_ms, end_ms=high, label=word, colour="danger")]


def _mean_series(name: str, time_s: Array, calls: Array) -> Series:
    return Series(name=name, values=_ratio(_smooth(time_s), _smooth(calls)))


def _smooth(values: Array) -> Array:
    """Centred mean of three steps, so that a chart of one-second steps can be read."""
    if len(values) < _SMOOTH_STEPS:
        return values
    padded = np.concatenate([values[:1], values, values[-1:]])
    return np.convolve(padded, np.ones(_SMOOTH_STEPS) / _SMOOTH_STEPS, mode="valid")


def _ratio(part: Array, whole: Array) -> Array:
    share = np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
    return np.asarray(share)
