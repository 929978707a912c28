"""What a picture costs: SVG of charts, plots and a dependency graph, and two PNGs.

The median of several repeats, in milliseconds of CPU time of this thread. `ratio` is the cost as
a multiple of writing the chart's numbers as JSON, the least anybody could do with them.
"""

import json
import statistics
import time
from collections.abc import Callable

import numpy as np

from breakwater.render import (
    Chart,
    GraphEdge,
    GraphNode,
    Plot,
    PlotAxis,
    PlotLine,
    Series,
    graph,
    line_chart,
    plot_svg,
    png,
)

Row = tuple[str, float, str, float]

REPEATS = 15
SEED = 7


def rows() -> list[Row]:
    """(name, value, unit, ratio) for each kind of picture; takes about ten seconds."""
    chart = _chart()
    svg = line_chart(chart)
    plain = _cost_ms(lambda: json.dumps([series.values.tolist() for series in chart.series]))
    few, many = _plot(lines=8), _plot(lines=1_000)
    drawn = plot_svg(few)
    nodes, edges = _fleet()
    measured = [
        ("chart, 8 series x 720 points, SVG", _cost_ms(lambda: line_chart(chart))),
        ("the same, PNG at scale 2", _cost_ms(lambda: png(svg))),
        ("plot, 8 lines x 180 points, SVG", _cost_ms(lambda: plot_svg(few))),
        ("the same, PNG at scale 1", _cost_ms(lambda: png(drawn, 1.0))),
        ("plot, 1000 lines x 180 points, SVG", _cost_ms(lambda: plot_svg(many))),
        ("dependency graph, 40 services, 57 edges, SVG", _cost_ms(lambda: graph(nodes, edges))),
    ]
    return [(name, round(value, 3), "ms", round(value / plain, 2)) for name, value in measured]


def _chart() -> Chart:
    rng = np.random.default_rng(SEED)
    times = 1_763_627_460_000 + np.arange(720, dtype=np.int64) * 5_000
    walks = [np.abs(np.cumsum(rng.standard_normal(720))) for _ in range(8)]
    series = [Series(name=f"service-{at}", values=walk) for at, walk in enumerate(walks)]
    return Chart(title="latency", times_ms=times, series=series, unit="seconds")


def _plot(*, lines: int) -> Plot:
    rng = np.random.default_rng(SEED)
    walks = np.abs(np.cumsum(rng.standard_normal((lines, 180)), axis=1))
    return Plot(
        title="requests",
        times_ms=1_763_627_460_000 + np.arange(180, dtype=np.int64) * 60_000,
        step_ms=60_000,
        axes=[PlotAxis(lines=[PlotLine(label=f"n{at}", values=w) for at, w in enumerate(walks)])],
    )


def _fleet() -> tuple[list[GraphNode], list[GraphEdge]]:
    rng = np.random.default_rng(SEED)
    nodes = [GraphNode(id=str(at), detail="12 rps") for at in range(40)]
    pairs = [((at - 1) // 3, at) for at in range(1, 40)]
    pairs += [
        (int(a), int(b)) for a, b in (sorted(rng.choice(40, 2, replace=False)) for _ in range(18))
    ]
    edges = [GraphEdge(source=str(a), target=str(b), label="12 rps, 4 ms") for a, b in pairs]
    return nodes, edges


def _cost_ms(draw: Callable[[], object]) -> float:
    draw()
    costs = []
    for _ in range(REPEATS):
        started = time.thread_time()
        draw()
        costs.append((time.thread_time() - started) * 1000)
    return statistics.median(costs)
