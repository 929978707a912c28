"""Collapsing: single calls that come close together are made as one batch.

The first call opens a batch, which is sent after `wait_s` or as soon as it holds `max_batch`. The
batch function is given the list of arguments and gives a list of results in the same order, or a
dictionary by argument; a result that is an exception is raised to the one who asked for it. Equal
arguments of one batch are asked for once (`caches_requests`), and with the command's request cache
on, of one request. Arguments and shards should be plain values: they are compared under a lock.

The batch itself is one guarded call. It may take as long as the most patient of those who wait,
and has the criticality of the most important; each of them keeps to its own deadline. Who leaves
takes his argument along if nobody else wants it and the batch is not sent yet, and disturbs
nobody; a batch that nobody waits for any more is cancelled.

What is here decides; `collapsers.py` waits, in threads and in event loops.
"""

import threading
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from contextvars import ContextVar, copy_context
from typing import Any, Final

import msgspec

from breakwater.model import Status
from breakwater.sdk.context import CallContext, Criticality
from breakwater.sdk.errors import CallFailedError
from breakwater.sdk.guard.config import CollapseConfig
from breakwater.sdk.guard.sharing.replay import replay
from breakwater.sdk.guard.sharing.scope import SCOPE, current_scope

_BY_IMPORTANCE: Final = tuple(Criticality)
_EXACT_SIZES: Final = 128
BATCH: Final[ContextVar[tuple[str, int]]] = ContextVar("breakwater_batch", default=("", 0))
"""The command and the size of the batch that is being sent."""


def batch_size_of(command: str) -> int:
    """How many arguments the call of `command` under way has, 0 if it is no batch."""
    name, size = BATCH.get()
    return size if name == command else 0


class Item:
    """One argument of a batch, and who waits for its result."""

    __slots__ = ("argument", "waiters")

    def __init__(self, argument: Any) -> None:
        self.argument = argument
        self.waiters: list[Waiter] = []


class Waiter:
    """One caller; `settle` is told the result or the error, once."""

    __slots__ = ("context", "item", "settle")

    def __init__(
        self,
        item: Item,
        context: CallContext,
        settle: Callable[[Any, BaseException | None], None],
    ) -> None:
        self.item = item
        self.context = context
        self.settle = settle


class Batch:
    """Arguments that are sent together; used under the collapser's lock until it is sent."""

    __slots__ = (
        "_by_argument",
        "home",
        "is_done",
        "is_sent",
        "items",
        "key",
        "stop_s",
        "timer",
        "waiting",
    )

    def __init__(self, key: Hashable, stop_s: float, *, is_global: bool) -> None:
        self.key = key
        self.stop_s = stop_s
        self.home = copy_context()
        if is_global:  # it belongs to no request
            self.home.run(SCOPE.set, None)
        self.is_done = False
        self.items: list[Item] = []
        self.waiting = 0
        self.is_sent = False
        self.timer: Any = None  # whatever the collapser waits by
        self._by_argument: dict[Hashable, Item] = {}

    def add(
        self,
        argument: Any,
        context: CallContext,
        settle: Callable[[Any, BaseException | None], None],
        *,
        shares: bool,
    ) -> Waiter:
        """One more caller; `shares` lets equal arguments, if hashable, be one."""
        shares = shares and is_hashable(argument)
        item = self._by_argument.get(argument) if shares else None
        if item is None:
            item = Item(argument)
            self.items.append(item)
            if shares:
                self._by_argument[argument] = item
        waiter = Waiter(item, context, settle)
        item.waiters.append(waiter)
        self.waiting += 1
        return waiter

    def leave(self, waiter: Waiter) -> bool:
        """A caller gives up; whether nobody waits any more."""
        item = waiter.item
        if waiter not in item.waiters:
            return False
        item.waiters.remove(waiter)
        self.waiting -= 1
        if not item.waiters and not self.is_sent:
            self.items.remove(item)
            self._by_argument = {k: v for k, v in self._by_argument.items() if v is not item}
        return self.waiting == 0

    def contexts(self) -> list[CallContext]:
        """Of all who wait."""
        return [waiter.context for item in self.items for waiter in item.waiters]

    def arguments(self) -> tuple[Any, ...]:
        """In the order they came."""
        return tuple(item.argument for item in self.items)


def is_hashable(value: Any) -> bool:
    """Whether it can be a key."""
    try:
        hash(value)
    except TypeError:
        return False
    return True


def merged(contexts: Sequence[CallContext]) -> CallContext:
    """What a batch is sent with: the latest deadline, the highest importance, the first's rest."""
    first = contexts[0]
    deadlines_s = [context.deadline_s for context in contexts]
    known_s = [deadline_s for deadline_s in deadlines_s if deadline_s is not None]
    importance = min(_BY_IMPORTANCE.index(context.criticality) for context in contexts)
    nested = [context.attempts for context in contexts if context.attempts is not None]
    return CallContext(
        deadline_s=max(known_s) if len(known_s) == len(deadlines_s) else None,
        trace=first.trace,
        baggage=first.baggage,
        criticality=_BY_IMPORTANCE[importance],
        attempts=nested[0] if nested else None,
    )


