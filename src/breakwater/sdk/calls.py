"""One record per call, on both sides of every edge, in the names of the Netflix IPC metrics.

The caller writes `ipc.client.call`, the callee `ipc.server.call`; what lies between the two
clocks is the network, a queue, or a request that never arrived. A recorder keeps one meter per
combination of tags, so a record costs a dictionary look-up and one line. Whatever comes from
outside the process (caller names, endpoints) is held to a bounded number of values.
"""

from typing import Final

import msgspec

from breakwater.model import Status, calls
from breakwater.sdk.meters import MaxGauge, Meters, Timer

MAX_SERIES: Final = 5_000
"""Combinations of tags a recorder gives a meter of their own; the rest share endpoint `other`."""
OTHER: Final = "other"
NO_NODE: Final = "none"
UNKNOWN: Final = "unknown"


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How one attempt of a call ended, as both recorders take it.

    detail is a short word for the reason of a failure. attempt counts from 1.
    """

    status: Status
    seconds: float
    detail: str = ""
    node: str = NO_NODE
    attempt: int = 1
    is_final: bool = True
    injected: bool = False


class Inflight:
    """How many calls to or from one peer are under way, and the most since the last report."""

    __slots__ = ("current", "peak")

    def __init__(self) -> None:
        self.current = 0
        self.peak = 0

    def enter(self) -> None:
        """One call begins."""
        self.current += 1
        self.peak = max(self.peak, self.current)

    def leave(self) -> None:
        """One call ended, in whatever way."""
        self.current -= 1

    def take_peak(self) -> int:
        """The highest level since the last report; the present level starts the next one."""
        peak, self.peak = self.peak, self.current
        return max(peak, self.current)


class CallStats(msgspec.Struct, frozen=True, kw_only=True):
    """How many records were written, and how many shared a meter because the bound was reached."""

    recorded: int
    series: int
    folded: int


class ServerStats(msgspec.Struct, frozen=True, kw_only=True):
    """What the server side of one application saw since start.

    limit: requests it takes on at once, None for no limit. waiting: in its queue now. shed:
    refused under load, by `class.reason` such as `sheddable.shed`; rejected is their sum.
    """

    requests: int
    in_flight: int
    past_deadline: int
    rejected: int
    departed: int
    malformed_headers: int
    naming_failures: int
    limit: int | None = None
    waiting: int = 0
    shed: dict[str, int] = {}


class CallRecorder:
    """Writes the records of one side of all edges of this process.

    side is `client` (this process calls) or `server` (it is called).
    """

    def __init__(self, meters: Meters, service: str, *, side: str) -> None:
        self._meters = meters
        self._is_client = side == "client"
        self._service = service
        self._timers: dict[tuple[object, ...], Timer] = {}
        self._inflight: dict[str, tuple[Inflight, MaxGauge]] = {}
        self._recorded = 0
        self._folded = 0

    def record(self, peer: str, endpoint: str, outcome: Outcome) -> Timer | None:
        """Write one call record; `peer` is the service at the other end of the edge.

        Gives the meter of such records for `repeat`, None where they share one.
        """
        key = (
            peer, endpoint, outcome.status, outcome.detail, outcome.node,
            outcome.attempt, outcome.is_final, outcome.injected,
        )  # fmt: skip
        timer = self._timers.get(key)
        if timer is None:
            timer = self._new_timer(key, peer, endpoint, outcome)
        self._recorded += 1
        timer.record(outcome.seconds)
        return timer if key in self._timers else None

    def repeat(self, timer: Timer, seconds: float) -> None:
        """Write one more record like that which gave this meter."""
        self._recorded += 1
        timer.record(seconds)

    def _new_timer(
        self, key: tuple[object, ...], peer: str, endpoint: str, outcome: Outcome
    ) -> Timer:
        is_full = len(self._timers) >= MAX_SERIES
        if is_full:
            self._folded += 1
            endpoint, outcome = OTHER, msgspec.structs.replace(outcome, detail="", node=NO_NODE)
        name = calls.CLIENT_CALL if self._is_client else calls.SERVER_CALL
        timer = self._meters.timer(name, self._tags(peer, endpoint, outcome), percentiles=True)
        if not is_full:
            self._timers[key] = timer
        return timer

    def _tags(self, peer: str, endpoint: str, outcome: Outcome) -> dict[str, str]:
        is_success = outcome.status in _SUCCESSES
        tags = {
            calls.CLIENT_APP: self._service if self._is_client else peer,
            calls.SERVER_APP: peer if self._is_client else self._service,
            calls.ENDPOINT: endpoint or UNKNOWN,
            calls.RESULT: "success" if is_success else "failure",
            calls.STATUS: outcome.status,
            calls.ATTEMPT: _ATTEMPTS[min(outcome.attempt, 3)],
            calls.ATTEMPT_FINAL: "true" if outcome.is_final else "false",
        }
        if self._is_client:
            tags[calls.SERVER_NODE] = outcome.node or NO_NODE
        if outcome.detail and not is_success:
            tags[calls.STATUS_DETAIL] = outcome.detail
        if outcome.injected:
            tags[calls.FAILURE_INJECTED] = "true"
        return tags

    def inflight(self, peer: str) -> Inflight:
        """The tally of calls under way with `peer`."""
        found = self._inflight.get(peer)
        if found is None:
            name = calls.CLIENT_INFLIGHT if self._is_client else calls.SERVER_INFLIGHT
            tag = calls.SERVER_APP if self._is_client else calls.CLIENT_APP
            gauge = self._meters.max_gauge(name, {tag: peer})
            found = self._inflight.setdefault(peer, (Inflight(), gauge))
        return found[0]

    def report(self) -> None:
        """Write the peaks of calls under way since the last report; done each second."""
        for tally, gauge in tuple(self._inflight.values()):
            gauge.set(tally.take_peak())

    def stats(self) -> CallStats:
        """Records written since start."""
        return CallStats(recorded=self._recorded, series=len(self._timers), folded=self._folded)


_SUCCESSES: Final = frozenset((Status.SUCCESS, Status.FALLBACK))
_ATTEMPTS: Final = ("", "initial", "second", "third_up")
