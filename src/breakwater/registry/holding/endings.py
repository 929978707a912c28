"""Who left lately, so that no stale copy brings anybody back."""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

import msgspec

from breakwater.registry.instance_info import InstanceStatus

RETENTION_S: Final = 3_600.0
"""How long an end is remembered: no copy of an instance that old is passed on by anybody."""

Key = tuple[str, str]


class Ending(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The end of one lease at monotonic time `at_s`.

    is_final: somebody ended it on purpose; otherwise it was silence. `last_dirty_ms` is of the
    version that ended, by the instance's own clock: no other clock is asked which version is newer.
    `override`: that of an operator, which holds again for an instance that is back within the hour.
    """

    app: str
    instance_id: str
    last_dirty_ms: int
    is_final: bool
    at_s: float
    override: InstanceStatus | None = None
    override_ms: int = 0

    def outlives(self, last_dirty_ms: int, renewed_s: float) -> bool:
        """Whether a copy of that version, last renewed at monotonic `renewed_s`, is out of date.

        What was ended on purpose stays so until the instance is newer. What ended by silence is
        back as soon as anybody heard of it after that.
        """
        if last_dirty_ms > self.last_dirty_ms:
            return False
        return self.is_final or renewed_s <= self.at_s


class Endings:
    """The latest end of every instance that left within the last hour, at most `capacity` of them.

    When there are more, those that left first are forgotten first.
    """

    def __init__(self, *, capacity: int) -> None:
        self._capacity = capacity
        self._items: OrderedDict[Key, Ending] = OrderedDict()

    def __len__(self) -> int:
        """How many ends are remembered."""
        return len(self._items)

    def __iter__(self) -> Iterator[Ending]:
        """Every end that is remembered."""
        return iter(tuple(self._items.values()))

    def of(self, app: str, instance_id: str) -> Ending | None:
        """The end of one instance, if it is gone and that is remembered."""
        return self._items.get((app, instance_id))

    def add(self, ending: Ending) -> None:
        """Remember an end; one that was known is replaced unless it says more."""
        key = (ending.app, ending.instance_id)
        held = self._items.pop(key, None)
        if held is not None and held.last_dirty_ms >= ending.last_dirty_ms and held.is_final:
            ending = held
        self._items[key] = ending
        while len(self._items) > self._capacity:
            self._items.popitem(last=False)

    def pardon(self, app: str, instance_id: str) -> None:
        """Remember of an end no longer that the instance was overridden."""
        held = self._items.get((app, instance_id))
        if held is not None and held.override is not None:
            pardoned = msgspec.structs.replace(
                held, override=None, override_ms=held.override_ms + 1
            )
            self._items[app, instance_id] = pardoned

    def forget(self, app: str, instance_id: str) -> None:
        """The instance is back."""
        self._items.pop((app, instance_id), None)

    def prune(self, *, now_s: float) -> None:
        """Forget what is older than the retention."""
        while self._items:
            key, oldest = next(iter(self._items.items()))
            if now_s - oldest.at_s <= RETENTION_S:
                break
            del self._items[key]
