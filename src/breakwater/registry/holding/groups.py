"""Groups of instances that are taken out of service together: Amazon's auto-scaling groups."""

from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from breakwater.registry.errors import InvalidInstanceError, RegistryFullError
from breakwater.registry.instance_info import Whole

MAX_NAME_CHARS: Final = 512
_MOST: Final = 10_000


class Switch(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What was said last of one group; at_ms: when, by the clock of the registry it was said to."""

    name: str
    is_enabled: bool
    at_ms: Whole


class Groups:
    """Which groups are disabled, at most 10,000 of them, and which were enabled again.

    Of two switches of one group the later counts. Of the enabled ones the latest 10,000 are
    remembered, so that no older word of a peer disables them again. `revision` grows with each.
    """

    def __init__(self) -> None:
        self._disabled: dict[str, Switch] = {}
        self._enabled: dict[str, Switch] = {}
        self._numbers: dict[str, int] = {}
        self._listeners: list[Callable[[], None]] = []
        self.revision = 0

    @property
    def disabled(self) -> list[str]:
        """The disabled groups, by name."""
        return sorted(self._disabled)

    def listen(self, listener: Callable[[], None]) -> None:
        """Have `listener` called after every switch."""
        self._listeners.append(listener)

    def disables(self, name: str) -> bool:
        """Whether the group `name` is disabled; no group ("") never is."""
        return name in self._disabled

    def since(self, revision: int = 0) -> list[Switch]:
        """The latest switch of every group that was switched after `revision`; O(groups)."""
        both = (*self._disabled.values(), *self._enabled.values())
        return [each for each in both if self._numbers[each.name] > revision]

    def switch(self, name: str, *, is_enabled: bool, now_ms: int, at_ms: int | None = None) -> bool:
        """Enable or disable a group; False where something later is known already.

        at_ms: when a peer was told so; None for now. Raises RegistryFullError when too many are
        disabled, InvalidInstanceError for a name that is too long.
        """
        held = self._disabled.get(name) or self._enabled.get(name)
        if at_ms is None:
            at_ms = now_ms if held is None else max(now_ms, held.at_ms + 1)
        elif held is not None and at_ms <= held.at_ms:
            return False
        if len(name) > MAX_NAME_CHARS:
            raise InvalidInstanceError(
                f"the group {name[:40]}... has {len(name)} characters, "
                f"at most {MAX_NAME_CHARS} are allowed"
            )
        if not is_enabled and len(self._disabled) >= _MOST and name not in self._disabled:
            raise RegistryFullError(f"{_MOST} groups are disabled already; enable some first")
        self._put(Switch(name, is_enabled, at_ms))
        for listener in self._listeners:
            listener()
        return True

    def recall(self, switches: Iterable[Switch]) -> None:
        """Know again what was kept on the disk."""
        for each in sorted(switches, key=lambda each: each.at_ms):
            self._put(each)

    def _put(self, switch: Switch) -> None:
        name = switch.name
        self._disabled.pop(name, None)
        self._enabled.pop(name, None)
        (self._enabled if switch.is_enabled else self._disabled)[name] = switch
        self.revision += 1
        self._numbers[name] = self.revision
        if len(self._enabled) > _MOST:
            oldest = next(iter(self._enabled))
            del self._enabled[oldest], self._numbers[oldest]
