"""The bytes of every instance, written once in each form it was asked for."""

from breakwater.registry.eureka.forms import Form
from breakwater.registry.instance_info import Action, InstanceInfo

Key = tuple[str, str]


class Fragments:
    """How each present instance is spelled, until it changes."""

    def __init__(self) -> None:
        self._kept: dict[Form, dict[Key, tuple[InstanceInfo, bytes]]] = {}

    def of(self, info: InstanceInfo, form: Form) -> bytes:
        """The bytes of one instance; those of one that has left are not kept."""
        kept = self._kept.get(form)
        if kept is None:
            kept = self._kept[form] = {}
        key = (info.app, info.instance_id)
        held = kept.get(key)
        if held is not None and held[0] is info:
            return held[1]
        fragment = form.codec.fragment(info, is_compact=form.is_compact)
        if info.action is not Action.DELETED:
            kept[key] = (info, fragment)
        return fragment

    def forget(self, app: str, instance_id: str) -> None:
        """The instance has left."""
        for kept in self._kept.values():
            kept.pop((app, instance_id), None)

    def __len__(self) -> int:
        """How many fragments are kept in all forms together."""
        return sum(map(len, self._kept.values()))
