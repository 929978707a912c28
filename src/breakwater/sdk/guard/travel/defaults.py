"""The registry of commands that are made without one; made by the front door, above this module."""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from breakwater.sdk.guard.travel.ports import Registry

_lock: Final = threading.Lock()
_makers: "Final[list[Callable[[], Registry]]]" = []
_made: "Final[list[Registry]]" = []


def make_by(maker: "Callable[[], Registry]") -> None:
    """Let `maker` make it when it is first needed."""
    _makers[:] = [maker]


def default_registry() -> "Registry":
    """The one of this process."""
    with _lock:
        if not _made:
            _made.append(_makers[0]())
        return _made[0]
