"""A dependency that does what its script says, call by call, and remembers who called it how.

A step of the script is what one call gets: an exception (object or class) is raised, `after` waits
first, `HANG` never answers, `computed` works the answer out from the arguments; anything else is
the answer. Sync calls let time pass on the clock, async calls in the loop (`run_virtual`).
"""

import asyncio
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

import msgspec

from breakwater.testing.clock import FakeClock

REAL_LIMIT_S: Final = 30.0
"""Real seconds after which a sync call that hangs is given up on: no test run stands still."""


class _Hang:
    """See `HANG`."""

    def __repr__(self) -> str:
        return "HANG"


HANG: Final = _Hang()
"""A step that does not answer until `release`, or until the caller is cancelled."""


class After(msgspec.Struct, frozen=True):
    """A step that comes after so many seconds; made by `after`."""

    seconds: float
    step: Any


class Computed(msgspec.Struct, frozen=True):
    """A step worked out from the arguments; made by `computed`."""

    answer: Callable[..., Any]


def after(seconds: float, step: Any) -> After:
    """The step, `seconds` later."""
    return After(seconds, step)


def computed(answer: Callable[..., Any]) -> Computed:
    """What `answer(*args, **kwargs)` gives for the arguments of the call."""
    return Computed(answer)


class ScriptOverError(AssertionError):
    """There was one call more than the script has steps."""


class ScriptedCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call as the dependency saw it; ended_s (monotonic) is None while it is under way."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    began_s: float
    ended_s: float | None = None
    end: Literal["under_way", "answered", "raised", "cancelled"] = "under_way"


class ScriptedDependency:
    """See above; called like a function, or awaited through `call_async`. Thread-safe.

    then: the step of every call after the last; without it one more call is a ScriptOverError.
    """

    def __init__(self, *steps: Any, clock: FakeClock, then: Any = ScriptOverError) -> None:
        self._steps = steps
        self._then = then
        self._clock = clock
        self._lock = threading.Lock()
        self._calls: list[ScriptedCall] = []
        self._released = threading.Event()
        self._waiting: set[asyncio.Future[None]] = set()
        self._under_way = self._most = 0

    @property
    def calls(self) -> tuple[ScriptedCall, ...]:
        """All calls so far, in the order they came."""
        return tuple(self._calls)

    @property
    def under_way(self) -> int:
        """Calls that have not ended."""
        return self._under_way

    @property
    def most_at_once(self) -> int:
        """The most calls that were under way together."""
        return self._most

    def release(self) -> None:
        """Let all calls that hang go on, now and from now on: they answer None."""
        self._released.set()
        for waiting in tuple(self._waiting):
            waiting.get_loop().call_soon_threadsafe(_wake, waiting)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """A sync call."""
        place, step = self._begin(args, kwargs)
        end: Literal["answered", "raised", "cancelled"] = "cancelled"
        try:
            while isinstance(step, After):
                self._clock.sleep(step.seconds)
                step = step.step
            if step is HANG:
                self._hang_here()
                step = None
            answer = _given(step, args, kwargs)
            end = "answered"
        except Exception:
            end = "raised"
            raise
        finally:
            self._end(place, end)
        return answer

    async def call_async(self, *args: Any, **kwargs: Any) -> Any:
        """An async call."""
        place, step = self._begin(args, kwargs)
        end: Literal["answered", "raised", "cancelled"] = "cancelled"
        try:
            while isinstance(step, After):
                await asyncio.sleep(step.seconds)
                step = step.step
            if step is HANG:
                await self._hang()
                step = None
            answer = _given(step, args, kwargs)
            end = "answered"
        except Exception:
            end = "raised"
            raise
        finally:
            self._end(place, end)
        return answer

    def _hang_here(self) -> None:
        if not self._released.wait(REAL_LIMIT_S):
            raise AssertionError("a call hung, and nobody called release()")

    async def _hang(self) -> None:
        waiting = asyncio.get_running_loop().create_future()
        self._waiting.add(waiting)
        try:
            if not self._released.is_set():
                await waiting
        finally:
            self._waiting.discard(waiting)

    def _begin(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[int, Any]:
        with self._lock:
            place = len(self._calls)
            began_s = self._clock.monotonic_s()
            self._calls.append(ScriptedCall(args=args, kwargs=kwargs, began_s=began_s))
            self._under_way += 1
            self._most = max(self._most, self._under_way)
        if place < len(self._steps):
            return place, self._steps[place]
        if self._then is ScriptOverError:
            message = f"call {place + 1} of a script of {len(self._steps)}; give `then=` for more"
            return place, ScriptOverError(message)
        return place, self._then

    def _end(self, place: int, end: Literal["answered", "raised", "cancelled"]) -> None:
        with self._lock:
            self._under_way -= 1
            self._calls[place] = msgspec.structs.replace(
                self._calls[place], ended_s=self._clock.monotonic_s(), end=end
            )


def _given(step: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """What the step gives: raised, worked out, or as it is."""
    if isinstance(step, BaseException) or (
        isinstance(step, type) and issubclass(step, BaseException)
    ):
        raise step
    if isinstance(step, Computed):
        return step.answer(*args, **kwargs)
    return step


def _wake(waiting: "asyncio.Future[None]") -> None:
    if not waiting.done():
        waiting.set_result(None)
