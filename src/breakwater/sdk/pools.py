"""Waiting for a free connection: no longer than the deadline of the work that wants it."""

from typing import Any

from breakwater.model import Clock
from breakwater.sdk import context


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
