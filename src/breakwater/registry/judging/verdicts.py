"""What to think of an instance, decided from what is known of it and of the others: pure.

Nothing is counted up or down from one decision to the next: the same facts always lead to the same
verdict, so a verdict can neither creep nor stick.
"""

from enum import StrEnum
from typing import Final

import msgspec

from breakwater.model import Health

LATE_AFTER: Final = 1.5
"""So many renewal intervals of silence make an instance late."""

CROWD_SHARE: Final = 0.15
CROWD_AT_LEAST: Final = 2


class Finding(StrEnum):
    """What a probe found at an instance's address.

    ANSWERS: its health check answered, whatever the answer. ACCEPTS: a connection was taken, and
    there is no health check to ask. SILENT: a connection was taken, and the health check did not
    answer in time, nor half a second later. REFUSED: nobody listens there, and again half a second
    later. UNREACHABLE: no answer of any sort, which proves nothing.
    """

    ANSWERS = "answers"
    ACCEPTS = "accepts"
    SILENT = "silent"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"


_DOUBTS: Final[dict[Finding | None, str]] = {
    Finding.SILENT: "its health check does not answer",
    Finding.REFUSED: "its address refuses connections, and was never reached from here",
}


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one instance at one moment; only what is newer than its last renewal counts.

    lapsed_s: since the end of its lease, negative while it runs. interval_s, lease_s: its own
    terms. is_recalled: it comes from the disk and was not heard of
    since. finding: of the latest probe. was_found: a probe was taken or answered there before.
    is_contradicted: it renewed although a probe had found the same, so that this proves nothing.
    is_replaced: since it renewed last another instance of the service registered at its address.
    succeeded: callers whose latest report tells of calls that went well, and not all before a
    probe was refused. refused: callers whose latest report tells of refused connections and of
    no call that went well. is_cut_off: it renews with a peer that is out of reach. excused_ago_s:
    since it was cut off, or many others were silent too, for the last time.
    """

    lapsed_s: float
    interval_s: float
    lease_s: float
    is_recalled: bool = False
    finding: Finding | None = None
    was_found: bool = False
    is_contradicted: bool = False
    is_replaced: bool = False
    succeeded: int = 0
    refused: int = 0
    is_cut_off: bool = False
    excused_ago_s: float = float("inf")
    is_pinned: bool = False

    @property
    def silent_s(self) -> float:
        """Since its last renewal, less the time that this process itself stood still."""
        return self.lapsed_s + self.lease_s


class Crowd(msgspec.Struct, frozen=True, kw_only=True):
    """How many instances are known, and how many of them are silent for no reason known."""

    known: int
    silent: int

    @property
    def is_many(self) -> bool:
        """Whether so many went silent at once that the cause is rather between them and us."""
        return self.silent >= CROWD_AT_LEAST and self.silent > CROWD_SHARE * self.known


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What to show of an instance, whether its lease is to end now, and why."""

    health: Health
    is_over: bool = False
    reason: str = ""


def late_after_s(interval_s: float, lease_s: float) -> float:
    """How long an instance may be silent before it is late.

    A lease is meant to outlive two lost renewals; who tells an interval longer than a third of
    the lease has not told the one it renews at.
    """
    return LATE_AFTER * min(interval_s, lease_s / 3)


def is_late(facts: Facts) -> bool:
    """Whether a renewal is overdue."""
    return facts.silent_s >= late_after_s(facts.interval_s, facts.lease_s)


def has_lapsed(facts: Facts) -> bool:
    """Whether the lease has run out."""
    return facts.lapsed_s >= 0


def is_proven_dead(facts: Facts) -> bool:
    """Whether something but silence says that nobody is there.

    A refused probe is proof of an instance that is late, or that was reached before, or that
    callers cannot reach either. It is none where the instance went on renewing regardless: then
    this address means something else from here. Without a probe the callers are enough once the
    instance is late: somebody was refused, and nobody got through. Where another one has taken its
    address over, whoever answers there is that one.
    """
    if facts.is_replaced:
        return is_late(facts)
    if facts.finding in {Finding.ANSWERS, Finding.ACCEPTS, Finding.SILENT} or facts.succeeded:
        return False
    late, missed = is_late(facts), facts.refused > 0
    if facts.finding is Finding.REFUSED and not facts.is_contradicted:
        return late or facts.was_found or missed
    return late and missed


