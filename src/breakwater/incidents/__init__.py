"""From a change in what users get to a page, a named service, a report and an all-clear.

The watcher judges the fleet once a second with `diagnosis` and turns the stream of judgements
into incidents by a pure state machine (`pager`): a harm must last before it pages, a name must
repeat before it is said, and an incident closes when the fleet is as good as before its onset.
`triage` is the same judgement on demand. What chaos did is never read here: neither fault rules
nor journal entries about faults.
"""

from breakwater.incidents.errors import UnknownIncidentError
from breakwater.incidents.pager import Incident, Phase, advance
from breakwater.incidents.report import html_report, png_report
from breakwater.incidents.settings import IncidentSettings
from breakwater.incidents.text import print_triage
from breakwater.incidents.triage import Triage, TriageResult
from breakwater.incidents.watcher import Watcher

__all__ = [
    "Incident",
    "IncidentSettings",
    "Phase",
    "Triage",
    "TriageResult",
    "UnknownIncidentError",
    "Watcher",
    "advance",
    "html_report",
    "png_report",
    "print_triage",
]
