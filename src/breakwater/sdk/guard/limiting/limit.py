"""What every algorithm of an adaptive limit is: samples in, a number of calls out."""

from typing import Protocol


class Limit(Protocol):
    """Finds how many calls may be under way from how earlier ones went.

    It reads no clock and keeps no thread: the same samples give the same limits. Not safe for
    several threads at once; who owns it takes care of that.
    """

    @property
    def limit(self) -> int:
        """How many calls may be under way now."""
        ...

    def update(self, now_s: float, rtt_s: float, inflight: int, did_drop: bool) -> int:  # noqa: FBT001 - the fields of one sample
        """Learn from one finished call; returns the limit from now on.

        now_s: when it ended. rtt_s: how long it took. inflight: calls under way when it began,
        itself among them. did_drop: it timed out, or the callee refused it for want of room.
        """
        ...
