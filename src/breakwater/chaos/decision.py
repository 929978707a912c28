"""Whether a fault may be started, and what exactly it would touch: no I/O, no clock, no chance."""

import math
from collections.abc import Collection, Sequence
from typing import Final

from breakwater.chaos.errors import (
    BlastRadiusError,
    InvalidFaultError,
    UnknownTargetError,
    VictimError,
)
from breakwater.chaos.fault import ChaosKind, Fault, FaultRequest, Machine, Plan, ProcessAct, Touch
from breakwater.chaos.settings import ChaosSettings
from breakwater.model import CALL_POINTS, FaultKind, FaultRule, Instance, InstanceView

_ON_CALLS: Final = ("instance", "caller", "endpoint", "percent", "headers")
_AT_POINTS: Final = (*_ON_CALLS, "point", "peer")
_ON_PROCESS: Final = ("instance", "all_instances")
TAKES: Final[dict[ChaosKind, tuple[str, ...]]] = {
    ChaosKind.LATENCY: (*_AT_POINTS, "delay_ms", "jitter_ms"),
    ChaosKind.ERRORS: (*_AT_POINTS, "status"),
    ChaosKind.HANG: _AT_POINTS,
    ChaosKind.SLOW_EDGE: (*_ON_CALLS, "delay_ms", "jitter_ms"),
    ChaosKind.CPU_BURN: (*_ON_PROCESS, "threads"),
    ChaosKind.FREEZE: _ON_PROCESS,
    ChaosKind.CRASH: _ON_PROCESS,
}
"""Which optional fields each kind understands, beside duration_s, actor and reason."""

PROCESS_KINDS: Final = frozenset((ChaosKind.CPU_BURN, ChaosKind.FREEZE, ChaosKind.CRASH))
DEFAULT_DELAY_MS: Final = 500.0
DEFAULT_STATUS: Final = 500
DEFAULT_THREADS: Final = 2
_OPTIONAL: Final = sorted({field for fields in TAKES.values() for field in fields})
_MAX_DELAY_MS: Final = 60_000.0
_MAX_HEADERS: Final = 16
_MAX_TEXT: Final = 500
_MAX_NAME: Final = 256  # of what stands in the journal as actor and target
_EPOCH_SLACK_S: Final = 2.0
_SENDING: Final = tuple(point for point in CALL_POINTS if point != "inbound")
_WITHOUT_HEADERS: Final = frozenset(("cache", "database", "pool"))
_ALL_OF: Final = {
    "outbound": "all services",
    "cache": "its caches",
    "database": "its databases",
    "queue": "its queues",
    "pool": "its pools",
}
_RULE_KINDS: Final = {
    ChaosKind.LATENCY: FaultKind.DELAY,
    ChaosKind.ERRORS: FaultKind.ERROR,
    ChaosKind.HANG: FaultKind.HANG,
    ChaosKind.SLOW_EDGE: FaultKind.DELAY,
}


def decide(
    request: FaultRequest,
    *,
    view: InstanceView,
    active: Collection[Fault],
    settings: ChaosSettings,
    machine: Machine,
    fault_id: str,
    now_ms: int,
    draw: float,
) -> Plan:
    """What `request` comes to under `settings`, or the refusal as an error of this room.

    view: the instances registered now. active: the faults running now. machine: where the
    platform runs. draw: a number from 0 up to 1 that picks the instance where the request leaves it
    open. Raises InvalidFaultError, UnknownTargetError, BlastRadiusError, and
    VictimError for a process that cannot be reached from this machine.
    """
    _check_fields(request)
    _check_values(request)
    _check_limits(request, active, settings)
    if request.kind in PROCESS_KINDS:
        chosen = _choose_instances(request, view, active, draw)
        _check_share(request, chosen, view, active, settings)
        if request.kind is ChaosKind.CPU_BURN:
            return _burn_plan(request, chosen, fault_id, now_ms)
        return _signal_plan(request, chosen, machine)
    return _call_plan(request, view, fault_id, now_ms)


