"""One lease under judgement."""

from typing import Final

import msgspec

from breakwater.model import Health
from breakwater.registry.holding.lease import Lease
from breakwater.registry.judging.evidence import Record
from breakwater.registry.judging.probing import Place, Target, place_of, target_of
from breakwater.registry.judging.rota import Key
from breakwater.registry.judging.verdicts import late_after_s

LONG_AFTER_S: Final = 10.0
"""A lease whose holder is late only after so long is watched by probes from its beginning."""

NEVER: Final = float("inf")


class Case(msgspec.Struct, kw_only=True, eq=False, gc=False):
    """What was heard of the holder of a lease, what was decided, when to look again.

    All moments are monotonic time. opened_s: when it registered. place, target: where it listens,
    and what is asked there; None where nothing is.
    """

    lease: Lease
    record: Record
    late_after_s: float
    opened_s: float
    heard_s: float
    target: Target | None
    place: Place | None
    probe_due_s: float
    planned_s: float = NEVER
    excused_s: float = -NEVER
    health: Health = Health.FRESH
    reason: str = ""

    @property
    def is_long(self) -> bool:
        """Whether it is watched by probes all the time."""
        return self.late_after_s > LONG_AFTER_S

    @property
    def key(self) -> Key:
        """Application and id."""
        return self.lease.info.app, self.lease.info.instance_id

    @property
    def late_s(self) -> float:
        """When it is late, if it stays silent."""
        return self.lease.deadline_s - self.lease.info.lease.duration_s + self.late_after_s


def case_of(lease: Lease, record: Record, now_s: float, *, is_probed: bool) -> Case:
    """The case of a new lease."""
    info = lease.info
    after_s = late_after_s(info.lease.renewal_interval_s, info.lease.duration_s)
    return Case(
        lease=lease,
        record=record,
        late_after_s=after_s,
        opened_s=now_s,
        heard_s=lease.renewed_s,
        target=target_of(info) if is_probed else None,
        place=place_of(info),
        probe_due_s=now_s if is_probed and after_s > LONG_AFTER_S else NEVER,
    )
