"""The answer of the graph endpoint as JSON: values by time, then by line.

`json` writes missing values as bare NaN, which is what old clients of Atlas read; `std.json`
writes them as strings and is valid JSON.
"""

import msgspec
import numpy as np

from breakwater.metrics.errors import QueryValueError
from breakwater.metrics.results import QueryResult

FORMATS = ("std.json", "json")
_BARE = ((b'"NaN"', b"NaN"), (b'"Infinity"', b"Infinity"), (b'"-Infinity"', b"-Infinity"))


class _Graph(msgspec.Struct):
    start: int
    step: int
    legend: list[str]
    metrics: list[dict[str, str]]
    values: msgspec.Raw
    notices: list[str]


def check_format(name: str) -> None:
    """Raise QueryValueError unless the format is one of FORMATS."""
    if name not in FORMATS:
        raise QueryValueError(
            f"format '{name}' is not available here; available: {', '.join(FORMATS)}"
        )


def encoded(result: QueryResult, name: str) -> bytes:
    """A query's answer in the format of that name."""
    table = _table(result)
    if name == "json":
        for quoted, bare in _BARE:
            table = table.replace(quoted, bare)
    return msgspec.json.encode(
        _Graph(
            start=result.start_ms,
            step=result.step_ms,
            legend=[line.legend for line in result.lines],
            metrics=[line.tags for line in result.lines],
            values=msgspec.Raw(table),
            notices=[],
        )
    )


def _table(result: QueryResult) -> bytes:
    if not result.lines:
        return b"[]"
    values = np.stack([line.values for line in result.lines], axis=1)
    if np.isfinite(values).all():
        return msgspec.json.encode(values.tolist())
    cells = values.astype(object)
    cells[np.isnan(values)] = "NaN"
    cells[np.isposinf(values)] = "Infinity"
    cells[np.isneginf(values)] = "-Infinity"
    return msgspec.json.encode(cells.tolist())
