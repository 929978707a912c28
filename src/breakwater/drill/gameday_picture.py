"""A game day as a picture: what people got, second by second, and what was done to the fleet."""

from typing import Final

import numpy as np
import numpy.typing as npt

from breakwater.drill.gameday import Exercise, GameDay
from breakwater.render import Plot, PlotAxis, PlotLine, PlotSpan, plot_svg

_GOOD: Final = "#1a7f37"
_BAD: Final = "#cf222e"
_ASKED: Final = "#0969da"
_TITLES: Final = {
    Exercise.ROLLING_RESTART: "every process of the fleet restarted, one after the other",
    Exercise.REGISTRY_OUTAGE: "the registry killed, and started again later",
}


def gameday_svg(day: GameDay, *, width: int = 960, height: int = 380) -> str:
    """Edge requests and stream starts per second, and what failed of both."""
    moments = np.asarray([sample.at_ms for sample in day.samples], dtype=np.int64)
    times_ms = moments[0] + np.arange(1, _seconds(moments) + 1, dtype=np.int64) * 1000

    def per_second(name: str) -> npt.NDArray[np.float64]:
        totals = np.asarray([getattr(sample, name) for sample in day.samples], dtype=np.float64)
        edges = np.concatenate(([moments[0]], times_ms))
        return np.diff(np.interp(edges, moments, totals))

    failed = per_second("errors") + per_second("unserved") + per_second("segment_errors")
    starts = per_second("wanted") - per_second("unserved")
    return plot_svg(
        Plot(
            times_ms=times_ms,
            step_ms=1000,
            axes=[
                PlotAxis(
                    lines=[
                        _line("edge requests/s", per_second("requests"), _ASKED),
                        _line("people who got their stream/s", starts, _GOOD),
                        _line("failed: requests, starts, segments/s", failed, _BAD),
                    ],
                    label="per second",
                    low=0.0,
                )
            ],
            title=_TITLES[day.exercise],
            subtitle=said(day),
            remark="",
            spans=_spans(day),
            width=width,
            height=height,
            legend="labels",
            footer=f"counted by {day.wanted} people who came to watch",
        )
    )


def said(day: GameDay) -> str:
    """The outcome in a sentence."""
    return (
        f"{day.unserved} of {day.wanted} stream starts, {day.errors} of {day.requests} edge "
        f"requests and {day.segment_errors} of {day.segments} segments failed"
    )


def _seconds(moments: npt.NDArray[np.int64]) -> int:
    return max(1, int((moments[-1] - moments[0]) // 1000))


def _line(label: str, values: npt.NDArray[np.float64], colour: str) -> PlotLine:
    return PlotLine(label=label, values=values, colour=colour, width=2.0, is_stepped=False)


def _spans(day: GameDay) -> list[PlotSpan]:
    """Each deed; many of them share one name, for there is no room for more."""
    lone = len(day.deeds) == 1
    return [
        PlotSpan(
            start_ms=deed.start_ms,
            end_ms=deed.end_ms,
            label=deed.what if lone else ("restarts" if deed is day.deeds[0] else ""),
            colour="danger",
        )
        for deed in day.deeds
    ]
