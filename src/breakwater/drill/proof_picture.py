"""A proof as a picture: streams with and without fallbacks over one outage, and what guards did."""

from typing import Final

import numpy as np
import numpy.typing as npt

from breakwater.drill.proof import Proof, Run
from breakwater.render import Plot, PlotAxis, PlotLine, PlotSpan, plot_svg

_SMOOTH_S: Final = 5
_HEADROOM: Final = 2.0
"""How much higher than its data the scale of guarded calls is, so that starts stand above them."""
_GOOD: Final = "#1a7f37"
_BAD: Final = "#cf222e"
_ANSWERED: Final = "#0969da"
_REFUSED: Final = "#8250df"


def proof_svg(proof: Proof, *, width: int = 960, height: int = 380) -> str:
    """Stream starts per second of both runs, and calls that fallbacks answered or guards refused.

    The time is that of the run with fallbacks; the other is laid over it from its beginning on.
    """
    run = proof.kept
    times_ms = run.curve.start_ms + np.arange(1, len(run.curve.sps) + 1, dtype=np.int64) * 1000
    most = max((*run.curve.fallbacks, *run.curve.short_circuited, 1.0))
    return plot_svg(
        Plot(
            times_ms=times_ms,
            step_ms=1000,
            axes=[
                PlotAxis(lines=_starts(proof), label="stream starts/s", low=0.0, colour=_GOOD),
                PlotAxis(
                    lines=_guarded(proof),
                    label="guarded calls/s",
                    low=0.0,
                    reach=(_HEADROOM * most,),
                    colour=_ANSWERED,
                ),
            ],
            title=f"{proof.target} down: {proof.fault} in every instance",
            subtitle=_said(proof),
            remark="",
            spans=[_outage(run, proof.target)],
            width=width,
            height=height,
            legend="labels",
            footer=f"stream starts: means of the last {_SMOOTH_S} s; shares: of those who came",
        )
    )


def _starts(proof: Proof) -> list[PlotLine]:
    run = proof.kept
    starts = [
        PlotLine(
            label=f"stream starts/s, with fallbacks ({run.holding.starts_percent:.1f} %)",
            values=smoothed(run.curve.sps),
            colour=_GOOD,
            width=2.5,
            is_stepped=False,
        )
    ]
    if proof.bare is not None:
        starts.append(
            PlotLine(
                label=f"without fallbacks ({proof.bare.holding.starts_percent:.1f} %)",
                values=_fitted(smoothed(proof.bare.curve.sps), len(run.curve.sps)),
                colour=_BAD,
                width=2.5,
                dash="6 4",
                is_stepped=False,
            )
        )
    return starts


def _guarded(proof: Proof) -> list[PlotLine]:
    run = proof.kept
    return [
        PlotLine(
            label=f"calls to {proof.target} answered by a fallback/s",
            values=np.asarray(run.curve.fallbacks, dtype=np.float64),
            colour=_ANSWERED,
            style="area",
            opacity=0.18,
        ),
        PlotLine(
            label="refused by an open breaker/s",
            values=np.asarray(run.curve.short_circuited, dtype=np.float64),
            colour=_REFUSED,
            width=1.2,
        ),
    ]


def _said(proof: Proof) -> str:
    run = proof.kept
    verdict = "held" if proof.holds else "NOT held"
    return (
        f"stream starts {verdict}: {run.before.sps:.1f}/s before, {run.down.sps:.1f}/s while "
        f"down; edge requests answered well {run.down.edge_percent:.1f} %"
    )


def _outage(run: Run, target: str) -> PlotSpan:
    begin_ms = run.curve.start_ms + run.curve.before_s * 1000
    return PlotSpan(
        start_ms=begin_ms,
        end_ms=begin_ms + run.curve.down_s * 1000,
        label=f"{target} is down",
        colour="danger",
    )


def smoothed(values: list[float]) -> npt.NDArray[np.float64]:
    """Means of the last `_SMOOTH_S` seconds, fewer at first: no fall comes before its cause."""
    return np.asarray(
        [np.mean(values[max(0, end - _SMOOTH_S) : end]) for end in range(1, len(values) + 1)],
        dtype=np.float64,
    )


def _fitted(values: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.float64]:
    """As many values as there are times; a gap where there is none."""
    fitted = np.full(count, np.nan)
    fitted[: min(count, len(values))] = values[:count]
    return fitted
