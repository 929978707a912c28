"""Who is behind a virtual address, without asking everybody."""

from collections.abc import Iterable

from breakwater.registry.instance_info import Action, InstanceInfo

Key = tuple[str, str]


class _Behind:
    """The instances behind one address, and the number of their latest change."""

    __slots__ = ("change", "members")

    def __init__(self) -> None:
        self.members: dict[Key, InstanceInfo] = {}
        self.change = 0


class Addresses:
    """Every virtual address of one kind with the instances behind it; O(1) for each change.

    An instance may have several, separated by commas.
    """

    def __init__(self, *, is_secure: bool) -> None:
        self._is_secure = is_secure
        self._behind: dict[str, _Behind] = {}
        self._known: dict[Key, tuple[str, ...]] = {}
        self._changes = 0

    def note(self, info: InstanceInfo) -> None:
        """Take in a change of one instance; one that is DELETED is behind no address any more."""
        key = (info.app, info.instance_id)
        present = () if info.action is Action.DELETED else self._addresses_of(info)
        former = self._known.pop(key, ())
        if not present and not former:
            return
        self._changes += 1
        for address in former:
            if address not in present:
                self._leave(address, key)
        for address in present:
            behind = self._behind.setdefault(address, _Behind())
            behind.members[key] = info
            behind.change = self._changes
        if present:
            self._known[key] = present

    def members(self, address: str) -> Iterable[InstanceInfo]:
        """The instances behind `address`, none if nobody has it."""
        behind = self._behind.get(address)
        return () if behind is None else behind.members.values()

    def change(self, address: str) -> int:
        """A number that is another whenever the instances behind `address` are; 0 for nobody."""
        behind = self._behind.get(address)
        return 0 if behind is None else behind.change

    def _addresses_of(self, info: InstanceInfo) -> tuple[str, ...]:
        text = info.secure_vip_address if self._is_secure else info.vip_address
        if "," not in text:
            return (text,) if text else ()
        return tuple(dict.fromkeys(each for each in text.split(",") if each))

    def _leave(self, address: str, key: Key) -> None:
        behind = self._behind[address]
        del behind.members[key]
        behind.change = self._changes
        if not behind.members:
            del self._behind[address]
