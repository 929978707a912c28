"""Cases of single functions: durations, dates, steps, buckets, ids, units, meters, tag rules."""

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from breakwater.metrics.conformance.evaluation import check_error
from breakwater.metrics.conformance.outcome import Case, MismatchError, expect
from breakwater.metrics.evaluation.noise import noise
from breakwater.metrics.grid.durations import parse_duration
from breakwater.metrics.grid.steps import step_for_width
from breakwater.metrics.language.times import parse_range, parse_time, zone_named
from breakwater.metrics.selection.escapes import escape
from breakwater.metrics.text.units import binary_text, decimal_text
from breakwater.model import InvalidTagsError, series_id, validate_tags
from breakwater.model.normalization import NORMALIZERS
from breakwater.model.percentiles import UPPER_BOUNDS, bucket_of

_REFERENCES: Final = {
    "now": 1704153600000,
    "e": 1704153600000,
    "s": 1704067200000,
    "epoch": 0,
}
"""The times that names stand for in cases of dates: 2024-01-01 and the day after."""
_HOUR_MS: Final = 3_600_000
_RELATIVE: Final = 1e-9


def _step(given: list[int]) -> int:
    block_ms, primary_ms, width_px, hours = given
    return step_for_width(primary_ms, width_px, hours * _HOUR_MS, block_ms=block_ms)


def _number(given: float | None) -> float:
    return math.nan if given is None else given


_FUNCTIONS: Final[dict[str, Callable[[Any], Any]]] = {
    "parseDuration_ms": parse_duration,
    "parseDate_ms": lambda given: parse_time(given[1], _REFERENCES, zone_named(given[0])),
    "timeRange_ms": lambda given: list(parse_range(given[0], given[1], _REFERENCES["now"])),
    "step_compute": _step,
    "percentile_bucket_index": bucket_of,
    "percentile_bucket_values": lambda _: list(UPPER_BOUNDS),
    "random": lambda given: float(noise(np.array([given]))[0]),
    "item_id": lambda given: series_id(given).hex(),
    "escape": escape,
    "unit_prefix_decimal": lambda given: decimal_text(_number(given)),
    "unit_prefix_binary": lambda given: binary_text(_number(given)),
}


def check_primitive(case: Case) -> None:
    """The same result of a function, or an error."""
    function = _FUNCTIONS.get(case["fn"])
    if function is None:
        raise MismatchError(f"no function '{case['fn']}'; known: {', '.join(_FUNCTIONS)}")
    if "error" in case:
        check_error(lambda: function(case["in"]))
        return
    expect(case["fn"], function(case["in"]), case["out"])


def check_normalization(case: Case) -> None:
    """Updates of one meter give the same datapoints in the same order."""
    normalizer = NORMALIZERS[case["dstype"]](int(case["step"]))
    found = [
        datapoint
        for stamp_ms, value in case["in"]
        for datapoint in normalizer.update(int(stamp_ms), _number(value))
    ]
    wanted = [(int(stamp_ms), _number(value)) for stamp_ms, value in case["out"]]
    expect("stamps", [stamp for stamp, _ in found], [stamp for stamp, _ in wanted])
    for (stamp_ms, ours), (_, theirs) in zip(found, wanted, strict=True):
        if not np.isclose(ours, theirs, rtol=_RELATIVE, atol=0.0, equal_nan=True):
            raise MismatchError(f"value at {stamp_ms}: {ours} where {theirs} is expected")


def check_tags(case: Case) -> None:
    """The same verdict on tags, by the same rule."""
    try:
        validate_tags(case["tags"])
    except InvalidTagsError as error:
        expect("verdict", error.rule, None if case["pass"] else case["rule"])
        return
    expect("verdict", True, case["pass"])
