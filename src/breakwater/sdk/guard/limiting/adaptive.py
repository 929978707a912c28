"""A limit of calls under way that finds its own height, as one gate of a command.

`AdaptiveLimit` lets calls in as long as fewer than its limit are under way, and tells the
algorithm how each ended. What counts as a drop: a timeout, a lost connection, or an answer that
says the callee has no room (`unavailable`, `throttled`). Other failures say nothing about room
and are no samples: they are often fast, and would make the limit grow.
"""

import threading
from collections.abc import Callable
from random import Random
from typing import Any, Final

import msgspec

from breakwater.model import Status
from breakwater.sdk.errors import CallError
from breakwater.sdk.guard.config import AdaptiveConfig
from breakwater.sdk.guard.gate import CallInfo, Queued, Ticket
from breakwater.sdk.guard.limiting.aimd import Aimd
from breakwater.sdk.guard.limiting.gradient import Gradient2
from breakwater.sdk.guard.limiting.guarded import Guarded
from breakwater.sdk.guard.limiting.limit import Limit
from breakwater.sdk.guard.limiting.partitions import PartitionStats
from breakwater.sdk.guard.limiting.places import Place, Places
from breakwater.sdk.guard.limiting.vegas import Vegas
from breakwater.sdk.guard.limiting.windowed import Windowed
from breakwater.sdk.guard.verdict import Verdict

NO_ROOM: Final = frozenset(
    (Status.UNAVAILABLE, Status.THROTTLED, Status.TIMEOUT, Status.CONNECTION_ERROR)
)
"""Outcomes of a failed call that are signs of overload."""

_BOUNDS: Final = ("initial", "minimum", "maximum")
_NUMBERS: Final = {
    "aimd": (*_BOUNDS, "backoff_ratio", "timeout_s"),
    "vegas": ("initial", "maximum", "smoothing"),
    "gradient2": (*_BOUNDS, "smoothing", "tolerance", "long_window", "queue"),
    "guarded": (*_BOUNDS, "window_s", "minimum_samples", "tolerance", "queue"),
}
"""Which numbers of the configuration each algorithm has."""

LimitChanged = Callable[[int, int], None]
"""Told the limit before and after; called outside of every lock, must not raise."""


class AdaptiveStats(msgspec.Struct, frozen=True, kw_only=True):
    """Where the limit stands, how full it is, and what it has learned from."""

    algorithm: str
    limit: int
    in_use: int
    rejected: int
    waiting: int
    timed_out: int
    samples: int
    drops: int
    changes: int
    latency_s: float
    partitions: dict[str, PartitionStats]


def make_limit(config: AdaptiveConfig, random: Random) -> Limit:
    """The algorithm that `config` names, with its numbers or the algorithm's own."""
    names = _NUMBERS[config.algorithm]
    given: dict[str, Any] = {
        name: value for name in names if (value := getattr(config, name)) is not None
    }
    if config.algorithm == "guarded":
        return Guarded(**given, random=random)
    inner: Limit
    if config.algorithm == "aimd":
        inner = Aimd(**given)
    elif config.algorithm == "vegas":
        inner = Vegas(**given, random=random)
    else:
        inner = Gradient2(**given)
    return Windowed(
        inner,
        min_window_s=config.window_s,
        max_window_s=config.window_s,
        minimum_samples=config.minimum_samples,
    )


class AdaptiveLimit:
    """A gate that admits as many calls as the callee bears; refuses the others at once.

    Refusals carry reason `limit_reached`, the limit, and as retry hint the present latency: by
    then the calls under way now have left. random: jitter of probes. on_change: told when the
    limit moves. Costs about two microseconds a call.
    """

    def __init__(
        self, config: AdaptiveConfig, *, random: Random, on_change: LimitChanged | None = None
    ) -> None:
        self.name = f"adaptive limit ({config.algorithm})"
        self._algorithm = make_limit(config, random)
        self._config = config
        self._on_change = on_change
        self._places = Places(
            self._algorithm.limit,
            reason="limit_reached",
            shares=config.partitions,
            max_wait_s=config.max_wait_s,
            max_waiting=config.max_waiting,
            order=config.wait_order,
            reject_delay_s=config.reject_delay_s,
        )
        self._lock = threading.RLock()
        self._samples = self._drops = self._changes = 0
        self._latency_s = 0.0

    @property
    def limit(self) -> int:
        """How many calls may be under way now."""
        return self._places.limit

    @property
    def in_use(self) -> int:
        """How many are."""
        return self._places.in_use

    def enter(self, call: CallInfo, now_s: float) -> "Ticket | Queued":
        """A place, at once or after a wait; raises CallRefusedError."""
        return self._places.enter(call, now_s, self._latency_s or None)

    def leave(
        self,
        ticket: Ticket,
        verdict: Verdict,
        *,
        now_s: float,
        took_s: float,
        error: BaseException | None,
    ) -> None:
        """The attempt ended: learn from it, and give its place to the next."""
        assert isinstance(ticket, Place), "a ticket of another gate"
        did_drop = is_drop(verdict, error)
        try:
            if did_drop is not None and took_s > 0:
                self._learn(now_s, took_s, ticket.inflight, did_drop=did_drop)
        finally:
            self._places.leave(ticket)

    def _learn(self, now_s: float, took_s: float, inflight: int, *, did_drop: bool) -> None:
        with self._lock:
            before = self._places.limit
            self._samples += 1
            self._drops += did_drop
            self._latency_s += 0.05 * (took_s - self._latency_s) if self._latency_s else took_s
            after = self._algorithm.update(now_s, took_s, inflight, did_drop)
            self._changes += after != before
        if after != before:
            self._places.resize(after)
            if self._on_change is not None:
                self._on_change(before, after)

    def stats(self) -> AdaptiveStats:
        """Where the limit stands, how full it is, and what it has learned from."""
        places = self._places.stats()
        return AdaptiveStats(
            algorithm=self._config.algorithm,
            limit=places.limit,
            in_use=places.in_use,
            rejected=places.rejected,
            waiting=places.waiting,
            timed_out=places.timed_out,
            samples=self._samples,
            drops=self._drops,
            changes=self._changes,
            latency_s=self._latency_s,
            partitions=places.partitions,
        )


def is_drop(verdict: Verdict, error: BaseException | None) -> bool | None:
    """Whether the callee had no room; None if the call says nothing about it."""
    if verdict is Verdict.SUCCESS:
        return False
    if verdict is Verdict.TIMEOUT:
        return True
    if verdict is not Verdict.FAILURE:
        return None
    if isinstance(error, CallError):
        return True if error.status in NO_ROOM else None
    return True if isinstance(error, TimeoutError | ConnectionError) else None
