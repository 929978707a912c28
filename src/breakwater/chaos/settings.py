"""How far chaos may go."""

import msgspec


class ChaosSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds of every fault; the defaults suit one machine.

    leashed: only show what would be done. max_duration_s: longer faults are refused.
    max_faults: how many may run at once. max_share: of a service's instances that process faults
    may hit at once, 0 to 1, unless a request asks for `all_instances`.
    max_wait_s, max_waiters: bounds of the long poll for rules. journal_timeout_s: a journal that
    does not answer within it counts as failed, and the fault is not started.
    """

    leashed: bool = True
    max_duration_s: float = 600.0
    max_faults: int = 3
    max_share: float = 0.5
    max_wait_s: float = 60.0
    max_waiters: int = 2000
    journal_timeout_s: float = 5.0
