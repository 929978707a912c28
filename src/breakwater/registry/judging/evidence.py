"""What was heard of every instance: renewals, the outcomes callers saw, what probes found.

Bounded: at most `CALLERS_EACH` callers and `PROBES_EACH` probes are remembered of one instance,
and `CALLERS_IN_ALL` callers of all together; reports older than `REPORT_AGE_S` count no more.
"""

from typing import Final

import msgspec

from breakwater.model import CalleeReport, InstanceKey
from breakwater.registry.judging.verdicts import Finding

CALLERS_EACH: Final = 64
CALLERS_IN_ALL: Final = 100_000
PROBES_EACH: Final = 8
REPORT_AGE_S: Final = 30.0

_BAD: Final = frozenset((Finding.REFUSED, Finding.SILENT))


class Probed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One probe: when it began (monotonic and wall time), what it found, how long it took."""

    at_s: float
    at_ms: int
    finding: Finding
    took_ms: float
    said: str = ""


class Told(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one caller told last of one instance, and when (monotonic and wall time)."""

    caller: InstanceKey
    at_s: float
    at_ms: int
    window_s: float
    report: CalleeReport

    @property
    def from_s(self) -> float:
        """When the window of the report began."""
        return self.at_s - self.window_s

    @property
    def went_well(self) -> int:
        """How many calls went well."""
        return self.report.calls - self.report.failures


class Record(msgspec.Struct, kw_only=True, eq=False, gc=False):
    """What was heard of one instance since it registered last.

    probes: the latest last. was_found: one of them got through. contradicted: what a probe found
    before the instance renewed regardless, so that finding it again proves nothing.
    """

    renewals: int = 0
    late_renewals: int = 0
    longest_gap_s: float = 0.0
    callers: dict[InstanceKey, Told] = msgspec.field(default_factory=dict)
    probes: tuple[Probed, ...] = ()
    was_found: bool = False
    contradicted: Finding | None = None

    def note_renewal(self, gap_s: float, *, is_late: bool) -> None:
        """It renewed, `gap_s` after it did so before."""
        self.renewals += 1
        self.late_renewals += is_late
        self.longest_gap_s = max(self.longest_gap_s, gap_s)
        if self.probes and self.probes[-1].finding in _BAD:
            self.contradicted = self.probes[-1].finding

    def note_probe(self, probed: Probed) -> None:
        """A probe came back."""
        self.probes = (*self.probes[1 - PROBES_EACH :], probed)
        if probed.finding in {Finding.REFUSED, Finding.UNREACHABLE}:
            return
        self.was_found = True
        if probed.finding is not self.contradicted:
            self.contradicted = None

    @property
    def is_contradicted(self) -> bool:
        """Whether it renewed although the latest bad finding said that nobody is there."""
        return self.contradicted is not None

    def finding(self, *, renewed_s: float) -> Finding | None:
        """What the latest probe found, unless the instance renewed after that probe began."""
        if not self.probes or self.probes[-1].at_s <= renewed_s:
            return None
        return self.probes[-1].finding

    def succeeded(self, *, now_s: float) -> int:
        """Callers that got through lately, and not all before a probe was refused."""
        after_s = now_s - REPORT_AGE_S
        if self.probes and self.probes[-1].finding is Finding.REFUSED:
            after_s = max(after_s, self.probes[-1].at_s)
        return sum(told.went_well > 0 and told.from_s >= after_s for told in self.callers.values())

    def refused(self, *, now_s: float, renewed_s: float) -> int:
        """Callers that were refused since it renewed last, and did not get through."""
        after_s = max(now_s - REPORT_AGE_S, renewed_s)
        return sum(
            told.report.refused > 0 and told.went_well <= 0 and told.from_s >= after_s
            for told in self.callers.values()
        )


class Evidence:
    """The records of all instances, by application and id; a record goes when its lease does."""

    def __init__(self) -> None:
        self._records: dict[tuple[str, str], Record] = {}
        self._callers = 0
        self._aged_s = float("-inf")
        self.reports = 0
        self.unknown = 0
        self.dropped = 0

    @property
    def callers(self) -> int:
        """How many reports are remembered."""
        return self._callers

    def begin(self, app: str, instance_id: str) -> Record:
        """A new record: the instance registered, and what was heard before is of another life.

        What callers told stays: they are asked for nothing, and age by themselves.
        """
        held = self._records.get((app, instance_id))
        record = Record()
        if held is not None:
            record.callers = held.callers
        self._records[app, instance_id] = record
        return record

    def of(self, app: str, instance_id: str) -> Record | None:
        """The record of one instance."""
        return self._records.get((app, instance_id))

    def forget(self, app: str, instance_id: str) -> None:
        """The instance is gone."""
        record = self._records.pop((app, instance_id), None)
        if record is not None:
            self._callers -= len(record.callers)

    def take(self, told: Told) -> Record | None:
        """Remember what a caller told; None if nobody is registered under that name."""
        record = self._records.get((told.report.service.upper(), told.report.instance_id))
        if record is None:
            self.unknown += 1
            return None
        self._age(record, told.at_s)
        if self._callers >= CALLERS_IN_ALL and told.at_s - self._aged_s > 1:
            self._aged_s = told.at_s
            for each in self._records.values():
                self._age(each, told.at_s)
        known = told.caller in record.callers
        if not known and self._callers >= CALLERS_IN_ALL:
            self.dropped += 1
            return None
        self.reports += 1
        record.callers.pop(told.caller, None)
        record.callers[told.caller] = told
        self._callers += not known
        if len(record.callers) > CALLERS_EACH:
            del record.callers[next(iter(record.callers))]
            self._callers -= 1
        return record

    def _age(self, record: Record, now_s: float) -> None:
        """Forget what was told too long ago; the oldest come first."""
        while record.callers:
            caller, oldest = next(iter(record.callers.items()))
            if now_s - oldest.at_s <= REPORT_AGE_S:
                return
            del record.callers[caller]
            self._callers -= 1
