"""Limits on the series of one name and of one application, and what happens beyond them.

A new series beyond a limit is rolled up: the key that has most values among the series of its
name loses its value to `auto-rollup`, then the next key, until it is the same as other series
that were rolled up. What many sources then write to one series is added up, or for gauges the
greatest counts. Nothing of this is silent: it is counted for each name and application, logged
once, told in the notices of answers, and seen in `cardinality`.
"""

from collections import Counter as Tally
from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec
import numpy as np
import structlog
from numpy.typing import NDArray

from breakwater.metrics.errors import CardinalityLimitError
from breakwater.metrics.limits.cardinality import APP, NAME, Churn, LimitUse
from breakwater.metrics.normalize.standings import ROLLED
from breakwater.metrics.selection.query import Equal
from breakwater.metrics.series.kinds import ADD, COUNTER, GAUGE, MAXIMUM, REPLACE, SUM
from breakwater.metrics.series.rows import ROW_BITS, ROW_MASK, Handles, Rows
from breakwater.metrics.series.table import TagTable
from breakwater.metrics.store.ports import Resolved
from breakwater.metrics.store.series_store import SeriesStore
from breakwater.model import Clock

log = structlog.get_logger("breakwater.metrics")

ROLLED_UP: Final = "auto-rollup"
"""The value of a key whose values were too many."""

_KEPT: Final = frozenset((NAME, APP, "statistic", "percentile"))
_KEPT_PREFIX: Final = "atlas."
_SAMPLE: Final = 16_384
_FEWEST_ROLLED: Final = 100
_MOST_SCOPES: Final = 10_000
_SHOWN_NAMES: Final = 3
_PURGE_MS: Final = 60_000

Kind = Literal["name", "app"]
Tags = Mapping[str, str]
Identity = frozenset[tuple[str, str]]

_KEYS: Final[dict[Kind, str]] = {"name": NAME, "app": APP}


class LimiterStats(msgspec.Struct, frozen=True, kw_only=True):
    """What limits have done.

    rolled_up: series that stand for many sources now, of limited_names and limited_apps. Since the
    start: sources: how often a series was rolled up into one of those; refused: how often there
    was not even room there.
    """

    rolled_up: int
    limited_names: int
    limited_apps: int
    sources: int
    refused: int


