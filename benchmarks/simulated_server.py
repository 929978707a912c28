"""A server and its callers in virtual time, for trying limits on what can be known exactly.

Discrete events: requests arrive at random (Poisson), pass the limit of the client or are refused
at once, travel, wait for one of the server's workers, are served, travel back. A client gives up
after its timeout, but the server does the work all the same, as real ones do. What is counted is
goodput: answers within the timeout. Nothing sleeps; a minute of a thousand requests a second
takes about a second.
"""

import heapq
import math
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Final, Literal

import msgspec

from breakwater.model import Status
from breakwater.sdk.context import CallContext
from breakwater.sdk.errors import CallFailedError, CallRefusedError
from breakwater.sdk.guard.gate import CallInfo, Gate, Ticket
from breakwater.sdk.guard.verdict import Verdict

Distribution = Literal["exponential", "erlang", "lognormal", "bimodal"]


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of time: its length, the server's workers and mean service time, the load."""

    seconds: float
    workers: int
    service_s: float
    rate: float


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A server, its network and its callers.

    distribution: of service times. network_s: there and back together, with an exponential
    jitter of a fifth. contention: how much slower the server is when there are twice as many
    requests in it as it has workers (0: it queues perfectly). room: requests in the server beyond
    which it answers 503 at once (None: never). error_percent: answers that fail for reasons of
    their own.
    """

    name: str
    steps: list[Step]
    timeout_s: float
    distribution: Distribution = "exponential"
    network_s: float = 0.002
    contention: float = 0.0
    room: int | None = None
    error_percent: float = 0.0


class Outcome(msgspec.Struct, kw_only=True):
    """What became of the requests of one step, and of its settled part."""

    offered: int = 0
    admitted: int = 0
    good: int = 0
    late: int = 0
    good_settled: int = 0
    latency_sum_s: float = 0.0


class Run(msgspec.Struct, kw_only=True):
    """The outcome of each step, good answers by second, and the limit over time."""

    steps: list[Outcome]
    good_by_second: list[int]
    limits: list[tuple[float, int]]


_SHAPE: Final = 4
_SIGMA: Final = 1.0


def service_times(distribution: Distribution, random: Random) -> Callable[[float], float]:
    """Draws service times of a given mean."""
    if distribution == "erlang":  # four stages: little spread
        return lambda mean: random.gammavariate(_SHAPE, mean / _SHAPE)
    if distribution == "lognormal":  # coefficient of variation 1.31
        return lambda mean: random.lognormvariate(math.log(mean) - _SIGMA * _SIGMA / 2, _SIGMA)
    if distribution == "bimodal":  # one in twenty takes about nine times as long
        return lambda mean: (
            mean * (0.7 if random.random() > 0.05 else 6.7) * random.uniform(0.8, 1.2)
        )
    return lambda mean: random.expovariate(1.0 / mean)


class _Request:
    __slots__ = ("began_s", "is_over", "step", "ticket", "work_s")

    def __init__(self, began_s: float, step: int, ticket: Ticket, work_s: float) -> None:
        self.began_s = began_s
        self.step = step
        self.ticket = ticket
        self.work_s = work_s
        self.is_over = False


class Simulation:
    """One run of a model against one gate; the same seed gives the same requests."""

    def __init__(self, model: Model, gate: Gate, seed: int, settle_s: float) -> None:
        self._model = model
        self._gate = gate
        self._settle_s = settle_s
        self._arrivals = Random(seed)
        self._draw = service_times(model.distribution, Random(seed + 1))
        self._network = Random(seed + 2)
        self._errors = Random(seed + 3)
        self._events: list[
            tuple[float, int, Callable[[float, _Request | None], None], _Request | None]
        ] = []
        self._number = 0
        self._queue: deque[_Request] = deque()
        self._busy = 0
        self._inside = 0
        self._starts_s: list[float] = [0.0]
        for step in model.steps:
            self._starts_s.append(self._starts_s[-1] + step.seconds)
        self._at = 0
        self._call = CallInfo(command="simulated", context=CallContext())
        self._run = Run(
            steps=[Outcome() for _ in model.steps],
            good_by_second=[0] * (int(self._starts_s[-1]) + 1),
            limits=[],
        )

    def run(self) -> Run:
        """Run all steps to their end."""
        self._later(0.0, self._arrive, None)
        for start_s in self._starts_s[1:-1]:
            self._later(start_s, self._change, None)
        end_s = self._starts_s[-1]
        while self._events:
            now_s, _, act, request = heapq.heappop(self._events)
            if now_s >= end_s:
                break
            act(now_s, request)
        return self._run

    def _later(
        self, at_s: float, act: Callable[[float, _Request | None], None], request: _Request | None
    ) -> None:
        self._number += 1
        heapq.heappush(self._events, (at_s, self._number, act, request))

    def _change(self, now_s: float, _: _Request | None) -> None:
        self._at += 1
        self._serve(now_s)

    def _arrive(self, now_s: float, _: _Request | None) -> None:
        step = self._model.steps[self._at]
        self._later(now_s + self._arrivals.expovariate(step.rate), self._arrive, None)
        outcome = self._run.steps[self._at]
        outcome.offered += 1
        work_s = self._draw(1.0)
        try:
            ticket = self._gate.enter(self._call, now_s)
        except CallRefusedError:
            return
        assert isinstance(ticket, Ticket)
        outcome.admitted += 1
        request = _Request(now_s, self._at, ticket, work_s)
        self._later(now_s + self._travel_s(), self._reach, request)
        self._later(now_s + self._model.timeout_s, self._give_up, request)

    def _travel_s(self) -> float:
        half_s = self._model.network_s / 2
        return half_s * (0.8 + self._network.expovariate(5.0))

    def _reach(self, now_s: float, request: _Request | None) -> None:
        assert request is not None
        room = self._model.room
        if room is not None and self._inside >= room:
            self._later(now_s + self._travel_s(), self._refused, request)
            return
        self._inside += 1
        self._queue.append(request)
        self._serve(now_s)

    def _serve(self, now_s: float) -> None:
        step = self._model.steps[self._at]
        while self._queue and self._busy < step.workers:
            request = self._queue.popleft()
            self._busy += 1
            crowd = max(0.0, self._inside / step.workers - 1)
            work_s = request.work_s * step.service_s * (1 + self._model.contention * crowd)
            self._later(now_s + work_s, self._served, request)

    def _served(self, now_s: float, request: _Request | None) -> None:
        self._busy -= 1
        self._inside -= 1
        self._later(now_s + self._travel_s(), self._answered, request)
        self._serve(now_s)

    def _answered(self, now_s: float, request: _Request | None) -> None:
        assert request is not None
        if request.is_over:
            return
        request.is_over = True
        took_s = now_s - request.began_s
        if self._errors.random() * 100 < self._model.error_percent:
            error = CallFailedError(Status.UNEXPECTED_ERROR, service="simulated")
            self._leave(request, Verdict.FAILURE, now_s, error)
            return
        outcome = self._run.steps[request.step]
        outcome.good += 1
        outcome.latency_sum_s += took_s
        if request.began_s >= self._starts_s[request.step] + self._settle_s:
            outcome.good_settled += 1
        self._run.good_by_second[int(now_s)] += 1
        self._leave(request, Verdict.SUCCESS, now_s, None)

    def _refused(self, now_s: float, request: _Request | None) -> None:
        assert request is not None
        request.is_over = True
        error = CallFailedError(Status.UNAVAILABLE, service="simulated", code=503)
        self._leave(request, Verdict.FAILURE, now_s, error)

    def _give_up(self, now_s: float, request: _Request | None) -> None:
        assert request is not None
        if not request.is_over:
            request.is_over = True
            self._run.steps[request.step].late += 1
            self._leave(request, Verdict.TIMEOUT, now_s, None)

    def _leave(
        self, request: _Request, verdict: Verdict, now_s: float, error: Exception | None
    ) -> None:
        took_s = now_s - request.began_s
        self._gate.leave(request.ticket, verdict, now_s=now_s, took_s=took_s, error=error)
        limit = self._gate.limit  # type: ignore[attr-defined] # both gates tried here have one
        if not self._run.limits or self._run.limits[-1][1] != limit:
            self._run.limits.append((now_s, limit))
