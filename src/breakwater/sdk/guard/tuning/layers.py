"""Settings from several sources laid over one another, and over what the code says.

A layer is what one source says: for all commands, for groups, for single commands, later ones
first. A later layer goes over an earlier one whole: what the platform says for all commands wins
over what a file says for one. Everything here is pure.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, Generic

import msgspec

from breakwater.sdk.errors import SettingsError
from breakwater.sdk.guard.events import Scope, Source
from breakwater.sdk.guard.tuning.keys import (
    C,
    Value,
    checked_setting,
    concerns,
    flattened,
    laid,
    setting_keys,
    setting_of_text,
    shortened,
)

SOURCES: Final[tuple[Source, ...]] = ("file", "environment", "platform")
"""The sources above the code; a later one wins."""

MAX_SETTINGS: Final = 5_000
"""Settings taken from one source; further ones are refused."""
MAX_HINTS: Final = 20
"""Unknown keys of one source that are told what they may have meant; to find that takes a while."""


class Place(msgspec.Struct, frozen=True):
    """Where a setting stands: for whom, and its key. name: of the group or command, else empty."""

    scope: Scope
    name: str
    key: str

    def __str__(self) -> str:
        """As a person would say it."""
        return f"{self.scope} {self.name}: {self.key}" if self.name else f"{self.scope}: {self.key}"


class RefusedSetting(msgspec.Struct, frozen=True, kw_only=True):
    """A setting that a source gives and that is not used; reason: why, and what is allowed."""

    source: Source
    place: Place
    reason: str


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """What one source says. folds_names: names of groups and commands are written as `folded`.

    tables: settings by scope and name. expires_ms: of those that end by themselves, wall time.
    """

    source: Source
    tables: dict[tuple[Scope, str], dict[str, Value]] = {}
    expires_ms: dict[Place, int] = {}
    folds_names: bool = False

    def candidates(self, command: str, group: str) -> "list[tuple[Place, Value]]":
        """What concerns a command, the most particular first."""
        wanted: tuple[tuple[Scope, str], ...] = (
            ("command", command), ("group", group), ("default", ""),
        )  # fmt: skip
        found: list[tuple[Place, Value]] = []
        for scope, plain in wanted:
            name = folded(plain) if self.folds_names else plain
            values = self.tables.get((scope, name), _NOTHING)
            found += [(Place(scope, name, key), value) for key, value in values.items()]
        return found

    def settings(self) -> dict[Place, Value]:
        """All of them."""
        return {
            Place(scope, name, key): value
            for (scope, name), values in self.tables.items()
            for key, value in values.items()
        }

    def without(self, places: Collection[Place]) -> "Layer":
        """The same without some settings."""
        kept = {place: value for place, value in self.settings().items() if place not in places}
        ends_ms = {place: ms for place, ms in self.expires_ms.items() if place not in places}
        return msgspec.structs.replace(self, tables=_tables(kept), expires_ms=ends_ms)


_NOTHING: Final[dict[str, Value]] = {}


def _tables(settings: Mapping[Place, Value]) -> dict[tuple[Scope, str], dict[str, Value]]:
    found: dict[tuple[Scope, str], dict[str, Value]] = {}
    for place, value in settings.items():
        found.setdefault((place.scope, place.name), {})[place.key] = value
    return found


_SCOPES: Final[tuple[Scope, ...]] = ("command", "group", "default")


def folded(name: str) -> str:
    """A name as it stands in the environment: capitals, all but letters and digits as `_`."""
    return "".join(c if c.isascii() and c.isalnum() else "_" for c in name).upper()


def read_layer(
    source: Source, entries: Mapping[Place, object], before: Layer | None, *, is_text: bool = False
) -> tuple[Layer, list[RefusedSetting]]:
    """The usable settings of a source, and the others.

    before: the same source's last layer; where its value for a place was good and the new one is
    not, the old one stays. is_text: values are written as text.
    """
    settings: dict[Place, Value] = {}
    known = {} if before is None else before.settings()
    refused: list[RefusedSetting] = []
    for number, (place, value) in enumerate(entries.items()):
        try:
            if number >= MAX_SETTINGS:
                raise SettingsError(f"one source may give {MAX_SETTINGS} settings")  # noqa: TRY301 - as any other
            if len(refused) >= MAX_HINTS and place.key not in setting_keys():
                raise SettingsError(f"there is no key {shortened(place.key)!r}")  # noqa: TRY301 - as any other
            read = setting_of_text if is_text else checked_setting
            settings[place] = read(place.key, value)  # type: ignore[arg-type] # text where told so
        except SettingsError as error:
            refused.append(RefusedSetting(source=source, place=place, reason=str(error)))
            if place in known:
                settings[place] = known[place]
    return Layer(source=source, tables=_tables(settings), folds_names=is_text), refused


def entries_of(document: Mapping[str, Any]) -> dict[Place, object]:
    """Settings of a document of the form `{default: {...}, group: {name: {...}}, command: ...}`.

    Raises SettingsError where it has another form.
    """
    found: dict[Place, object] = {}
    for scope, tables in document.items():
        if scope not in _SCOPES:
            raise SettingsError(f"there is no section {scope!r}; known: default, group, command")
        named = {"": tables} if scope == "default" else tables
        if not isinstance(named, Mapping):
            raise SettingsError(f"section {scope!r} must be a table of names")
        for name, table in named.items():
            if not isinstance(table, Mapping):
                raise SettingsError(f"section {scope!r}: {name or 'it'} must be a table of keys")
            found.update({Place(scope, str(name), key): v for key, v in flattened(table)})
    return found


class Laid(msgspec.Struct, Generic[C], frozen=True, kw_only=True):
    """The configuration in force, and where each key set over the code's comes from."""

    config: C
    origins: dict[str, tuple[Source, Scope]]
    refused: tuple[RefusedSetting, ...] = ()


