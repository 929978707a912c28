"""The bulkhead whose callers wait for a place, or whose classes of callers have shares."""

from breakwater.sdk.guard.config import BulkheadConfig
from breakwater.sdk.guard.gate import CallInfo, Queued, Ticket
from breakwater.sdk.guard.limiting.places import Place, Places, PlacesStats
from breakwater.sdk.guard.verdict import Verdict


class WaitingBulkhead:
    """A gate of `Places`; refuses with `bulkhead_full`, or `queue_timeout` after the wait."""

    def __init__(self, config: BulkheadConfig) -> None:
        self.name = "bulkhead (waiting)" if config.max_wait_s > 0 else "bulkhead (partitions)"
        self.places = Places(
            config.max_concurrent,
            shares=config.partitions,
            max_wait_s=config.max_wait_s,
            max_waiting=config.max_waiting,
            order=config.wait_order,
            reject_delay_s=config.reject_delay_s,
        )

    def enter(self, call: CallInfo, now_s: float) -> "Ticket | Queued":
        """A place, at once or later; raises CallRefusedError."""
        return self.places.enter(call, now_s)

    def leave(
        self,
        ticket: Ticket,
        verdict: Verdict,
        *,
        now_s: float,
        took_s: float,
        error: BaseException | None,
    ) -> None:
        """Give the place to the next in line, however the attempt ended."""
        del verdict, now_s, took_s, error
        assert isinstance(ticket, Place), "the ticket that this gate gave"
        self.places.leave(ticket)

    def stats(self) -> PlacesStats:
        """How full it is, and who waits."""
        return self.places.stats()
