"""The report: one self-contained HTML page, and one PNG for where only pictures fit."""

from datetime import UTC, datetime
from functools import cache

import jinja2
import msgspec

from breakwater.diagnosis import Diagnosis, Verdict
from breakwater.incidents import pictures
from breakwater.incidents.triage import TriageResult
from breakwater.model import UnavailableError
from breakwater.render import font_css, shared_rasteriser
from breakwater.topology import CallWindow


class TimelineEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of what happened when; `at_ms` in milliseconds UTC."""

    at_ms: int
    text: str


def html_report(
    result: TriageResult,
    window: CallWindow,
    *,
    timeline: list[TimelineEntry] | None = None,
) -> str:
    """The judgement with its charts, tables and queries as one HTML page without outside links.

    `window` may reach beyond what was judged: then the charts show the recovery too.
    """
    judged = result.diagnosis
    has_calls = window.steps > 0 and len(window.edges) > 0
    charts = (pictures.business_chart, pictures.latency_chart, pictures.failure_chart)
    drawings = [chart(window, judged, "light") for chart in charts] if has_calls else []
    return (
        _environment()
        .get_template("report.html")
        .render(
            judged=judged,
            font_css=font_css(),
            result=result,
            headline=headline_of(judged),
            drawings=drawings,
            graph=pictures.dependency_graph(window, judged, "light") if has_calls else "",
            bars=pictures.impact_bars(judged, "light") if judged.hops else "",
            timeline=timeline or [],
        )
    )


def png_report(result: TriageResult, window: CallWindow) -> bytes:
    """The latency of the first suspect and of the edge, with onset and verdict, as PNG bytes."""
    judged = result.diagnosis
    if not window.steps:
        raise UnavailableError("there is no telemetry yet to draw a picture of")
    return shared_rasteriser().png(
        pictures.latency_chart(
            window, judged, "light", title=headline_of(judged), subtitle="mean latency"
        )
    )


def headline_of(judged: Diagnosis) -> str:
    """The first line: what, how sure, since when."""
    if judged.verdict is not Verdict.CULPRIT:
        return judged.headline
    return f"{judged.headline} \N{EM DASH} {judged.confidence}, since {since(judged)}"


def since(judged: Diagnosis) -> str:
    """The onset with its interval in words, UTC."""
    if judged.onset_ms is None:
        return "an unknown time"
    low, high = judged.onset_low_ms or judged.onset_ms, judged.onset_high_ms or judged.onset_ms
    wide_s = max(high - judged.onset_ms, judged.onset_ms - low, judged.step_ms) / 1000
    return f"{clock_time(judged.onset_ms)} UTC (\N{PLUS-MINUS SIGN}{wide_s:.0f} s)"


def clock_time(at_ms: int) -> str:
    """Hours, minutes and seconds UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%H:%M:%S")


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("breakwater.incidents"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["clock_time"] = clock_time
    return environment
