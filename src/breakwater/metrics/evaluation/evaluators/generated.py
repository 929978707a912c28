"""Lines that come from no datapoint."""

import re
from typing import Final

import numpy as np
from numpy.typing import NDArray

from breakwater.metrics.errors import InvalidTimeError, QueryValueError
from breakwater.metrics.evaluation.lines import Lines, Run, one_line
from breakwater.metrics.evaluation.noise import noise
from breakwater.metrics.grid.window import Window
from breakwater.metrics.language.calendar import FIELDS
from breakwater.metrics.language.generated import Random, Time, TimeSpan
from breakwater.metrics.language.times import parse_time, zone_named

_END_BASED: Final = re.compile(r"e(?:[-+].*)?")
_START_BASED: Final = re.compile(r"s(?:[-+].*)?")


def _stamps(window: Window) -> NDArray[np.int64]:
    return window.first_ms + window.step_ms * np.arange(window.points, dtype=np.int64)


def random(run: Run, expression: Random) -> Lines:
    """Noise that depends on the stamp and the seed alone."""
    return one_line(expression.label(), noise(_stamps(run.window), expression.seed or 0))


def time(run: Run, expression: Time) -> Lines:
    """A field of the calendar at each stamp."""
    return one_line(expression.mode, FIELDS[expression.mode](_stamps(run.window)))


def time_span(run: Run, expression: TimeSpan) -> Lines:
    """1 inside the span and 0 outside."""
    start_ms, end_ms = _bounds(run, expression)
    stamps = _stamps(run.window)
    is_inside = (start_ms <= stamps) & (stamps <= end_ms)
    return one_line(expression.label(), is_inside.astype(np.float64))


def _bounds(run: Run, expression: TimeSpan) -> tuple[int, int]:
    whole = run.whole
    references = {
        "gs": whole.first_ms,
        "ge": whole.first_ms + whole.points * whole.step_ms,
        "now": run.now_ms,
        "epoch": 0,
    }
    try:
        zone = zone_named(expression.zone)
        if _END_BASED.fullmatch(expression.start):
            end_ms = parse_time(expression.end, references, zone)
            start_ms = parse_time(expression.start, {**references, "e": end_ms}, zone)
        else:
            start_ms = parse_time(expression.start, references, zone)
            if _START_BASED.fullmatch(expression.end):
                references["s"] = start_ms
            end_ms = parse_time(expression.end, references, zone)
    except InvalidTimeError as error:
        raise QueryValueError(f"'{expression.text()}': {error}") from error
    if start_ms > end_ms:
        raise QueryValueError(f"'{expression.text()}': the end is before the start")
    return start_ms, end_ms
