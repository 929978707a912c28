"""Words whose value at a point depends on the points before it."""

from typing import Final

from breakwater.metrics.language.expressions import Constant, Expression
from breakwater.metrics.language.machine import Machine
from breakwater.metrics.language.registry import word
from breakwater.metrics.language.words.math import combine
from breakwater.metrics.language.words.rewrite import declare_named_lines, lines_of
from breakwater.metrics.language.wrapped import Distinct, Stateful
from breakwater.metrics.selection.query import Query

_WINDOWS: Final = {
    "rolling-count": "How many of the last n points are not zero.",
    "rolling-min": "The least of the last n points.",
    "rolling-max": "The greatest of the last n points.",
    "rolling-sum": "The sum of the last n points.",
    "delay": "The value n points ago.",
}
_RUNNING: Final = {
    "integral": "The sum of all points so far.",
    "derivative": "The change from the point before.",
    "cumulative-max": "The greatest of all points so far.",
}
_SMOOTHING: Final = {
    "simple": (10, 0.1, 0.5),
    "fast": (10, 0.1, 0.02),
    "slower": (10, 0.05, 0.03),
    "slow": (10, 0.03, 0.04),
}


def _declare(name: str, signature: str, summary: str) -> None:
    def apply(lines: Expression, *arguments: float) -> Expression:
        return Stateful(lines, name, arguments)

    apply.__doc__ = summary
    word(name, signature)(apply)


for _name, _summary in _WINDOWS.items():
    _declare(_name, "lines:Expr n:Int -- Expr", _summary)
_declare(
    "rolling-mean",
    "lines:Expr n:Int minNumValues:Int -- Expr",
    "The mean of the last n points where at least so many have a value.",
)
for _name in ("des", "sdes"):
    _declare(
        _name,
        "lines:Expr training:Int alpha:Double beta:Double -- Expr",
        "What double exponential smoothing expects the point to be.",
    )
_declare(
    "trend",
    "lines:Expr window:Duration -- Expr",
    "The mean over a length of time; see rolling-mean.",
)
for _name, _summary in _RUNNING.items():
    _declare(_name, "lines:Expr -- Expr", _summary)


def _declare_smoothing(word_name: str, kind: str) -> None:
    def smooth(original: Query | Expression) -> Expression:
        """What double exponential smoothing with fixed parameters expects the point to be."""
        return Stateful(lines_of(original), word_name, _SMOOTHING[kind])

    declare_named_lines(f"{word_name}-{kind}", smooth)


for _name in ("des", "sdes"):
    for _kind in _SMOOTHING:
        _declare_smoothing(_name, _kind)


def _cumulative(original: Query | Expression) -> Expression:
    """Estimate how many distinct values were counted since the start of the window."""
    return Distinct(Stateful(lines_of(original), "cumulative-max"))


declare_named_lines("approx-distinct-cumulative", _cumulative)


@word(
    "des-epic-signal",
    "lines:Expr training:Int alpha:Double beta:Double maxPercent:Double minPercent:Double "
    "noise:Double -- Expr",
    needs_machine=True,
)
def epic_signal(machine: Machine, lines: Expression, *parameters: float) -> Expression:
    """1 where a line is outside both bounds around its prediction.

    The bounds are the prediction plus and minus `noise`, and plus and minus shares of it; they
    are left in variables for the words that follow.
    """
    training, alpha, beta, most, least, noise = parameters
    predicted = Stateful(lines, "des", (training, alpha, beta))
    bounds = {
        "minPredNoiseBound": combine(predicted, Constant(noise), "sub"),
        "minPredPercentBound": combine(predicted, Constant(1.0 - least), "fmul"),
        "maxPredNoiseBound": combine(predicted, Constant(noise), "add"),
        "maxPredPercentBound": combine(predicted, Constant(2.0 - (1.0 - most)), "fmul"),
    }
    machine.variables.update({"line": lines, "pred": predicted, **bounds})
    outside = [
        combine(
            combine(lines, bounds[f"{side}PredNoiseBound"], sign),
            combine(lines, bounds[f"{side}PredPercentBound"], sign),
            "and",
        )
        for side, sign in (("min", "lt"), ("max", "gt"))
    ]
    return combine(outside[0], outside[1], "or")
