"""What an act does to an instance, and how that is taken back."""

from contextlib import suppress

from breakwater.registry.acting.acts import Act, ActKind
from breakwater.registry.errors import UnknownInstanceError
from breakwater.registry.holding.happenings import Origin
from breakwater.registry.holding.registry import Registry
from breakwater.registry.instance_info import InstanceStatus
from breakwater.registry.judging.judge import Judge


class Effects:
    """Carries acts out on a registry and its judge.

    An instance that is not there is no failure: what registers under its name is ordered.
    """

    def __init__(self, registry: Registry, judge: Judge) -> None:
        self._registry = registry
        self._judge = judge

    def apply(self, act: Act, origin: Origin) -> None:
        """Have the effect of `act` on the instance, and on whatever registers under its name."""
        if act.kind is ActKind.PIN:
            self._judge.pin(*act.key)
            return
        if act.status:
            self._registry.order(*act.key, InstanceStatus(act.status))
        with suppress(UnknownInstanceError):
            if act.kind is ActKind.DROP and self._is_to_go(act, origin):
                if origin is not Origin.PEER:  # the peer tells of the end by itself
                    self._registry.cancel(*act.key, origin=Origin.OPERATOR)
            elif act.status and self._registry.lease(*act.key).override != act.status:
                status = InstanceStatus(act.status)
                self._registry.override_status(*act.key, status, origin=origin)

    def release(self, act: Act, origin: Origin) -> None:
        """Take the effect of `act` back, unless somebody else has done so already."""
        if act.kind is ActKind.PIN:
            self._judge.unpin(*act.key)
            return
        self._registry.order(*act.key, None)
        with suppress(UnknownInstanceError):
            lease = self._registry.lease(*act.key)
            if lease.override != act.status:
                return
            if act.override_before:
                status = InstanceStatus(act.override_before)
                self._registry.override_status(*act.key, status, origin=origin)
                return
            shown = lease.info.status.value
            status = InstanceStatus(act.before if shown == act.status else shown)
            self._registry.remove_override(*act.key, status, origin=origin)

    def _is_to_go(self, act: Act, origin: Origin) -> bool:
        """Whether what is registered is what was dropped, and not what came after it."""
        if origin is Origin.OPERATOR:
            return True
        return self._registry.lease(*act.key).info.lease.registration_ms <= act.start_ms
