"""A place in the registry that lasts as long as its holder keeps renewing it."""

from breakwater.registry.instance_info import InstanceInfo, InstanceStatus


class Lease:
    """One held instance and when it lapses; only `Registry` changes it.

    `deadline_s` is monotonic time, so that a step of the wall clock ends no lease. Renewals touch
    only this object: the description of the instance, and every answer made of it, stay as they
    are.
    """

    __slots__ = ("deadline_s", "info", "last_renewal_ms", "override")

    def __init__(
        self,
        info: InstanceInfo,
        *,
        now_ms: int,
        now_s: float,
        override: InstanceStatus | None,
    ) -> None:
        self.info = info
        self.override = override
        self.last_renewal_ms = now_ms
        self.deadline_s = now_s + info.lease.duration_s

    def renew(self, *, now_ms: int, now_s: float) -> None:
        """Let the lease run its full duration from now on."""
        self.last_renewal_ms = now_ms
        self.deadline_s = now_s + self.info.lease.duration_s
