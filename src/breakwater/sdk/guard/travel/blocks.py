"""A block of code as one guarded attempt: `with command.entered() as attempt:`.

The block cannot be run again, so there is no retry, no hedge, no fallback and no cache; the gates,
the time limit and the bookkeeping are those of any other attempt, performed by the same generator:
it is driven up to the point where the function would be called, and on with how the block ended.
"""

from collections.abc import Callable
from contextvars import Token
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from breakwater.sdk.context import CURRENT, CallContext, unbind
from breakwater.sdk.errors import AttemptTimedOutError
from breakwater.sdk.guard.roles import Fault
from breakwater.sdk.guard.travel.drivers import AsyncDriver, SyncDriver, limited
from breakwater.sdk.guard.travel.journey import CallOptions, CallReport, Journey
from breakwater.sdk.guard.travel.pipeline import (
    Invoke,
    Recover,
    Road,
    travel_once,
    travel_untouched,
)
from breakwater.sdk.guard.travel.ports import Whole
from breakwater.sdk.guard.verdict import Verdict

if TYPE_CHECKING:
    from breakwater.sdk.guard.travel.timeouts import Limit

_bind: Final = CURRENT.set
_unbind: Final = unbind
Asked = tuple[tuple[Any, ...], dict[str, Any]]
_NOT_ASKED: Final[Asked] = ((), {})
_UNKEYED: Final = CallOptions()
"""What runs once is neither kept nor shared: the command's `cache_key` is not asked."""


class _Block:
    """What both kinds share: the user's word on how it ended, and the end itself.

    binds: whether the block sees the narrowed deadline; not across the yields of a generator,
    where it would leak to the consumer. asked: arguments by which the command finds the partition.
    travel: the road; only that of a generator has fallbacks, which `begin` and `end` return.
    """

    __slots__ = (
        "_asked",
        "_binds",
        "_command",
        "_journey",
        "_judged",
        "_road",
        "_token",
        "_travel",
        "invoke",
        "is_guarded",
    )

    def __init__(
        self,
        command: Whole,
        *,
        binds: bool = True,
        asked: Asked = _NOT_ASKED,
        travel: Callable[[Journey], Road] = travel_once,
    ) -> None:
        self._command = command
        self._travel = travel
        self.is_guarded = True
        self._asked = asked
        self._binds = binds
        self._journey: Journey | None = None
        self._road: Road | None = None
        self._token: Token[CallContext] | None = None
        self._judged: Token[frozenset[tuple[str, str]]] | None = None
        self.invoke: Invoke | None = None

    def failed(self) -> None:
        """Count the attempt as a failure, although the block raises nothing."""
        self._order(Verdict.FAILURE)

    def succeeded(self) -> None:
        """Count the attempt as a success, whatever the block raises."""
        self._order(Verdict.SUCCESS)

    def ignored(self) -> None:
        """Let the attempt say nothing of the callee."""
        self._order(Verdict.IGNORED)

    def _order(self, verdict: Verdict) -> None:
        assert self._journey is not None, "within the block"
        self._journey.ordered = verdict

    def note_items(self) -> None:
        """Items went out, so that only fallbacks that are generators may go on."""
        assert self._journey is not None, "within the block"
        self._journey.is_served = True

    def end_without_fallback(self) -> None:
        """Whatever comes is the consumer's own affair, for which no fallback stands in."""
        assert self._journey is not None, "within the block"
        self._journey.fallbacks = ()

    def _road_of(self, journey: Journey) -> Road:
        self.is_guarded = self._command.parts.config.enabled
        return self._travel(journey) if self.is_guarded else travel_untouched(journey)

    def _depart(self, road: Road, journey: Journey, step: Invoke | Recover) -> Recover | None:
        self._journey, self._road = journey, road
        if isinstance(step, Recover):
            return step
        self.invoke = step
        if self._binds and step.context is not journey.info.context:
            self._token = _bind(step.context)
        return None

    def end(self, error: BaseException | None) -> Recover | None:
        """Book the end; raises what the caller is to see in place of `error`, if that is other.

        A fallback that is to be asked is returned instead, and its end is told here again.
        """
        token, self._token = self._token, None
        if token is not None:
            _unbind(token)
        judged, self._judged = self._judged, None
        if judged is not None and self.invoke is not None and self.invoke.fault is not None:
            self.invoke.fault.unbind(judged)
        road, self._road = self._road, None
        assert road is not None, "entered before, and left once"
        traceback = None if error is None else error.__traceback__
        step: Any = None
        try:
            step = road.send(None) if error is None else road.throw(error)
        except StopIteration:
            return None
        except BaseException as raised:
            if raised is not error:
                raise
            raised.__traceback__ = traceback  # our own steps are no part of the block's failure
            return None
        finally:
            if step is None:
                road.close()
            del error  # see `travel`
        assert isinstance(step, Recover), "an attempt is over when it has ended"
        self._road = road
        return step

    def _judge(self, fault: Fault) -> None:
        """The rules had their say, also for calls within the block."""
        if self._binds:
            self._judged = fault.bind()

    @property
    def command(self) -> str:
        """The command's name."""
        return self._command.name

    def left_s(self) -> float | None:
        """Seconds until the whole call must have ended, None without such a limit."""
        journey, invoke = self._journey, self.invoke
        assert journey is not None, "entered"
        if journey.stop_s is None or invoke is None or invoke.stop_s is None:
            return None
        return journey.stop_s - self._command.now_s()

    def report(self) -> CallReport:
        """What became of it, after the block."""
        assert self._journey is not None, "after the block"
        return self._journey.report()