class _Scope:
    """One name, or one application, that has reached its limit."""

    def __init__(self, kind: Kind, value: str, limit: int) -> None:
        self.kind, self.value, self.limit = kind, value, limit
        self.made = self.sources = self.refused = 0
        self.is_logged = False

    def has_room(self, level: int) -> bool:
        """Whether another series with so many keys rolled up may be made."""
        return self.made < level * max(self.limit // 10, _FEWEST_ROLLED)


class Limiter:
    """Stands before the store wherever series are resolved; belongs to the writer.

    A series that fits costs 0.3 us, one beyond a limit about 10 us each time it is resolved.
    """

    def __init__(self, store: SeriesStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        settings = store.settings
        self._limits: dict[Kind, int] = {
            "name": settings.max_series_per_name,
            "app": settings.max_series_per_app,
        }
        self.churn = Churn(clock)
        self._joined: dict[Identity, int] = {}
        self._scopes: dict[tuple[Kind, str], _Scope] = {}
        self._orders: dict[str, list[str]] = {}
        self._sources = self._refused = 0
        self._purged_ms = 0
        store.watcher = self
        self._restore()

    def resolve(self, tags: Tags) -> int:
        """Handle of the series with these tags, or of what it is rolled up into."""
        handles, error = self.resolve_all([tags])
        if error is not None:
            raise error
        return int(handles[0])

    def resolve_all(self, tags: Sequence[Tags]) -> Resolved:
        """Handles of series, or of what they are rolled up into; -1 where there is no room."""
        names, apps = _tally(tags, NAME), _tally(tags, APP)
        if self._may_be_full("name", names) or self._may_be_full("app", apps):
            return self._resolve_limited(tags)
        return self._resolve_free(tags, names, apps)

    def resolve_table(self, table: TagTable) -> Resolved:
        """As `resolve_all`, for tags that come as a table."""
        names, apps = table.tallies((NAME, APP))
        if self._may_be_full("name", names) or self._may_be_full("app", apps):
            return self._resolve_limited(table.tags())
        return self._resolve_free(table, names, apps)

    def write(
        self, handles: Handles, timestamps_ms: Handles | int, values: NDArray[np.float64]
    ) -> NDArray[np.intp]:
        """As the store's, but what comes to a rolled-up series joins what it holds."""
        store, standings = self._store, self._store.standings
        if not standings.rolled:
            return store.write(handles, timestamps_ms, values)
        targets = standings.targets(handles)
        rows = np.where(targets < 0, 0, targets & ROW_MASK)
        is_rolled = standings.is_rolled(rows)
        if not is_rolled.any():
            return store.write(targets, timestamps_ms, values)
        kinds = store.rows.kind[rows]
        joined = np.where((kinds >= GAUGE) & (kinds != SUM), MAXIMUM, ADD)
        ops = np.where(is_rolled, joined, REPLACE).astype(np.uint8)
        slots = -(-np.asarray(timestamps_ms, dtype=np.int64) // store.settings.step_ms)
        return store.fold(targets, np.broadcast_to(slots, values.shape), values, ops)

    def retire(self, rows: Rows) -> None:
        """The series of these rows are about to go."""
        names, apps = self._tally_rows(rows, NAME), self._tally_rows(rows, APP)
        self.churn.retire(names, apps, len(rows))

    def notice(self, rows: Rows) -> str:
        """What whoever reads these rows should know about limits; empty when there is nothing."""
        if not self._store.standings.rolled:
            return ""
        found = rows[self._store.standings.is_rolled(rows)]
        if not len(found):
            return ""
        names = sorted(self._tally_rows(found, NAME))
        shown = ", ".join(names[:_SHOWN_NAMES]) + (", ..." if len(names) > _SHOWN_NAMES else "")
        return (
            f"{len(found)} of {len(rows)} series stand for many, with {ROLLED_UP} in the place of "
            f"values: {shown} or their applications have more series than allowed"
        )

    def uses(self) -> list[LimitUse]:
        """Names and applications that have reached their limit, those with most sources first."""
        found = [
            LimitUse(
                kind=scope.kind,
                value=scope.value,
                series=self._store.index.count(_KEYS[scope.kind], scope.value),
                limit=scope.limit,
                rolled_up=scope.made,
                sources=scope.sources,
                refused=scope.refused,
                keys=self._orders.get(scope.value, []) if scope.kind == "name" else [],
            )
            for scope in list(self._scopes.values())
        ]
        return sorted(found, key=lambda use: (-use.sources, use.value))

    def stats(self) -> LimiterStats:
        """Counts since the start."""
        kinds = Tally(kind for kind, _ in list(self._scopes))
        return LimiterStats(
            rolled_up=self._store.standings.rolled,
            limited_names=kinds["name"],
            limited_apps=kinds["app"],
            sources=self._sources,
            refused=self._refused,
        )

    def _may_be_full(self, kind: Kind, wanted: Mapping[str, int]) -> bool:
        """Whether these series, were they all new, would go beyond a limit."""
        key, limit, count = _KEYS[kind], self._limits[kind], self._store.index.count
        if len(self._store.index) + sum(wanted.values()) <= limit:
            return False
        return any(count(key, value) + more > limit for value, more in wanted.items() if value)

    def _resolve_free(
        self,
        tags: Sequence[Tags] | TagTable,
        names: Mapping[str, int],
        apps: Mapping[str, int],
    ) -> Resolved:
        """Series that fit, and which of them are new for the books."""
        store = self._store
        before, position = store.new_series, store.index.position
        resolved = store.resolve_all(tags)
        new = store.new_series - before
        if new == len(resolved.handles):
            self.churn.enter(names, apps, new)
        elif new:
            changes = store.index.changed_since(position)
            added = changes.added if changes is not None else resolved.handles[:0]
            is_new = np.isin(resolved.handles & ROW_MASK, added) & (resolved.handles >= 0)
            names, apps = _tallies_at(tags, np.flatnonzero(is_new))
            self.churn.enter(names, apps, new)
        return resolved

    def _resolve_limited(self, tags: Sequence[Tags]) -> Resolved:
        """As `resolve_all`, one by one for series that are new."""
        beyond = self._beyond(tags)
        handles = np.full(len(tags), -1, dtype=np.int64)
        free = [place for place in range(len(tags)) if place not in beyond]
        chosen = [tags[place] for place in free]
        resolved = self._resolve_free(chosen, _tally(chosen, NAME), _tally(chosen, APP))
        handles[free] = resolved.handles
        refusing = self._roll_up(tags, beyond, handles)
        if refusing is None:
            return Resolved(handles, resolved.error)
        return Resolved(
            handles, CardinalityLimitError(refusing.kind, refusing.value, refusing.limit)
        )

    def _beyond(self, tags: Sequence[Tags]) -> dict[int, _Scope]:
        """Places of new series for which there is no room, with the limit that says so."""
        found: dict[int, _Scope] = {}
        waiting: Tally[tuple[Kind, str]] = Tally()
        met: dict[Identity, _Scope | None] = {}
        for place in np.flatnonzero(self._store.index.rows_of_all(tags) < 0).tolist():
            identity = frozenset(tags[place].items())
            if identity not in met:
                met[identity] = self._scope_of(tags[place], waiting)
            scope = met[identity]
            if scope is not None:
                found[place] = scope
        return found

    def _scope_of(self, tags: Tags, waiting: Tally[tuple[Kind, str]]) -> _Scope | None:
        """The limit that a new series is beyond; when there is none it counts as `waiting`."""
        for kind, key in _KEYS.items():
            value = tags.get(key)
            if value is None:
                continue
            used = self._store.index.count(key, value) + waiting[kind, value]
            if used >= self._limits[kind]:
                return self._scope(kind, value)
        waiting.update((kind, tags[key]) for kind, key in _KEYS.items() if key in tags)
        return None

    def _scope(self, kind: Kind, value: str) -> _Scope:
        scope = self._scopes.get((kind, value))
        if scope is None:
            if len(self._scopes) >= _MOST_SCOPES:
                del self._scopes[next(iter(self._scopes))]
            scope = self._scopes[kind, value] = _Scope(kind, value, self._limits[kind])
        if not scope.is_logged:
            scope.is_logged = True
            log.warning("metrics.series_limited", kind=kind, value=value, limit=scope.limit)
        return scope

    def _roll_up(
        self, tags: Sequence[Tags], beyond: Mapping[int, _Scope], handles: Handles
    ) -> _Scope | None:
        """Fill in handles for series beyond a limit; returns a limit that left no room at all."""
        made: dict[Identity, dict[str, str]] = {}
        into = {place: self._target(tags[place], scope, made) for place, scope in beyond.items()}
        if None in into.values() and self._is_purge_due():
            self._make(made)
            made.clear()
            self._purge()
            for place in [place for place, target in into.items() if target is None]:
                into[place] = self._target(tags[place], beyond[place], made)
        self._make(made)
        refusing: _Scope | None = None
        sources: dict[Identity, int] = {}
        for place, target in into.items():
            scope = beyond[place]
            handle = -1 if target is None else self._joined.get(target, -1)
            if handle < 0:
                scope.refused += 1
                self._refused += 1
                refusing = scope
                continue
            scope.sources += 1
            self._sources += 1
            source = frozenset(tags[place].items())
            if source not in sources:
                sources[source] = self._lent(handle)
            handles[place] = sources[source]
        return refusing

    def _target(
        self, tags: Tags, scope: _Scope, made: dict[Identity, dict[str, str]]
    ) -> Identity | None:
        """The series with the fewest keys rolled up that is there, or is to be `made`; or none."""
        candidate = dict(tags)
        smallest: dict[str, str] | None = None
        level = 0
        for level, key in enumerate(self._keys(tags), 1):
            candidate[key] = ROLLED_UP
            identity = frozenset(candidate.items())
            if identity in made or self._is_fresh(self._joined.get(identity, -1)):
                return identity
            if smallest is None and scope.has_room(level):
                smallest = dict(candidate)
        if smallest is None and not scope.has_room(level + 1):
            return None
        chosen = smallest or candidate
        identity = frozenset(chosen.items())
        made[identity] = chosen
        scope.made += 1
        return identity

    def _make(self, made: Mapping[Identity, dict[str, str]]) -> None:
        """Have series that stand for many, also after a restart."""
        if not made:
            return
        tags = list(made.values())
        resolved = self._resolve_free(tags, _tally(tags, NAME), _tally(tags, APP))
        self._joined.update(zip(made, resolved.handles.tolist(), strict=True))
        is_rolled = np.array([ROLLED_UP in each.values() for each in tags])
        rows = resolved.handles[is_rolled & (resolved.handles >= 0)] & ROW_MASK
        store = self._store
        with store.mutex:
            for row in rows.tolist():
                store.standings.roll_up(row)
            if store.recorder is not None and len(rows):
                standing = store.standings.of(rows)
                store.recorder.stand(standing._replace(keys=store.rows.serial[rows]))

    def _lent(self, handle: int) -> int:
        """The handle that a source is given: of totals, each source has one of its own."""
        row, standings = handle & ROW_MASK, self._store.standings
        if self._store.rows.kind[row] == COUNTER and standings.places[row] == ROLLED:
            return standings.lend(handle, self._clock.now_ms())
        return handle

    def _keys(self, tags: Tags) -> list[str]:
        """Keys of a series that may be rolled up, those with most values among its name first."""
        name = tags.get(NAME, "")
        order = self._orders.get(name)
        if order is None:
            if len(self._orders) >= _MOST_SCOPES:
                del self._orders[next(iter(self._orders))]
            order = self._orders[name] = self._ordered(name)
        known = [key for key in order if key in tags]
        return known + sorted(key for key in tags if key not in order and _may_go(key))

    def _ordered(self, name: str) -> list[str]:
        """Keys of a name by how many values they have, as a sample of its series says."""
        rows = self._store.index.rows(Equal(NAME, name))
        sample = rows[:: max(len(rows) // _SAMPLE, 1)]
        values = Tally(key for key, _ in self._store.index.tag_table(sample).pairs if _may_go(key))
        return sorted(values, key=lambda key: (-values[key], key))

    def _is_fresh(self, handle: int) -> bool:
        return handle >= 0 and bool(
            self._store.rows.generation[handle & ROW_MASK] == handle >> ROW_BITS
        )

    def _is_purge_due(self) -> bool:
        waited_ms = self._clock.now_ms() - self._purged_ms
        return not 0 <= waited_ms < _PURGE_MS  # below 0 the clock was set back

    def _purge(self) -> None:
        """Forget rolled-up series that were retired, which may leave room for others."""
        self._purged_ms = self._clock.now_ms()
        self._joined = {key: each for key, each in self._joined.items() if self._is_fresh(each)}
        names = {dict(identity).get(NAME, "") for identity in self._joined}
        self._orders = {name: each for name, each in self._orders.items() if name in names}
        self._count_made()

    def _count_made(self) -> None:
        """Charge every rolled-up series to its name and application."""
        for each in self._scopes.values():
            each.made = 0
        for identity in self._joined:
            tags = dict(identity)
            for kind, key in _KEYS.items():
                scope = self._scopes.get((kind, tags.get(key, "")))
                if scope is not None:
                    scope.made += 1

    def _restore(self) -> None:
        """Know again what was rolled up before a restart."""
        rows = self._store.standings.rolled_rows()
        for row, handle in zip(rows.tolist(), self._store.rows.handles(rows).tolist(), strict=True):
            tags = self._store.index.tags_of(row)
            self._joined[frozenset(tags.items())] = handle
            for kind, key in _KEYS.items():
                if self._store.index.count(key, tags.get(key, "")) >= self._limits[kind]:
                    self._scope(kind, tags[key])
        self._count_made()

    def _tally_rows(self, rows: Rows, key: str) -> dict[str, int]:
        codes, counts = np.unique(self._store.index.codes(rows, key), return_counts=True)
        found = zip(codes.tolist(), counts.tolist(), strict=True)
        return {self._store.index.value_of(code): count for code, count in found if code >= 0}


def _may_go(key: str) -> bool:
    return key not in _KEPT and not key.startswith(_KEPT_PREFIX)


def _tallies_at(
    tags: Sequence[Tags] | TagTable, places: NDArray[np.intp]
) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """How many of the series at these places have each name, and each application."""
    if isinstance(tags, TagTable):
        names, apps = tags.part(places).tallies((NAME, APP))
        return names, apps
    chosen = [tags[place] for place in places.tolist()]
    return _tally(chosen, NAME), _tally(chosen, APP)


def _tally(tags: Sequence[Tags], key: str) -> Mapping[str, int]:
    """How many of these series carry each value of a key; those without it under ''."""
    if len(tags) == 1:
        return {tags[0].get(key, ""): 1}
    return Tally([each.get(key, "") for each in tags])
