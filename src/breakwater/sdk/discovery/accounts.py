"""How the instances of a service stand, in records and in words."""

from typing import Final, Literal

import msgspec

from breakwater.sdk.discovery.callee import Callee
from breakwater.sdk.discovery.node import EJECTED, IN_USE, REFUSED, Node

State = Literal["in_use", "ejected", "refused", "outside"]


class InstanceLoad(msgspec.Struct, frozen=True, kw_only=True):
    """One instance as this process sees it.

    state: `outside` are those that this process does not call because of `subset_size`. cause: why
    it is passed over, "" if it is not; trial_in_s: until one call is tried there, 0 when it is due.
    weight: slow start included. calls to timeouts: since it was first seen.
    """

    service: str
    instance_id: str
    zone: str
    state: State
    cause: str = ""
    trial_in_s: float | None = None
    in_flight: int = 0
    weight: float = 1.0
    calls: int = 0
    failures: int = 0
    refused: int = 0
    timeouts: int = 0
    failures_in_row: int = 0
    refusals_in_row: int = 0


def loads_of(callee: Callee, now_s: float) -> list[InstanceLoad]:
    """Of all instances of a service, those of the own zone first."""
    nodes = sorted(callee.nodes.values(), key=lambda node: not node.is_near)
    return [_load(callee.service, node, now_s) for node in nodes]


def _load(service: str, node: Node, now_s: float) -> InstanceLoad:
    is_out = node.out != IN_USE
    trial_at_s = max(node.trial_at_s, node.trial_ends_s)
    return InstanceLoad(
        service=service,
        instance_id=node.id,
        zone=node.instance.zone,
        state=_STATES[node.out] if node.is_member or is_out else "outside",
        cause=node.cause,
        trial_in_s=max(0.0, trial_at_s - now_s) if is_out else None,
        in_flight=node.in_flight,
        weight=node.share,
        calls=node.calls,
        failures=node.failures,
        refused=node.refused,
        timeouts=node.timeouts,
        failures_in_row=node.failures_in_row,
        refusals_in_row=node.refusals_in_row,
    )


_STATES: Final[dict[int, State]] = {IN_USE: "in_use", EJECTED: "ejected", REFUSED: "refused"}


def explain(callee: Callee, zone: str, now_s: float) -> str:
    """Who is chosen and why, and who is not until when: a few lines for a person."""
    table = callee.current(now_s)
    nodes = list(callee.nodes.values())
    if not nodes:
        return f"{callee.service}: nobody is known"
    usable = len(table.near.nodes) + len(table.far.nodes)
    lines = [f"{callee.service}: {usable} of {len(nodes)} instances in use, {_how(callee)}"]
    if any(not node.is_near for node in nodes):
        lines.append(_zones(callee, zone))
    lines += (_line(one) for one in loads_of(callee, now_s))
    return "\n".join(lines)


def _how(callee: Callee) -> str:
    table = callee.table
    if table.refusing:
        return f"all refuse: one call each {callee.config.refused_trial_s:g} s is tried"
    if table.most_out == REFUSED:
        return "all refused lately, but not yet often enough to stop"
    if table.most_out == EJECTED:
        return (
            f"panic: fewer than {callee.config.panic_percent:g} % are well, "
            "so those ejected are used as well"
        )
    return "of two drawn by weight the one with fewer calls under way"


def _zones(callee: Callee, zone: str) -> str:
    table, members = callee.table, [node for node in callee.nodes.values() if node.is_member]
    homes = sum(node.is_near for node in members)
    return (
        f"zone {zone}: {100 * table.near_share:.0f} % of calls stay, for "
        f"{len(table.near.nodes)} of {homes} instances there are in use and "
        f"{len(table.far.nodes)} of {len(members) - homes} elsewhere"
    )


def _line(one: InstanceLoad) -> str:
    words = f"  {one.instance_id}" + (f" in zone {one.zone}" if one.zone else "")
    words += f": {_STANDING[one.state]}"
    if one.trial_in_s is not None:
        words += f" ({_why(one)}), a trial is "
        words += f"due in {one.trial_in_s:.1f} s" if one.trial_in_s > 0 else "due"
    words += f"; {one.in_flight} under way, weight {one.weight:.3g}"
    return f"{words}; {one.failures} of {one.calls} calls failed"


_STANDING: Final = {
    "in_use": "in use",
    "ejected": "ejected",
    "refused": "passed over",
    "outside": "not in the subset of this process",
}


def _why(one: InstanceLoad) -> str:
    if one.cause == "refused":
        return f"refused {one.refusals_in_row} times in a row"
    if one.cause == "rate":
        return "failed more often than the others"
    if one.cause == "trial":
        return "a call on trial failed"
    return f"{one.failures_in_row} failures in a row"
