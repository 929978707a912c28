"""What changed, to whom, by whom, from when to when: deploys, configuration, flags, faults.

A fault report is only as good as its memory of what people and programs did just before. `Journal`
keeps every change in the control database; a change that was acknowledged survives any crash. The
routes are in `breakwater.journal.http`, the terminal commands in `breakwater.journal.commands`.
"""

from typing import TYPE_CHECKING

from breakwater.journal.errors import (
    InvalidChangeError,
    UnknownChangeError,
)

if TYPE_CHECKING:
    from breakwater.journal.journal import LASTING_KINDS, Journal, JournalStats

__all__ = [
    "LASTING_KINDS",
    "InvalidChangeError",
    "Journal",
    "JournalStats",
    "UnknownChangeError",
]


def __getattr__(name: str) -> object:
    """Import what needs SQLAlchemy only when it is asked for: it takes a tenth of a second."""
    from importlib import import_module  # noqa: PLC0415 - part of the delay

    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.journal"), name)
