"""Drop-in shims: programs written for other libraries, run by this guard.

`breakwater.sdk.shims.tenacity` has the names of `tenacity`, `breakwater.sdk.shims.pybreaker` those
of `pybreaker`; changing the import is all it takes, and `stand_in` spares even that. What a
program can observe is the same, except where the original does harm under concurrency; each of
these differences is listed at the head of its shim and in docs/how-to/replace-tenacity.md.
"""

import sys
from importlib import import_module
from typing import Final

from breakwater.sdk.errors import SettingsError

_MODULES: Final = {
    "tenacity": (
        "", "after", "asyncio", "asyncio.retry", "before", "before_sleep", "nap", "retry", "stop",
        "wait",
    ),
    "pybreaker": ("",),
}  # fmt: skip
"""The modules of each library that programs import, below its own name."""

__all__ = ["stand_in"]


def stand_in(*libraries: str) -> None:
    """Let `import tenacity` or `import pybreaker` find the shim, all over this process.

    To be called before the first such import, since what was imported stays. Raises SettingsError
    for a library there is no shim of, and for one that is imported already.
    """
    for library in libraries:
        parts = _MODULES.get(library)
        if parts is None:
            raise SettingsError(f"no shim for {library!r}; there are: {', '.join(_MODULES)}")
        shim = f"{__name__}.{library}"
        present = sys.modules.get(library)
        if present is not None and present is not sys.modules.get(shim):
            raise SettingsError(f"{library} itself is imported already; call stand_in before that")
        for part in parts:
            tail = f".{part}" if part else ""
            sys.modules[library + tail] = import_module(shim + tail)
