"""What changed lately, for clients that fetch differences."""

from collections import OrderedDict

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

    def __len__(self) -> int:
        """How many instances changed within the retention."""
        return len(self._items)

    def add(self, info: InstanceInfo, *, now_s: float) -> None:
        """Remember `info` as changed at monotonic time `now_s`."""
        key = (info.app, info.instance_id)
        self._items[key] = (now_s, info)
        self._items.move_to_end(key)
        while len(self._items) > self._capacity:
            self._items.popitem(last=False)

    def prune(self, *, now_s: float) -> bool:
        """Forget what is older than the retention; True if anything was forgotten."""
        before = len(self._items)
        while self._items:
            changed_s, _ = next(iter(self._items.values()))
            if now_s - changed_s <= self._retention_s:
                break
            self._items.popitem(last=False)
        return len(self._items) != before

    def infos(self) -> list[InstanceInfo]:
        """The changed instances; a DELETED one is carried as it was last."""
        return [info for _, info in self._items.values()]
