"""Every setting of a command under one name: `timeout_s`, `breaker.open_s`, `retry.budget.ratio`.

A key is the path of a field of `CommandConfig`. A part that may be left out is switched by its own
name: `retry` set to None leaves it out, set to `{}` puts it in with what the code says of it, else
with its defaults. A key of a part that is left out waits until it is put in. `profile` names the
defaults to start from, in place of what the code says.

Servers have keys too: those of `SheddingConfig` after `shedding.`, so that one source may speak of
both; commands pass over them, and servers over all others.
"""

from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from types import UnionType
from typing import Any, Final, Literal, TypeVar, Union, get_args, get_origin

import msgspec

from breakwater.sdk.errors import SettingsError
from breakwater.sdk.guard.config import CommandConfig, SheddingConfig
from breakwater.sdk.guard.tuning.profiles import PROFILES

Value = bool | int | float | str | dict[str, float] | None
"""What a key may be set to."""

Config = CommandConfig | SheddingConfig
C = TypeVar("C", CommandConfig, SheddingConfig)

PROFILE: Final = "profile"
SHEDDING: Final = "shedding"
_OF_SERVERS: Final = f"{SHEDDING}."
_SHOWN: Final = 200
_ALIKE: Final = 0.6
_REMEMBERED: Final = 500
NONE: Final = "none"
"""How None is written where there is no such word, in TOML and in the environment."""


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """One setting. part: the record behind it, if it is a whole part; type: of its value, else.

    allowed: what it may be set to, in words, apart from its range. default: of our own profile;
    `out` of a part that is not there unless asked for.
    """

    path: str
    allowed: str
    default: str = ""
    part: type[msgspec.Struct] | None = None
    type: Any = None
    may_be_none: bool = False


Children = tuple[tuple[str, type[msgspec.Struct] | None], ...]
_children: Final[dict[type[msgspec.Struct], Children]] = {}


@cache
def setting_keys() -> dict[str, Key]:
    """All keys by path, parts before what is in them."""
    profile = Key(path=PROFILE, type=Literal[*PROFILES], allowed=" or ".join(PROFILES))
    servers = Key(path=SHEDDING, part=SheddingConfig, allowed="{}", default="in")
    keys = (*_keys_of(CommandConfig, ""), servers, *_keys_of(SheddingConfig, _OF_SERVERS))
    return {PROFILE: profile, **{key.path: key for key in keys}}


def concerns(path: str, kind: type[Config]) -> bool:
    """Whether a key is one of commands, or of servers."""
    return path.startswith(_OF_SERVERS) == (kind is SheddingConfig)


def children(record: type[msgspec.Struct]) -> Children:
    """The fields of a record type by name, with the record behind those that are parts."""
    found = _children.get(record)
    if found is None:
        fields = msgspec.structs.fields(record)
        found = tuple((one.name, _part_of(one.type)) for one in fields)
        _children[record] = found
    return found


def _keys_of(record: type[msgspec.Struct], prefix: str) -> Iterator[Key]:
    for one in msgspec.structs.fields(record):
        path, part = prefix + one.name, _part_of(one.type)
        may_be_none = type(None) in get_args(one.type)
        if part is None:
            allowed = _allowed(one.type)
            yield Key(
                path=path, type=one.type, may_be_none=may_be_none, allowed=allowed,
                default=_default_of(one),
            )  # fmt: skip
            continue
        allowed = f"{{}} or {NONE}" if may_be_none else "{}"
        default = "in" if one.default is not None else "out"
        yield Key(path=path, part=part, may_be_none=may_be_none, allowed=allowed, default=default)
        yield from _keys_of(part, f"{path}.")


def _part_of(kind: Any) -> type[msgspec.Struct] | None:
    for one in (kind, *get_args(kind)):
        if isinstance(one, type) and issubclass(one, msgspec.Struct):
            return one
    return None


def _default_of(field: msgspec.structs.FieldInfo) -> str:
    if field.default is msgspec.NODEFAULT:
        return "{}"
    if isinstance(field.default, str):
        return field.default
    return NONE if field.default is None else msgspec.json.encode(field.default).decode()


def _allowed(kind: Any) -> str:
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(_allowed(one) for one in get_args(kind))
    if get_origin(kind) is Literal:
        return " or ".join(str(one) for one in get_args(kind))
    return _WORDS.get(kind, "numbers by name")


_WORDS: Final = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    type(None): NONE,
}


def find_key(path: str) -> Key:
    """The key of this path. Raises SettingsError that names the nearest, or what there is."""
    found = setting_keys().get(path)
    if found is not None:
        return found
    near = _nearest(path) if len(path) <= _SHOWN else ()
    path = shortened(path)
    if near:
        raise SettingsError(f"there is no key {path!r}; the nearest: {', '.join(near)}")
    parent = path.rpartition(".")[0]
    inside = [name for name in setting_keys() if name.rpartition(".")[0] == parent]
    known = inside or [name for name in setting_keys() if "." not in name]
    raise SettingsError(f"there is no key {path!r}; known: {', '.join(known)}")


