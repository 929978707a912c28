"""What the general road asks of the parts that are not gates: hedge, caches, faults.

Each is declared here by its user, the pipeline, in the two to five methods it needs. None waits,
reads a clock or runs the user's code: time is passed in, and where a call has to wait the part
says so by what it returns. Keys are whatever the command's `cache_key` gives, hashable.
"""

from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Protocol

import msgspec

from breakwater.sdk.context import CallContext
from breakwater.sdk.guard.gate import CallInfo, Gate, Queued
from breakwater.sdk.guard.verdict import Verdict


class Answer(msgspec.Struct, frozen=True):
    """An answer found without a call; `age_s` is how old it is."""

    value: Any
    age_s: float = 0.0


class Lead(msgspec.Struct):
    """This caller makes the call, for those who follow too; ended by `done` or `failed`."""

    key: Hashable


class Threads(Protocol):
    """A few threads for the copies of hedged sync calls."""

    def try_run(self, work: Callable[[], None]) -> bool:
        """Run `work` on a free thread; False, at once, if there is none."""
        ...


class Hedges(Protocol):
    """Decides when a second copy of a slow call is sent."""

    name: str
    max_hedges: int

    @property
    def threads(self) -> Threads | None:
        """Where copies of sync calls run; None: those are not hedged."""
        ...

    def delay_s(self, now_s: float) -> float | None:
        """Seconds after which a copy may be sent; None: not known yet, so none is."""
        ...

    def may_send(self, now_s: float) -> bool:
        """Whether the budget has room for one more copy; if so it is taken."""
        ...

    def succeeded(self, count: int = 1, *, won: bool = False) -> None:
        """So many calls succeeded, of which the budget is a share; won: a copy was first."""
        ...


class Front(Protocol):
    """Answers a call before anything else is asked: request cache, single flight."""

    name: str

    def enter(self, key: Hashable, now_s: float) -> "Answer | Lead | Queued":
        """What is known; or this call leads; or it waits for the one that does.

        The `claim` of a `Queued` returns an `Answer`, None to wait on, raises the leader's error,
        or returns a `Lead` when the leader left without an end and this caller takes its place.
        """
        ...

    def done(self, lead: Lead, value: Any, now_s: float) -> None:
        """The leader has an answer."""
        ...

    def failed(self, lead: Lead, error: BaseException, now_s: float) -> None:
        """The leader has none; a cancelled leader passes the lead on."""
        ...


class LastGood(Protocol):
    """The last good answers, for when there is no new one."""

    name: str

    def keep(self, key: Hashable, value: Any, now_s: float) -> None:
        """This is the newest answer for the key."""
        ...

    def fresh(self, key: Hashable, now_s: float) -> Answer | None:
        """The last good answer if it may be used instead of a call."""
        ...

    def find(self, key: Hashable, now_s: float) -> Answer | None:
        """The last good answer if it is not too old to stand in."""
        ...


class CallTap(Protocol):
    """Told of every attempt that the fast roads do not simply log; see `breakwater.sdk.tap`."""

    def settled(
        self,
        journey: Any,
        info: CallInfo,
        verdict: Verdict,
        error: BaseException | None,
        took_s: float | None,
    ) -> None:
        """An attempt of a `Journey` ended, or was refused (took_s is None)."""
        ...

    def closed(self, journey: Any) -> None:
        """A `Journey` is over."""
        ...

    def succeeded(self, took_s: float) -> None:
        """A first attempt on a fast road, told to its breaker at once and so not in the log."""
        ...


class Workers(Gate, Protocol):
    """A thread pool that sync calls run on; also a Gate for the places in it."""

    def run(self, work: Callable[[], Any], seconds: float | None) -> Any:
        """Run `work` on a thread of the pool in a copy of this context, and wait for it.

        Raises TimeoutError after `seconds` although it was started (the thread goes on), and
        CallRefusedError("never_started", ...) when it was not.
        """
        ...


class Struck(Protocol):
    """An attempt as a fault sees it: see `Invoke`."""

    @property
    def info(self) -> CallInfo:
        """What is called."""
        ...

    @property
    def context(self) -> CallContext:
        """With the deadline."""
        ...

    @property
    def stop_s(self) -> float | None:
        """When it must have ended."""
        ...

    @property
    def was_cut_short(self) -> bool:
        """Whether a near deadline left it little time."""
        ...


class Fault(Protocol):
    """What befalls one attempt on purpose; performed by the drivers, within its limit of time."""

    @property
    def is_hit(self) -> bool:
        """Whether any rule acts on it."""
        ...

    def before(
        self, call: Callable[[], Awaitable[Any]], attempt: Struck, now_s: Callable[[], float]
    ) -> Callable[[], Awaitable[Any]]:
        """The fault, then the call, as one."""
        ...

    def before_sync(
        self, call: Callable[[], Any], attempt: Struck, now_s: Callable[[], float]
    ) -> Callable[[], Any]:
        """As `before`, on this thread."""
        ...

    async def strike(self, attempt: Struck, now_s: Callable[[], float]) -> None:
        """The fault alone."""
        ...

    def strike_sync(self, attempt: Struck, now_s: Callable[[], float]) -> None:
        """As `strike`, on this thread."""
        ...

    def bind(self) -> Any:
        """Let calls made from here on not be judged by the same rules; gives a token."""
        ...

    def unbind(self, token: Any) -> None:
        """Undo `bind`."""
        ...


class Faults(Protocol):
    """The fault rules that concern one command."""

    @property
    def point(self) -> str:
        """Where they act."""
        ...

    def draw(self) -> Fault:
        """What befalls the next attempt."""
        ...
