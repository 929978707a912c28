"""What the watcher may be told."""

from typing import Final, Self

import msgspec

from breakwater.diagnosis import Thresholds
from breakwater.topology import STARTS_QUERY

_WINDOW_STEPS: Final = 60


class IncidentSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often to judge, over what, and how sure to be.

    window_s: seconds of telemetry a judgement looks at, at least sixty steps. evaluate_s: seconds
    between judgements. settle_ms: how long a step may still receive values after its end.
    page_after: judgements in a row that must see harm before a page. name_after: judgements in a
    row that must agree before a service is named. close_after_s: quiet seconds that close an
    incident. max_incident_s: window of an open incident, counted from its start. keep: closed
    incidents kept in memory.
    starts_query: the business indicator, a stack expression grouped by tag `result`.
    """

    enabled: bool = True
    window_s: float = 150.0
    evaluate_s: float = 1.0
    settle_ms: int = 700
    page_after: int = 2
    name_after: int = 3
    close_after_s: float = 8.0
    max_incident_s: float = 600.0
    keep: int = 200
    starts_query: str = STARTS_QUERY
    thresholds: Thresholds = Thresholds()

    def for_step(self, step_ms: int) -> Self:
        """The same settings, with windows long enough to hold enough steps of `step_ms`."""
        step_s = step_ms / 1000
        return msgspec.structs.replace(
            self,
            window_s=max(self.window_s, _WINDOW_STEPS * step_s),
            max_incident_s=max(self.max_incident_s, 2 * _WINDOW_STEPS * step_s),
            close_after_s=max(self.close_after_s, 2 * step_s),
        )
