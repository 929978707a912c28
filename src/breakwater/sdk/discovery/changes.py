"""Who came and who left, told to whoever wants to know, as soon as the registry has told it."""

import threading
from collections.abc import Callable, Mapping

import msgspec

from breakwater.model import Instance


class InstancesChanged(msgspec.Struct, frozen=True, kw_only=True):
    """The instances of `service` (lower case) that are UP from now on, and what is new of them.

    changed: those that were there before, with another address, zone, metadata or health.
    """

    service: str
    instances: tuple[Instance, ...]
    joined: tuple[Instance, ...]
    left: tuple[Instance, ...]
    changed: tuple[Instance, ...]


Hook = Callable[[InstancesChanged], None]
_Known = Mapping[str, tuple[Instance, ...]]


class ChangeHooks:
    """Functions called with each change, one service at a time.

    They are called by the thread that follows the registry, so they must not take long. One that
    raises is counted in `failures`; the others and the view do not notice.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._hooks: tuple[tuple[Hook, str], ...] = ()
        self.failures = 0

    def add(self, hook: Hook, service: str = "") -> Callable[[], None]:
        """Call `hook` with every later change, of one `service` if named; returns what ends it."""
        entry = (hook, service.lower())
        with self._lock:
            self._hooks = (*self._hooks, entry)

        def remove() -> None:
            with self._lock:
                self._hooks = tuple(one for one in self._hooks if one is not entry)

        return remove

    def tell(self, before: _Known, after: _Known) -> None:
        """Call the hooks with what differs; free where nobody listens."""
        if not self._hooks:
            return
        for service in sorted(before.keys() | after.keys()):
            change = difference(service, before.get(service, ()), after.get(service, ()))
            if change is not None:
                self._call(change)

    def _call(self, change: InstancesChanged) -> None:
        for hook, service in self._hooks:
            if service not in {"", change.service}:
                continue
            try:
                hook(change)
            except Exception:  # noqa: BLE001 - somebody else's code; the view goes on
                self.failures += 1


def difference(
    service: str, before: tuple[Instance, ...], after: tuple[Instance, ...]
) -> InstancesChanged | None:
    """What leads from `before` to `after`, None if nothing does."""
    was = {one.instance_id: one for one in before}
    now = {one.instance_id for one in after}
    joined = tuple(one for one in after if one.instance_id not in was)
    left = tuple(one for one in before if one.instance_id not in now)
    changed = tuple(one for one in after if was.get(one.instance_id, one) != one)
    if not (joined or left or changed):
        return None
    return InstancesChanged(
        service=service, instances=after, joined=joined, left=left, changed=changed
    )
