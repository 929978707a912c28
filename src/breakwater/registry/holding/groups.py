"""Groups of instances that are taken out of service together: Amazon's auto-scaling groups."""

from typing import Final

from breakwater.registry.errors import RegistryFullError

_MOST: Final = 10_000


class Groups:
    """The names of the groups that are disabled, at most 10,000 of them."""

    def __init__(self) -> None:
        self._disabled: set[str] = set()

    @property
    def disabled(self) -> list[str]:
        """The disabled groups, by name."""
        return sorted(self._disabled)

    def disables(self, name: str) -> bool:
        """Whether the group `name` is disabled; no group ("") never is."""
        return name in self._disabled

    def switch(self, name: str, *, is_enabled: bool) -> None:
        """Enable or disable a group; raises RegistryFullError when too many are disabled."""
        if is_enabled:
            self._disabled.discard(name)
        elif len(self._disabled) >= _MOST and name not in self._disabled:
            raise RegistryFullError(f"{_MOST} groups are disabled already; enable some first")
        else:
            self._disabled.add(name)
