"""The answer of a diagnosis, as records that print, serialise and re-run."""

from enum import StrEnum

import msgspec


class Verdict(StrEnum):
    """What the evidence supports."""

    CULPRIT = "culprit"
    NO_SINGLE_SERVICE = "no_single_service"
    TRAFFIC_ONLY = "traffic_only"
    NOTHING_WRONG = "nothing_wrong"
    NOT_ENOUGH_EVIDENCE = "not_enough_evidence"


class Kind(StrEnum):
    """What sort of fault the pattern of losses is."""

    LATENCY = "latency"
    ERRORS = "errors"
    HANG = "hang"
    SLOW_EDGE = "slow_edge"
    CPU_BURN = "cpu_burn"
    FREEZE = "freeze"
    CRASH = "crash"


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """One observation: what was seen, the two numbers, and the query that shows it again."""

    statement: str
    query: str
    before: float
    after: float
    unit: str


class HopImpact(msgspec.Struct, frozen=True, kw_only=True):
    """Own account of one service per second since the onset.

    calls_per_s: calls received, by its callers' count. own_wait_s: excess request-seconds per
    second inside the service. gap_s: the same between its callers' clocks and its own.
    own_failed_per_s: failed calls that its callees do not explain. share: part of the whole loss.
    """

    service: str
    calls_per_s: float
    own_wait_s: float
    gap_s: float
    own_failed_per_s: float
    share: float


class Suspect(msgspec.Struct, frozen=True, kw_only=True):
    """A service that may have broken; `score` is lost request-seconds per second.

    A failed request counts as one second. `classes` are calls to it per second beyond the baseline
    by how they ended (statuses of `ipc.status`) and `retry` for attempts after the first: several
    classes may hold the same request. `noise` is how many times the score exceeds what the
    same accounting yields in quiet minutes. `edge` is set when the loss lies between two services.
    """

    service: str
    kind: Kind
    score: float
    share: float
    noise: float
    instance: str | None = None
    edge: str | None = None
    classes: dict[str, float] = {}


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """One judgement over one window of telemetry; times are milliseconds UTC.

    The change began between `onset_low_ms` and `onset_high_ms`. `suspects` are ranked, the best
    first; they are listed under every verdict, but only `culprit` claims the first of them.
    """

    verdict: Verdict
    headline: str
    confidence: str
    start_ms: int
    end_ms: int
    step_ms: int
    onset_ms: int | None = None
    onset_low_ms: int | None = None
    onset_high_ms: int | None = None
    signal: str | None = None
    suspects: list[Suspect] = []
    evidence: list[Evidence] = []
    hops: list[HopImpact] = []
    ruled_out: list[str] = []
    data_gaps: list[str] = []

    @property
    def culprit(self) -> Suspect | None:
        """The named service, or None under every verdict but `culprit`."""
        return self.suspects[0] if self.verdict is Verdict.CULPRIT and self.suspects else None