def distribute(command: str, items: Sequence[Item], answer: Any) -> None:
    """Give everybody the result of his argument, or the error that stands in its place.

    An answer of another length, or of another shape, fails all; a key that is missing its own.
    """
    if isinstance(answer, Mapping):
        for item in items:
            if item.argument in answer:
                settle(item, answer[item.argument])
            else:
                fail((item,), _mismatch(command, "batch_answer_missing"))
        return
    if isinstance(answer, Iterable) and not isinstance(answer, str | bytes):
        results = list(answer)
        if len(results) == len(items):
            for item, result in zip(items, results, strict=True):
                settle(item, result)
            return
    fail(items, _mismatch(command, "batch_answer_mismatch"))


def settle(item: Item, result: Any) -> None:
    """One argument's result, to all who asked for it."""
    if isinstance(result, BaseException):
        fail((item,), result)
        return
    for waiter in tuple(item.waiters):  # some may leave meanwhile
        waiter.settle(result, None)


def fail(items: Iterable[Item], error: BaseException) -> None:
    """The same error for all, a copy for each."""
    for item in items:
        for waiter in tuple(item.waiters):
            waiter.settle(None, replay(error))


def _mismatch(command: str, detail: str) -> CallFailedError:
    return CallFailedError(Status.UNEXPECTED_ERROR, service=command, detail=detail)


def batch_key(config: CollapseConfig, shard: Hashable) -> tuple[Hashable, ...] | None:
    """Which batch a call belongs to; None: to none but its own, outside any request."""
    if config.scope == "global":
        return (None, shard)
    scope = current_scope()
    return None if scope is None else (id(scope), scope, shard)


class CollapseFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Of the last ten seconds: calls, of them answered by an equal argument's call, batches.

    sizes: batch sizes of the last minute with their numbers; from 128 up rounded down to 7 bits.
    """

    requests: int
    shared: int
    batches: int
    sizes: dict[int, int]

    @property
    def mean_size(self) -> float:
        """Calls per batch over the last minute, 0 without any."""
        count = sum(self.sizes.values())
        return sum(size * times for size, times in self.sizes.items()) / count if count else 0.0

    def size_percentile(self, percent: float) -> int:
        """The size that so many percent of the batches do not exceed, 0 without any."""
        count = sum(self.sizes.values())
        seen = 0
        for size in sorted(self.sizes):
            seen += self.sizes[size]
            if seen >= count * percent / 100.0:
                return size
        return 0


class CollapseStats(msgspec.Struct, frozen=True, kw_only=True):
    """Since the start: calls in batches, of them shared, batches, callers who left; open: now.

    from_cache: further calls that the present request had made already.
    """

    requests: int
    shared: int
    from_cache: int
    batches: int
    left: int
    open: int


class Tally:
    """Counts of a collapser, rolling and since the start; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._recent: dict[int, list[int]] = {}
        self._sizes: dict[int, Counter[int]] = {}
        self._since_start = [0, 0, 0]
        self._left = 0

    def sent(self, requests: int, distinct: int, now_s: float) -> None:
        """A batch of `distinct` arguments for so many calls is on its way."""
        size = distinct if distinct < _EXACT_SIZES else _rounded(distinct)
        with self._lock:
            recent = self._recent.setdefault(int(now_s), [0, 0, 0])
            for counts in (recent, self._since_start):
                counts[0] += requests
                counts[1] += requests - distinct
                counts[2] += 1
            self._sizes.setdefault(int(now_s / 10.0), Counter())[size] += 1
            self._prune(now_s)

    def left(self) -> None:
        """A caller gave up."""
        with self._lock:
            self._left += 1

    def _prune(self, now_s: float) -> None:
        for second in [second for second in self._recent if second <= now_s - 10.0]:
            del self._recent[second]
        for part in [part for part in self._sizes if part <= now_s / 10.0 - 6.0]:
            del self._sizes[part]

    def figures(self, now_s: float) -> CollapseFigures:
        """The rolling counts."""
        with self._lock:
            self._prune(now_s)
            counts = [sum(column) for column in zip(*self._recent.values(), strict=True)]
            sizes: Counter[int] = Counter()
            for part in self._sizes.values():
                sizes.update(part)
        requests, shared, batches = counts or (0, 0, 0)
        return CollapseFigures(requests=requests, shared=shared, batches=batches, sizes=dict(sizes))

    def stats(self, open_batches: int, from_cache: int = 0) -> CollapseStats:
        """The counts since the start."""
        with self._lock:
            requests, shared, batches = self._since_start
            return CollapseStats(
                requests=requests,
                shared=shared,
                from_cache=from_cache,
                batches=batches,
                left=self._left,
                open=open_batches,
            )


def _rounded(size: int) -> int:
    shift = size.bit_length() - 7
    return size >> shift << shift
