"""A guarded function: one name, one configuration, one fixed order of parts.

The order is fixed because the others are traps: a timeout outside the bulkhead would book waiting
as slowness of the callee, a retry inside the breaker would hide failures from it, a fallback
inside the retry would end it at once.
"""

from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar, cast, overload

from breakwater.model import CallPoint
from breakwater.sdk.guard.config import CommandConfig
from breakwater.sdk.guard.travel.code import Code, Errors, Fallback, RetryOn, Verdicts
from breakwater.sdk.guard.travel.defaults import default_registry
from breakwater.sdk.guard.travel.forms import decorated
from breakwater.sdk.guard.travel.roads import Roads

if TYPE_CHECKING:
    from breakwater.sdk.guard.counting.statistics import Figures
    from breakwater.sdk.guard.counting.suggestions import Suggestions
    from breakwater.sdk.guard.travel.asyncbatches import AsyncCollapser
    from breakwater.sdk.guard.travel.blocks import AsyncBlock, SyncBlock
    from breakwater.sdk.guard.travel.collapsers import Collapser
    from breakwater.sdk.guard.travel.journey import CallReport
    from breakwater.sdk.guard.travel.ports import Registry
    from breakwater.sdk.guard.travel.reading import CommandStats
    from breakwater.sdk.guard.travel.syncbatches import SyncCollapser

P = ParamSpec("P")
R = TypeVar("R")
A = TypeVar("A")
_DEFAULT: Final = CommandConfig()


