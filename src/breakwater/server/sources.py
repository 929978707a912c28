"""Where settings come from: defaults, then a TOML file, then the environment, then flags.

A later source overrules an earlier one setting by setting. Every name that is given must exist
and every value must fit, whichever source it comes from; the effective value remembers its
source, so that `--show-settings` can tell. In the environment a setting is called
`BREAKWATER_SECTION__NAME`; the double underscore keeps these apart from what the SDK and
container platforms put under the same prefix. The few settings outside any section are
`BREAKWATER_DATA_DIR`, `BREAKWATER_LOG_LEVEL` and `BREAKWATER_TOKENS`.
"""

import difflib
import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

import msgspec

from breakwater.server.errors import (
    InvalidSettingError,
    SettingsFileError,
    UnknownSettingError,
)
from breakwater.server.settings import Settings, check_value

DEFAULT_FILE: Final = "breakwater.toml"
_PREFIX: Final = "BREAKWATER_"
_NOT_OURS: Final = "BREAKWATER_GUARD__"
"""Settings of guarded commands in services, which may be started from the same environment."""
_DEFAULT: Final = "default"
ALIASES: Final = {"udp.host": "ingest.host", "udp.port": "ingest.port"}
"""Second names, for what is better known by its protocol than by its room."""


class Effective(msgspec.Struct, frozen=True, kw_only=True):
    """The settings in force, and for each dotted name the source of its value."""

    settings: Settings
    origins: dict[str, str]


def setting_types(section: type[msgspec.Struct] = Settings, prefix: str = "") -> dict[str, Any]:
    """The type of every setting by dotted name, in the order they are declared."""
    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(section):
        name = f"{prefix}{field.name}"
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            found |= setting_types(field.type, f"{name}.")
        else:
            found[name] = field.type
    return found


def load(
    *,
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
    assignments: Iterable[str] = (),
) -> Effective:
    """The settings in force.

    file: a TOML file that must exist; None reads `breakwater.toml` of the working directory if
    there is one. environment: os.environ unless given. flags: dotted names and values of command
    line options. assignments: texts `section.name=value`, the value as in TOML or a bare string.
    Raises UnknownSettingError, InvalidSettingError or SettingsFileError.
    """
    types = setting_types()
    given: dict[str, tuple[Any, str]] = {}
    chosen = file
    if chosen is None and Path(DEFAULT_FILE).is_file():
        chosen = Path(DEFAULT_FILE)
    if chosen is not None:
        given |= _from_file(chosen, types)
    given |= _from_environment(os.environ if environment is None else environment, types)
    for name, value in (flags or {}).items():
        given[_known(name, types, "a flag")] = (value, "flag")
    for text in assignments:
        name, value = _assignment(text, types)
        given[name] = (value, f"--set {name}")
    return _effective(given, types)


def _effective(given: Mapping[str, tuple[Any, str]], types: Mapping[str, Any]) -> Effective:
    tree: dict[str, Any] = {}
    for name, (value, origin) in given.items():
        try:
            checked = msgspec.convert(value, types[name])
        except msgspec.ValidationError as reason:
            raise InvalidSettingError(
                f"{name} is {value!r} ({origin}): {_plainly(str(reason), types[name])}"
            ) from reason
        check_value(name, checked, origin)
        *path, last = name.split(".")
        branch = tree
        for part in path:
            branch = branch.setdefault(part, {})
        branch[last] = msgspec.to_builtins(checked)
    origins = {name: given[name][1] if name in given else _DEFAULT for name in types}
    return Effective(settings=msgspec.convert(tree, Settings), origins=origins)


def _plainly(reason: str, kind: Any) -> str:
    if get_origin(kind) is Literal:
        return f"expected one of {', '.join(get_args(kind))}"
    for technical, plain in (
        ("`int`", "a whole number"),
        ("`float`", "a number"),
        ("`str`", "text"),
        ("`bool`", "true or false"),
        ("`array`", "a list"),
        ("`object`", "a table"),
    ):
        reason = reason.replace(technical, plain)
    return reason[:1].lower() + reason[1:]


def _from_file(path: Path, types: Mapping[str, Any]) -> dict[str, tuple[Any, str]]:
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as reason:
        raise SettingsFileError(f"settings file {path}: {reason.strerror}") from reason
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as reason:
        raise SettingsFileError(f"settings file {path} is not TOML: {reason}") from reason
    origin = f"file {path}"
    return {
        _known(name, types, origin): (value, origin) for name, value in _leaves(tree, types, "")
    }


def _leaves(
    tree: Mapping[str, Any], types: Mapping[str, Any], prefix: str
) -> Iterable[tuple[str, Any]]:
    for key, value in tree.items():
        name = f"{prefix}{key}"
        is_section = any(known.startswith(f"{name}.") for known in types)
        if isinstance(value, dict) and (is_section or name not in types):
            yield from _leaves(value, types, f"{name}.") if value else ()
            if not value and not is_section:
                yield name, value
        else:
            yield name, value


def _from_environment(
    environment: Mapping[str, str], types: Mapping[str, Any]
) -> dict[str, tuple[Any, str]]:
    found = {}
    for variable in sorted(environment):
        name = variable.removeprefix(_PREFIX).lower().replace("__", ".")
        if not variable.startswith(_PREFIX) or variable.startswith(_NOT_OURS):
            continue
        if "." not in name and name not in types:
            continue
        origin = f"environment {variable}"
        known = _known(name, types, origin)
        found[known] = (_parsed(environment[variable], types[known]), origin)
    return found


def _assignment(text: str, types: Mapping[str, Any]) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise InvalidSettingError(f"--set {text}: write it as section.name=value")
    known = _known(name.strip(), types, "--set")
    return known, _parsed(value.strip(), types[known])


def _parsed(text: str, kind: Any) -> Any:
    """The value written in `text`: as it stands for a text setting, else as in TOML."""
    if kind is str:
        return text
    try:
        table = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return table["value"] if len(table) == 1 else text


def _known(name: str, types: Mapping[str, Any], origin: str) -> str:
    name = ALIASES.get(name, name)
    if name in types:
        return name
    section = name.partition(".")[0]
    inside = [known for known in types if known.startswith(f"{section}.")]
    near = difflib.get_close_matches(name, types, n=1, cutoff=0.5)
    meant = f"; did you mean {near[0]}?" if near else "."
    raise UnknownSettingError(
        f"there is no setting {name} ({origin}){meant} Valid: {', '.join(inside or sorted(types))}"
    )
