"""Where live settings come from besides the platform: the environment, and a file that is watched.

The environment is read once. A variable is `BREAKWATER_GUARD__` and then, joined by two
underscores, the scope, the name and the key: `DEFAULT__TIMEOUT_S`, `GROUP__HOME__RETRY`,
`COMMAND__CATALOG_DB__BREAKER__OPEN_S`. Shells take capitals, digits and `_` only, so a name is
written in capitals with `_` for every other character; it then stands for all names that come out
the same.

The file is TOML, or JSON if it ends in `.json`: tables `default`, `group.NAME`, `command.NAME`.
It is read when it has changed and then kept still for a whole look (about a second), so that a
file half written is not taken for a whole one.
"""

import os
import stat
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from breakwater.sdk.errors import SettingsError
from breakwater.sdk.guard.events import Scope
from breakwater.sdk.guard.live.configuration import LiveConfig
from breakwater.sdk.guard.tuning.keys import setting_keys
from breakwater.sdk.guard.tuning.layers import Place, entries_of

PREFIX: Final = "BREAKWATER_GUARD__"
MAX_BYTES: Final = 4 * 1024 * 1024
_BREAK: Final = "__"


def put_environment(live: LiveConfig, environ: Mapping[str, str]) -> None:
    """Let `live` go by the variables there are."""
    entries: dict[Place, object] = {}
    for variable in sorted(environ):
        if variable.startswith(PREFIX):
            entries[_place_of(_readable(variable))] = _readable(environ[variable])
    if entries:
        live.put("environment", entries, is_text=True)


def _readable(text: str) -> str:
    """Bytes that are no UTF-8 (the interpreter keeps them as lone surrogates) written out."""
    return text.encode("utf-8", "backslashreplace").decode()


def _place_of(variable: str) -> Place:
    """The place a variable names; one that is none has a key that is refused, with its name."""
    scope, _, rest = variable.removeprefix(PREFIX).partition(_BREAK)
    if scope == "DEFAULT":
        return Place("default", "", rest.lower().replace(_BREAK, "."))
    kind: Scope = "group" if scope == "GROUP" else "command"
    if scope in {"GROUP", "COMMAND"}:
        words = rest.split(_BREAK)
        for cut in range(1, len(words)):  # the longest key that there is
            key = ".".join(words[cut:]).lower()
            if key in setting_keys():
                return Place(kind, _BREAK.join(words[:cut]), key)
        if len(words) > 1:
            return Place(kind, words[0], ".".join(words[1:]).lower())
    return Place(kind, "", variable)


class _Look(msgspec.Struct, frozen=True):
    """What tells one state of a file from the next."""

    modified_ns: int
    size_bytes: int
    inode: int


class SettingsFile:
    """The file at `path`, for `live`; `look` is to be called about once a second."""

    def __init__(self, live: LiveConfig, path: str) -> None:
        self._live = live
        self._path = path
        self._read: _Look | None = None
        self._seen: _Look | None = None
        self._is_first = True

    def look(self) -> None:
        """Read the file if it changed; whatever is wrong with it, what it said before stays."""
        is_first, self._is_first = self._is_first, False
        try:
            seen = self._state()
            is_still, self._seen = is_first or seen == self._seen, seen
            if seen == self._read or not is_still:
                return
            content = self._content()
            if self._state() != seen:
                return  # it was written to meanwhile; the next look tells
            self._read = seen
            entries = entries_of(self._parsed(content))
        except (OSError, SettingsError, ValueError, RecursionError) as error:
            # what TOML and JSON refuse is a ValueError, unless it is nested too deep
            self._live.note_failure("file", self._path, f"{type(error).__name__}: {error}")
        else:
            self._live.put("file", entries)

    def _state(self) -> _Look:
        found = os.stat(self._path)  # noqa: PTH116 - as in _content
        if not stat.S_ISREG(found.st_mode):  # opening a pipe would wait for a writer
            raise SettingsError("it is no plain file")
        return _Look(found.st_mtime_ns, found.st_size, found.st_ino)

    def _content(self) -> bytes:
        with open(self._path, "rb") as file:  # noqa: PTH123 - pathlib would cost each service 3 ms
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise SettingsError(f"the file is larger than {MAX_BYTES} bytes")
        return content

    def _parsed(self, content: bytes) -> dict[str, Any]:
        if self._path.endswith(".json"):
            document: Any = msgspec.json.decode(content)
            if not isinstance(document, dict):
                raise SettingsError("the file must hold one object")
            return document
        import tomllib  # noqa: PLC0415 - only for services that have such a file

        return tomllib.loads(content.decode())
