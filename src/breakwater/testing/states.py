"""Commands put into a state by hand, to see what their callers make of it."""

from collections.abc import Iterator
from contextlib import contextmanager

from breakwater.sdk import BreakerState, Command


@contextmanager
def forced(command: Command, state: BreakerState) -> Iterator[None]:
    """Hold the command's breaker in `state` within the block; after it, it starts closed and anew.

    An OPEN one turns half open by its own time: advance the clock, or use FORCED_OPEN. Raises
    ValueError for a command without a breaker.
    """
    breaker = command.parts.breaker
    if breaker is None:
        raise ValueError(f"command {command.name!r} has no breaker; its configuration has none")
    if breaker.state is BreakerState.CLOSED and state is BreakerState.HALF_OPEN:
        breaker.transition_to(BreakerState.OPEN, command.now_s())
    breaker.transition_to(state, command.now_s())
    command.refresh()
    try:
        yield
    finally:
        breaker.reset(command.now_s())
        command.refresh()


@contextmanager
def filled(command: Command) -> Iterator[int]:
    """Take all places of the command's bulkhead within the block; gives how many these were.

    Raises ValueError for a command whose calls are not limited by a plain number.
    """
    bulkhead = command.bulkhead
    if bulkhead.limit is None:
        raise ValueError(f"command {command.name!r} has no bulkhead of a fixed number of places")
    taken = 0
    while bulkhead.in_flight() < bulkhead.limit and bulkhead.try_enter():
        taken += 1
    try:
        yield taken
    finally:
        for _ in range(taken):
            bulkhead.exit()
