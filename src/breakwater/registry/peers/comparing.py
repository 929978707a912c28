"""What to do about the differences between two registries: pure decisions, line by line.

Both sides decide alike without asking each other, whichever compares first:

- Of two descriptions the one with the later `last_dirty_ms` counts, which the instance itself
  stamped. Where those are equal (metadata set through a registry), the one changed later by the
  clock of the registry where that happened; where those are equal too, the larger mark.
- An operator's override is apart from that: the one set, or taken away, later counts.
- The later renewal counts, whoever heard it.
- An end on purpose beats every version up to the one that ended; an end by silence beats a copy
  that was not renewed since, and a lease only once that has run out too. A lease that was read
  from a disk, and of whose holder nobody heard since, was renewed at no time that counts.
"""

from enum import Enum, auto

import msgspec

from breakwater.registry.holding.endings import Ending
from breakwater.registry.holding.lease import Lease
from breakwater.registry.instance_info import InstanceInfo, InstanceStatus
from breakwater.registry.peers.digest import Copy, End, Line

_SELF_SAID = frozenset((InstanceStatus.DOWN, InstanceStatus.STARTING))


class Step(Enum):
    """What to do about one line of a peer's digest."""

    NOTHING = auto()
    FETCH = auto()
    HEAR = auto()


class EndStep(Enum):
    """What to do about an end in a peer's digest."""

    NOTHING = auto()
    CANCEL = auto()
    LAPSE = auto()
    REMEMBER = auto()


def step_for(
    theirs: Line, ours: Line | None, ending: Ending | None, *, now_s: float, is_first: bool
) -> Step:
    """What to do about the peer's line, knowing our own line or else our memory of its end.

    is_first: this registry has just started, and takes even what has lapsed: whether that is
    gone is for its own judgement.
    """
    if ours is None:
        return _step_for_unknown(theirs, ending, now_s=now_s, is_first=is_first)
    if is_newer(theirs, ours) or is_overruling(theirs, ours):
        return Step.FETCH
    return Step.HEAR if theirs.silent_s < ours.silent_s else Step.NOTHING


def _step_for_unknown(theirs: Line, ending: Ending | None, *, now_s: float, is_first: bool) -> Step:
    renewed_s = now_s - theirs.silent_s
    if ending is not None and ending.outlives(theirs.last_dirty_ms, renewed_s):
        return Step.NOTHING
    has_lapsed = theirs.is_heard and theirs.silent_s >= theirs.lease_s
    return Step.NOTHING if has_lapsed and not is_first else Step.FETCH


def is_newer(theirs: Line, ours: Line) -> bool:
    """Whether the peer's description is to stand in place of ours."""
    if theirs.last_dirty_ms == ours.last_dirty_ms and theirs.mark == ours.mark:
        return False
    return (theirs.last_dirty_ms, theirs.updated_ms, theirs.mark) > (
        ours.last_dirty_ms,
        ours.updated_ms,
        ours.mark,
    )


def is_overruling(theirs: Line, ours: Line) -> bool:
    """Whether the peer's override is to stand in place of ours."""
    if theirs.override == ours.override:
        return False
    return (theirs.override_ms, theirs.override) > (ours.override_ms, ours.override)


def merged(theirs: Copy, their_line: Line, held: Lease, our_line: Line) -> Copy:
    """What both sides come to: the newer description under the later override.

    A status of DOWN or STARTING is the instance's own and stands above any override.
    """
    takes_info = is_newer(their_line, our_line)
    if their_line.override == our_line.override:
        info = theirs.info if takes_info else held.info
        return _told(info, theirs, max(theirs.override_ms, held.override_ms), held)
    takes_override = is_overruling(their_line, our_line)
    info = theirs.info if takes_info else held.info
    ruling = theirs.info if takes_override else held.info
    override_ms = theirs.override_ms if takes_override else held.override_ms
    if info is not ruling:
        status = info.status if info.status in _SELF_SAID else ruling.status
        info = msgspec.structs.replace(
            info,
            overridden_status=ruling.overridden_status,
            status=status,
            last_updated_ms=max(theirs.info.last_updated_ms, held.info.last_updated_ms),
        )
    return _told(info, theirs, override_ms, held)


def _told(info: InstanceInfo, theirs: Copy, override_ms: int, held: Lease) -> Copy:
    """`info` with the milestones of the lease on both sides joined."""
    told = (theirs.info.lease.service_up_ms, held.info.lease.service_up_ms)
    service_up_ms = min((each for each in told if each), default=0)
    terms = msgspec.structs.replace(info.lease, service_up_ms=service_up_ms)
    return Copy(
        info=msgspec.structs.replace(info, lease=terms),
        override_ms=override_ms,
        renewed_ago_ms=theirs.renewed_ago_ms,
    )


def step_for_end(theirs: End, ours: Lease | None, *, now_s: float) -> EndStep:
    """What to do about an end that the peer remembers, knowing our own lease."""
    ending = ending_of(theirs, now_s=now_s)
    if ours is None:
        return EndStep.REMEMBER if theirs.is_final else EndStep.NOTHING
    renewed_s = float("-inf") if ours.is_recalled else ours.renewed_s
    if not ending.outlives(ours.info.last_dirty_ms, renewed_s):
        return EndStep.NOTHING
    if theirs.is_final:
        return EndStep.CANCEL
    has_run_out = ours.is_recalled or ours.deadline_s <= now_s
    return EndStep.LAPSE if has_run_out else EndStep.NOTHING


def ending_of(theirs: End, *, now_s: float) -> Ending:
    """The peer's end as one of our own, by our monotonic time."""
    return Ending(
        app=theirs.app,
        instance_id=theirs.instance_id,
        last_dirty_ms=theirs.last_dirty_ms,
        is_final=theirs.is_final,
        at_s=now_s - theirs.ago_ms / 1000,
    )
