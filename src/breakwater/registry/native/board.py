"""What callers are shown: instance by instance, under one revision, with what changed lately."""

from collections.abc import Iterator
from typing import Final

import msgspec

from breakwater.model import Instance, InstanceKey
from breakwater.registry.native.ring import ChangeRing

_ENCODER: Final = msgspec.json.Encoder()


class Shown(msgspec.Struct, kw_only=True, eq=False, gc=False):
    """One instance as it is shown, and its JSON, which is made once."""

    instance: Instance
    key: InstanceKey
    encoded: msgspec.Raw | None = None

    @property
    def raw(self) -> msgspec.Raw:
        """The instance as JSON."""
        if self.encoded is None:
            self.encoded = msgspec.Raw(_ENCODER.encode(self.instance))
        return self.encoded


class Part:
    """The shown instances of one service, by id; `latest` is the revision of the last change."""

    __slots__ = ("latest", "shown")

    def __init__(self, latest: int) -> None:
        self.shown: dict[str, Shown] = {}
        self.latest = latest


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """What leads to `revision`: from `since`, or from nothing at all when that is None."""

    revision: int
    since: int | None
    shown: list[Shown]
    gone: list[InstanceKey] = []


class Board:
    """Every instance that is shown. Its revision grows by one with every visible change.

    Pure state. Services are told apart without regard to case. A change costs O(1), a difference
    O(changes since). `revision` is where to start: higher than any that an earlier process
    reached. Of the changes the latest `capacity` are remembered, and of services that have no
    instance left so many.
    """

    def __init__(self, *, revision: int, capacity: int) -> None:
        self.revision = revision
        self._begun = revision
        self._capacity = capacity
        self._parts: dict[str, Part] = {}
        self._empty = 0
        self._ring = ChangeRing(capacity=capacity, floor=revision)
        self._forgotten = revision

    def __len__(self) -> int:
        """How many instances are shown."""
        return sum(len(part.shown) for part in self._parts.values())

    def put(self, instance: Instance) -> bool:
        """Show `instance`, in place of what was shown under its id; False if nothing changes."""
        part = self._part(instance.service)
        held = part.shown.get(instance.instance_id)
        if held is not None and held.instance == instance:
            return False
        key = InstanceKey(service=instance.service, instance_id=instance.instance_id)
        shown = Shown(instance=instance, key=key)
        self._empty -= not part.shown
        part.shown[instance.instance_id] = shown
        if held is not None and held.key != shown.key:
            self._note(part, held.key)
        self._note(part, shown.key)
        return True

    def remove(self, service: str, instance_id: str) -> bool:
        """Show an instance no more; False if it was not shown."""
        part = self._parts.get(service.upper())
        held = part.shown.pop(instance_id, None) if part is not None else None
        if part is None or held is None:
            return False
        self._note(part, held.key)
        self._empty += not part.shown
        if self._empty > self._capacity:
            self._forget_empty()
        return True

    def shown(self, service: str | None = None) -> Iterator[Shown]:
        """Everything shown, or what is shown of one service."""
        if service is None:
            for part in self._parts.values():
                yield from part.shown.values()
        elif service.upper() in self._parts:
            yield from self._parts[service.upper()].shown.values()

    def has_news(self, revision: int | None, service: str | None = None) -> bool:
        """Whether what is shown (of one service) may differ from what was at `revision`."""
        if revision is None or not self._begun <= revision <= self.revision:
            return True
        return revision < self._latest(service)

    def difference(self, revision: int | None, service: str | None = None) -> Difference:
        """What leads from `revision` to now; everything, where that is not remembered."""
        changed = self._changed(revision, service)
        if changed is None:
            shown = list(self.shown(service))
            return Difference(revision=self.revision, since=None, shown=shown)
        present, gone = [], []
        for key in changed:
            part = self._parts.get(key.service.upper())
            found = part.shown.get(key.instance_id) if part is not None else None
            if found is not None and found.key == key:
                present.append(found)
            else:
                gone.append(key)
        return Difference(revision=self.revision, since=revision, shown=present, gone=gone)

    def is_forgotten(self, revision: int | None, service: str | None = None) -> bool:
        """Whether nothing leads from `revision` to now, so that everything has to be told."""
        return self._changed(revision, service) is None

    def _changed(self, revision: int | None, service: str | None) -> list[InstanceKey] | None:
        if revision is None or not self._begun <= revision <= self.revision:
            return None
        if revision >= self._latest(service):
            return []
        changed = self._ring.since(revision)
        if changed is None or service is None:
            return changed
        name = service.upper()
        return [key for key in changed if key.service.upper() == name]

    def _latest(self, service: str | None) -> int:
        """The revision that the last change (of one service) made."""
        if service is None:
            return self.revision
        part = self._parts.get(service.upper())
        return self._forgotten if part is None else part.latest

    def _part(self, service: str) -> Part:
        name = service.upper()
        part = self._parts.get(name)
        if part is None:
            part = self._parts[name] = Part(self._forgotten)
            self._empty += 1
        return part

    def _note(self, part: Part, key: InstanceKey) -> None:
        self.revision += 1
        part.latest = self.revision
        self._ring.add(self.revision, key)

    def _forget_empty(self) -> None:
        """Forget the services that have no instance left."""
        for name in [name for name, part in self._parts.items() if not part.shown]:
            self._forgotten = max(self._forgotten, self._parts.pop(name).latest)
        self._empty = 0
