"""The roads that a call of one command may take, and which of them are open.

`Command` is what users see; this is its other half. The fast roads are closures made of it; what
they cannot do themselves comes back here: a refusal, a failure, an answer that came late, and the
general road. Whenever the breaker, the parts or the hooks may have changed, `refresh` opens or
closes them.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from breakwater.sdk.context import CURRENT, narrowed
from breakwater.sdk.errors import CallRefusedError
from breakwater.sdk.guard.config import CommandConfig
from breakwater.sdk.guard.counting.statistics import FULL_UP, Statistics
from breakwater.sdk.guard.events import (
    BreakerState,
    BreakerTold,
    Kind,
    ProbeExpired,
    RateExceeded,
    StaleResult,
    StateChanged,
)
from breakwater.sdk.guard.gate import CallInfo, Gate, Ticket
from breakwater.sdk.guard.limiting.bulkhead import Bulkhead
from breakwater.sdk.guard.travel.assembly import adapt, follow_rules, is_bare, is_plain
from breakwater.sdk.guard.travel.code import NO_CODE, CarriedStopError, Code
from breakwater.sdk.guard.travel.drivers import AsyncDriver, SyncDriver
from breakwater.sdk.guard.travel.fast import shut_out
from breakwater.sdk.guard.travel.forms import fast_async, fast_sync
from breakwater.sdk.guard.travel.journey import CallOptions, Journey
from breakwater.sdk.guard.travel.lane import INF, OPEN, Lane
from breakwater.sdk.guard.travel.parts import Parts
from breakwater.sdk.guard.travel.pipeline import travel
from breakwater.sdk.guard.travel.plain import apply, apply_async, apply_sync
from breakwater.sdk.guard.travel.shared import Shared
from breakwater.sdk.guard.verdict import Verdict

if TYPE_CHECKING:
    from breakwater.sdk.guard.breaking.breaker import Breaker
    from breakwater.sdk.guard.breaking.reports import BreakerEvent

Forms = tuple[Callable[..., Any] | None, Callable[..., Awaitable[Any]] | None]
_NOT_SHUT: Final = (OPEN, -INF)
_NO_FORMS: Final[Forms] = (None, None)
_NO_BREAKER: Final = object()
_NO_OPTIONS: Final = CallOptions()
_current: Final = CURRENT.get
_TOLD: Final[dict[Kind, type[BreakerTold]]] = {
    each.kind: each for each in (StateChanged, RateExceeded, StaleResult, ProbeExpired)
}


class Roads:
    """See above. lane, statistics and bulkhead stay the same objects for life."""

    __slots__ = (
        "__weakref__",
        "_forms",
        "_is_bare",
        "_is_fast",
        "_news",
        "_shared",
        "bulkhead",
        "dependency",
        "group",
        "is_timed",
        "lane",
        "name",
        "now_s",
        "parts",
        "pool",
        "statistics",
    )

    def __init__(
        self, name: str, group: str, pool: str, dependency: str, *, shared: Shared, code: Code
    ) -> None:
        self.name = name
        self.group = group or name
        self.pool = pool or self.group
        self.dependency = dependency or self.group
        self._shared = shared
        self.now_s = shared.now_s
        self.lane = Lane()
        self.bulkhead = Bulkhead(None)
        self.statistics = Statistics(
            peak=self.bulkhead.take_peak, on_fold=self._on_fold, on_folded=self._tell_news
        )
        self.parts = Parts(self, NO_CODE if code == NO_CODE else code, shared)
        self._is_fast = self._is_bare = self.is_timed = False
        self._forms = _NO_FORMS
        self._news: tuple[BreakerEvent, ...] = ()

    def adopt(self, config: CommandConfig) -> None:
        """Go by `config` from now on; for `Guards`, which asks live settings and tells of it."""
        adapt(self.parts, config, self._shared, self._on_breaker)
        self.reopen()

    @property
    def sleep(self) -> Callable[[float], None]:
        """How a sync call waits."""
        return self._shared.sleep

    # What the fast roads call when they cannot go on; `fn` is `apply` where `call` was used

    def detour_sync(
        self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Another road: the fast one of today's shape, a quick refusal, or the general one."""
        if fn is apply:
            fn, args, kwargs = args
        if self._may_go_fast():
            return self.sync_form()(fn, args, kwargs)
        refusal = self._refusal()
        if refusal is not None:
            raise refusal
        return self.travel_sync(fn, args, kwargs)

    async def detour_async(
        self, fn: Callable[..., Awaitable[Any]], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """As `detour_sync`."""
        if fn is apply_async:
            fn, args, kwargs = args
        if self._may_go_fast():
            return await self.async_form()(fn, args, kwargs)
        refusal = self._refusal()
        if refusal is not None:
            raise refusal
        return await self.travel_async(fn, args, kwargs)

    def _may_go_fast(self) -> bool:
        """Whether a fast road is open: the command changed since the function was decorated."""
        lane = self.lane
        if (lane.timed if self.is_timed else lane.plain) is None:
            return False
        if not self.bulkhead.permits and not self.bulkhead.replenish():
            return False
        deadline_s = _current().deadline_s
        return deadline_s is None or deadline_s > self.now_s()

    def sync_form(self) -> Callable[..., Any]:
        """The fast road of `call_sync`."""
        form = self._forms[0]
        while form is None:
            is_timed = self.is_timed
            form = fast_sync(self, apply)
            self._forms = (form, self._forms[1])
            if is_timed is not self.is_timed:  # another thread configured it meanwhile
                form, self._forms = None, _NO_FORMS
        return form

    def async_form(self) -> Callable[..., Awaitable[Any]]:
        """The fast road of `call`."""
        form = self._forms[1]
        while form is None:
            is_timed = self.is_timed
            form = fast_async(self, apply_async)
            self._forms = (self._forms[0], form)
            if is_timed is not self.is_timed:  # as above
                form, self._forms = None, _NO_FORMS
        return form

    def _refusal(self) -> CallRefusedError | None:
        """The refusal of a call that the general road would refuse too, but in more words."""
        lane, bulkhead = self.lane, self.bulkhead
        now_s = self.now_s()
        if now_s >= lane.shut_until_s and self._may_be_half_open():
            self.refresh()
        if now_s < lane.shut_until_s:
            return shut_out(self.name, lane, self.statistics, now_s)
        is_full = bulkhead.limit is not None and not bulkhead.permits
        if not is_full or not self._is_bare or (lane.plain is None and lane.timed is None):
            return None
        deadline_s = _current().deadline_s
        if deadline_s is not None and deadline_s <= now_s:
            return None
        if now_s > self.statistics.turn_s:
            self.statistics.turn(now_s)
        self.statistics.events.append(FULL_UP)
        bulkhead.rejected += 1
        return CallRefusedError("bulkhead_full", self.name, "", bulkhead.limit)

    def travel_sync(
        self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """The general road, from its beginning."""
        if not self.parts.config.enabled:
            return apply_sync(fn, args, kwargs)
        return self.drive_sync(self.journey(args, kwargs), fn, args, kwargs)

    async def travel_async(
        self, fn: Callable[..., Awaitable[Any]], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """The general road, from its beginning."""
        if not self.parts.config.enabled:
            return await apply_async(fn, args, kwargs)
        return await self.drive_async(self.journey(args, kwargs), fn, args, kwargs)

    def resume_sync(
        self,
        journey: Journey,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """The general road, from the failure of the first attempt on."""
        if fn is apply:
            fn, args, kwargs = args
        return self.drive_sync(journey, fn, args, kwargs)

    async def resume_async(
        self,
        journey: Journey,
        fn: Callable[..., Awaitable[Any]],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """The general road, from the failure of the first attempt on."""
        if fn is apply_async:
            fn, args, kwargs = args
        return await self.drive_async(journey, fn, args, kwargs)

    def drive_sync(
        self,
        journey: Journey,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """The general road on this thread."""
        driver = SyncDriver(
            lambda: apply_sync(fn, args, kwargs),
            now_s=self.now_s,
            sleep=self._shared.sleep,
            workers=self.parts.workers,
        )
        return driver.drive(travel(journey))

    async def drive_async(
        self,
        journey: Journey,
        fn: Callable[..., Awaitable[Any]],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """The general road in this task."""
        driver = AsyncDriver(lambda: apply_async(fn, args, kwargs), now_s=self.now_s)
        return await driver.drive(travel(journey))

    def journey(
        self,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
        start_s: float | None = None,
        options: CallOptions = _NO_OPTIONS,
    ) -> Journey:
        """A call that begins on the general road."""
        parts, code, kwargs = self.parts, self.parts.code, kwargs or {}
        partition = code.partition
        return Journey(
            parts,
            CallInfo(
                command=self.name,
                context=_current(),
                endpoint=options.endpoint,
                peer=self.dependency,
                partition=partition if isinstance(partition, str) else partition(*args, **kwargs),
            ),
            start_s=self.now_s() if start_s is None else start_s,
            key=parts.key_of(args, kwargs) if options is _NO_OPTIONS else options.key,
            options=options,
        )

    def failed_fast(  # noqa: PLR0917 - one parameter for each thing the roads have at hand
        self,
        error: BaseException,
        permit: Any,
        start_s: float,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Journey | None:
        """Book a first attempt that failed on a fast road; None: the error is for the caller."""
        if fn is apply or fn is apply_async:
            _, args, kwargs = args
        parts = self.parts
        journey = self.journey(args, kwargs, start_s)
        try:
            journey.verdict = parts.code.verdict_of(error)
        except BaseException as raised:  # the user's own rule failed: nothing is known
            journey.settle(journey.info, self.tickets(permit), Verdict.CANCELLED, error, start_s)
            journey.close(raised)
            raise
        journey.settle(journey.info, self.tickets(permit), journey.verdict, error, start_s)
        if isinstance(error, Exception):
            may_fall_back = journey.may_fall_back(error)
            if parts.retries is not None or (may_fall_back and parts.has_stand_ins):
                journey.failed = error
                if isinstance(error, StopIteration):
                    journey.failed = CarriedStopError(error)
                return journey
            if may_fall_back:
                journey.note_missing()
        journey.close(error)
        return None

    def tickets(self, permit: Any) -> list[tuple[Gate, Ticket]]:
        """What a call on a fast road has to give back besides its place."""
        breaker = self.parts.breaker
        return [] if breaker is None or permit is _NO_BREAKER else [(breaker, permit)]

    def succeeded_fast(self, permit: Any, took_s: float, end_s: float) -> None:
        """A success that is more than an entry in a list: slow, or the first after the turn."""
        statistics, breaker = self.statistics, self.parts.breaker
        if end_s > statistics.turn_s:
            statistics.turn(end_s, leaving=1)
        if breaker is None or permit is _NO_BREAKER or took_s <= self.lane.slow_s:
            statistics.log.append(took_s)
            return
        if statistics.log:
            statistics.fold(end_s)
        breaker.settle(permit, Verdict.SUCCESS, end_s, took_s)
        statistics.settled(took_s)
        if self.parts.tap is not None:
            self.parts.tap.succeeded(took_s)
        if self.parts.retries is not None:
            self.parts.retries.record_successes(1)
        self.refresh()

    def late_fast(
        self,
        permit: Any,
        start_s: float,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        was_cut_short: bool,
    ) -> None:
        """An answer that came after its time was up: used, and counted as a timeout."""
        if fn is apply or fn is apply_async:
            _, args, kwargs = args
        journey = self.journey(args, kwargs, start_s)
        verdict = Verdict.CANCELLED if was_cut_short else Verdict.TIMEOUT
        journey.settle(journey.info, self.tickets(permit), verdict, None, start_s)
        journey.close(None)

    def _on_fold(self, found: int, at_s: float, now_s: float) -> float:
        """Successes of the fast roads, for those who count them; when they want to hear again."""
        parts = self.parts
        breaker = parts.breaker
        if found and parts.retries is not None:
            parts.retries.record_successes(found)
        if breaker is None:
            return INF
        if found:
            breaker.record_successes(found, at_s)
        breaker.tick(now_s)
        self.refresh()
        return breaker.turn_s

    def reopen(self) -> None:
        """Find out anew which roads may be used: the parts, hooks or fault rules changed."""
        parts, lane = self.parts, self.lane
        follow_rules(parts, self._shared)
        config = parts.config
        self._is_fast = is_plain(parts)
        self._is_bare = is_bare(parts)
        limits = [s for s in (config.timeout_s, config.total_s) if s is not None]
        is_timed = bool(limits) or parts.retries is not None
        if is_timed is not self.is_timed:
            self.is_timed = is_timed
            self._forms = _NO_FORMS
        lane.timeout_s = min(limits, default=INF)
        lane.context_at = narrowed if parts.retries is None else parts.context_at
        if lane.timeout_s == INF:  # a deadline alone interrupts nothing, and is in the context
            lane.context_at = parts.context_as_it_is
        self.refresh()

    def refresh(self) -> None:
        """Open or close the fast roads as the breaker stands; who writes last has looked last."""
        lane = self.lane
        seen = self._shape()
        while True:
            permit, slow_s, is_fast, is_timed, shut = seen
            usable = permit if is_fast else None
            lane.slow_s = slow_s
            lane.plain = None if is_timed else usable
            lane.timed = usable if is_timed else None
            lane.shut_for, lane.shut_until_s = shut
            before, seen = seen, self._shape()
            if seen == before:
                return

    def _shape(self) -> tuple[Any, float, bool, bool, tuple[str, float]]:
        """All that the lane shows: the closed permit, `slow_s`, whether fast and timed; `_shut`."""
        breaker = self.parts.breaker
        is_fast = self._is_fast and not self.bulkhead.owed
        if breaker is None:
            return _NO_BREAKER, INF, is_fast, self.is_timed, _NOT_SHUT
        permit = breaker.closed_permit
        shut = self._shut(breaker) if permit is None and self._is_bare else _NOT_SHUT
        return permit, breaker.slow_s, is_fast, self.is_timed, shut

    @staticmethod
    def _shut(breaker: "Breaker") -> tuple[str, float]:
        """Why and until when the breaker refuses for certain, if nothing else has a say."""
        if breaker.config.enforcing_percent < 100.0:
            return _NOT_SHUT
        state = breaker.state
        if state is BreakerState.OPEN:
            return OPEN, breaker.reopens_s
        if state is BreakerState.HALF_OPEN:
            return "breaker_half_open", breaker.full_until_s
        return ("breaker_forced_open", INF) if state is BreakerState.FORCED_OPEN else _NOT_SHUT

    def _may_be_half_open(self) -> bool:
        """Whether all probes may have gone out since the lane was looked after."""
        breaker = self.parts.breaker
        return breaker is not None and breaker.state is BreakerState.HALF_OPEN

    def _on_breaker(self, event: "BreakerEvent") -> None:
        self.refresh()
        if event.kind in self._shared.hooks.wanted:
            self._news = (*self._news, event)
            if not self.statistics.is_folding:
                self._tell_news()

    def _tell_news(self) -> None:
        """Tell hooks of the breaker's events; held back while a fold holds its lock."""
        while self._news:
            news, self._news = self._news, ()
            for event in news:
                self._tell_of(event)

    def _tell_of(self, event: "BreakerEvent") -> None:
        hooks = self.parts.hooks
        if event.kind in hooks.wanted:
            hooks.tell(
                _TOLD[event.kind](
                    **self.parts.stamp(),
                    old=event.old,
                    state=event.state,
                    reason=event.reason,
                    calls=event.calls,
                    failure_percent=event.failure_percent,
                    slow_percent=event.slow_percent,
                    open_s=event.open_s,
                )
            )
