"""The request cache: within one request, equal calls are made once.

As in Hystrix the first call of a key is made and whatever becomes of it, answer or error, stands
for all later equal calls of the same request; those that come while it is under way wait for it.
Only RESPONSE_FROM_CACHE is counted for them. The cache lives as long as the request's scope
(`breakwater.sdk.guard.sharing.scope`); outside any, every call is made.
"""

import threading
from collections.abc import Hashable
from typing import Any, Final

import msgspec

from breakwater.sdk.guard.gate import Queued
from breakwater.sdk.guard.roles import Answer, Lead
from breakwater.sdk.guard.sharing.scope import current_scope
from breakwater.sdk.guard.sharing.singleflight import (
    Flight,
    FlightLead,
    is_departure,
    lead,
    leads,
    unlead,
)

MAX_ENTRIES: Final = 1_000
"""Keys of one command kept within one request; the oldest leave first."""


class RequestCacheStats(msgspec.Struct, frozen=True, kw_only=True):
    """Calls answered from the cache (waited for or not), made and kept, made outside a request."""

    hits: int
    misses: int
    without_scope: int


class RequestCache:
    """The request cache of one command."""

    name = "request cache"

    def __init__(self, command: str, max_entries: int = MAX_ENTRIES) -> None:
        self._command = command
        self._max_entries = max_entries
        self._lock = threading.RLock()
        self._hits = self._misses = self._without_scope = 0

    def enter(self, key: Hashable, now_s: float) -> Answer | Lead | Queued:
        """What this request knows of `key`; or this call finds out; or it waits for who does."""
        table = self._table()
        if table is None:
            self._count(without_scope=1)
            return FlightLead(key)
        while True:
            fresh = Flight(key, table)
            flight = table.setdefault(key, fresh)
            if flight is fresh:
                self._bound(table)
                self._count(misses=1)
                return lead(flight)
            if flight.ended_s is None and leads(flight):
                return FlightLead(key)
            if flight.has_answer:
                self._count(hits=1)
                return flight.answer(now_s) or FlightLead(key)
            follower = flight.join(self._command)
            if follower is not None:
                self._count(hits=1)
                return follower
            flight.forget()

    def done(self, lead: Lead, value: Any, now_s: float) -> None:
        """The answer, kept for the rest of the request."""
        self._land(lead, value, None, now_s)

    def failed(self, lead: Lead, error: BaseException, now_s: float) -> None:
        """The error, kept alike; nothing is kept of a call that was cancelled."""
        if not is_departure(error):
            self._land(lead, None, error, now_s)
        elif isinstance(lead, FlightLead) and lead.flight is not None:
            unlead(lead.flight)
            lead.flight.hand_over()

    def clear(self, key: Hashable) -> None:
        """Forget what this request knows of `key`, after it changed what the key stands for."""
        table = self._table()
        if table is not None:
            table.pop(key, None)

    def _land(self, lead: Lead, value: Any, error: BaseException | None, now_s: float) -> None:
        if isinstance(lead, FlightLead) and lead.flight is not None:
            unlead(lead.flight)
            lead.flight.land(value, error, now_s)

    def _table(self) -> dict[Hashable, Flight] | None:
        scope = current_scope()
        if scope is None:
            return None
        table: dict[Hashable, Flight] = scope.slots.setdefault((RequestCache, self._command), {})
        return table

    def _bound(self, table: dict[Hashable, Flight]) -> None:
        while len(table) > self._max_entries:
            table.pop(next(iter(table.copy())), None)

    def _count(self, *, hits: int = 0, misses: int = 0, without_scope: int = 0) -> None:
        with self._lock:
            self._hits += hits
            self._misses += misses
            self._without_scope += without_scope

    def stats(self) -> RequestCacheStats:
        """How often it helped."""
        with self._lock:
            return RequestCacheStats(
                hits=self._hits, misses=self._misses, without_scope=self._without_scope
            )
