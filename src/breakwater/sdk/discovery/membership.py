"""Which instances of a service this process may call: the view's, and of those a subset.

A subset is the same after a restart, differs between callers, and changes by one instance when one
comes or goes: rendezvous hashing of caller and instance. Three of four members are of the own
zone, so that calls stay there, and the others are there when it fails.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final

from breakwater.model import Instance
from breakwater.sdk.discovery.hashing import mixed
from breakwater.sdk.discovery.judgement import ramp
from breakwater.sdk.discovery.node import REFUSED, Node, is_same, weight_of

RAMP_STEPS: Final = 30
"""In how many steps a new instance gets its share."""


def renewed(
    before: dict[str, Node], known: Iterable[Instance], zone: str, *, now_s: float, now_ms: int
) -> dict[str, Node]:
    """The nodes of the instances now known, by id; those that stayed keep all that was noted.

    Instances of the first view of all (`before` is empty) are as old as can be; a later one is as
    old as it says, else begins now.
    """
    after: dict[str, Node] = {}
    for one in known:
        node = before.get(one.instance_id)
        if node is None or not is_same(node.instance, one):
            is_near = not zone or one.zone == zone
            node = Node(one, is_near=is_near, born_s=_born_s(one, before, now_s, now_ms))
        elif node.instance is not one:
            node.instance, node.weight = one, weight_of(one)
            node.is_near = not zone or one.zone == zone
        after[one.instance_id] = node
    return after


def _born_s(one: Instance, before: Collection[str], now_s: float, now_ms: int) -> float:
    if not before:
        return float("-inf")
    if not one.up_since_ms:
        return now_s
    return now_s - max(0.0, (now_ms - one.up_since_ms) / 1000)


def age(nodes: Sequence[Node], slow_start_s: float, now_s: float) -> float:
    """Bring the shares of new instances up to date; gives when to do so again.

    Where all are new none is slowed, for nobody older could take the rest.
    """
    young = [node for node in nodes if now_s - node.born_s < slow_start_s]
    are_all = len(young) == len(nodes)
    for node in nodes:
        node.share = node.weight
    for node in () if are_all else young:
        node.share = node.weight * ramp(now_s - node.born_s, slow_start_s)
    return now_s + slow_start_s / RAMP_STEPS if young else float("inf")


def ranked(nodes: Iterable[Node], caller_seed: int) -> list[Node]:
    """In the order in which this caller wants them. O(n log n)."""
    return sorted(nodes, key=lambda node: mixed(caller_seed, node.hashed), reverse=True)


def choose_members(nodes: Sequence[Node], size: int | None) -> list[Node]:
    """The first so many of these `ranked` nodes; all if there are no more.

    Members that refuse are replaced by the next in rank, and stay to be tried again. O(n).
    """
    if size is None or len(nodes) <= size:
        for node in nodes:
            node.is_member = True
        return list(nodes)
    near = [node for node in nodes if node.is_near]
    far = [node for node in nodes if not node.is_near]
    elsewhere = min(len(far), max(1, size // 4))
    at_home = min(len(near), size - elsewhere)
    elsewhere = min(len(far), size - at_home)
    members = [*_first(near, at_home), *_first(far, elsewhere)]
    chosen = {node.id for node in members}
    for node in nodes:
        node.is_member = node.id in chosen
    return members


def _first(nodes: list[Node], count: int) -> Iterator[Node]:
    """The first of them until `count` that listen are among them."""
    for node in nodes:
        if count == 0:
            return
        yield node
        count -= node.out != REFUSED