class SyncBlock(_Block):
    """`with`: the deadline within is that of the attempt, and nothing is interrupted."""

    __slots__ = ()

    def __enter__(self) -> Self:
        """Through the gates; raises CallRefusedError or DeadlineExceededError."""
        self.begin()
        return self

    def begin(self) -> Recover | None:
        """As `__enter__`; a fallback is returned where the road has any."""
        command = self._command
        journey = command.journey(*self._asked, options=_UNKEYED)
        road = self._road_of(journey)
        driver = SyncDriver(_nothing, now_s=command.now_s, sleep=command.sleep)
        recover = self._depart(road, journey, driver.drive_to_caller(road))
        invoke = self.invoke
        if invoke is None or invoke.fault is None:
            return recover
        try:
            invoke.fault.strike_sync(invoke, command.now_s)
        except BaseException as error:
            recover = self.end(error)
            if recover is None:
                raise
            return recover
        self._judge(invoke.fault)
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give back what was taken, and count."""
        self.end(error)


class AsyncBlock(_Block):
    """`async with`: the block is cancelled at its time limit and ends in AttemptTimedOutError.

    limits: whether it is; not across the yields of a generator.
    """

    __slots__ = ("_limit", "_limits")

    def __init__(
        self,
        command: Whole,
        *,
        binds: bool = True,
        limits: bool = True,
        asked: Asked = _NOT_ASKED,
        travel: Callable[[Journey], Road] = travel_once,
    ) -> None:
        super().__init__(command, binds=binds, asked=asked, travel=travel)
        self._limits = limits
        self._limit: Limit | None = None

    async def __aenter__(self) -> Self:
        """Through the gates; raises CallRefusedError or DeadlineExceededError."""
        await self.begin()
        return self

    async def begin(self) -> Recover | None:
        """As `__aenter__`; a fallback is returned where the road has any."""
        command = self._command
        journey = command.journey(*self._asked, options=_UNKEYED)
        road = self._road_of(journey)
        driver = AsyncDriver(_nothing_async, now_s=command.now_s)
        recover = self._depart(road, journey, await driver.drive_to_caller(road))
        invoke = self.invoke
        if invoke is None:
            return recover
        if invoke.stop_s is not None and self._limits:
            self._set_limit(invoke.stop_s - invoke.began_s)
        return None if invoke.fault is None else await self._strike(invoke, invoke.fault)

    def _set_limit(self, seconds: float) -> None:
        from asyncio import current_task  # noqa: PLC0415 - a sync service never pays for it

        from breakwater.sdk.guard.travel.timeouts import timers_of  # noqa: PLC0415 - imports asyncio

        try:
            task = current_task()
            assert task is not None, "an await outside any task"
        except BaseException as error:
            self.end(error)
            raise
        self._limit = timers_of(task.get_loop()).start(task, seconds)

    async def _strike(self, invoke: Invoke, fault: Fault) -> Recover | None:
        """A fault on purpose, before the block and within its limit of time."""
        now_s = self._command.now_s
        try:
            if self._limits or invoke.stop_s is None:
                await fault.strike(invoke, now_s)
            else:
                await limited(
                    lambda: fault.strike(invoke, now_s),
                    invoke.stop_s - now_s(),
                    command=self.command,
                    was_cut_short=invoke.was_cut_short,
                )
        except BaseException as error:
            recover = self._leave(error)
            if recover is None:
                raise
            return recover
        self._judge(fault)
        return None

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give back what was taken, and count."""
        self._leave(error)

    def _leave(self, error: BaseException | None) -> Recover | None:
        """`end`, where a cancellation by the limit of time is no cancellation."""
        from asyncio import CancelledError  # noqa: PLC0415 - as above

        from breakwater.sdk.guard.travel.timeouts import end  # noqa: PLC0415 - as above

        invoke = self.invoke
        assert invoke is not None, "entered before"
        is_over = self._limit is not None and end(self._limit)
        if not is_over or not isinstance(error, CancelledError):
            return self.end(error)
        late = AttemptTimedOutError(self.command, was_cut_short=invoke.was_cut_short)
        try:
            self.end(late)
            raise late from error
        finally:
            del late  # an error does not hold the frame that holds it


def _nothing() -> None:
    """The block is called by nobody: it runs where it stands."""


async def _nothing_async() -> None:
    """As `_nothing`."""
