"""Small state that must survive: one SQLite file, written by one thread, synced before it answers.

`ControlDatabase` runs plain functions of a SQLAlchemy connection in transactions. Rooms declare
their own tables as a `Schema` and hand it over; this room knows none of them. A disk that is full
or read-only makes writes raise StorageUnavailableError, which loses nothing that was acknowledged,
leaves reads working, and ends by itself when the disk recovers.
"""

from typing import TYPE_CHECKING

from breakwater.storage.errors import (
    StorageBusyError,
    StorageClosedError,
    StorageFormatError,
    StorageUnavailableError,
)

if TYPE_CHECKING:
    from breakwater.storage.database import ControlDatabase, StorageSettings, StorageStats
    from breakwater.storage.schema import Schema

__all__ = [
    "ControlDatabase",
    "Schema",
    "StorageBusyError",
    "StorageClosedError",
    "StorageFormatError",
    "StorageSettings",
    "StorageStats",
    "StorageUnavailableError",
]

_HOMES = {
    "ControlDatabase": "database",
    "Schema": "schema",
    "StorageSettings": "database",
    "StorageStats": "database",
}


def __getattr__(name: str) -> object:
    """Import what needs SQLAlchemy only when it is asked for: it takes a tenth of a second."""
    from importlib import import_module  # noqa: PLC0415 - part of the delay

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
