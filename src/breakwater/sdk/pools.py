"""Libraries that keep connections: one guard for what is asked, one for the wait to ask it.

Nobody waits for a free connection longer than the deadline of the work that wants it.
"""

from typing import TYPE_CHECKING, Any

from breakwater.model import CallPoint, Clock
from breakwater.sdk import context
from breakwater.sdk.guard import CommandConfig
from breakwater.sdk.outbound import Outbound, guard_of
from breakwater.sdk.outcomes import Classify

if TYPE_CHECKING:
    from breakwater.sdk.service import Service


def edges_of(
    service: "Service",
    peer: str,
    config: CommandConfig,
    pool_config: CommandConfig,
    *,
    group: str,
    point: CallPoint,
    classify: Classify,
) -> tuple[Outbound, Outbound]:
    """The edge to `peer` under the guard `peer`, and that to its connections under `peer.pool`."""

    def edge(name: str, config: CommandConfig, point: CallPoint) -> Outbound:
        command = guard_of(service.guards, name, config, group=group)
        return Outbound(service.runtime, peer, command=command, point=point, classify=classify)

    return edge(peer, config, point), edge(f"{peer}.pool", pool_config, "pool")


def bound_wait(queue: Any, clock: Clock) -> None:
    """Have threads wait at `queue` no longer than their deadline allows.

    A pool has one timeout for all who wait; its queue is given it with each wait. queue: has
    `get(block, timeout)`; what has none is left alone, as is a queue bound before.
    """
    get = getattr(queue, "get", None)
    if get is None or getattr(get, "is_bound_wait", False):
        return

    def get_in_time(block: bool = True, timeout: float | None = None) -> Any:  # noqa: FBT001, FBT002 - as the queue has it
        left_s = context.remaining_s(clock)
        if left_s is not None and (timeout is None or left_s < timeout):
            timeout = max(0.0, left_s)
        return get(block, timeout)

    get_in_time.is_bound_wait = True  # type: ignore[attr-defined] # a mark
    queue.get = get_in_time
