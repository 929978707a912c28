"""Leaving in peace: out of the registry first, then nobody new, then the last answer given.

A server that just stops listening fails the calls of everybody who has not heard of it yet. Here
the instance leaves the registry while it still serves; callers hear of it within milliseconds and
stop coming. When it has been quiet for a while what still comes is refused, with an answer that
tells the caller to go elsewhere, and what is under way is finished.
"""

import _thread
import threading
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import msgspec

from breakwater.model import Clock
from breakwater.sdk.errors import CallRefusedError

if TYPE_CHECKING:
    from types import FrameType

ELSEWHERE_S: Final = 1.0
"""When one who is refused may come again: by then he has heard who is there."""
QUIET_S: Final = 0.5
"""Nobody came for so long: callers have heard that the instance is gone."""
_LOOK_S: Final = 0.02

Handler = Callable[[int, "FrameType | None"], Any]


class Phase(StrEnum):
    """How far the leaving is. LEAVING: out of the registry, still serving whoever comes."""

    SERVING = "serving"
    LEAVING = "leaving"
    REFUSING = "refusing"
    DRAINED = "drained"


_CLOSED: Final = frozenset((Phase.REFUSING, Phase.DRAINED))


class DrainStats(msgspec.Struct, frozen=True, kw_only=True):
    """How far it is; late: came while leaving and were served; refused: came after that.

    abandoned: still under way when the time was up.
    """

    phase: Phase
    in_flight: int
    late: int
    refused: int
    abandoned: int


class Drain:
    """The doors of one process, closed one after the other.

    Server adapters call `enter` when a request comes in, `let_in` before it is served, and `leave`
    when it is over. From any thread.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.RLock()  # a signal handler may drain what its thread is entering
        self._phase = Phase.SERVING
        self._in_flight = 0
        self._came_s = clock.monotonic_s()
        self._late = self._refused = self._abandoned = 0
        self._hurry = threading.Event()

    @property
    def is_leaving(self) -> bool:
        """Whether connections are better closed after their answer."""
        return self._phase is not Phase.SERVING

    @property
    def is_closed(self) -> bool:
        """Whether nobody new is let in."""
        return self._phase in _CLOSED

    def enter(self) -> None:
        """A request came in, whether it is let in or not."""
        with self._lock:
            self._in_flight += 1
            if self._phase is not Phase.SERVING:
                self._came_s = self._clock.monotonic_s()
                self._late += self._phase is Phase.LEAVING

    def let_in(self, service: str) -> None:
        """Raise CallRefusedError if nobody new is let in."""
        if self.is_closed:
            with self._lock:
                self._refused += 1
            raise CallRefusedError("draining", service, "", None, ELSEWHERE_S)

    def leave(self) -> None:
        """A request is over."""
        with self._lock:
            self._in_flight -= 1

    def reopen(self) -> None:
        """Serve again, as after a restart within the process; a leaving under way has no say."""
        with self._lock:
            self._hurry.set()
            self._hurry = threading.Event()
            self._phase = Phase.SERVING
            self._abandoned = 0

    def hurry(self) -> None:
        """Wait for nobody any more."""
        self._hurry.set()

    def run(self, leave_registry: Callable[[], None], limit_s: float) -> DrainStats:
        """Leave the registry, wait for quiet, refuse, wait for the last; `limit_s` in all.

        Half of the time at most goes into the wait for quiet. Blocks; a second call returns at
        once with how far the first is.
        """
        with self._lock:
            if self._phase is not Phase.SERVING:
                return self._stats()
            self._phase = Phase.LEAVING
            self._came_s = self._clock.monotonic_s()
            hurry = self._hurry
        end_s = self._clock.monotonic_s() + limit_s
        leave_registry()
        self._wait(self._is_quiet, end_s - limit_s / 2, hurry)
        self._enter_phase(Phase.REFUSING, hurry)
        self._wait(self._is_empty, end_s, hurry)
        self._enter_phase(Phase.DRAINED, hurry)
        return self.stats()

    def _wait(self, is_over: Callable[[], bool], until_s: float, hurry: threading.Event) -> None:
        while not is_over() and self._clock.monotonic_s() < until_s:
            if hurry.wait(_LOOK_S):
                return

    def _enter_phase(self, phase: Phase, hurry: threading.Event) -> None:
        """Go on to `phase`, unless the process serves again meanwhile."""
        with self._lock:
            if hurry is self._hurry:
                self._phase = phase
                if phase is Phase.DRAINED:
                    self._abandoned = self._in_flight

    def _is_quiet(self) -> bool:
        return self._clock.monotonic_s() - self._came_s >= QUIET_S

    def _is_empty(self) -> bool:
        return self._in_flight <= 0

    def stats(self) -> DrainStats:
        """How far it is."""
        with self._lock:
            return self._stats()

    def _stats(self) -> DrainStats:
        return DrainStats(
            phase=self._phase,
            in_flight=self._in_flight,
            late=self._late,
            refused=self._refused,
            abandoned=self._abandoned,
        )


class TermCatcher:
    """Puts a drain before whatever SIGTERM does in this process.

    The first SIGTERM starts `drain` in a thread; when that is done `then` is given the handler
    that was there before, to be called on the main thread. A second SIGTERM goes to that handler
    at once, and so does every one after `unset`. Only for handlers set by `signal.signal`, as
    uvicorn's are; an event loop's own handlers and those of other threads are left alone.
    """

    def __init__(
        self, drain: Callable[[], object], then: Callable[[Callable[[], None]], object]
    ) -> None:
        self._drain = drain
        self._then = then
        self._before: Handler | None = None
        self._is_set = False
        self._is_draining = False

    def set(self) -> bool:
        """Take SIGTERM over; whether that was possible."""
        import signal  # noqa: PLC0415 - of no use to a process that is no server

        if threading.current_thread() is not threading.main_thread():
            return False
        before = signal.getsignal(signal.SIGTERM)
        if not callable(before) or _is_of_a_loop(before):
            return False
        self._before = before
        self._is_set = True
        signal.signal(signal.SIGTERM, self._caught)
        return True

    def unset(self) -> None:
        """Give SIGTERM back; who took it over after us hands it through to who had it before."""
        import signal  # noqa: PLC0415 - as above

        was_set, self._is_set = self._is_set, False
        is_main = threading.current_thread() is threading.main_thread()
        if was_set and is_main and signal.getsignal(signal.SIGTERM) == self._caught:
            signal.signal(signal.SIGTERM, self._before)

    def _caught(self, number: int, frame: "FrameType | None") -> None:
        before = self._before
        if before is None:
            return
        if self._is_draining or not self._is_set:
            before(number, frame)
            return
        self._is_draining = True
        # Not threading.Thread: its start takes locks that the interrupted code may hold.
        _thread.start_new_thread(self._work, (before, number))

    def _work(self, before: Handler, number: int) -> None:
        try:
            self._drain()
        finally:
            if self._is_set:
                with suppress(RuntimeError):  # the loop has ended meanwhile, and all with it
                    self._then(lambda: _call(before, number))


def _is_of_a_loop(handler: object) -> bool:
    """Whether an event loop put it there, which tells its own handlers by other means."""
    module = getattr(handler, "__module__", None) or ""
    return module.partition(".")[0] in {"asyncio", "uvloop"}


def _call(handler: Handler, number: int) -> None:
    handler(number, None)
