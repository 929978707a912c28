"""The rules a change obeys before it is written down."""

from typing import Final

from breakwater.journal.errors import InvalidChangeError
from breakwater.model import Change, ChangeKind

MAX_NAME_CHARS: Final = 256
MAX_DETAILS: Final = 64
MAX_DETAIL_CHARS: Final = 4_096
MAX_TIME_MS: Final = 253_402_300_799_999  # the last millisecond of the year 9999


def validate_new(change: Change) -> None:
    """Return if `change` can be written down as a new one, else raise InvalidChangeError."""
    if change.id is not None:
        raise InvalidChangeError(f"a new change has no id yet, got id {change.id}")
    validate(change)


def validate_window(start_ms: int | None, end_ms: int | None) -> None:
    """Return if changes can be looked up from `start_ms` to `end_ms`; None is an open side."""
    for time_ms, name in ((start_ms, "start"), (end_ms, "end")):
        if time_ms is not None and abs(time_ms) > MAX_TIME_MS:
            raise InvalidChangeError(
                f"{name} must be milliseconds since 1970 up to {MAX_TIME_MS}, got {time_ms}"
            )
    if start_ms is not None and end_ms is not None and end_ms < start_ms:
        raise InvalidChangeError(f"the window ends at {end_ms}, before its start {start_ms}")


def validate(change: Change) -> None:
    """Return if `change` can be written down, else raise InvalidChangeError naming the field."""
    _time(change.start_ms, "start_ms")
    if change.end_ms is not None:
        _time(change.end_ms, "end_ms")
        if change.end_ms < change.start_ms:
            raise InvalidChangeError(f"end_ms {change.end_ms} is before start_ms {change.start_ms}")
    for name in ("target", "actor", "source"):
        _name(getattr(change, name), name)
    if len(change.detail) > MAX_DETAILS:
        raise InvalidChangeError(
            f"detail has {len(change.detail)} entries; at most {MAX_DETAILS} are allowed"
        )
    for key, value in change.detail.items():
        _name(key, "a key of detail")
        if len(value) > MAX_DETAIL_CHARS:
            raise InvalidChangeError(
                f"detail.{key} has {len(value)} characters; at most {MAX_DETAIL_CHARS} are allowed"
            )


def kind_of(word: str) -> ChangeKind:
    """The kind called `word`, in any case; raises InvalidChangeError with the list of kinds."""
    try:
        return ChangeKind(word.strip().lower())
    except ValueError:
        raise InvalidChangeError(
            f"unknown kind {word[:40]!r}; kinds are {', '.join(ChangeKind)}"
        ) from None


def _time(time_ms: int, name: str) -> None:
    if not 0 <= time_ms <= MAX_TIME_MS:
        raise InvalidChangeError(
            f"{name} must be milliseconds since 1970 from 0 to {MAX_TIME_MS}, got {time_ms}"
        )


def _name(text: str, name: str) -> None:
    if not text.strip() or len(text) > MAX_NAME_CHARS or not text.isprintable():
        raise InvalidChangeError(
            f"{name} must be 1 to {MAX_NAME_CHARS} printable characters, got {text[:40]!r}"
        )
