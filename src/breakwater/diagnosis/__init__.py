"""Whose fault is it: from arrays of calls to one named service with its evidence, or to none.

Everything here is a pure function over arrays; no server, no clock, no I/O but the reading of
recorded incidents. The method is accounting, not statistics: what a service lost on its own
account is the excess request-seconds (Little's law) and failed requests seen at it, less what its
callees lost in the same steps. Statistics only decide when it began (`onset`) and whether it is
more than noise. "No single service", "traffic only", "nothing is wrong" and "not enough evidence"
are answers like any other. Injected-fault markers are never an input.
"""

from breakwater.diagnosis.impact import own_impact
from breakwater.diagnosis.judge import diagnose
from breakwater.diagnosis.onset import Onset, binomial_onset, latency_onset, poisson_onset
from breakwater.diagnosis.recorded import Ranking, RecordedIncident, rank_recorded
from breakwater.diagnosis.recovery import has_recovered
from breakwater.diagnosis.thresholds import Thresholds
from breakwater.diagnosis.verdict import (
    Diagnosis,
    Evidence,
    HopImpact,
    Kind,
    Suspect,
    Verdict,
)

__all__ = [
    "Diagnosis",
    "Evidence",
    "HopImpact",
    "Kind",
    "Onset",
    "Ranking",
    "RecordedIncident",
    "Suspect",
    "Thresholds",
    "Verdict",
    "binomial_onset",
    "diagnose",
    "has_recovered",
    "latency_onset",
    "own_impact",
    "poisson_onset",
    "rank_recorded",
]
