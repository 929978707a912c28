"""All that is known of one instance, with where it is known from."""

from collections.abc import Callable

import msgspec

from breakwater.model import CalleeReport, Clock, Instance, InstanceKey
from breakwater.registry.acting.acts import Act
from breakwater.registry.acting.lookup import found_lease
from breakwater.registry.holding.registry import Registry
from breakwater.registry.instance_info import InstanceInfo, native
from breakwater.registry.judging.evidence import Record
from breakwater.registry.judging.judge import Judge
from breakwater.registry.judging.verdicts import Finding


class LeaseTerms(msgspec.Struct, frozen=True, kw_only=True):
    """How long the lease runs, and where its latest renewal came from (`via` a peer, or "")."""

    duration_s: int
    renewal_interval_s: int
    registered_ms: int
    renewed_ms: int
    ends_in_s: float
    via: str


class Heartbeats(msgspec.Struct, frozen=True, kw_only=True):
    """The renewals since it registered last."""

    renewals: int
    late: int
    longest_gap_s: float


class CallerSaw(msgspec.Struct, frozen=True, kw_only=True):
    """What one caller reported last, and when."""

    caller: InstanceKey
    at_ms: int
    window_s: float
    saw: CalleeReport


class ProbeSaw(msgspec.Struct, frozen=True, kw_only=True):
    """One look of the registry at its address."""

    at_ms: int
    finding: Finding
    took_ms: float
    said: str


class InstanceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One instance: as callers see it, as it describes itself, and the evidence.

    at_ms: when all this was so. reason: why its health is what it is; empty while it is fresh.
    override: the status an operator set, "" for none. callers, probes: the latest last. acts: of
    operators, in force on it.
    """

    at_ms: int
    instance: Instance
    reason: str
    override: str
    lease: LeaseTerms
    heartbeats: Heartbeats
    callers: list[CallerSaw]
    probes: list[ProbeSaw]
    acts: list[Act]
    description: InstanceInfo


class Recorder:
    """Gathers the record of an instance from those who hold its parts."""

    def __init__(
        self,
        registry: Registry,
        judge: Judge,
        clock: Clock,
        acts_on: Callable[[str, str], list[Act]],
    ) -> None:
        self._registry = registry
        self._judge = judge
        self._clock = clock
        self._acts_on = acts_on

    def record(self, service: str, instance_id: str) -> InstanceRecord:
        """The record; raises UnknownInstanceError, which names who is there instead."""
        lease = found_lease(self._registry, service, instance_id)
        info, terms = lease.info, lease.info.lease
        heard = self._judge.record_of(lease) or Record()
        return InstanceRecord(
            at_ms=self._clock.now_ms(),
            instance=native(info, self._judge.health_of(lease)),
            reason=self._judge.reason_of(lease),
            override="" if lease.override is None else lease.override.value,
            lease=LeaseTerms(
                duration_s=terms.duration_s,
                renewal_interval_s=terms.renewal_interval_s,
                registered_ms=terms.registration_ms,
                renewed_ms=lease.last_renewal_ms,
                ends_in_s=round(lease.deadline_s - self._clock.monotonic_s(), 3),
                via=lease.via,
            ),
            heartbeats=Heartbeats(
                renewals=heard.renewals,
                late=heard.late_renewals,
                longest_gap_s=round(heard.longest_gap_s, 3),
            ),
            callers=[
                CallerSaw(
                    caller=told.caller, at_ms=told.at_ms, window_s=told.window_s, saw=told.report
                )
                for told in heard.callers.values()
            ],
            probes=[
                ProbeSaw(
                    at_ms=each.at_ms, finding=each.finding, took_ms=each.took_ms, said=each.said
                )
                for each in heard.probes
            ],
            acts=self._acts_on(info.app, info.instance_id),
            description=self._registry.instance(info.app, info.instance_id),
        )
