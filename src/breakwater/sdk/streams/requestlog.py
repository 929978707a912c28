"""The log of the guarded calls made while one request was served.

It is written by a hook on whole calls, kept in the request's scope and told when the scope ends.
While it is on, calls take the general road, which costs microseconds; so it is on only while
somebody watches its stream or a service asks for it. Calls outside any scope are not logged.

Executions of one command with the same events are folded into one entry with several latencies,
as in Hystrix; answers from the cache are counted at the execution they came from.
"""

import threading
from collections import Counter
from collections.abc import Callable, Hashable
from typing import Any, Final

import msgspec

from breakwater.sdk.guard.events import CallEnded, EventType
from breakwater.sdk.guard.guards import Guards
from breakwater.sdk.guard.sharing.collapse import batch_size_of
from breakwater.sdk.guard.sharing.scope import RequestScope, current_scope
from breakwater.sdk.streams.messages import whole_ms

MAX_EXECUTIONS: Final = 1_000
"""Executions kept of one request, the first ones; Hystrix keeps as many."""
_CACHED: Final = (EventType.RESPONSE_FROM_CACHE,)
_UNTOLD: Final = frozenset(
    (EventType.EXCEPTION_THROWN, EventType.FALLBACK_DISABLED, EventType.CANCELLED)
)
"""What the stream leaves out: it follows from the events that are told."""


class RequestLogStats(msgspec.Struct, frozen=True, kw_only=True):
    """is_on: whether calls are logged now; requests told since start, and calls not kept."""

    is_on: bool
    requests: int
    left_out: int


class Execution(msgspec.Struct, frozen=True):
    """One call: its events in order, milliseconds (-1: never begun), the batch it was, its key."""

    command: str
    events: tuple[EventType, ...]
    latency_ms: int
    batch: int
    key: Hashable


class _Page:
    """What is known of one request; threads of one request may share it."""

    __slots__ = ("executions", "left_out")

    def __init__(self) -> None:
        self.executions: list[Execution] = []
        self.left_out = 0


class RequestLog:
    """Notes calls by request, and tells `publish` the encoded entries of each that ended.

    `switch(True)` as often as `switch(False)`: it is on while anybody wants it.
    """

    def __init__(self, guards: Guards, publish: Callable[[bytes], None]) -> None:
        self._guards = guards
        self._publish = publish
        self._lock = threading.Lock()
        self._wanted = 0
        self._requests = self._left_out = 0

    @property
    def is_on(self) -> bool:
        """Whether calls are logged."""
        return self._wanted > 0

    def switch(self, on: bool) -> None:  # noqa: FBT001 - it is a switch
        """One more wants it, or one less."""
        with self._lock:
            self._wanted += 1 if on else -1
            is_first, is_last = on and self._wanted == 1, not on and self._wanted == 0
        if is_first:
            self._guards.hooks.on(CallEnded, self._note)
        elif is_last:
            self._guards.hooks.remove(self._note)

    def _note(self, event: CallEnded) -> None:
        scope = current_scope()
        if scope is None:
            return
        page = _page_of(scope)
        if page is None:
            fresh = _Page()
            page = scope.slots.setdefault(RequestLog, fresh)
            if page is fresh:
                scope.at_end(lambda: self._end(fresh))
        if len(page.executions) >= MAX_EXECUTIONS:
            page.left_out += 1
            return
        page.executions.append(
            Execution(
                event.command,
                event.outcome,
                whole_ms(event.seconds) if event.attempts else -1,
                batch_size_of(event.command),
                event.key,
            )
        )

    def _end(self, page: _Page) -> None:
        with self._lock:
            self._requests += 1
            self._left_out += page.left_out
        self._publish(msgspec.json.encode(folded(page.executions)))

    def stats(self) -> RequestLogStats:
        """How much was logged."""
        with self._lock:
            return RequestLogStats(
                is_on=self.is_on, requests=self._requests, left_out=self._left_out
            )


def _page_of(scope: RequestScope) -> _Page | None:
    page: _Page | None = scope.slots.get(RequestLog)
    return page


def folded(executions: list[Execution]) -> list[dict[str, Any]]:
    """The entries of one request as Hystrix writes them."""
    cached = Counter((each.command, each.key) for each in executions if each.events == _CACHED)
    entries: dict[Hashable, dict[str, Any]] = {}
    for each in executions:
        if each.events == _CACHED:
            continue
        from_cache = cached.pop((each.command, each.key), 0)
        told = (event for event in each.events if event not in _UNTOLD)
        counts = tuple(sorted(Counter(told).items()))
        signature = (each.command, counts, each.batch, (each.key, from_cache) if from_cache else 0)
        entry = entries.get(signature)
        if entry is None:
            entry = entries[signature] = {
                "name": each.command,
                "events": [_event(event, count) for event, count in counts],
                "latencies": [],
                **({"cached": from_cache} if from_cache else {}),
                **({"collapsed": _batch(each)} if each.batch else {}),
            }
        entry["latencies"].append(each.latency_ms)
    return list(entries.values())


def _event(event: EventType, count: int) -> str | dict[str, Any]:
    return event.name if count == 1 else {"name": event.name, "count": count}


def _batch(execution: Execution) -> dict[str, Any]:
    return {"name": execution.command, "count": execution.batch}


def executed_calls() -> str:
    """The calls of the request now being served, for a log line; empty when none are logged.

    As `Account[SUCCESS][12ms], Ranker[TIMEOUT, FALLBACK_SUCCESS][1001ms]x2`.
    """
    scope = current_scope()
    page = None if scope is None else _page_of(scope)
    return "" if page is None else ", ".join(_line(entry) for entry in folded(page.executions))


def _line(entry: dict[str, Any]) -> str:
    names = (
        each if isinstance(each, str) else f"{each['name']}x{each['count']}"
        for each in entry["events"]
    )
    times = len(entry["latencies"])
    total_ms = sum(max(latency, 0) for latency in entry["latencies"])
    line = f"{entry['name']}[{', '.join(names)}][{total_ms}ms]"
    return line if times == 1 else f"{line}x{times}"
