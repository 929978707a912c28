"""Machine code on disk: one folder a module and digest, one file a loop and its argument types.

Code is looked for beside the package and in the user's cache folder, and kept in the first of the
two that can be written to; an image whose code was compiled when it was built is read even where
nothing can be written. A file is written under a name of its own and then renamed, and begins with
a checksum of the rest: processes never see each other's half-written files, need no lock, and a
file that a power cut damaged is compiled anew instead of run.
"""

import hashlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import structlog

from breakwater.model import Clock

log = structlog.get_logger(__name__)

_CHECK_BYTES: Final = 16
_DAY_MS: Final = 86_400_000
_STALE_MS: Final = 7 * _DAY_MS


class Shelf:
    """Where the code of one module is kept, of one digest of its sources.

    roots: folders to look in, the preferred one first. module: its name within the package, a file
    `module.py` below `package` with dots for slashes. Folders of the module's other digests, and
    of modules that are gone, are removed when nobody has used them for a week.
    """

    def __init__(
        self, roots: list[Path], package: Path, module: str, digest: str, clock: Clock
    ) -> None:
        self._package = package
        self._clock = clock
        self._folders = [root / f"{module}-{digest}" for root in roots]
        self._open = next((each for each in self._folders if self._prepared(each)), None)

    @property
    def is_open(self) -> bool:
        """Whether code can be kept here, as far as is known."""
        return self._open is not None

    def get(self, name: str) -> bytes | None:
        """What is kept under a name; None when it is not there or damaged."""
        for folder in self._folders:
            try:
                held = (folder / name).read_bytes()
            except OSError:
                continue
            if held[:_CHECK_BYTES] == _check(held[_CHECK_BYTES:]):
                return held[_CHECK_BYTES:]
        return None

    def put(self, name: str, code: bytes) -> bool:
        """Keep code under a name, where that is possible; says whether it was."""
        if self._open is None:
            return False
        passing = self._open / f".{name}.{os.getpid()}.{uuid.uuid4().hex}"
        try:
            self._open.mkdir(exist_ok=True)  # another process may have thought it stale
            try:
                passing.write_bytes(_check(code) + code)
                passing.replace(self._open / name)
            finally:
                passing.unlink(missing_ok=True)
        except OSError as error:
            log.warning("compiled.not_kept", reason=str(error), folders=[str(self._open)])
            self._open = None
            return False
        return True

    def _prepared(self, folder: Path) -> bool:
        """Have a folder to write to and mark it as used; says whether that can be done."""
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            if folder.is_dir():
                self._mark(folder)
            else:
                folder.mkdir(exist_ok=True)
                self._sweep(folder)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError:
            return False
        return True

    def _mark(self, folder: Path) -> None:
        """Say that a folder is in use, once a day."""
        if self._idle_ms(folder) > _DAY_MS:
            now_s = self._clock.now_ms() / 1000.0
            os.utime(folder, (now_s, now_s))

    def _sweep(self, new: Path) -> None:
        """Remove what the code of a new folder takes the place of, and what belongs to nobody."""
        module = new.name.rpartition("-")[0]
        for folder in new.parent.iterdir():
            other = folder.name.rpartition("-")[0]
            is_replaced = other == module or not any(self._sources_of(other))
            if folder != new and is_replaced and self._idle_ms(folder) > _STALE_MS:
                shutil.rmtree(folder, ignore_errors=True)

    def _sources_of(self, module: str) -> Iterator[Path]:
        path = self._package.joinpath(*module.split("."))
        for source in (path.with_name(path.name + ".py"), path / "__init__.py"):
            if source.is_file():
                yield source

    def _idle_ms(self, folder: Path) -> float:
        """How long ago a folder was last used; 0 when somebody is just removing it."""
        try:
            return self._clock.now_ms() - folder.stat().st_mtime * 1000.0
        except OSError:
            return 0.0


def default_roots(package: Path) -> list[Path]:
    """Folders code may be kept in: the package's own, then the user's; or the one numba is told."""
    if told := os.environ.get("NUMBA_CACHE_DIR"):
        return [Path(told).absolute() / package.name]
    roots = [package / "__pycache__" / "loops"]
    given = os.environ.get("XDG_CACHE_HOME", "")
    try:
        user = Path(given) if Path(given).is_absolute() else Path.home() / ".cache"
    except RuntimeError:  # a user without a home
        return roots
    return [*roots, user / "breakwater" / "loops"]


def _check(code: bytes) -> bytes:
    return hashlib.blake2b(code, digest_size=_CHECK_BYTES).digest()
