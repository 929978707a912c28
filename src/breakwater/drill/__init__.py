"""The fire drill: a real fleet, a real fault, and a stopwatch until the culprit is named.

`demo` plays one fault before an audience; `drill` plays many rounds, among them rounds in which
nothing is broken, and scores the names. Both start `breakwater serve` and the reference fleet as
processes of their own and speak to them only over HTTP, as a user would: what names the culprit
is the platform's own watcher, which sees telemetry and nothing else.
"""

from breakwater.drill.errors import DrillError, NotNamedError, StageError
from breakwater.drill.plan import NO_FAULT, SURGE, Scenario, draw_scenarios, scenario_for
from breakwater.drill.score import DrillScore, Round, score_rounds

__all__ = [
    "NO_FAULT",
    "SURGE",
    "DrillError",
    "DrillScore",
    "NotNamedError",
    "Round",
    "Scenario",
    "StageError",
    "draw_scenarios",
    "scenario_for",
    "score_rounds",
]
