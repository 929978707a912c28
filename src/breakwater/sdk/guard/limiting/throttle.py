"""Client throttling: refuse here a share of what the callee would refuse anyway.

A callee under overload spends work on refusing, so its clients take that over: over the last
`window_s`, P(refuse) = max(0, (requests - k * accepts) / (requests + 1)), where requests counts
what the application asked for (also what was refused here) and accepts what the callee answered.
With k = 2 one more call is sent for each that is accepted, so recovery is noticed at once. A call
counts when its outcome is known: one under way is no refusal, and a callee that is merely slow, or
that nobody has called before, must not look like one that refuses.
Source: Beyer et al., "Site Reliability Engineering", chapter 21, "Handling Overload". Envoy's
`admission_control` is the same with k = 1 / 0.95, 30 s, at most 80 %.
"""

import threading
from random import Random
from typing import Final

import msgspec

from breakwater.sdk.errors import CallRefusedError
from breakwater.sdk.guard.config import ThrottleConfig
from breakwater.sdk.guard.gate import CallInfo, Ticket
from breakwater.sdk.guard.verdict import Verdict

_PARTS: Final = 40
_ACCEPTED: Final = frozenset((Verdict.SUCCESS, Verdict.IGNORED))
_UNTOLD: Final = frozenset((Verdict.CANCELLED, Verdict.NOT_TRIED))


def envoy() -> ThrottleConfig:
    """The defaults of Envoy's admission control."""
    return ThrottleConfig(k=1.0 / 0.95, window_s=30.0, max_percent=80.0)


def refusal_probability(requests: float, accepts: float, k: float) -> float:
    """The share to refuse, 0 to 1; 0 as long as at least one in k requests is accepted."""
    return max(0.0, (requests - k * accepts) / (requests + 1.0))


class ThrottleStats(msgspec.Struct, frozen=True, kw_only=True):
    """Of the window: what was asked for and accepted, and the share refused; refused: for good."""

    requests: int
    accepts: int
    refusal_percent: float
    refused: int


class _Entered(Ticket):
    __slots__ = ()


_TICKET: Final = _Entered()


class Throttle:
    """The gate of one dependency; the window moves in forty parts, so it is exact to 2.5 %."""

    name = "client throttle"

    def __init__(self, config: ThrottleConfig, random: Random) -> None:
        self.config = config
        self._random = random
        self._part_s = config.window_s / _PARTS
        self._requests = [0] * _PARTS
        self._accepts = [0] * _PARTS
        self._total_requests = self._total_accepts = self._refused = 0
        self._part = 0
        self._lock = threading.RLock()

    def enter(self, call: CallInfo, now_s: float) -> Ticket:
        """Leave to go on; raises CallRefusedError (`throttled`) for the share to refuse."""
        with self._lock:
            place = self._place(now_s)
            share = self._share()
            if share <= 0.0 or self._random.random() >= share:
                return _TICKET
            self._count(place, requests=1)
            self._refused += 1
        raise CallRefusedError("throttled", call.command, call.endpoint)

    def leave(
        self,
        ticket: Ticket,
        verdict: Verdict,
        *,
        now_s: float,
        took_s: float,
        error: BaseException | None,
    ) -> None:
        """Count what was sent, and an answer as accepted; not what nobody can judge."""
        del ticket, took_s, error
        if verdict in _UNTOLD:
            return
        with self._lock:
            self._count(self._place(now_s), requests=1, accepts=int(verdict in _ACCEPTED))

    def on_successes(self, count: int, now_s: float) -> None:
        """So many calls were made and accepted without asking here, told in batches."""
        with self._lock:
            self._count(self._place(now_s), requests=count, accepts=count)

    def _count(self, place: int, *, requests: int, accepts: int = 0) -> None:
        self._requests[place] += requests
        self._accepts[place] += accepts
        self._total_requests += requests
        self._total_accepts += accepts

    def _share(self) -> float:
        share = refusal_probability(self._total_requests, self._total_accepts, self.config.k)
        return min(share, self.config.max_percent / 100.0)

    def _place(self, now_s: float) -> int:
        """The present part of the window, after clearing what has left it."""
        part = int(now_s // self._part_s)
        passed = min(part - self._part, _PARTS)
        for step in range(1, passed + 1):
            place = (part - passed + step) % _PARTS
            self._total_requests -= self._requests[place]
            self._total_accepts -= self._accepts[place]
            self._requests[place] = self._accepts[place] = 0
        self._part = max(self._part, part)
        return self._part % _PARTS

    def stats(self) -> ThrottleStats:
        """The window as of the last call, and refusals since the start."""
        with self._lock:
            return ThrottleStats(
                requests=self._total_requests,
                accepts=self._total_accepts,
                refusal_percent=self._share() * 100.0,
                refused=self._refused,
            )