def hit_instances(fault: Fault) -> frozenset[str]:
    """Ids of the instances whose process this fault acts on."""
    if fault.request.kind not in PROCESS_KINDS:
        return frozenset()
    return frozenset(touch.instance for touch in fault.targets if touch.instance is not None)


def _check_fields(request: FaultRequest) -> None:
    takes = TAKES[request.kind]
    for field in _OPTIONAL:
        if field not in takes and getattr(request, field) not in (None, False, {}):
            raise InvalidFaultError(
                f"a fault of kind '{request.kind.value}' takes no {field}; it takes "
                f"{', '.join(takes)}, duration_s, actor, reason"
            )
    if request.kind is ChaosKind.SLOW_EDGE and not request.caller:
        raise InvalidFaultError(
            "a fault of kind 'slow_edge' needs the caller, whose calls it slows"
        )
    _check_point(request)
    if request.all_instances and request.instance is not None:
        raise InvalidFaultError("give either an instance or all_instances, not both")


def _check_point(request: FaultRequest) -> None:
    """Caller, peer and headers have to go with the point."""
    if request.point in (None, "inbound"):
        if request.peer is not None:
            raise InvalidFaultError(
                "on requests the service receives give the caller; peer goes with the points "
                f"{', '.join(_SENDING)}"
            )
    elif request.caller is not None:
        raise InvalidFaultError(
            f"at the point '{request.point}' the service itself is the caller: give the peer, "
            "which is what it asks"
        )
    if request.headers and request.point in _WITHOUT_HEADERS:
        raise InvalidFaultError(
            f"no headers go with what is asked at the point '{request.point}'; they are for "
            "inbound, outbound and queue"
        )


def _check_values(request: FaultRequest) -> None:
    for field, name in (("service", request.service), ("actor", request.actor)):
        if not name.strip() or len(name) > _MAX_NAME or not name.isprintable():
            raise InvalidFaultError(
                f"{field} must be 1 to {_MAX_NAME} printable characters, is {name[:40]!r}"
            )
    _check_range("percent", request.percent, above=0.0, most=100.0)
    _check_range("delay_ms", request.delay_ms, above=0.0, most=_MAX_DELAY_MS)
    _check_range("jitter_ms", request.jitter_ms, above=-1e-9, most=_MAX_DELAY_MS)
    _check_range("status", request.status, above=399, most=599)
    _check_range("threads", request.threads, above=0, most=16)
    texts = {
        "service": request.service,
        "instance": request.instance,
        "caller": request.caller,
        "peer": request.peer,
        "endpoint": request.endpoint,
        "actor": request.actor,
        "reason": request.reason,
    }
    for field, text in (
        *texts.items(),
        *(("headers", v) for kv in request.headers.items() for v in kv),
    ):
        if text is not None and len(text) > _MAX_TEXT:
            raise InvalidFaultError(
                f"{field} has {len(text)} characters, at most {_MAX_TEXT} may be"
            )
    if len(request.headers) > _MAX_HEADERS:
        raise InvalidFaultError(
            f"{len(request.headers)} headers given, at most {_MAX_HEADERS} may be"
        )


def _check_range(field: str, value: float | None, *, above: float, most: float) -> None:
    if value is not None and not above < value <= most:
        raise InvalidFaultError(
            f"{field} is {value:g}, must be above {max(above, 0.0):g} and at most {most:g}"
        )


def _check_limits(
    request: FaultRequest, active: Collection[Fault], settings: ChaosSettings
) -> None:
    duration_s = request.duration_s
    if math.isnan(duration_s) or duration_s < 1.0:
        raise InvalidFaultError(f"duration_s is {duration_s:g}, must be at least 1")
    if duration_s > settings.max_duration_s:
        raise BlastRadiusError(
            f"duration_s is {duration_s:g}, the longest allowed is {settings.max_duration_s:g}"
        )
    if len(active) >= settings.max_faults:
        running = ", ".join(sorted(fault.id for fault in active))
        raise BlastRadiusError(
            f"{len(active)} faults run already ({running}), at most {settings.max_faults} may"
        )


