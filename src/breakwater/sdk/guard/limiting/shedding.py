"""Load shedding: a server that stays useful when more is asked of it than it can do.

Work is admitted up to a limit, fixed or adaptive. The less important a request is, the earlier it
is refused: each class of criticality has a share of the limit beyond which its requests are shed.
Requests that may use the whole limit wait in a short queue, in order while it is a burst and
newest first when it is a standing overload (`codel`). Work that cannot be done before its
deadline is not begun. A refusal is cheap, says why, and when to come again.

`Shedder` is a gate like those on the calling side: pure, time passed in, safe for threads. The
ASGI and WSGI adapters do the waiting.
"""

import threading
from collections.abc import Callable
from math import ceil
from random import Random
from typing import Final

import msgspec

from breakwater.sdk.context import Criticality
from breakwater.sdk.errors import CallRefusedError
from breakwater.sdk.guard.config import SheddingConfig
from breakwater.sdk.guard.gate import CallInfo, Ticket
from breakwater.sdk.guard.limiting.adaptive import is_drop, make_limit
from breakwater.sdk.guard.limiting.codel import CodelQueue
from breakwater.sdk.guard.limiting.expected import ExpectedTimes
from breakwater.sdk.guard.limiting.limit import Limit
from breakwater.sdk.guard.verdict import Verdict

_RANKS: Final = {level: rank for rank, level in enumerate(Criticality)}

_NO_END: Final = 1 << 62

Notice = Callable[[str, Criticality], None]
"""Told the reason and the class of each request refused; outside of the lock, must not raise."""


class SheddingStats(msgspec.Struct, frozen=True, kw_only=True):
    """What is at work and waiting, and requests refused, by class and by reason.

    limit: None while it is not enabled. refused: keys are `class.reason`, such as `sheddable.shed`;
    reasons are `shed`, `queue_full`, `queue_timeout`, `too_late`, and without a queue
    `limit_reached` or `bulkhead_full`.
    """

    limit: int | None
    in_use: int
    waiting: int
    admitted: int
    queued: int
    is_overloaded: bool
    refused: dict[str, int]


class Seat(Ticket):
    """Leave to begin; `inflight` requests were at work then, itself among them."""

    __slots__ = ("endpoint", "inflight")

    def __init__(self, endpoint: str, inflight: int) -> None:
        self.endpoint = endpoint
        self.inflight = inflight


