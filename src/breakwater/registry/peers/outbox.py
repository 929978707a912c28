"""What one peer has still to be told: the newest of each kind for each instance, in order."""

from collections import Counter
from enum import StrEnum
from typing import Final

import msgspec

from breakwater.registry.instance_info import InstanceInfo

BATCH: Final = 250
"""Tasks in one request, as Eureka servers send them."""

Key = tuple[str, str, str]


class TaskAction(StrEnum):
    """What a peer is asked to do, in Eureka's words."""

    REGISTER = "Register"
    HEARTBEAT = "Heartbeat"
    CANCEL = "Cancel"
    STATUS_UPDATE = "StatusUpdate"
    DELETE_STATUS_OVERRIDE = "DeleteStatusOverride"


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to tell a peer; `info` is the instance as it is after it.

    made_s, expires_s: monotonic time. override_ms: when its override was set or taken away.
    """

    action: TaskAction
    info: InstanceInfo
    override_ms: int
    made_s: float
    expires_s: float

    @property
    def key(self) -> Key:
        """Tasks of one key replace each other."""
        return (self.action.value, self.info.app, self.info.instance_id)


class Outbox:
    """Tasks for one peer, at most `capacity`; further ones push out the oldest.

    What is pushed out or expires is counted: the next comparison of digests finds what it was.
    """

    def __init__(self, *, capacity: int) -> None:
        self._capacity = capacity
        self._tasks: dict[Key, Task] = {}
        self.counts: Counter[str] = Counter()

    def __len__(self) -> int:
        """How many tasks wait."""
        return len(self._tasks)

    def put(self, task: Task) -> None:
        """Add a task in place of an older one of its key.

        A heartbeat keeps the place of the one it replaces, lest a slow peer never get any.
        """
        key = task.key
        if task.action is not TaskAction.HEARTBEAT:
            self._tasks.pop(key, None)
        self._tasks[key] = task
        if len(self._tasks) > self._capacity:
            del self._tasks[next(iter(self._tasks))]
            self.counts["dropped"] += 1

    def take(self, *, now_s: float) -> list[Task]:
        """The oldest tasks, at most a batch of them; those that have expired are left out."""
        taken: list[Task] = []
        while self._tasks and len(taken) < BATCH:
            task = self._tasks.pop(next(iter(self._tasks)))
            if task.expires_s > now_s:
                taken.append(task)
            else:
                self.counts["expired"] += 1
        return taken

    def put_back(self, tasks: list[Task]) -> None:
        """Return tasks that could not be told, before all others, but where a newer one came."""
        again = {task.key: task for task in tasks if task.key not in self._tasks}
        self._tasks = {**again, **self._tasks}
        while len(self._tasks) > self._capacity:
            del self._tasks[next(iter(self._tasks))]
            self.counts["dropped"] += 1

    def clear(self) -> None:
        """Forget every task."""
        self._tasks.clear()

    def oldest_s(self, *, now_s: float) -> float:
        """For how long the oldest task has waited."""
        if not self._tasks:
            return 0.0
        return max(0.0, now_s - next(iter(self._tasks.values())).made_s)
