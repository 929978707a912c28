"""Functions of one argument whose calls are sent in batches; made by `Command.collapse`.

What `AsyncCollapser` (asyncbatches.py) and `SyncCollapser` (syncbatches.py) have in common.
"""

import threading
from collections.abc import Callable, Hashable
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, Final, cast

from breakwater.sdk.guard.config import CollapseConfig
from breakwater.sdk.guard.events import EventType
from breakwater.sdk.guard.sharing.collapse import (
    Batch,
    CollapseFigures,
    CollapseStats,
    Tally,
    batch_key,
    is_hashable,
)
from breakwater.sdk.guard.travel.ports import Subject

if TYPE_CHECKING:
    from breakwater.sdk.guard.sharing.requestcache import RequestCache

_DEFAULT: Final = CollapseConfig()
ShardOf = Callable[[Any], Hashable]


class Terms:
    """What a collapser asks of the command whose calls its batches are."""

    def __init__(self, command: Subject) -> None:
        self._command = command
        self.name = command.name
        self.now_s = command.now_s

    def config(self) -> CollapseConfig:
        """How batches are made up, at present."""
        return self._command.parts.config.collapse or _DEFAULT

    @property
    def caches(self) -> bool:
        """Whether equal calls of one request are made once."""
        return self._command.parts.config.request_cache

    def collapsed(self, requests: int) -> None:
        """A batch of so many different calls is sent."""
        self._command.statistics.count(EventType.COLLAPSED, self.now_s(), requests)


class Collapser:
    """What both have in common: open batches by key, and counts."""

    def __init__(
        self, terms: Terms, send: Callable[[tuple[Any, ...]], Any], shard: ShardOf | None
    ) -> None:
        self._terms = terms
        self._send = send
        self._shard = shard
        self._open: dict[Hashable, Batch] = {}
        self._lock = threading.Lock()
        self._tally = Tally()
        self._answers: RequestCache | None = None
        self.function = str(getattr(send, "__name__", "batch"))
        update_wrapper(cast("Any", self), send)

    @property
    def name(self) -> str:
        """That of the command."""
        return self._terms.name

    def _key(self, config: CollapseConfig, argument: Any) -> Hashable:
        """Which batch; a fresh object where calls have none in common."""
        shard = None if self._shard is None else self._shard(argument)
        key = batch_key(config, shard)
        return object() if key is None else key

    def _cache(self, argument: Any) -> "RequestCache | None":
        """The cache of the present request's single calls, None if there is none to be used."""
        if not self._terms.caches or not is_hashable(argument):
            return None
        if self._answers is None:
            from breakwater.sdk.guard.sharing.requestcache import RequestCache  # noqa: PLC0415 - if used

            with self._lock:
                self._answers = self._answers or RequestCache(f"{self.name} one by one")
        return self._answers

    def _note_sent(self, batch: Batch) -> None:
        self._tally.sent(batch.waiting, len(batch.items), self._terms.now_s())
        self._terms.collapsed(len(batch.items))

    def figures(self) -> CollapseFigures:
        """Rolling counts and batch sizes."""
        return self._tally.figures(self._terms.now_s())

    def stats(self) -> CollapseStats:
        """Counts since the start."""
        from_cache = 0 if self._answers is None else self._answers.stats().hits
        return self._tally.stats(len(self._open), from_cache)


def new_batch(key: Hashable, now_s: float, config: CollapseConfig) -> Batch:
    """A batch that opens now."""
    return Batch(key, now_s + config.wait_s, is_global=config.scope == "global")
