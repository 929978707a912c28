"""What changed lately, for clients that fetch differences."""

from collections import OrderedDict
from collections.abc import Set as AbstractSet

from breakwater.registry.instance_info import InstanceInfo

Key = tuple[str, str]


class RecentChanges:
    """The last state of every instance that changed within the retention, oldest change first.

    Bounded by `capacity`. A client that asks too rarely, or after a forgotten change, finds that
    its reconciliation code differs and fetches the whole list: nothing has to be exact here.
    """

    def __init__(self, *, retention_s: float, capacity: int) -> None:
        self._retention_s = retention_s
        self._capacity = capacity
        self._items: OrderedDict[Key, tuple[float, InstanceInfo]] = OrderedDict()
        self._state = 0
        self._forgotten = 0

    def __len__(self) -> int:
        """How many instances changed within the retention."""
        return len(self._items)

    @property
    def state(self) -> int:
        """A number that is another whenever what is remembered is."""
        return self._state

    @property
    def forgotten(self) -> int:
        """How many changes were forgotten since the start."""
        return self._forgotten

    def keys(self) -> AbstractSet[Key]:
        """Application and id of every instance that changed."""
        return self._items.keys()

    def of(self, key: Key) -> InstanceInfo | None:
        """The last state of one instance, if it changed within the retention."""
        held = self._items.get(key)
        return None if held is None else held[1]

    def add(self, info: InstanceInfo, *, now_s: float) -> None:
        """Remember `info` as changed at monotonic time `now_s`."""
        key = (info.app, info.instance_id)
        self._state += 1
        self._items[key] = (now_s, info)
        self._items.move_to_end(key)
        while len(self._items) > self._capacity:
            self._items.popitem(last=False)
            self._forgotten += 1

    def prune(self, *, now_s: float) -> bool:
        """Forget what is older than the retention; True if anything was forgotten."""
        before = len(self._items)
        while self._items:
            changed_s, _ = next(iter(self._items.values()))
            if now_s - changed_s <= self._retention_s:
                break
            self._items.popitem(last=False)
        forgotten = before - len(self._items)
        self._forgotten += forgotten
        self._state += forgotten
        return forgotten > 0

    def infos(self) -> list[InstanceInfo]:
        """The changed instances; a DELETED one is carried as it was last."""
        return [info for _, info in self._items.values()]