class Shedder:
    """The gate of a server. random: jitter of the adaptive limit's probes. notice: of refusals.

    limit: at present; without meaning while it is not `enabled`.
    """

    def __init__(
        self, config: SheddingConfig, *, random: Random, notice: Notice | None = None
    ) -> None:
        self.name = "load shedding"
        self.config = config
        self._random = random
        self._adaptive: Limit | None = None
        self.limit = 1
        self._shares: tuple[float, ...] = ()
        self._places: tuple[int, ...] = ()
        self._notice = notice
        self._lock = threading.RLock()
        self._queue: CodelQueue[Waiting] = CodelQueue(
            limit=config.queue, target_s=config.target_s, interval_s=config.interval_s
        )
        self._expected = ExpectedTimes()
        self._in_use = self._admitted = self._queued = 0
        self._refused: dict[str, int] = {}
        self._take(config, None)

    def configure(self, config: SheddingConfig, now_s: float) -> None:
        """Go by `config` from now on; who is at work or waits stays, as long as he would have.

        An adaptive limit keeps its height unless its own numbers changed.
        """
        with self._lock:
            before, self.config = self.config, config
            self._take(config, before)
            self._queue.configure(
                limit=config.queue, target_s=config.target_s, interval_s=config.interval_s
            )
            wakes = self._serve_queue(now_s)
        for wake in wakes:
            wake()

    def _take(self, config: SheddingConfig, before: SheddingConfig | None) -> None:
        """Bring limit and shares to `config`."""
        if config.limit is not None or not config.enabled:
            self._adaptive = None
            self.limit = config.limit or 1
        elif self._adaptive is None or before is None or config.adaptive != before.adaptive:
            self._adaptive = make_limit(config.adaptive, self._random)
            self.limit = self._adaptive.limit
        self._shares = tuple(getattr(config, level.value) for level in Criticality)
        self._places = self._places_of(self.limit)

    @property
    def is_in_use(self) -> bool:
        """Whether it is enabled, or refused anybody before."""
        return self.config.enabled or bool(self._refused)

    def enter(self, call: CallInfo, now_s: float) -> "Seat | Waiting":
        """Leave to begin, at once or after a wait; raises CallRefusedError."""
        with self._lock:
            outcome, wake = self._decide(call, now_s)
        if wake is not None:
            wake()
        if isinstance(outcome, CallRefusedError):
            raise self._told(call, outcome)
        return outcome

    def _decide(
        self, call: CallInfo, now_s: float
    ) -> "tuple[Seat | Waiting | CallRefusedError, Callable[[], None] | None]":
        """What becomes of a request that comes now, and whom to wake as it takes his place."""
        rank = _RANKS[call.context.criticality]
        expected_s = self._expected.expect_s(call.endpoint, now_s)
        if self._is_too_late(call, now_s, expected_s):
            return self._refusal(call, "too_late"), None
        if self._in_use < self._places[rank] and not self._is_outranked(rank):
            return self._seat(call), None
        if self._shares[rank] < 1.0:
            return self._refusal(call, "shed"), None
        until_s = now_s + self._queue.patience_s(now_s)
        deadline_s = call.context.deadline_s
        if deadline_s is not None:
            until_s = min(until_s, max(now_s, deadline_s - expected_s))
        waiting = Waiting(self, call, rank, until_s)
        loser = self._queue.push(waiting, now_s)
        if loser is waiting:
            return self._refusal(call, self._reason_without_seat()), None
        self._queued += 1
        return waiting, None if loser is None else loser.lose("queue_full")

    def leave(
        self,
        ticket: Ticket,
        verdict: Verdict,
        *,
        now_s: float,
        took_s: float,
        error: BaseException | None,
    ) -> None:
        """The request ended: learn from it, and let the next in. took_s: without the wait."""
        assert isinstance(ticket, Seat), "a ticket of another gate"
        with self._lock:
            self._in_use -= 1
            if verdict is Verdict.SUCCESS:
                self._expected.note(ticket.endpoint, took_s, now_s)
            did_drop = is_drop(verdict, error)
            if self._adaptive is not None and did_drop is not None and took_s > 0:
                limit = self._adaptive.update(now_s, took_s, ticket.inflight, did_drop)
                if limit != self.limit:
                    self.limit = limit
                    self._places = self._places_of(limit)
            wakes = self._serve_queue(now_s)
        for wake in wakes:
            wake()

    def _reason_without_seat(self) -> str:
        if self.config.queue:
            return "queue_full"
        return "limit_reached" if self.config.limit is None else "bulkhead_full"

    def _places_of(self, limit: int) -> tuple[int, ...]:
        if not self.config.enabled:
            return (_NO_END,) * len(self._shares)
        return tuple(ceil(limit * share - 1e-9) for share in self._shares)

    def _is_outranked(self, rank: int) -> bool:
        """Whether somebody at least as important already waits."""
        first = self._queue.first_rank()
        return first is not None and first <= rank

    def _is_too_late(self, call: CallInfo, now_s: float, expected_s: float) -> bool:
        deadline_s = call.context.deadline_s
        if deadline_s is None or not self.config.refuse_late:
            return False
        return deadline_s - now_s <= expected_s

    def _seat(self, call: CallInfo) -> Seat:
        self._in_use += 1
        self._admitted += 1
        return Seat(call.endpoint, self._in_use)

    def _serve_queue(self, now_s: float) -> list[Callable[[], None]]:
        """Seat those who wait as far as there is room; returns whom to wake."""
        wakes: list[Callable[[], None] | None] = []
        while (rank := self._queue.first_rank()) is not None:
            if self._in_use >= self._places[rank]:
                break
            waiting = self._queue.pop(now_s)
            assert waiting is not None, "somebody of this rank waits"
            if now_s >= waiting.until_s:
                wakes.append(waiting.lose("queue_timeout"))
            else:
                wakes.append(waiting.win(self._seat(waiting.call)))
        return [wake for wake in wakes if wake is not None]

    def _refusal(self, call: CallInfo, reason: str) -> CallRefusedError:
        key = f"{call.context.criticality}.{reason}"
        self._refused[key] = self._refused.get(key, 0) + 1
        again_s = None if reason == "too_late" else self.config.retry_after_s
        return CallRefusedError(reason, call.command, call.endpoint, self.limit, again_s)

    def _told(self, call: CallInfo, refusal: CallRefusedError) -> CallRefusedError:
        if self._notice is not None:
            self._notice(refusal.reason, call.context.criticality)
        return refusal

    def stats(self, now_s: float) -> SheddingStats:
        """What is at work, what waits, and what was refused since start."""
        with self._lock:
            return SheddingStats(
                limit=self.limit if self.config.enabled else None,
                in_use=self._in_use,
                waiting=self._queue.size,
                admitted=self._admitted,
                queued=self._queued,
                is_overloaded=self._queue.is_overloaded(now_s),
                refused=dict(self._refused),
            )

    # What follows is called by those who wait, which are the other half of this class.

    def claim(self, waiting: "Waiting", now_s: float) -> Seat | None:
        """The seat of one who has it; raises CallRefusedError when it was given up on."""
        with self._lock:
            if waiting.seat is not None:
                seat, waiting.seat = waiting.seat, None
                return seat
            if not waiting.lost_for:
                if now_s < waiting.until_s:
                    return None
                self._queue.remove(waiting, now_s)
                waiting.lost_for = "queue_timeout"
            refusal = self._refusal(waiting.call, waiting.lost_for)
        raise self._told(waiting.call, refusal)

    def abandon(self, waiting: "Waiting", now_s: float) -> None:
        """Its caller left; the seat it may have been given goes to the next."""
        with self._lock:
            self._queue.remove(waiting, now_s)
            wakes = []
            if waiting.seat is not None:
                waiting.seat = None
                self._in_use -= 1
                wakes = self._serve_queue(now_s)
        for wake in wakes:
            wake()

    def listen(self, waiting: "Waiting", wake: Callable[[], None]) -> None:
        """Wake it when `claim` has an answer; at once if it has."""
        with self._lock:
            waiting.wake = wake
            is_decided = waiting.seat is not None or bool(waiting.lost_for)
        if is_decided:
            wake()


class Waiting:
    """One request in the queue (`gate.Queued`); decided under the lock of its shedder."""

    __slots__ = ("_shedder", "call", "lost_for", "rank", "seat", "until_s", "wake")

    def __init__(self, shedder: Shedder, call: CallInfo, rank: int, until_s: float) -> None:
        self._shedder = shedder
        self.call = call
        self.rank = rank
        self.until_s = until_s
        self.seat: Seat | None = None
        self.lost_for = ""
        self.wake: Callable[[], None] | None = None

    def win(self, seat: Seat) -> Callable[[], None] | None:
        """It may begin; returns whom to wake."""
        self.seat = seat
        return self.wake

    def lose(self, reason: str) -> Callable[[], None] | None:
        """It will not begin; returns whom to wake."""
        self.lost_for = reason
        return self.wake

    def on_wake(self, wake: Callable[[], None]) -> None:
        """Call `wake` as soon as `claim` has an answer."""
        self._shedder.listen(self, wake)

    def claim(self, now_s: float) -> Seat | None:
        """The seat, or None to wait on; raises CallRefusedError when it was given up on."""
        return self._shedder.claim(self, now_s)

    def abandon(self, now_s: float) -> None:
        """The caller left."""
        self._shedder.abandon(self, now_s)
