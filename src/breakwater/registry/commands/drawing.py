"""What the registry answers, as rows of tables and lines of text."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from breakwater.model import Health, Instance
from breakwater.registry.acting.acts import Act
from breakwater.registry.native.record import CallerSaw, InstanceRecord
from breakwater.terminal import moment

if TYPE_CHECKING:
    from breakwater.registry.peers.link import PeerState

INSTANCES: Final = ("service", "instance", "address", "zone", "state", "up for")
CALLERS: Final = ("caller", "ago", "calls", "failed", "refused", "timed out", "thinks")
ACTS: Final = ("id", "act", "on", "since", "until", "by", "why")
PEERS: Final = ("peer", "kind", "state", "heard", "waiting", "compared", "skew", "failed last")

_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"))


def span(seconds: float) -> str:
    """A time in the largest unit that fits: `45 s`, `3 min`, `2 h`, `5 d`."""
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def state(one: Instance) -> str:
    """The status, and how sure it is that the instance is there unless it is."""
    return one.status if one.health is Health.FRESH else f"{one.status}, {one.health}"


def sorted_instances(instances: Iterable[Instance]) -> list[Instance]:
    """By service, then by id."""
    return sorted(instances, key=lambda one: (one.service, one.instance_id))


def instance_row(one: Instance, now_ms: int) -> tuple[str, ...]:
    """A row under INSTANCES."""
    up_for = span((now_ms - one.up_since_ms) / 1_000) if one.up_since_ms else "-"
    address = f"{one.host}:{one.port}"
    return one.service, one.instance_id, address, one.zone or "-", state(one), up_for


def change_line(sign: str, one: Instance, now_ms: int) -> str:
    """One line of `watch`."""
    at = datetime.fromtimestamp(now_ms / 1_000, tz=UTC).strftime("%H:%M:%S")
    zone = f" zone {one.zone}" if one.zone else ""
    where = f"{one.host}:{one.port}{zone}"
    return f"{at} {sign} {one.service} {one.instance_id} {where} {state(one)}"


def summary(instances: list[Instance]) -> str:
    """How many there are, and how many of them are in doubt."""
    services = len({one.service for one in instances})
    doubts = [
        f"{count} {health}"
        for health in (Health.LATE, Health.DOUBTFUL)
        if (count := sum(one.health is health for one in instances))
    ]
    said = f"{_counted(len(instances), 'instance')} of {_counted(services, 'service')}"
    return ", ".join([said, *doubts])


def facts(record: InstanceRecord) -> Iterator[tuple[str, str]]:
    """What is worth a line of its own, each with its name."""
    one, about, lease = record.instance, record.description, record.lease
    override = f" (an operator says {record.override})" if record.override else ""
    yield "status", f"{one.status}{override}"
    yield "health", f"{one.health}: {record.reason}" if record.reason else str(one.health)
    yield "address", f"{about.host_name} ({about.ip_addr}), port {one.port}"
    yield "zone", one.zone or "-"
    yield "up since", moment(one.up_since_ms)
    yield "registered", moment(lease.registered_ms)
    via = f", passed on by {lease.via}" if lease.via else ""
    yield "last renewal", f"{moment(lease.renewed_ms)}{via}"
    ends = f"ends in {lease.ends_in_s:.1f} s" if lease.ends_in_s > 0 else "has ended"
    yield "lease", f"{lease.duration_s} s, renewed every {lease.renewal_interval_s} s; {ends}"
    beats = record.heartbeats
    late = f", {beats.late} of them late" if beats.late else ""
    gap = f"; longest gap {beats.longest_gap_s:.1f} s" if beats.renewals else ""
    yield "heartbeats", f"{beats.renewals} since it registered{late}{gap}"
    for probe in reversed(record.probes[-3:]):
        ago = span((record.at_ms - probe.at_ms) / 1_000)
        yield "probe", f"{ago} ago: {probe.said} ({probe.took_ms:.1f} ms)"
    for act in record.acts:
        yield "operator", f"{act_words(act)} by {act.actor}: {act.reason or 'no reason given'}"
    yield "health check", about.health_check_url or "-"
    for key, value in sorted(one.metadata.items()):
        yield f"metadata {key}", value


def caller_row(told: CallerSaw, now_ms: int) -> tuple[str, ...]:
    """A row under CALLERS."""
    saw = told.saw
    thinks = [word for word, holds in (("ejected", saw.is_ejected),) if holds]
    if saw.breaker:
        thinks.append(f"breaker {saw.breaker}")
    return (
        f"{told.caller.service}/{told.caller.instance_id}",
        span((now_ms - told.at_ms) / 1_000),
        *(str(number) for number in (saw.calls, saw.failures, saw.refused, saw.timeouts)),
        ", ".join(thinks) or "-",
    )


def act_words(act: Act) -> str:
    """What an act does."""
    return f"{act.kind} to {act.status}" if act.kind == "override" else act.kind.value


def act_row(act: Act) -> tuple[str, ...]:
    """A row under ACTS."""
    until = "undone" if act.end_ms is None else moment(act.end_ms)
    if not act.is_in_force:
        until = f"ended {moment(act.ended_ms)} by {act.ended_by}"
    on = f"{act.service}/{act.instance_id}"
    return act.id, act_words(act), on, moment(act.start_ms), until, act.actor, act.reason or "-"


def peer_row(peer: "PeerState", now_ms: int) -> tuple[str, ...]:
    """A row under PEERS."""
    heard = "never" if peer.heard_ago_s is None else f"{span(peer.heard_ago_s)} ago"
    compared = "never"
    if peer.last_compared_ms:
        compared = f"{span((now_ms - peer.last_compared_ms) / 1_000)} ago"
    waiting = f"{peer.waiting} ({span(peer.lag_s)})" if peer.waiting else "0"
    return (
        peer.url,
        str(peer.kind),
        "up" if peer.is_up else "down",
        heard,
        waiting,
        compared,
        f"{peer.skew_ms} ms",
        peer.last_failure or "-",
    )


def _counted(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"