def is_proven_alive(facts: Facts) -> bool:
    """Whether something but a renewal says that it is there."""
    return facts.finding is Finding.ANSWERS or facts.succeeded > 0


def is_excused(facts: Facts, crowd: Crowd) -> bool:
    """Whether its silence may have a cause outside of it.

    That holds for the length of a lease after the cause is gone: until then those who live have
    not all had the time to speak.
    """
    return crowd.is_many or facts.is_cut_off or facts.excused_ago_s < facts.lease_s


def is_unexplained(facts: Facts) -> bool:
    """Whether a renewal is overdue, and nothing is known to be the cause."""
    is_explained = facts.is_pinned or facts.is_cut_off or is_proven_dead(facts)
    return is_late(facts) and not is_explained


def judge(facts: Facts, crowd: Crowd, *, preserve_s: float) -> Verdict:
    """The verdict on one instance.

    crowd: of all that are known, this one included. preserve_s: how long after the end of its
    lease an instance is kept while nothing proves it dead or alive.
    """
    if facts.is_pinned:
        return _pinned(facts)
    return _lapsed(facts, crowd, preserve_s) if has_lapsed(facts) else _running(facts)


def _pinned(facts: Facts) -> Verdict:
    if has_lapsed(facts):
        return Verdict(health=Health.DOUBTFUL, reason="its lease has ended; an operator keeps it")
    late = is_late(facts) or facts.is_recalled
    return Verdict(health=Health.LATE if late else Health.FRESH, reason="an operator keeps it")


def _running(facts: Facts) -> Verdict:
    if is_proven_dead(facts):
        return Verdict(health=Health.LOST, reason=_why_dead(facts))
    if facts.finding in _DOUBTS and not facts.is_contradicted:
        return Verdict(health=Health.DOUBTFUL, reason=_DOUBTS[facts.finding])
    if is_late(facts):
        return Verdict(health=Health.LATE, reason=f"no renewal for {facts.silent_s:.1f} s")
    if facts.is_recalled:
        return Verdict(health=Health.LATE, reason="not heard of since this registry came back")
    return Verdict(health=Health.FRESH)


def _lapsed(facts: Facts, crowd: Crowd, preserve_s: float) -> Verdict:
    may_stay = is_excused(facts, crowd)
    if is_proven_dead(facts):
        return _over(f"its lease has ended, and {_why_dead(facts)}")
    if may_stay and is_proven_alive(facts):
        return _kept("many went silent at once, but this one answers")
    if facts.finding is Finding.SILENT and not facts.is_contradicted:
        return _over("its lease has ended, and its health check does not answer")
    if not may_stay or facts.lapsed_s >= preserve_s:
        return _over(f"its lease ended {facts.lapsed_s:.1f} s ago, and nothing shows it is there")
    return _kept(_why_kept(facts, crowd))


def _why_kept(facts: Facts, crowd: Crowd) -> str:
    if facts.is_cut_off:
        return "it renews with a peer that is out of reach"
    if not crowd.is_many:
        return f"many were silent with it until {facts.excused_ago_s:.0f} s ago"
    return f"{crowd.silent} of {crowd.known} went silent at once; nothing proves it gone"


def _over(reason: str) -> Verdict:
    return Verdict(health=Health.DOUBTFUL, is_over=True, reason=reason)


def _kept(reason: str) -> Verdict:
    return Verdict(health=Health.DOUBTFUL, reason=reason)


def _why_dead(facts: Facts) -> str:
    if facts.is_replaced:
        return "another instance has registered at its address since"
    if facts.finding is Finding.REFUSED and not facts.is_contradicted:
        return "its address refuses connections"
    return "its callers are refused, and none gets through"
