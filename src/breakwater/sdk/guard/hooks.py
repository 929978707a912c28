"""Hooks: whoever wants to hear what happens to guarded calls, without being able to harm them.

A hook says which kinds it wants, and what nobody wants is never put together. It is called after
the fact, on the thread of the call it is told of, holding no lock. What it raises is counted and
goes no further; after ten raises it is switched off.
"""

import threading
from collections.abc import Callable, Collection
from typing import Any, Final, TypeVar, cast

import msgspec

from breakwater.sdk.guard.events import EVENTS, Event, Hook, Kind

E = TypeVar("E", bound=Event)
MAX_RAISES: Final = 10


def _nothing() -> None:
    """Nobody minds."""


class HookStats(msgspec.Struct, frozen=True, kw_only=True):
    """Hooks in use, events told, exceptions they raised, and hooks switched off for that."""

    hooks: int
    told: int
    raised: int
    switched_off: int


class _Entry:
    __slots__ = ("hook", "kinds", "raised")

    def __init__(self, hook: Hook, kinds: frozenset[Kind]) -> None:
        self.hook = hook
        self.kinds = kinds
        self.raised = 0


class Hooks:
    """The hooks of one registry.

    wanted: the kinds that somebody wants; read before an event is put together. on_change: called
    when it changed, under no lock.
    """

    def __init__(self) -> None:
        self.wanted: frozenset[Kind] = frozenset()
        self._entries: tuple[_Entry, ...] = ()
        self.on_change: Callable[[], None] = _nothing
        self._lock = threading.RLock()
        self._told = self._raised = self._switched_off = 0

    def add(self, hook: Hook, kinds: Collection[Kind] | None = None) -> None:
        """Tell `hook` of these kinds, None: of all. Added twice, it is told twice."""
        entry = _Entry(hook, frozenset(Kind) if kinds is None else frozenset(kinds))
        with self._lock:
            self._replace((*self._entries, entry))
        self.on_change()

    def on(self, event: type[E], hook: Callable[[E], object]) -> None:
        """Tell `hook` of the events of this class: one kind, or several that share a class."""
        kinds = [each.kind for each in EVENTS if issubclass(each, event)]
        self.add(cast("Hook", hook), kinds)

    def remove(self, hook: Callable[[Any], object]) -> None:
        """Tell it no more; unknown hooks are no error."""
        with self._lock:
            self._replace(tuple(entry for entry in self._entries if entry.hook != hook))
        self.on_change()

    def tell(self, event: Event) -> None:
        """Tell those who want this kind."""
        for entry in self._entries:
            if event.kind not in entry.kinds:
                continue
            try:
                entry.hook(event)
            except Exception:  # noqa: BLE001 - a hook can never break the call it is told of
                self._note_raise(entry)
            else:
                self._told += 1

    def _note_raise(self, entry: _Entry) -> None:
        with self._lock:
            self._raised += 1
            entry.raised += 1
            if entry.raised < MAX_RAISES or entry not in self._entries:
                return
            self._switched_off += 1
            self._replace(tuple(other for other in self._entries if other is not entry))
        self.on_change()

    def _replace(self, entries: tuple[_Entry, ...]) -> None:
        self._entries = entries
        self.wanted = frozenset[Kind]().union(*(entry.kinds for entry in entries))

    def stats(self) -> HookStats:
        """Counts since start."""
        return HookStats(
            hooks=len(self._entries),
            told=self._told,
            raised=self._raised,
            switched_off=self._switched_off,
        )