def _registered(view: InstanceView, service: str) -> list[Instance]:
    """The instances of a service, in the order of their ids; UnknownTargetError if none."""
    found = [instance for instance in view.instances if instance.service == service]
    if not found:
        raise UnknownTargetError("service", service, (i.service for i in view.instances))
    return sorted(found, key=lambda instance: instance.instance_id)


def _named(instances: Sequence[Instance], name: str) -> Instance:
    for instance in instances:
        if instance.instance_id == name:
            return instance
    known = (instance.instance_id for instance in instances)
    raise UnknownTargetError(f"instance of '{instances[0].service}' called", name, known)


def _choose_instances(
    request: FaultRequest, view: InstanceView, active: Collection[Fault], draw: float
) -> list[Instance]:
    registered = _registered(view, request.service)
    hit = frozenset[str]().union(*(hit_instances(fault) for fault in active))
    if request.instance is not None:
        chosen = [_named(registered, request.instance)]
    else:
        chosen = [i for i in registered if i.status == "UP"]
        if not request.all_instances:
            free = [i for i in chosen if i.instance_id not in hit]
            chosen = [free[int(draw * len(free))]] if free else chosen
    if not chosen:
        raise BlastRadiusError(f"no instance of '{request.service}' is UP; nothing to break")
    for instance in chosen:
        if instance.instance_id in hit:
            raise BlastRadiusError(
                f"a process fault runs on {instance.instance_id} already; undo it first"
            )
    return chosen


def _check_share(
    request: FaultRequest,
    chosen: Sequence[Instance],
    view: InstanceView,
    active: Collection[Fault],
    settings: ChaosSettings,
) -> None:
    """Refuse when the instances hit at once would be more than the allowed share of the service.

    An instance frozen for a while has lost its lease: it still counts, as hit and as one of all.
    """
    if request.all_instances:
        return
    same = (fault for fault in active if fault.request.service == request.service)
    hit = frozenset[str]().union(*(hit_instances(fault) for fault in same))
    hit |= {instance.instance_id for instance in chosen}
    every = hit | {i.instance_id for i in view.instances if i.service == request.service}
    if len(hit) > settings.max_share * len(every):
        raise BlastRadiusError(
            f"this would hit {len(hit)} of {len(every)} instances of '{request.service}', at most "
            f"{settings.max_share:.0%} may be hit at once; ask for all_instances if that is meant"
        )


def _burn_plan(
    request: FaultRequest, chosen: Sequence[Instance], fault_id: str, now_ms: int
) -> Plan:
    threads = DEFAULT_THREADS if request.threads is None else request.threads
    rules = [
        FaultRule(
            id=_rule_id(fault_id, number),
            point="process",
            kind=FaultKind.BURN,
            service=request.service,
            instance=instance.instance_id,
            expires_ms=_expires_ms(request, now_ms),
            threads=threads,
        )
        for number, instance in enumerate(chosen)
    ]
    targets = [
        Touch(
            service=request.service,
            instance=instance.instance_id,
            what=f"burn CPU on {threads} threads of {instance.instance_id}",
        )
        for instance in chosen
    ]
    return Plan(request=request, rules=rules, acts=[], targets=targets)


def _signal_plan(request: FaultRequest, chosen: Sequence[Instance], machine: Machine) -> Plan:
    is_freeze = request.kind is ChaosKind.FREEZE
    acts = [_act(instance, machine, is_freeze=is_freeze) for instance in chosen]
    targets = [
        Touch(
            service=request.service,
            instance=act.instance,
            what=f"{'freeze' if is_freeze else 'kill'} {act.instance} (pid {act.pid})",
        )
        for act in acts
    ]
    return Plan(request=request, rules=[], acts=acts, targets=targets)


