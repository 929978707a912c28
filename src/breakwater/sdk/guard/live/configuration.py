"""Live configuration: what several sources say of the commands of a process, laid over the code.

    code  <  file  <  environment  <  platform         and within a source
    default  <  group  <  command

Each source is read by its own module and puts its layer here; the commands follow at once, those
made later too. A setting that cannot be used is refused, counted and named; the value it would
have replaced stays, and the rest of its source is used. What the platform said last stays in force
when it is dead, but for settings with an end, which end by themselves.
"""

import threading
from collections.abc import Mapping

import msgspec

from breakwater.sdk.guard.command import Command
from breakwater.sdk.guard.config import CommandConfig, SheddingConfig
from breakwater.sdk.guard.events import Scope, Source
from breakwater.sdk.guard.guards import SERVERS, Guards, Server
from breakwater.sdk.guard.tuning.audit import ConfigRefusal
from breakwater.sdk.guard.tuning.keys import C, concerns
from breakwater.sdk.guard.tuning.layers import (
    SOURCES,
    Layer,
    Place,
    RefusedSetting,
    lay,
    read_layer,
)

_Whose = tuple[type[CommandConfig] | type[SheddingConfig], str]
"""A command or a server, and its name."""


class SourceStats(msgspec.Struct, frozen=True, kw_only=True):
    """What one source gives now, how often it was taken in, and how often it could not be read."""

    settings: int
    refused: int
    readings: int
    failures: int
    last_failure: str = ""


class _State:
    """The last layer of one source, and how its readings went."""

    __slots__ = ("failures", "last_failure", "layer", "readings", "refused")

    def __init__(self, source: Source) -> None:
        self.layer = Layer(source=source)
        self.refused: frozenset[RefusedSetting] = frozenset()
        self.readings = self.failures = 0
        self.last_failure = ""


class LiveConfig:
    """See above. Any thread may put; a change is in force when the call returns."""

    def __init__(self, guards: Guards) -> None:
        self._guards = guards
        self._clock = guards.shared.clock
        self._lock = threading.Lock()
        self._states = {source: _State(source) for source in SOURCES}
        self._layers: tuple[Layer, ...] = ()
        self._origins: dict[_Whose, dict[str, tuple[Source, Scope]]] = {}
        self._clashes: dict[_Whose, frozenset[RefusedSetting]] = {}

    def put(
        self,
        source: Source,
        entries: Mapping[Place, object],
        *,
        is_text: bool = False,
        expires_ms: Mapping[Place, int] | None = None,
    ) -> None:
        """All that a source says now, in place of what it said before.

        is_text: values are text, and names are folded. expires_ms: when single settings end.
        """
        with self._lock:
            state = self._states[source]
            layer, refused = read_layer(source, entries, state.layer, is_text=is_text)
            if expires_ms:
                layer = msgspec.structs.replace(layer, expires_ms=dict(expires_ms))
            news = [one for one in refused if one not in state.refused]
            state.readings += 1
            state.last_failure = ""
            state.refused = frozenset(refused)
            is_changed = self._take(state, self._unexpired(layer))
        self._guards.audit.note_refused(news, self._clock.now_ms())
        if is_changed:
            self._apply()

    def note_failure(self, source: Source, where: str, reason: str) -> None:
        """A source could not be read at all; what it said before stays."""
        with self._lock:
            state = self._states[source]
            state.failures += 1
            is_news, state.last_failure = reason != state.last_failure, reason
        if is_news:
            self._guards.audit.note_refusal(
                ConfigRefusal(at_ms=self._clock.now_ms(), source=source, where=where, reason=reason)
            )

    def drop_expired(self) -> None:
        """End the settings whose time is over; a chore of each second."""
        with self._lock:
            is_changed = False
            for state in self._states.values():
                if state.layer.expires_ms:
                    is_changed |= self._take(state, self._unexpired(state.layer))
        if is_changed:
            self._apply()

    def _unexpired(self, layer: Layer) -> Layer:
        now_ms = self._clock.now_ms()
        over = [place for place, ms in layer.expires_ms.items() if ms <= now_ms]
        return layer.without(over) if over else layer

    def _take(self, state: _State, layer: Layer) -> bool:
        """Under the lock; whether anything is said otherwise than before."""
        is_changed = layer.tables != state.layer.tables
        state.layer = layer
        if is_changed:
            self._layers = tuple(one.layer for one in self._states.values() if one.layer.tables)
        return is_changed

    def _apply(self) -> None:
        self._guards.lay_over(self.overlay, self.origin, self.overlay_server)

    def overlay(self, command: Command, config: CommandConfig) -> CommandConfig:
        """The configuration in force of a command whose code says `config`."""
        return self._laid((CommandConfig, command.name), command.group, config)

    def overlay_server(self, server: Server, config: SheddingConfig) -> SheddingConfig:
        """As `overlay`, of a server."""
        return self._laid((SheddingConfig, server.name), SERVERS, config)

    def _laid(self, whose: _Whose, group: str, config: C) -> C:
        name = whose[1]
        found = lay(self._layers, config, command=name, group=group)
        self._origins[whose] = found.origins
        clashes = frozenset(found.refused)
        news = clashes - self._clashes.get(whose, frozenset())
        if clashes:
            self._clashes[whose] = clashes
        else:
            self._clashes.pop(whose, None)
        if news:
            self._guards.audit.note_refused(news, self._clock.now_ms(), command=name)
        return found.config

    def origin(self, command: str, key: str) -> tuple[Source, Scope]:
        """Where the value of a key in force comes from; a key follows the part it is in.

        command: or the name of a server, for a key of servers.
        """
        kind = SheddingConfig if concerns(key, SheddingConfig) else CommandConfig
        origins = self._origins.get((kind, command), {})
        part = key.rpartition(".")[0] if kind is SheddingConfig else key.partition(".")[0]
        for path in (key, part, "profile"):
            if path in origins:
                return origins[path]
        return "code", "command"

    def stats(self) -> dict[str, SourceStats]:
        """Each source by name."""
        with self._lock:
            return {
                source: SourceStats(
                    settings=sum(len(values) for values in state.layer.tables.values()),
                    refused=len(state.refused),
                    readings=state.readings,
                    failures=state.failures,
                    last_failure=state.last_failure,
                )
                for source, state in self._states.items()
            }