class Command(Roads):
    """Guards calls of a function under one name; a decorator, or `call` / `call_sync`, or a block.

    name: of the command; group, pool and dependency default to it or to each other (pool: group,
    dependency: group, else name). tags: for meters. What is code and not configuration:

    fallback: one or several, asked in turn with the error; may be async for async calls.
    ignore: errors that say nothing of the callee; they get no fallback and no retry.
    record: errors that count against the callee; others count as successes (None: all but ignored).
    judge: gives the verdict of an error, or None for the two rules above.
    is_failure: whether a result is as bad as an error; if neither retry nor fallback helps it is
    returned. falls_back: whether an error gets a fallback. retry_on: errors worth another attempt;
    retries_refusals: refusals of this very guard too. cache_key: of a call, from its arguments.
    partition: the class of callers, or what gives it from the arguments. idempotent: the call may
    be sent twice, so it may be hedged. point: where fault rules of the registry act on attempts;
    None: nowhere. injected: makes the error of an injected HTTP status, instead of
    InjectedFaultError.

    Raises CallRefusedError and DeadlineExceededError for calls it does not let through and
    AttemptTimedOutError for those it ends, unless a fallback answers. A sync attempt cannot be
    interrupted: it finds the time left as its deadline, and coming late counts as a timeout.
    TypeError, counted as a bad request, when a sync call gives a coroutine or an async one nothing
    to await: no fallback hides that.
    Costs half a microsecond, two with a time limit; thread-safe.
    """

    __slots__ = ("_guards", "collapsers", "tags")

    def __init__(  # noqa: PLR0913 - one parameter for each thing that is code, all by name
        self,
        name: str,
        config: CommandConfig = _DEFAULT,
        *,
        guards: "Registry | None" = None,
        group: str = "",
        pool: str = "",
        dependency: str = "",
        tags: Mapping[str, str] | None = None,
        fallback: Fallback | Sequence[Fallback] | None = None,
        ignore: Errors = (),
        record: Errors | None = None,
        judge: Verdicts | None = None,
        is_failure: Callable[[Any], bool] | None = None,
        falls_back: Callable[[Exception], bool] | None = None,
        retry_on: RetryOn | None = None,
        retries_refusals: bool = False,
        cache_key: Callable[..., Hashable] | None = None,
        partition: Callable[..., str] | str = "",
        idempotent: bool = False,
        point: CallPoint | None = "outbound",
        injected: Callable[[int], Exception] | None = None,
    ) -> None:
        if guards is None:
            guards = default_registry()
        fallbacks = () if fallback is None else fallback
        code = Code(
            fallbacks=tuple(fallbacks) if isinstance(fallbacks, Sequence) else (fallbacks,),
            ignore=ignore,
            record=record,
            judge=judge,
            is_failure=is_failure,
            falls_back=falls_back,
            retry_on=retry_on,
            retries_refusals=retries_refusals,
            cache_key=cache_key,
            partition=partition,
            idempotent=idempotent,
            point=point,
            injected=injected,
        )
        super().__init__(name, group, pool, dependency, shared=guards.shared, code=code)
        self.tags = tags
        self.collapsers: tuple[Collapser, ...] = ()
        self._guards = guards
        guards.admit(self, config)

    # The forms of calling

    def __call__(self, fn: Callable[P, R]) -> Callable[P, R]:
        """Decorate a function, plain, async, or a generator of either kind; it stays what it was.

        A generator holds its permit until it is exhausted, closed or collected.
        """
        return cast("Callable[P, R]", decorated(self, fn))

    async def call(self, fn: Callable[P, Awaitable[R]], *args: P.args, **kwargs: P.kwargs) -> R:
        """Await `fn(*args, **kwargs)` under guard."""
        form = self._forms[1] or self.async_form()
        return cast("R", await form(fn, args, kwargs))

    def call_sync(self, fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call `fn(*args, **kwargs)` under guard, on this thread."""
        form = self._forms[0] or self.sync_form()
        return cast("R", form(fn, args, kwargs))

    async def call_reported(
        self, fn: Callable[P, Awaitable[R]], *args: P.args, **kwargs: P.kwargs
    ) -> "tuple[R, CallReport]":
        """`call`, and what became of it besides the answer; costs some microseconds."""
        journey = self.journey(args, kwargs)
        answer = await self.drive_async(journey, fn, args, kwargs)
        return cast("R", answer), journey.report()

    def call_reported_sync(
        self, fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> "tuple[R, CallReport]":
        """`call_sync`, and what became of it besides the answer; costs some microseconds."""
        journey = self.journey(args, kwargs)
        answer = self.drive_sync(journey, fn, args, kwargs)
        return cast("R", answer), journey.report()

    def entered(self) -> "SyncBlock":
        """`with command.entered() as attempt:` guards the block, as one attempt without fallback.

        `attempt.failed()` and `attempt.ignored()` say how it ended where no exception does.
        """
        from breakwater.sdk.guard.travel.blocks import SyncBlock  # noqa: PLC0415 - only where used

        return SyncBlock(self)

    def entered_async(self) -> "AsyncBlock":
        """`async with command.entered_async() as attempt:`, which its time limit cancels."""
        from breakwater.sdk.guard.travel.blocks import AsyncBlock  # noqa: PLC0415 - only where used

        return AsyncBlock(self)

    @overload
    def collapse(
        self,
        fn: Callable[[list[A]], Awaitable[Sequence[R]]],
        *,
        shard: Callable[[A], Hashable] | None = None,
    ) -> "AsyncCollapser[A, R]": ...

    @overload
    def collapse(
        self,
        fn: Callable[[list[A]], Awaitable[Mapping[A, R]]],
        *,
        shard: Callable[[A], Hashable] | None = None,
    ) -> "AsyncCollapser[A, R]": ...

    @overload
    def collapse(
        self,
        fn: Callable[[list[A]], Sequence[R]],
        *,
        shard: Callable[[A], Hashable] | None = None,
    ) -> "SyncCollapser[A, R]": ...

    @overload
    def collapse(
        self,
        fn: Callable[[list[A]], Mapping[A, R]],
        *,
        shard: Callable[[A], Hashable] | None = None,
    ) -> "SyncCollapser[A, R]": ...

    def collapse(
        self, fn: Callable[[list[Any]], Any], *, shard: Callable[[Any], Hashable] | None = None
    ) -> Any:
        """Make a function of one argument of `fn`, which is given many: calls go in batches.

        `fn` gives results in the order of its arguments, or a dictionary by argument; exceptions
        among them are raised to whom they belong. shard: calls of one batch have this in common.
        """
        from breakwater.sdk.guard.travel.batches import collapser  # noqa: PLC0415 - only where used

        made = collapser(self, fn, shard)
        self.collapsers = (*self.collapsers, made)
        return made

    # Configuration and state

    @property
    def config(self) -> CommandConfig:
        """What it goes by."""
        return self.parts.config

    @property
    def guards(self) -> "Registry":
        """The registry it belongs to."""
        return self._guards

    def configure(self, config: CommandConfig) -> None:
        """Go by `config` from now on; decorated functions follow, calls under way do not.

        Live settings (a file, the environment, the platform) go over it as before. Every key that
        changes is told to hooks and kept in `guards.stats().configuration`.
        """
        self._guards.reconfigure(self, config)

    def describe(self) -> str:
        """The parts in force, in the order a call passes them, one a line."""
        from breakwater.sdk.guard.travel.reading import described  # noqa: PLC0415 - for people

        return described(self)

    def explain(self) -> str:
        """The effective numbers of every part, and where each stands."""
        from breakwater.sdk.guard.travel.reading import explained  # noqa: PLC0415 - for people

        return explained(self)

    def figures(self) -> "Figures":
        """Rolling counts and latencies up to now."""
        return self.statistics.figures(self.now_s())

    def suggest(self, *, deadline_s: float | None = None) -> "Suggestions":
        """Settings that fit what was seen, with reasons; deadline_s: how long callers wait."""
        from breakwater.sdk.guard.counting import suggestions  # noqa: PLC0415 - for people, not for calls

        idempotent = self.parts.code.idempotent
        seen = suggestions.observed(self.figures(), deadline_s=deadline_s, is_idempotent=idempotent)
        return suggestions.suggest(seen, self.config)

    def stats(self) -> "CommandStats":
        """Calls by event since start, and the state of the parts."""
        from breakwater.sdk.guard.travel.reading import stats_of  # noqa: PLC0415 - for people

        return stats_of(self)
