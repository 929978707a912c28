"""What can go wrong when control state is written to or read from disk.

BreakwaterError
├── UnavailableError
│   └── StorageUnavailableError   the file cannot be used now (full, read-only, locked, missing);
│       │                         nothing was stored; the next attempt tries again by itself
│       └── StorageClosedError    the database was closed, or not opened; no attempt can succeed
├── LimitExceededError
│   └── StorageBusyError          too much work waits already; nothing was stored; ask again later
└── InvalidInputError
    └── StorageFormatError        the file is not ours, or was written by a newer Breakwater
"""

from breakwater.model import InvalidInputError, LimitExceededError, UnavailableError


class StorageUnavailableError(UnavailableError):
    """The database file cannot be used at present; `reason` is SQLite's own name for why."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class StorageClosedError(StorageUnavailableError):
    """The database is not open, and will not open by itself."""


class StorageBusyError(LimitExceededError):
    """As much work waits for the database as is allowed."""


class StorageFormatError(InvalidInputError):
    """The file holds something this version of Breakwater cannot read."""
