"""Which status an instance has when it, an operator and the registry disagree."""

from breakwater.registry.instance_info import InstanceStatus

_CLIENT_KNOWS_BEST = frozenset((InstanceStatus.DOWN, InstanceStatus.STARTING))
_HELD_STANDS = frozenset((InstanceStatus.UP, InstanceStatus.OUT_OF_SERVICE))


def effective_status(
    claimed: InstanceStatus,
    *,
    override: InstanceStatus | None,
    held: InstanceStatus | None,
    is_replication: bool = False,
    is_group_disabled: bool = False,
) -> InstanceStatus:
    """The status to show on a register or a renew; the first rule that applies decides.

    1. An instance that says it is DOWN or STARTING is believed.
    2. An operator's override stands.
    3. A member of a group that is disabled is OUT_OF_SERVICE.
    4. What was held before stands if it is UP or OUT_OF_SERVICE, unless a peer speaks.
    5. The instance is believed.

    The order is that of the Eureka server, so that instances move between both unchanged.
    """
    if claimed in _CLIENT_KNOWS_BEST:
        return claimed
    if override is not None:
        return override
    if is_group_disabled:
        return InstanceStatus.OUT_OF_SERVICE
    if held in _HELD_STANDS and held is not None and not is_replication:
        return held
    return claimed