def _act(instance: Instance, machine: Machine, *, is_freeze: bool) -> ProcessAct:
    if instance.host not in machine.hosts and not instance.host.startswith("127."):
        raise VictimError(
            f"{instance.instance_id} runs on host '{instance.host}'; processes can be frozen or "
            "killed only on the platform's own machine"
        )
    try:
        pid = int(instance.metadata["pid"])
        started_ticks, slack_ticks = _registered_start(instance.metadata["pid_started"], machine)
    except (KeyError, ValueError, OverflowError):
        raise VictimError(
            f"{instance.instance_id} is registered without its process: the metadata key 'pid' "
            "must be an integer, and 'pid_started' field 22 of /proc/<pid>/stat or, with a decimal "
            "point, seconds since the epoch"
        ) from None
    if pid <= 1:
        raise VictimError(f"{instance.instance_id} is registered with pid {pid}, must be above 1")
    return ProcessAct(
        signal="stop" if is_freeze else "kill",
        instance=instance.instance_id,
        pid=pid,
        started_ticks=started_ticks,
        slack_ticks=slack_ticks,
    )


def _registered_start(text: str, machine: Machine) -> tuple[int, int]:
    """Start ticks and their slack; seconds since the epoch move when the wall clock is set."""
    if "." not in text:
        return int(text), 0
    since_boot_s = float(text) - machine.booted_s
    return round(since_boot_s * machine.ticks_per_s), round(_EPOCH_SLACK_S * machine.ticks_per_s)


def _call_plan(request: FaultRequest, view: InstanceView, fault_id: str, now_ms: int) -> Plan:
    _registered(view, request.service)
    is_edge = request.kind is ChaosKind.SLOW_EDGE
    point = "outbound" if is_edge else request.point or "inbound"
    at, peer = request.service, request.caller if point == "inbound" else request.peer
    if is_edge:
        assert request.caller is not None
        at, peer = request.caller, request.service
    where = _registered(view, at)
    if request.instance is not None:
        _named(where, request.instance)
    rule = FaultRule(
        id=_rule_id(fault_id, 0),
        point=point,
        kind=_RULE_KINDS[request.kind],
        service=at,
        peer=peer,
        instance=request.instance,
        endpoint=request.endpoint,
        expires_ms=_expires_ms(request, now_ms),
        percent=100.0 if request.percent is None else request.percent,
        headers=request.headers,
        delay_ms=_delay_ms(request),
        jitter_ms=request.jitter_ms or 0.0,
        status=DEFAULT_STATUS if request.status is None else request.status,
    )
    touch = Touch(service=at, instance=request.instance, what=_in_words(request, rule))
    return Plan(request=request, rules=[rule], acts=[], targets=[touch])


def _delay_ms(request: FaultRequest) -> float:
    if "delay_ms" not in TAKES[request.kind]:
        return 0.0
    return DEFAULT_DELAY_MS if request.delay_ms is None else request.delay_ms


def _in_words(request: FaultRequest, rule: FaultRule) -> str:
    verb = {
        FaultKind.DELAY: f"delay by {rule.delay_ms:g} ms",
        FaultKind.ERROR: f"answer {rule.status} to",
        FaultKind.HANG: "hang",
    }[rule.kind]
    calls = "calls" if rule.percent == 100.0 else f"{rule.percent:g}% of calls"
    frm = f" from {request.caller}" if request.caller else ""
    to = request.service
    if rule.point != "inbound" and request.kind is not ChaosKind.SLOW_EDGE:
        frm, to = f" from {rule.service}", rule.peer or _ALL_OF[rule.point]
        to = f"{to} for a connection" if rule.point == "pool" else to
    scope = f" on {request.endpoint}" if request.endpoint else ""
    only = f" at instance {request.instance}" if request.instance else ""
    return f"{verb} {calls}{frm} to {to}{scope}{only}"


def _rule_id(fault_id: str, number: int) -> str:
    return f"{fault_id}.{number}" if number else fault_id


def _expires_ms(request: FaultRequest, now_ms: int) -> int:
    return now_ms + round(request.duration_s * 1000.0)
