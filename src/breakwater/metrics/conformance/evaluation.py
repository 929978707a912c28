"""Cases of programs evaluated on the dataset."""

import json
import math
from typing import Any

import numpy as np

from breakwater.metrics.conformance.outcome import Case, MismatchError, WaivedError, expect
from breakwater.metrics.engine import MetricsEngine
from breakwater.metrics.errors import MetricsError
from breakwater.metrics.language.expressions import DataExpression
from breakwater.metrics.language.program import parse
from breakwater.metrics.results import Expression, Line

_RELATIVE = 1e-9


def check_evaluation(case: Case, engine: MetricsEngine) -> None:
    """Same expressions in order, and for each the same lines: tags, label, legend and values.

    A case's window is [start, end) of END stamps, so ours is (start - step, end - step].
    """
    step_ms = case["step"]
    window = {
        "start_ms": case["start"] - step_ms,
        "end_ms": case["end"] - step_ms,
        "step_ms": step_ms,
    }
    if "error" in case:
        check_error(lambda: engine.query(case["q"], **window))
        return
    result = engine.query(case["q"], **window)
    texts = [each.text for each in result.expressions]
    expect("expressions", texts, [each["expr"] for each in case["result"]])
    try:
        for ours, theirs in zip(result.expressions, case["result"], strict=True):
            _compare(ours, theirs)
    except MismatchError as error:
        offset_ms = _off_grid(case["q"], engine, step_ms)
        if offset_ms and _agrees_but_for_the_first_point(result.expressions, case["result"]):
            raise WaivedError(
                f"an offset of {offset_ms} ms is no multiple of the step of {step_ms} ms; the "
                "reference has no first point then"
            ) from error
        raise


def check_error(run: Any) -> None:
    """Raise MismatchError unless `run` fails with a clear error."""
    try:
        run()
    except MetricsError as error:
        if str(error):
            return
        raise MismatchError("the error says nothing") from error
    raise MismatchError("an answer where an error is expected")


def _off_grid(program: str, engine: MetricsEngine, step_ms: int) -> int:
    """An offset of the program that is not a multiple of the step; 0 when there is none."""
    offsets = [
        part.offset_ms
        for styled in parse(program, engine.vocabulary)
        for part in styled.inner.parts()
        if isinstance(part, DataExpression)
    ]
    return next((offset for offset in offsets if offset % step_ms), 0)


def _agrees_but_for_the_first_point(found: list[Expression], wanted: list[dict[str, Any]]) -> bool:
    def cut(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**line, "values": line["values"][1:]} for line in lines]

    for ours, theirs in zip(found, wanted, strict=True):
        shorter = [
            Line(tags=x.tags, label=x.label, legend=x.legend, values=x.values[1:])
            for x in ours.lines
        ]
        rest = Expression(
            text=ours.text, settings=ours.settings, grouping=ours.grouping, lines=shorter
        )
        try:
            _compare(rest, {**theirs, "lines": cut(theirs["lines"])})
        except MismatchError:
            return False
    return True


def _compare(ours: Expression, theirs: dict[str, Any]) -> None:
    expect("settings", ours.settings, theirs["settings"])
    expect("grouping", set(ours.grouping), set(theirs["finalGrouping"]))
    # The reference gives ungrouped :all a line for each block; those of one series are joined.
    lines = _joined(theirs["lines"]) if ":all" in theirs["expr"] else theirs["lines"]
    expect("number of lines", len(ours.lines), len(lines))
    found = {_key(line.tags): line for line in ours.lines}
    expect("tags of lines", sorted(found), sorted(_key(line["tags"]) for line in lines))
    for line in lines:
        _compare_line(found[_key(line["tags"])], line)


def _compare_line(ours: Line, theirs: dict[str, Any]) -> None:
    expect("label", ours.label, theirs["label"])
    expect("legend", ours.legend, theirs["legend"])
    wanted = [math.nan if value is None else float(value) for value in theirs["values"]]
    expect("number of points", len(ours.values), len(wanted))
    agrees = np.isclose(ours.values, wanted, rtol=_RELATIVE, atol=1e-12, equal_nan=True)
    if not agrees.all():
        at = int(np.argmin(agrees))
        raise MismatchError(
            f"value {at} of {theirs['label']}: {ours.values[at]} where {wanted[at]} is expected"
        )


def _joined(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    joined: dict[str, dict[str, Any]] = {}
    for line in lines:
        known = joined.setdefault(_key(line["tags"]), dict(line))
        known["values"] = [
            second if first is None else first
            for first, second in zip(known["values"], line["values"], strict=True)
        ]
    return list(joined.values())


def _key(tags: dict[str, str]) -> str:
    return json.dumps(tags, sort_keys=True)
