"""The parts of one command in force."""

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

from breakwater.sdk.context import CallContext, narrowed
from breakwater.sdk.guard.config import CommandConfig
from breakwater.sdk.guard.counting.statistics import Statistics
from breakwater.sdk.guard.events import Kind, LimitMoved
from breakwater.sdk.guard.gate import Gate
from breakwater.sdk.guard.limiting.bulkhead import Bulkhead
from breakwater.sdk.guard.roles import CallTap, Faults, Front, Hedges, LastGood, Workers
from breakwater.sdk.guard.travel.code import Code
from breakwater.sdk.guard.travel.shared import Shared

if TYPE_CHECKING:
    from breakwater.sdk.guard.breaking.breaker import Breaker
    from breakwater.sdk.guard.retrying.retry import Retry


_NOTHING_MADE: Final[dict[str, tuple[object, Any]]] = {}
"""Shared by all commands that have no more than breaker and bulkhead; never written to."""


class Owner(Protocol):
    """Whose parts they are."""

    name: str
    group: str
    dependency: str
    pool: str
    statistics: Statistics
    bulkhead: Bulkhead

    def refresh(self) -> None:
        """A breaker may have moved."""
        ...


class Parts:
    """See above. gates: in the order a call passes them; breaker and bulkhead are among them.

    bulkhead is always there: without a limit it only counts the calls under way. injector: there
    while fault rules concern the command. refresh: to be called when a breaker may have moved.
    """

    __slots__ = (
        "_fallback_places",
        "breaker",
        "bulkhead",
        "code",
        "config",
        "dependency",
        "fronts",
        "gates",
        "group",
        "hedges",
        "hooks",
        "injector",
        "last_good",
        "made",
        "name",
        "now_ms",
        "now_s",
        "past_deadline",
        "pool",
        "refresh",
        "retries",
        "stale_age_s",
        "stale_answers",
        "statistics",
        "tap",
        "workers",
    )

    def __init__(self, command: Owner, code: Code, shared: Shared) -> None:
        self.name = command.name
        self.group = command.group
        self.dependency = command.dependency
        self.pool = command.pool
        self.statistics = command.statistics
        self.bulkhead = command.bulkhead
        self.refresh = command.refresh
        self.code = code
        self.hooks = shared.hooks
        self.now_s = shared.now_s
        self.now_ms = shared.clock.now_ms
        self.past_deadline = 0
        self.stale_answers = 0
        self.stale_age_s = 0.0  # of the oldest stale answer since a meter was last told
        self.tap: CallTap | None = None
        self.config = CommandConfig(breaker=None, bulkhead=None)
        self.gates: tuple[Gate, ...] = (command.bulkhead,)
        self.breaker: Breaker | None = None
        self.made: dict[str, tuple[object, Any]] = _NOTHING_MADE
        self.retries: Retry | None = None
        self.hedges: Hedges | None = None
        self.fronts: tuple[Front, ...] = ()
        self.last_good: LastGood | None = None
        self.workers: Workers | None = None
        self.injector: Faults | None = None
        self._fallback_places: Bulkhead | None = None

    def context_at(self, context: CallContext, stop_s: float) -> CallContext:
        """What a first attempt is run with that must end at `stop_s`."""
        return narrowed(self.context_as_it_is(context, stop_s), stop_s)

    def context_as_it_is(self, context: CallContext, _stop_s: float) -> CallContext:
        """The same without a limit of time."""
        return context if self.retries is None else self.retries.context_for(context, 1)

    @property
    def has_stand_ins(self) -> bool:
        """Whether there is anything to answer a failed call with."""
        return bool(self.code.fallbacks) or self.last_good is not None

    def key_of(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Hashable:
        """The key of a call in the caches; by default its arguments, which must be hashable."""
        if not self.fronts and self.last_good is None:
            return None
        if self.code.cache_key is not None:
            return self.code.cache_key(*args, **kwargs)
        return (args, tuple(sorted(kwargs.items()))) if kwargs else args

    def fallback_places(self) -> Bulkhead:
        """The permits of fallbacks; made when one is first asked."""
        if self._fallback_places is None:
            self._fallback_places = Bulkhead(self.config.fallback.max_concurrent)
        return self._fallback_places

    @property
    def known_fallback_places(self) -> Bulkhead | None:
        """The permits of fallbacks, None if no fallback was asked yet."""
        return self._fallback_places

    def forget_fallback_places(self) -> None:
        """The next fallback goes by a new number of permits."""
        self._fallback_places = None

    def limit_changed(self, before: int, after: int) -> None:
        """The adaptive limit moved."""
        if Kind.LIMIT in self.hooks.wanted:
            self.hooks.tell(LimitMoved(**self.stamp(), before=before, after=after))

    def stamp(self) -> dict[str, Any]:
        """What all events have in common: whose they are, and when."""
        return {"command": self.name, "group": self.group, "at_ms": self.now_ms()}
