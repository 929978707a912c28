"""One attempt of a call that leaves this process, as the function that makes it sees it."""

from collections.abc import Callable
from typing import Any, Final, Protocol, TypeVar

from breakwater.model import Instance, Status
from breakwater.sdk.discovery import Evidence, Pick
from breakwater.sdk.errors import DeadlineExceededError
from breakwater.sdk.outcomes import AnswerFailedError, callee_failed, status_of_answer

T = TypeVar("T")

_LEAST_S: Final = 0.001
"""A library that is told 0 might take it for no limit."""


def shortest_s(*limits_s: float | None) -> float | None:
    """The limit that ends first, None where there is none."""
    return min((limit_s for limit_s in limits_s if limit_s is not None), default=None)


class Course(Protocol):
    """What an attempt knows of its call; `breakwater.sdk.errand.Errand`."""

    peer: str
    endpoint: str
    is_async: bool
    is_closed: bool

    def now_s(self) -> float:
        """The clock of its limits."""
        ...

    def limits_s(self) -> tuple[float | None, float | None]:
        """When the whole call must have ended, and how long an attempt may take."""
        ...

    def headers(self, budget_s: float | None) -> dict[str, str]:
        """What the next hop is told."""
        ...

    def nodes(self) -> list[str]:
        """Where attempts of this call went."""
        ...

    def hold(self, attempt: "Attempt") -> bool:
        """Let the attempt outlast its function, if it can."""
        ...

    def may_repeat(self) -> bool:
        """Whether another attempt may follow one that fails."""
        ...

    def is_open(self) -> bool:
        """Whether a held attempt waits for its end."""
        ...

    def finish(self, error: BaseException | None) -> None:
        """The held attempt is over."""
        ...

    def drop(self) -> None:
        """The held attempt is to be ended soon, but not here."""
        ...


class Attempt:
    """One attempt under way.

    number: from 1. is_limited: the guard itself ends it in time, if it is async. To be set: `node`,
    the instance that is called, where it is not the peer itself; `status` and `detail`, what the
    record says of an attempt that raises nothing.
    """

    __slots__ = (
        "_errand", "_is_over_there", "_pick", "_stop_s", "_target", "detail", "injected",
        "is_limited", "node", "number", "status", "was_answered", "was_cut_short",
    )  # fmt: skip

    def __init__(self, errand: Course, number: int, stop_s: float | None) -> None:
        self._errand = errand
        self._stop_s = stop_s
        self._target: Instance | None = None
        self._pick: Pick | None = None
        self._is_over_there = self.was_answered = False
        self.number = number
        self.was_cut_short = False
        self.is_limited = False
        self.node = errand.peer
        self.status = Status.SUCCESS
        self.detail = ""
        self.injected = False

    def belongs_to(self, errand: Course) -> None:
        """It is part of this call from now on."""
        self._errand = errand

    @property
    def target(self) -> Instance:
        """Where it goes, chosen by the `target` of the call's terms."""
        assert self._target is not None, "chosen before the attempt was made"
        return self._target

    def choose(self, target: Callable[["Attempt"], Instance] | None) -> None:
        """Choose where it goes."""
        if target is not None:
            self._target = found = target(self)
            self.node = found.instance_id

    @property
    def tried(self) -> list[str]:
        """Instances that earlier attempts of this call went to."""
        return self._errand.nodes()

    @property
    def may_repeat(self) -> bool:
        """Whether another attempt may follow if this one fails."""
        return self._errand.may_repeat()

    @property
    def peer(self) -> str:
        """Who is called."""
        return self._errand.peer

    @property
    def endpoint(self) -> str:
        """What the call is for."""
        return self._errand.endpoint

    def go_to(self, pick: Pick) -> Instance:
        """Go to the instance picked, which counts the call as under way until `leave`."""
        before, self._pick = self._pick, pick
        self.node = pick.instance.instance_id
        if before is not None:
            before.settle()
        if self._is_over_there:  # nobody waits for this attempt any more
            pick.settle()
        return pick.instance

    def leave(self, evidence: Evidence) -> None:
        """The attempt ended, which says this of the instance it went to."""
        self._is_over_there = True
        if self._pick is not None:
            self._pick.settle(evidence)

    def left_s(self) -> float | None:
        """Seconds until this attempt must have ended, at least 1 ms; None without a limit."""
        if self._stop_s is None:
            return None
        return max(_LEAST_S, self._stop_s - self._errand.now_s())

    def piece_s(self) -> float | None:
        """Seconds that the next piece of a held response may take, None without a limit.

        No piece takes longer than an attempt, and all together no longer than the whole call.
        Raises DeadlineExceededError if nothing is left.
        """
        stop_s, timeout_s = self._errand.limits_s()
        if stop_s is None:
            return timeout_s
        left_s = stop_s - self._errand.now_s()
        if left_s <= 0:
            raise DeadlineExceededError(service=self._errand.peer, endpoint=self.endpoint)
        return left_s if timeout_s is None else min(left_s, timeout_s)

    def body_s(self) -> float | None:
        """Seconds until the whole of a held response must be there, None without a limit."""
        stop_s, _ = self._errand.limits_s()
        return None if stop_s is None else max(0.0, stop_s - self._errand.now_s())

    def limit_s(self) -> float | None:
        """What the library has to keep to now; None: nothing, or the guard itself sees to it.

        Once an answer is the caller's own and no longer held, so is the time it takes.
        """
        errand = self._errand
        if errand.is_open():
            return None if errand.is_async else self.piece_s()
        if errand.is_closed or (self.is_limited and errand.is_async):
            return None
        return self.left_s()

    def step_s(self) -> float | None:
        """As `limit_s`, for a sync library that can be told before each read or write.

        Raises TimeoutError when nothing is left.
        """
        limit_s = self.limit_s()
        if limit_s == _LEAST_S and self._is_over():
            raise TimeoutError("no time is left for this attempt")
        return limit_s

    def _is_over(self) -> bool:
        return self._stop_s is not None and self._errand.now_s() >= self._stop_s

    def headers(self) -> dict[str, str]:
        """What the callee is told: who calls, the time left, trace, baggage, attempts."""
        return self._errand.headers(self.left_s())

    def answered(self, code: int, response: T, discard: Callable[[], Any]) -> T:
        """Note for the record that an HTTP answer came; gives it back.

        Raises AnswerFailedError if it counts as a failure. discard: closes it if nobody reads it.
        """
        self.status, self.detail = status_of_answer(code)
        self.was_answered = True
        if not callee_failed(code):
            return response
        raise AnswerFailedError(
            self.status,
            service=self.peer,
            endpoint=self.endpoint,
            code=code,
            detail=self.detail,
            response=response,
            discard=discard,
            instance=self.node,
        )

    def hold(self) -> bool:
        """Let the attempt outlast its function, until `end`; to be called as the last thing.

        False if it cannot: where attempts run side by side, and where answers are kept.
        """
        return self._errand.hold(self)

    def end(self, error: BaseException | None = None) -> None:
        """A held attempt is over, in `error` or well; only the first time counts."""
        self._errand.finish(error)

    def drop(self) -> None:
        """Whoever was to end a held attempt is gone; for `__del__`.

        A collection may happen anywhere, also under one of the guard's own locks, so this only
        leaves word: the next call of anything, or a look at the statistics, ends it as cancelled.
        """
        self._errand.drop()
