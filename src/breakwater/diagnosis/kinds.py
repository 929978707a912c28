"""What sort of fault a pattern of losses is; one decision from the top, no scores."""

import msgspec
import numpy as np
from numpy.typing import NDArray

from breakwater.diagnosis.instances import InstanceState
from breakwater.diagnosis.verdict import Kind
from breakwater.model import Status
from breakwater.topology import STATUSES, Edge

Array = NDArray[np.float64]


class Losses(msgspec.Struct, frozen=True, kw_only=True):
    """What one service lost per second since the onset, and how its callers' calls ended.

    statuses: calls by status since the onset [S]; baseline: what the same time held before.
    classes: added calls per second by how they ended, and retries.
    """

    service: str
    wait_s: float
    gap_s: float
    failed: float
    lost: float
    statuses: Array
    baseline: Array
    instance: InstanceState | None
    states: list[InstanceState]
    edge: Edge | None
    classes: dict[str, float]

    def added(self, *kinds: Status) -> float:
        """Calls that ended in one of `kinds` beyond the baseline."""
        at = [STATUSES.index(kind) for kind in kinds]
        return float(np.maximum(self.statuses[at] - self.baseline[at], 0).sum())

    @property
    def is_starved(self) -> bool:
        """Whether an instance is short of CPU time."""
        return any(state.is_saturated for state in self.states)

    @property
    def has_silent_instance(self) -> bool:
        """Whether an instance stopped reporting."""
        return any(state.is_silent for state in self.states)


def classify(losses: Losses) -> Kind:
    """The kind of fault, from how calls ended and where the time went.

    Refused connections mean nobody listens. Unanswered calls mean somebody listens who does not
    work: with silence the process stands still, without it only its requests do. Answers that say
    "error" are errors. Otherwise only time was lost: to a starved process, inside the service's
    clock, or between the clocks.
    """
    refused = losses.added(Status.CONNECTION_ERROR)
    unanswered = losses.added(Status.TIMEOUT, Status.CANCELLED)
    answered_badly = losses.added(Status.UNEXPECTED_ERROR, Status.UNAVAILABLE)
    failed = refused + unanswered + answered_badly
    if failed > 0 and losses.failed > 0.15 * max(losses.wait_s + losses.gap_s, 0.0):
        return _of_failures(losses, refused, unanswered, answered_badly)
    if losses.is_starved:
        return Kind.CPU_BURN
    return Kind.SLOW_EDGE if losses.gap_s > max(losses.wait_s, 0.0) else Kind.LATENCY


def _of_failures(losses: Losses, refused: float, unanswered: float, answered_badly: float) -> Kind:
    if answered_badly >= max(refused, unanswered):
        return Kind.ERRORS
    if losses.has_silent_instance:
        return Kind.CRASH if refused > 0.25 * unanswered else Kind.FREEZE
    if refused > unanswered:
        return Kind.CRASH
    return Kind.CPU_BURN if losses.is_starved else Kind.HANG
