"""The two decorators, and what numba is told about code that was compiled before.

Numba has a disk cache of its own, which compares nothing but the file of the loop itself; code of
a changed helper or constant of another module goes on to run. Hence `_Kept`, which takes the place
of that cache in a loop's dispatcher. It uses four names that numba does not document
(`Dispatcher._cache`, `CompileResult._reduce`, `CompileResult._rebuild` and
`CodeLibrary.has_dynamic_globals`); they are used nowhere else.
"""

import hashlib
import os
import pickle
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any, Final, ParamSpec, TypeVar, cast

import llvmlite
import msgspec
import numba
import numpy as np
import structlog
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

from breakwater.compiled.ingredients import fingerprint
from breakwater.compiled.keeping import Shelf, default_roots
from breakwater.compiled.sources import Sources
from breakwater.model import Clock, SystemClock

log = structlog.get_logger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

_dumps = cast("Callable[[Any], bytes]", dumps)  # numba has no types for these two
_rebuild = cast("Callable[..., Any]", CompileResult._rebuild)  # noqa: SLF001 - see above
_ROOM: Final = Path(__file__).parent


class CompiledStats(msgspec.Struct, frozen=True, kw_only=True):
    """Loops there are, how many of their shapes were found on disk, compiled, and kept there."""

    loops: int
    found: int
    compiled: int
    kept: int


class Workshop:
    """Compiles the loops of one package and keeps their code.

    package: its folder. roots: where code is kept, the preferred folder first; none of them need
    exist. Safe to use from several threads, and the folders from several processes.
    """

    def __init__(self, package: Path, roots: list[Path], clock: Clock) -> None:
        self._package = package
        self._roots = roots
        self._clock = clock
        self._made_by = _made_by()
        self._sources = Sources(package, apart=_ROOM.name)
        self._shelves: dict[Path, Shelf | None] = {}
        self._mutex = threading.Lock()
        self._is_warned = False
        self._loops = self._found = self._compiled = self._kept = 0

    def compile(self, function: Callable[P, R], *, is_inlined: bool) -> Callable[P, R]:
        """The function as a loop; its machine code is made at the first call with such types."""
        made: Any = numba.njit(nogil=True, error_model="numpy", forceinline=is_inlined)(function)
        if isinstance(function, FunctionType) and hasattr(made, "overloads"):
            shelf = (
                None if function.__closure__ else self._shelf(Path(function.__code__.co_filename))
            )
            made._cache = _Kept(self, function, shelf)  # noqa: SLF001 - see above
        with self._mutex:
            self._loops += 1
        return cast("Callable[P, R]", made)

    def count(self, *, found: int = 0, compiled: int = 0, kept: int = 0) -> None:
        """Add to what `stats` says."""
        with self._mutex:
            self._found += found
            self._compiled += compiled
            self._kept += kept

    def stats(self) -> CompiledStats:
        """Counts since the start."""
        with self._mutex:
            return CompiledStats(
                loops=self._loops, found=self._found, compiled=self._compiled, kept=self._kept
            )

    def _shelf(self, source: Path) -> Shelf | None:
        """Where the code of a module is kept; nowhere when its source cannot be read."""
        with self._mutex:
            if source not in self._shelves:
                self._shelves[source] = self._new_shelf(source)
            return self._shelves[source]

    def _new_shelf(self, source: Path) -> Shelf | None:
        try:
            module = ".".join(source.relative_to(self._package).with_suffix("").parts)
            digest = self._sources.digest(source, self._made_by)
        except ValueError:  # it is not one of this package
            return None
        except OSError as error:
            self._warn(str(error))
            return None
        shelf = Shelf(self._roots, self._package, module, digest, self._clock)
        if not shelf.is_open:
            self._warn("no folder can be written to")
        return shelf

    def _warn(self, reason: str) -> None:
        """Say once that loops will be compiled at every start."""
        if not self._is_warned:
            folders = [str(root) for root in self._roots]
            log.warning("compiled.not_kept", reason=reason, folders=folders)
            self._is_warned = True


class _Kept:
    """The code of one loop, as numba asks for it.

    What numba hands over has no types: a signature is a tuple of its types, a context that of the
    machine compiled for.
    """

    def __init__(self, workshop: Workshop, function: FunctionType, shelf: Shelf | None) -> None:
        self._workshop = workshop
        self._shelf = shelf
        self._function = function
        name = function.__qualname__.replace("<", "").replace(">", "")
        self._stem = f"{name}-{function.__code__.co_firstlineno}"
        self.cache_path = None

    def load_overload(self, signature: Any, context: Any) -> Any:
        """What was compiled for these types and this processor; None when it is not kept."""
        context.refresh()
        held = self._shelf.get(self._name(signature, context.codegen())) if self._shelf else None
        if held is None:
            return None
        parts = pickle.loads(held)  # noqa: S301 - from a folder that only we and the user write to
        found = _rebuild(context, *parts)
        self._workshop.count(found=1)
        return found

    def save_overload(self, signature: Any, made: Any) -> None:
        """Keep what was just compiled."""
        is_bound = made.library.has_dynamic_globals or any(
            not each.can_cache for each in made.lifted
        )
        is_kept = False
        if self._shelf is not None and not is_bound:  # addresses of this process mean nothing later
            name = self._name(signature, made.codegen)
            is_kept = self._shelf.put(name, _dumps(made._reduce()))  # noqa: SLF001 - see the module
        self._workshop.count(compiled=1, kept=int(is_kept))

    def enable(self) -> None:
        """Nothing: it is always on."""

    def disable(self) -> None:
        """Nothing: it is always on."""

    def flush(self) -> None:
        """Nothing: what is compiled anew takes the place of what was kept."""

    def _name(self, signature: Any, codegen: Any) -> str:
        """The name of the file: what was compiled, for which types and which processor."""
        shape = repr((fingerprint(self._function), signature, codegen.magic_tuple()))
        return f"{self._stem}-{hashlib.blake2b(shape.encode(), digest_size=12).hexdigest()}"


def _made_by() -> str:
    """All that makes code of sources: versions, these modules, and what the compiler is told."""
    ours = [(_ROOM / name).read_bytes() for name in ("loops.py", "machine.py")]
    told = sorted(
        (name, value)
        for name, value in os.environ.items()
        if name.startswith("NUMBA_") and name != "NUMBA_CACHE_DIR"
    )
    return repr((sys.version, numba.__version__, llvmlite.__version__, np.__version__, told, ours))


_WORKSHOP: Final = Workshop(_ROOM.parent, default_roots(_ROOM.parent), SystemClock())


def loop(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function: without the GIL, and with numpy's idea of dividing by zero.

    Its machine code is made when it is first called with arguments of such types, which takes a
    tenth of a second to some seconds, and found on disk from then on. What it calls must be a loop
    too, and the constants it reads must be said in sources: they are part of the code.
    """
    return _WORKSHOP.compile(function, is_inlined=False)


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function that becomes part of each loop that calls it, instead of being called."""
    return _WORKSHOP.compile(function, is_inlined=True)


def stats() -> CompiledStats:
    """Loops of this process, and how many of their shapes were found, compiled and kept."""
    return _WORKSHOP.stats()
