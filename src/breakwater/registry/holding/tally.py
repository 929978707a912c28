"""How many instances have which status, without counting them again."""

from collections import Counter

from breakwater.registry.instance_info import Action, InstanceInfo, InstanceStatus

Key = tuple[str, str]


class StatusTally:
    """The number of present instances by status; O(1) for each change."""

    def __init__(self) -> None:
        self._status_of: dict[Key, InstanceStatus] = {}
        self._counts: Counter[str] = Counter()

    def note(self, info: InstanceInfo) -> None:
        """Take in a change of one instance; one that is DELETED counts no more."""
        key = (info.app, info.instance_id)
        former = self._status_of.pop(key, None)
        if former is not None:
            self._counts[former.value] -= 1
        if info.action is not Action.DELETED:
            self._status_of[key] = info.status
            self._counts[info.status.value] += 1

    def counts(self) -> dict[str, int]:
        """How many there are by status, sorted by name; statuses that nobody has are left out."""
        return {name: count for name, count in sorted(self._counts.items()) if count}

    def code(self) -> str:
        """Eureka's reconciliation code of all present instances: `STATUS_count_` for each."""
        return "".join(f"{name}_{count}_" for name, count in self.counts().items())
