"""What a breaker tells others: its events, its statistics, and why it refused a call."""

from collections.abc import Callable

import msgspec

from breakwater.sdk.guard.events import BreakerState, Kind


class BreakerEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened to a breaker.

    kind: STATE (`old` became `state`), RATE_EXCEEDED, STALE_RESULT or PROBE_EXPIRED. serial counts
    the events of one breaker from 1: a listener called from several threads may see them out of
    order. at_s: monotonic. reason: a word, see `Breaker`. calls: how many were judged, or expired.
    failure_percent, slow_percent: what was found (-1: fewer calls than the minimum). open_s: how
    long it stays open from `at_s`.
    """

    kind: Kind
    serial: int
    at_s: float
    state: BreakerState
    old: BreakerState
    reason: str = ""
    calls: int = 0
    failure_percent: float = -1.0
    slow_percent: float = -1.0
    open_s: float = 0.0


class BreakerStats(msgspec.Struct, frozen=True, kw_only=True):
    """Where the breaker stands and what it did since it was made.

    failure_percent, slow_percent: of the window, or of the probes while half open; -1 below the
    minimum of calls. opening: openings in a row without a recovery. reopens_s: monotonic time
    after which an open breaker probes. short_circuited counts refusals, ramp_refused those by the
    ramp alone, shadow_refused those that `enforcing_percent` let through.
    """

    state: BreakerState
    window_calls: int
    window_failures: int
    window_slow: int
    failure_percent: float
    slow_percent: float
    probes_out: int
    opening: int
    reopens_s: float
    is_ramping: bool
    opened: int
    short_circuited: int
    ramp_refused: int
    shadow_refused: int
    stale_results: int
    expired_probes: int
    undecided_rounds: int
    listener_errors: int


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why a call is refused, in a word, and when it is worth asking again, if that is known."""

    reason: str
    retry_after_s: float | None = None


Listener = Callable[[BreakerEvent], None]
"""Told what happened, after the fact and under no lock; what it raises is counted and dropped."""


class Reporter:
    """Keeps events while the breaker's lock is held, and hands them out when it is not."""

    __slots__ = ("_kept", "_listener", "_serial", "errors")

    def __init__(self, listener: Listener | None) -> None:
        self._listener = listener
        self._kept: list[BreakerEvent] = []
        self._serial = 0
        self.errors = 0

    def keep(
        self,
        kind: Kind,
        *,
        at_s: float,
        state: BreakerState,
        old: BreakerState | None = None,
        reason: str = "",
        calls: int = 0,
        rates: tuple[float, float] = (-1.0, -1.0),
        open_s: float = 0.0,
    ) -> None:
        """Note an event, under the lock; nothing is made if nobody listens."""
        self._serial += 1
        if self._listener is None:
            return
        event = BreakerEvent(
            kind=kind,
            serial=self._serial,
            at_s=at_s,
            state=state,
            old=old or state,
            reason=reason,
            calls=calls,
            failure_percent=rates[0],
            slow_percent=rates[1],
            open_s=open_s,
        )
        self._kept.append(event)

    def tell(self) -> None:
        """Hand out what is kept, under no lock; several threads may share the work."""
        kept, listener = self._kept, self._listener
        while kept and listener is not None:
            try:
                event = kept.pop(0)
            except IndexError:  # another thread took the last one
                return
            try:
                listener(event)
            except Exception:  # noqa: BLE001 - supervision edge: a listener never breaks a call
                self.errors += 1
