"""A digest of everything a module's loops are made from, found in the import statements.

Compiled code holds the helpers it calls and the constants it reads, of whichever module they are.
Those are named by import statements, so a module and all it imports from this package, directly
or not, are what may change its code; too many sources cost a compilation, too few would run stale
code. Statements are found by pattern, not parsed: parsing takes a hundred times as long.
"""

import hashlib
import os.path
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_IMPORT: Final = re.compile(
    rb"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+import[ \t]+(\([^)]*\)|[^\n]*)|import[ \t]+([^\n#]+))",
    re.MULTILINE,
)
_WORD: Final = re.compile(r"\w+")


class Sources:
    """The sources of one package, each read once and then remembered.

    root: the folder of the package; its name is the package's. apart: a part of it that is passed
    over. Some 0.1 ms a source.
    """

    def __init__(self, root: Path, *, apart: str = "") -> None:
        self._root = root
        self._apart = apart
        self._read: dict[Path, tuple[bytes, list[Path]]] = {}

    def digest(self, source: Path, made_by: str) -> str:
        """What the code of a module is known by: its sources, and what compiles them.

        made_by: versions of the compiler and whatever else the code depends on. Raises OSError
        when a source cannot be read.
        """
        state = hashlib.blake2b(made_by.encode(), digest_size=12)
        for path in sorted(self.reached(source)):
            state.update(path.relative_to(self._root).as_posix().encode() + b"\0")
            state.update(self._source(path)[0])
        return state.hexdigest()

    def reached(self, source: Path) -> set[Path]:
        """A module and all modules of the package that it imports, directly or not."""
        found, waiting = {source}, [source]
        while waiting:
            for path in self._source(waiting.pop())[1]:
                if path not in found:
                    found.add(path)
                    waiting.append(path)
        return found

    def _source(self, path: Path) -> tuple[bytes, list[Path]]:
        """The digest of one source, and the sources it names."""
        known = self._read.get(path)
        if known is None:
            text = path.read_bytes()
            known = hashlib.blake2b(text).digest(), list(self._imported(path, text))
            self._read[path] = known
        return known

    def _imported(self, path: Path, text: bytes) -> Iterator[Path]:
        for origin, names, whole in _IMPORT.findall(text):
            if origin:
                yield from self._named(path, origin.decode(), names.decode())
            for each in whole.decode().split(","):
                words = each.split()
                yield from self._named(path, words[0] if words else "", "")

    def _named(self, path: Path, origin: str, names: str) -> Iterator[Path]:
        """The sources that `from origin import names` in `path` takes something from."""
        stem = origin.lstrip(".")
        parts = [part for part in stem.split(".") if part]
        level = len(origin) - len(stem)
        if level:
            folder = path.parents[level - 1]
        elif parts and parts[0] == self._root.name:
            folder = self._root
            parts = parts[1:]
        else:
            return
        if folder == self._root and parts[:1] == [self._apart]:
            return
        target = os.path.join(folder, *parts)  # noqa: PTH118 - paths as text take a tenth of the time
        if os.path.isfile(module := target + ".py"):  # noqa: PTH113 - as above
            yield Path(module)
            return
        within = [os.path.join(target, name) for name in _WORD.findall(names)]  # noqa: PTH118 - as above
        for candidate in (target, *within):
            for source in (candidate + ".py", os.path.join(candidate, "__init__.py")):  # noqa: PTH118 - as above
                if os.path.isfile(source):  # noqa: PTH113 - as above
                    yield Path(source)
