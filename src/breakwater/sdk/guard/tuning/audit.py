"""What changed in the configuration of a process's commands, by whom, and what was not accepted.

A bounded list for people, counters for meters, a log line each. The journal of the platform has
the same from the side of whoever asked for the change.
"""

import threading
from collections import Counter, deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from breakwater.sdk.guard.events import Scope, Source
    from breakwater.sdk.guard.tuning.layers import RefusedSetting

MAX_CHANGES: Final = 200
MAX_REFUSALS: Final = 100


class ConfigChange(msgspec.Struct, frozen=True, kw_only=True):
    """A key of a command got another value. old, new: in words of JSON; a part as a dictionary.

    source: where the new value comes from; scope: for whom it was said there.
    """

    at_ms: int
    command: str
    key: str
    old: Any
    new: Any
    source: "Source"
    scope: "Scope"


class ConfigRefusal(msgspec.Struct, frozen=True, kw_only=True):
    """A setting, or a whole source, that could not be used. where: `command rank: timeout_s`.

    command: the one whose other settings it clashes with, empty where the setting itself is wrong.
    """

    at_ms: int
    source: "Source"
    where: str
    reason: str
    command: str = ""


class AuditStats(msgspec.Struct, frozen=True, kw_only=True):
    """The latest changes and refusals, the oldest first; counts since start, by source."""

    changes: list[ConfigChange]
    refusals: list[ConfigRefusal]
    changed: dict[str, int]
    refused: dict[str, int]


class Audit:
    """Kept by `Guards`; safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changes: deque[ConfigChange] = deque(maxlen=MAX_CHANGES)
        self._refusals: deque[ConfigRefusal] = deque(maxlen=MAX_REFUSALS)
        self.changed: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()

    def note_change(self, change: ConfigChange) -> None:
        """A change was applied."""
        with self._lock:
            self._changes.append(change)
            self.changed[change.source] += 1
        _log().info(
            "guard.config.changed command=%s key=%s old=%s new=%s source=%s scope=%s",
            change.command, change.key, change.old, change.new, change.source, change.scope,
        )  # fmt: skip

    def note_refused(
        self, refused: "Iterable[RefusedSetting]", at_ms: int, *, command: str = ""
    ) -> None:
        """Settings were not used."""
        for one in refused:
            self.note_refusal(
                ConfigRefusal(
                    at_ms=at_ms,
                    source=one.source,
                    where=str(one.place),
                    reason=one.reason,
                    command=command,
                )
            )

    def note_refusal(self, refusal: ConfigRefusal) -> None:
        """A setting, or all that a source says now, was not used."""
        with self._lock:
            self._refusals.append(refusal)
            self.refused[refusal.source] += 1
        _log().warning(
            "guard.config.refused source=%s where=%s command=%s reason=%s",
            refusal.source, refusal.where, refusal.command, refusal.reason,
        )  # fmt: skip

    def stats(self) -> AuditStats:
        """What is remembered."""
        with self._lock:
            return AuditStats(
                changes=list(self._changes),
                refusals=list(self._refusals),
                changed=dict(self.changed),
                refused=dict(self.refused),
            )


def _log() -> Any:
    import logging  # noqa: PLC0415 - services that never change a setting do not pay for it

    return logging.getLogger("breakwater.sdk.guard")
