"""Keys that stay with one instance: the order in which each key wants the instances.

The order depends on key, instances and their weights alone, so every caller has the same; zones and
subsets do not narrow it. The orders of recent keys are kept.
"""

from collections.abc import Callable, Iterator, Sequence
from heapq import nlargest
from typing import Final

from breakwater.sdk.discovery.balancing import BalancerConfig
from breakwater.sdk.discovery.hashing import mixed, score, seed_of
from breakwater.sdk.discovery.judgement import sticky_room
from breakwater.sdk.discovery.node import Node

MOST_KEYS: Final = 10_000
"""Keys of which the first instances are kept; beyond, all are forgotten and found anew."""
KEPT: Final = 8
"""How many of each; whoever needs more pays for the whole order."""


class StickyKeys:
    """Of one service; forgets all orders whenever instances come, go or change their weight."""

    def __init__(self) -> None:
        self._heads: dict[str, list[Node]] = {}
        self._nodes: Sequence[Node] = ()
        self._is_weighted = False
        self._total_weight = 0.0

    def forget(self, nodes: Sequence[Node]) -> None:
        """These are the instances from now on."""
        self._is_weighted = len({node.weight for node in nodes}) > 1
        self._total_weight = sum(node.weight for node in nodes)
        self._nodes = nodes
        self._heads = {}  # the last, so that no order of the nodes before gets into it

    def order(self, key: str) -> Iterator[Node]:
        """All instances, the one this key wants most first. O(n) for a new key, then O(1)."""
        heads, nodes = self._heads, self._nodes
        head = heads.get(key)
        if head is None:
            head = nlargest(KEPT, nodes, self._bid(key))
            if len(heads) >= MOST_KEYS:
                self._heads = heads = {}
            heads[key] = head
        yield from head
        if len(nodes) > len(head):
            yield from sorted(nodes, key=self._bid(key), reverse=True)[len(head) :]

    def _bid(self, key: str) -> Callable[[Node], float]:
        seed = seed_of(key)
        if self._is_weighted:
            return lambda node: score(seed, node.hashed, node.weight)
        return lambda node: mixed(seed, node.hashed)

    def has_room(self, node: Node, in_flight: int, config: BalancerConfig) -> bool:
        """Whether the instance may take one more call of its keys."""
        if node.in_flight < config.sticky_spare:
            return True
        share = node.weight / self._total_weight
        return node.in_flight < sticky_room(
            in_flight, share, config.sticky_load, config.sticky_spare
        )