class _Candidate(msgspec.Struct, frozen=True):
    source: Source
    place: Place
    value: Value


def lay(layers: Sequence[Layer], config: C, *, command: str, group: str) -> Laid[C]:
    """Lay what the layers (later ones win) say of a command, or a server, over its configuration.

    Settings that clash with one another are refused, as few as possible; in place of one that is
    refused stands what the next lower scope or source says.
    """
    candidates: dict[str, list[_Candidate]] = {}
    for layer in reversed(layers):
        for place, value in layer.candidates(command, group):
            if not concerns(place.key, type(config)):
                continue
            found = _Candidate(layer.source, place, value)
            candidates.setdefault(place.key, []).append(found)
    if not candidates:
        return Laid(config=config, origins={})
    chosen = {key: ranked[0] for key, ranked in candidates.items()}
    refused: list[RefusedSetting] = []
    try:
        made = _laid(config, chosen)
    except SettingsError:
        chosen, refused = _without_clashes(config, candidates)
        made = _laid(config, chosen)
    origins = {key: (one.source, one.place.scope) for key, one in chosen.items()}
    return Laid(config=made, origins=origins, refused=tuple(refused))


def _laid(config: C, chosen: Mapping[str, _Candidate]) -> C:
    return laid(config, {key: one.value for key, one in chosen.items()})


def _without_clashes(
    config: C, candidates: Mapping[str, list[_Candidate]]
) -> tuple[dict[str, _Candidate], list[RefusedSetting]]:
    """Settings are taken in as long as they fit those there are; then one moves down, and so on."""
    waiting = {key: list(ranked) for key, ranked in sorted(candidates.items())}
    chosen: dict[str, _Candidate] = {}
    refused: list[RefusedSetting] = []
    while waiting:
        reasons: dict[str, str] = {}
        for key in tuple(waiting):
            trial = {**chosen, key: waiting[key][0]}
            try:
                _laid(config, trial)
            except SettingsError as error:
                reasons[key] = str(error)
            else:
                chosen = trial
                del waiting[key]
        if waiting and len(reasons) == len(waiting):
            _move_down(waiting, reasons, refused)
    return chosen, refused


def _move_down(
    waiting: dict[str, list[_Candidate]], reasons: Mapping[str, str], refused: list[RefusedSetting]
) -> None:
    """The first of those that wait is refused, and what stands below it waits in its place."""
    key, ranked = next(iter(waiting.items()))
    one = ranked.pop(0)
    refused.append(RefusedSetting(source=one.source, place=one.place, reason=reasons[key]))
    if not ranked:
        del waiting[key]
