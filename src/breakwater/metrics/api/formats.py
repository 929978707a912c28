"""Graphs as text: `json`, `std.json`, `stats.json`, `csv` and `txt`.

`json` writes missing values as bare NaN, which is what old clients of Atlas read; `std.json` and
the others of its kind write them as strings and are valid JSON. Numbers are the shortest text that
reads back as the same double.
"""

from datetime import UTC, datetime
from typing import Final, Literal

import msgspec
import numpy as np

from breakwater.metrics.api.graph import Explanation, Graph
from breakwater.metrics.language.times import zone_named

CONTENT_TYPES: Final = {
    "png": "image/png",
    "svg": "image/svg+xml",
    "csv": "text/csv; charset=utf-8",
    "txt": "text/plain; charset=utf-8",
    "json": "application/json",
    "std.json": "application/json",
    "stats.json": "application/json",
    "v2.json": "application/json",
}


class _Head(msgspec.Struct):
    start: int
    step: int
    legend: list[str]
    metrics: list[dict[str, str]]


class _Tail(msgspec.Struct):
    notices: list[str]
    explain: Explanation | msgspec.UnsetType


class _Statistics(msgspec.Struct):
    count: int
    avg: float | str
    total: float | str
    max: float | str
    min: float | str
    last: float | str


class _Summary(msgspec.Struct):
    start: int
    end: int
    step: int
    legend: list[str]
    metrics: list[dict[str, str]]
    stats: list[_Statistics]
    notices: list[str]


def table_json(graph: Graph, names: Literal["quoted", "bare"] = "quoted") -> bytes:
    """`std.json`, or with bare names `json`: values by time, then by line."""
    from breakwater.metrics.text.numbers import table_parts  # noqa: PLC0415 - numba takes a while

    lines = graph.lines
    head = _Head(
        start=graph.result.start_ms,
        step=graph.result.step_ms,
        legend=[line.legend for line in lines],
        metrics=[line.tags() for line in lines],
    )
    tail = _Tail(graph.notices, graph.explanation or msgspec.UNSET)
    # The values are most of it, and are copied once.
    return b"".join(
        (
            msgspec.json.encode(head)[:-1],
            b',"values":[',
            *table_parts(graph.values, by_column=True, names=names),
            b"],",
            msgspec.json.encode(tail)[1:],
        )
    )


def statistics_json(graph: Graph) -> bytes:
    """`stats.json`: a few numbers for each line instead of its values."""
    result = graph.result
    lines = graph.lines
    numbers = [line.numbers() for line in lines]
    return msgspec.json.encode(
        _Summary(
            start=result.start_ms,
            end=end_ms(graph),
            step=result.step_ms,
            legend=[line.legend for line in lines],
            metrics=[line.tags() for line in lines],
            stats=[
                _Statistics(
                    count=each.count,
                    avg=written(each.avg),
                    total=written(each.total),
                    max=written(each.max),
                    min=written(each.min),
                    last=written(each.last),
                )
                for each in numbers
            ],
            notices=graph.notices,
        )
    )


def separated(graph: Graph, separator: Literal[",", "\t"]) -> bytes:
    """`csv` or `txt`: a row for each time, in the first time zone, and a column for each line.

    A line break in a legend is written as a space, a quotation mark twice.
    """
    from breakwater.metrics.text.numbers import table_text  # noqa: PLC0415 - numba takes a while

    heads = [_quoted("timestamp"), *(_quoted(line.legend) for line in graph.lines)]
    frame = f" {separator} \n"
    text = table_text(graph.values, by_column=True, names="bare", frame=frame).decode()
    between = separator if graph.lines else ""
    rows = zip(_stamps(graph), text.split("\n"), strict=True)
    lines = [separator.join(heads), *(f"{stamp}{between}{row}" for stamp, row in rows)]
    return ("\n".join(lines) + "\n").encode()


def end_ms(graph: Graph) -> int:
    """The stamp that would follow the last one."""
    return graph.result.start_ms + graph.points * graph.result.step_ms


def written(number: float) -> float | str:
    """The number, or its name where JSON has none for it."""
    if np.isfinite(number):
        return number
    return "NaN" if np.isnan(number) else ("Infinity" if number > 0 else "-Infinity")


def _quoted(text: str) -> str:
    return '"' + " ".join(text.splitlines()).replace('"', '""') + '"'


def _stamps(graph: Graph) -> list[str]:
    """Every stamp as ISO 8601 with its distance from UTC."""
    zone = zone_named(graph.asked.zones[0])
    first, step = graph.result.start_ms, graph.result.step_ms
    precision = "seconds" if first % 1000 == 0 and step % 1000 == 0 else "milliseconds"
    texts = []
    for at_ms in range(first, first + graph.points * step, step):
        moment = datetime.fromtimestamp(at_ms // 1000, tz=UTC).replace(
            microsecond=at_ms % 1000 * 1000
        )
        text = moment.astimezone(zone).isoformat(timespec=precision)
        texts.append(f"{text[:-6]}Z" if text.endswith("+00:00") else text)
    return texts
