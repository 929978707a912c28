"""What travels between the journal and those who tell it or ask it, as JSON."""

import msgspec

from breakwater.model import Change


class NewChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a caller tells of a change; the time is now and the source the API unless given."""

    kind: str
    target: str
    start_ms: int | None = None
    end_ms: int | None = None
    actor: str = "unknown"
    source: str = "api"
    detail: dict[str, str] = {}


class ChangeEnd(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a change ended; now, unless given."""

    end_ms: int | None = None


class ChangeList(msgspec.Struct, frozen=True, kw_only=True):
    """An answer of several changes, newest first; at the limit, older ones may be left out."""

    changes: list[Change]
    limit_reached: bool
