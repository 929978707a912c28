"""Plots to try things on, and how to read back what was drawn."""

import re
import xml.etree.ElementTree as ET
from typing import Any

import numpy as np

from breakwater.render import HeatmapStyle, Plot, PlotAxis, PlotLevel, PlotLine, PlotSpan
from breakwater.render.chart import Values

START = 1_763_627_460_000
MINUTE = 60_000
TAG = "{http://www.w3.org/2000/svg}"


def plot_of(*lines: PlotLine, points: int = 60, **fields: Any) -> Plot:
    """A plot with a one-minute grid, of one axis unless axes are given."""
    times = START + np.arange(1, points + 1, dtype=np.int64) * MINUTE
    given_fields = {"times_ms": times, "step_ms": MINUTE, "axes": [PlotAxis(lines=list(lines))]}
    return Plot(**{**given_fields, **fields})


def wave(points: int = 60, height: float = 10.0, phase: float = 0.0) -> Values:
    """A smooth line that is never negative."""
    return height * (1 + np.sin(np.arange(points) / 9 + phase))


def line(label: str = "a", values: Values | None = None, **fields: Any) -> PlotLine:
    """A line, by default a wave."""
    return PlotLine(label=label, values=wave() if values is None else values, **fields)


def texts(svg: str) -> list[str]:
    """Every text of a picture, in the order drawn."""
    return [element.text or "" for element in ET.fromstring(svg).iter(f"{TAG}text")]


def size(svg: str) -> tuple[float, float]:
    """Width and height of a picture."""
    root = ET.fromstring(svg)
    return float(root.attrib["width"]), float(root.attrib["height"])


def skeleton(svg: str) -> str:
    """The elements of a picture one a line: kind, place in whole pixels, colours and texts."""
    rows = []
    for element in ET.fromstring(svg).iter():
        kind = element.tag.removeprefix(TAG)
        look = " ".join(
            f"{key}={element.attrib[key]}"
            for key in ("fill", "stroke", "stroke-width", "fill-opacity", "text-anchor")
            if element.get(key, "none") != "none"
        )
        place = " ".join(
            f"{round(float(element.attrib[key]))}"
            for key in ("x", "y", "x1", "y1", "x2", "y2", "width", "height", "cx", "cy")
            if key in element.attrib
        )
        path = element.get("d", "")
        shape = f"{path.count('M')} strokes, {len(re.findall('[MLHVZ]', path))} moves"
        said = " ".join((element.text or "").split())
        rows.append(
            " | ".join(part for part in (kind, place, look, shape if path else said) if part)
        )
    return "\n".join(rows) + "\n"


def everything() -> Plot:
    """A plot that uses every kind of mark."""
    gap = wave()
    gap[20:25] = np.nan
    traffic = PlotAxis(
        lines=[
            line("served", wave(height=30), style="stack"),
            line("refused", wave(height=5, phase=1), style="stack"),
            line("owed", -wave(height=3), style="stack"),
            line("expected", gap * 4, colour="#aa00aa"),
            line("alarm", (np.arange(60) > 50).astype(float), style="vspan", colour="#d62728"),
        ],
        label="requests/s",
        levels=[PlotLevel(low=70.0, high=float("inf"), label="too many", colour="danger")],
    )
    latency = PlotAxis(
        lines=[line("p99", wave(height=0.2), style="area")],
        label="latency",
        tick_labels="duration",
    )
    heap = PlotAxis(lines=[line("heap", wave(height=1e9))], tick_labels="binary", scale="log")
    return plot_of(
        axes=[traffic, latency, heap],
        title="Everything",
        subtitle="at once",
        spans=[
            PlotSpan(
                start_ms=START + 10 * MINUTE,
                end_ms=START + 20 * MINUTE,
                label="fault",
                colour="danger",
            ),
            PlotSpan(start_ms=START + 12 * MINUTE, end_ms=START + 12 * MINUTE, label="deploy 1.2"),
        ],
        zones=("US/Pacific", "UTC"),
        notices=["1 series was rolled up"],
        footer="took 3 ms",
    )


def heated() -> Plot:
    """A heat map of histogram buckets with a line over it."""
    buckets = [
        line(f"b{n}", np.full(60, float(n)), style="heatmap", bucket=(0.01 * 2**n, 0.02 * 2**n))
        for n in range(6)
    ]
    axis = PlotAxis(
        lines=[*buckets, line("p50", np.full(60, 0.1))],
        scale="log",
        tick_labels="duration",
        heatmap=HeatmapStyle(label="calls/s", scale="log"),
    )
    return plot_of(axes=[axis], title="Latency", theme="dark", layout="image", height=360)
