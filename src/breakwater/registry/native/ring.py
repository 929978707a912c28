"""What changed lately, as far back as memory is allowed to reach."""

from collections import deque

from breakwater.model import InstanceKey


class ChangeRing:
    """The names of the latest changes, each with the revision it made.

    Of more than `capacity` the oldest are forgotten; `floor` is the revision from which on all of
    them are known.
    """

    __slots__ = ("_capacity", "_items", "floor")

    def __init__(self, *, capacity: int, floor: int) -> None:
        self._capacity = capacity
        self._items: deque[tuple[int, InstanceKey]] = deque()
        self.floor = floor

    def __len__(self) -> int:
        """How many changes are known."""
        return len(self._items)

    def add(self, revision: int, key: InstanceKey) -> None:
        """Note that `revision` was made by a change of `key`."""
        self._items.append((revision, key))
        if len(self._items) > self._capacity:
            self.floor, _ = self._items.popleft()

    def since(self, revision: int) -> list[InstanceKey] | None:
        """Whatever changed after `revision`, each once, oldest first; None if that is forgotten.

        Costs O(changes since).
        """
        if revision < self.floor:
            return None
        changed: dict[InstanceKey, None] = {}
        for made, key in reversed(self._items):
            if made <= revision:
                break
            changed[key] = None
        return list(reversed(changed))
