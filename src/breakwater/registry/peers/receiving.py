"""Doing what a peer passes on; never passed on again."""

from breakwater.model import BreakwaterError
from breakwater.registry.errors import InvalidInstanceError, StaleReplicaError
from breakwater.registry.holding.happenings import Origin
from breakwater.registry.holding.registry import Registry
from breakwater.registry.peers.batch import Entry, Outcome
from breakwater.registry.peers.outbox import TaskAction
from breakwater.registry.refusals import status_of


def received(registry: Registry, entry: Entry | InvalidInstanceError, *, via: str) -> Outcome:
    """Do one deed that the peer `via` passed on; what is refused is told by its status code."""
    if isinstance(entry, InvalidInstanceError):
        return Outcome(status=400)
    try:
        _do(registry, entry, via=via)
    except StaleReplicaError as error:
        return Outcome(status=409, info=error.held)
    except BreakwaterError as error:
        return Outcome(status=status_of(error))
    return Outcome(status=200)


def _do(registry: Registry, entry: Entry, *, via: str) -> None:
    app, instance_id = entry.app, entry.instance_id
    if entry.action is TaskAction.REGISTER:
        if entry.info is None:
            raise InvalidInstanceError(f"Register of {instance_id} has no instanceInfo")
        registry.register(app, entry.info, origin=Origin.PEER, via=via)
    elif entry.action is TaskAction.HEARTBEAT:
        registry.renew(
            app, instance_id, last_dirty_ms=entry.last_dirty_ms, origin=Origin.PEER, via=via
        )
    elif entry.action is TaskAction.CANCEL:
        if not _is_past(registry, entry):
            registry.cancel(app, instance_id, origin=Origin.PEER)
    elif _is_overruled(registry, entry):
        return
    elif entry.action is TaskAction.STATUS_UPDATE:
        registry.override_status(
            app,
            instance_id,
            entry.status,
            last_dirty_ms=entry.last_dirty_ms,
            at_ms=entry.override_ms,
            origin=Origin.PEER,
        )
    else:
        registry.remove_override(
            app,
            instance_id,
            entry.status,
            last_dirty_ms=entry.last_dirty_ms,
            at_ms=entry.override_ms,
            origin=Origin.PEER,
        )


def _is_past(registry: Registry, entry: Entry) -> bool:
    """Whether the instance has registered a newer version since the one that was cancelled."""
    held = registry.lease(entry.app, entry.instance_id).info.last_dirty_ms
    return entry.last_dirty_ms is not None and entry.last_dirty_ms < held


def _is_overruled(registry: Registry, entry: Entry) -> bool:
    """Whether an operator said something later than this."""
    lease = registry.lease(entry.app, entry.instance_id)
    return entry.override_ms is not None and entry.override_ms < lease.override_ms
