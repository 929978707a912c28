"""A place in the registry that lasts as long as its holder keeps renewing it."""

from breakwater.registry.instance_info import InstanceInfo, InstanceStatus


class Lease:
    """One held instance and when it lapses; only `Registry` changes it.

    `deadline_s` and `renewed_s` are monotonic time, so that a step of the wall clock ends no lease.
    `override_ms` is when the override was set or taken away (0: never), by the registry's clock.
    `via` names the peer that passed the latest renewal on, empty for the instance itself.
    `is_recalled`: it comes from the disk, and nothing was heard of its holder since. Renewals touch
    only this object: the description of the instance, and every answer made of it, stay as they
    are.
    """

    __slots__ = (
        "deadline_s",
        "info",
        "is_recalled",
        "last_renewal_ms",
        "override",
        "override_ms",
        "renewed_s",
        "via",
    )

    def __init__(
        self,
        info: InstanceInfo,
        *,
        now_ms: int,
        now_s: float,
        override: InstanceStatus | None,
        via: str = "",
    ) -> None:
        self.info = info
        self.override = override
        self.override_ms = 0
        self.last_renewal_ms = now_ms
        self.renewed_s = now_s
        self.deadline_s = now_s + info.lease.duration_s
        self.via = via
        self.is_recalled = False

    def renew(self, *, now_ms: int, now_s: float, via: str = "") -> None:
        """Let the lease run its full duration from now on."""
        self.last_renewal_ms = now_ms
        self.renewed_s = now_s
        self.deadline_s = now_s + self.info.lease.duration_s
        self.via = via
        self.is_recalled = False