@lru_cache(maxsize=_REMEMBERED)
def _nearest(path: str) -> tuple[str, ...]:
    """Keys much like it. What is longer than any key, or made of other letters, costs little."""
    from difflib import SequenceMatcher  # noqa: PLC0415 - only for a mistake

    matcher = SequenceMatcher(autojunk=False)
    matcher.set_seq2(path)
    found: list[tuple[float, str]] = []
    for key in setting_keys():
        matcher.set_seq1(key)
        if matcher.real_quick_ratio() >= _ALIKE and matcher.quick_ratio() >= _ALIKE:
            ratio = matcher.ratio()
            if ratio >= _ALIKE:
                found.append((ratio, key))
    return tuple(key for _, key in sorted(found, reverse=True)[:3])


def checked_setting(path: str, value: object) -> Value:
    """The value as the key takes it, for a key that stands alone.

    Raises SettingsError that names key, value and what is allowed, range included.
    """
    key = find_key(path)
    taken = _taken(key, value)
    if path == PROFILE or key.part is not None:
        return taken
    try:
        _try_alone(path, taken)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from None
    return taken


def _try_alone(path: str, value: Value) -> None:
    """Refuse a value out of range, whatever the keys beside it are set to."""
    if concerns(path, SheddingConfig):
        laid(SheddingConfig(), dict.fromkeys(_beside(path), value))
        return
    parts_in: dict[str, Value] = {name: {} for name, part in children(CommandConfig) if part}
    laid(CommandConfig(), {**parts_in, path: value})


def _beside(path: str) -> tuple[str, ...]:
    """The key, and those that it must stand in an order with; it is not refused for theirs."""
    return next((keys for keys in _ORDERED if path in keys), (path,))


_ORDERED: Final = tuple(
    tuple(f"{_OF_SERVERS}{name}" for name in names)
    for names in (
        ("sheddable", "sheddable_plus", "critical", "critical_plus"),
        ("target_s", "interval_s"),
    )
)


def shortened(text: str) -> str:
    """A text from outside as it may stand in a message and a log."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _taken(key: Key, value: object) -> Value:
    if key.may_be_none and (value is None or value == NONE):
        return None
    if key.part is not None:
        if value == {}:
            return {}
        raise _unusable(key, value)
    try:
        taken: Value = msgspec.convert(value, key.type)
    except msgspec.ValidationError as error:
        raise _unusable(key, value) from error
    return taken


def _unusable(key: Key, value: object) -> SettingsError:
    shown = NONE if value is None else repr(value)
    return SettingsError(f"{key.path} is {shortened(shown)}, must be {key.allowed}")


def setting_of_text(path: str, text: str) -> Value:
    """As `checked_setting`, of a value written as text: `0.5`, `true`, `none`, `{"live": 0.5}`."""
    key = find_key(path)
    value: object = text
    if text.startswith("{"):
        try:
            value = msgspec.json.decode(text)
        except msgspec.DecodeError as error:
            raise SettingsError(
                f"{path} is {shortened(text)!r}, which is no JSON: {error}"
            ) from None
    elif key.part is None and text != NONE:
        try:
            value = msgspec.convert(text, key.type, strict=False)
        except msgspec.ValidationError:
            value = text
    return checked_setting(path, value)


def flattened(tree: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Keys and values of nested tables, in order; `{retry: {max_attempts: 2}}` is one key."""
    for name, value in tree.items():
        path = f"{prefix}{name}"
        key = setting_keys().get(path)
        if key is not None and key.part is not None and isinstance(value, Mapping) and value:
            yield from flattened(value, f"{path}.")
        else:
            yield path, value


def laid(config: C, values: Mapping[str, Value]) -> C:
    """The configuration with these keys set, all at once. Raises SettingsError if they clash."""
    if isinstance(config, SheddingConfig):
        servers: C = _laid(config, _OF_SERVERS, values, {})
        return servers
    name = values.get(PROFILE)
    if not isinstance(name, str):
        commands: C = _laid(config, "", values, {})
        return commands
    profile = PROFILES[name]
    made: C = _laid(profile.config(), "", values, profile.parts)
    return made


def _laid(
    record: Any, prefix: str, values: Mapping[str, Value], parts: Mapping[str, msgspec.Struct]
) -> Any:
    """parts: what a part begins with that is put in, where that is not its type's own."""
    changes: dict[str, Any] = {}
    for name, part in children(type(record)):
        path = f"{prefix}{name}"
        if part is None:
            if path in values:
                changes[name] = values[path]
            continue
        before = inner = getattr(record, name)
        if path in values:
            if values[path] is None:
                inner = None
            elif before is None:
                inner = parts.get(path) or part()
        if inner is not None:
            inner = _laid(inner, f"{path}.", values, parts)
        if inner is not before:
            changes[name] = inner
    return msgspec.structs.replace(record, **changes) if changes else record


def differences(before: C, after: C) -> list[tuple[str, Any, Any]]:
    """Keys whose values differ, with both; a part put in or left out is one difference."""
    prefix = _OF_SERVERS if isinstance(before, SheddingConfig) else ""
    return list(_differences(before, after, prefix))


def _differences(before: Any, after: Any, prefix: str) -> Iterator[tuple[str, Any, Any]]:
    for name, part in children(type(before)):
        old, new = getattr(before, name), getattr(after, name)
        if old == new:
            continue
        path = f"{prefix}{name}"
        if part is None or old is None or new is None:
            yield path, shown(old), shown(new)
        else:
            yield from _differences(old, new, f"{path}.")


def shown(value: Any) -> Any:
    """A value in plain words of JSON: a part as a dictionary."""
    return msgspec.to_builtins(value)
