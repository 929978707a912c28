"""What a pick reads: pools of usable instances, laid out anew when something changed.

Drawing takes two of a pool at random, by weight, and keeps the one with fewer calls under way:
no more work for 1,000 instances than for two, and the fullest of n is only log log n above the
mean (Mitzenmacher, 2001). Among equals of equal weight the one that waited longer goes first.
"""

from bisect import bisect
from collections.abc import Callable, Collection, Sequence
from itertools import accumulate
from typing import Final

from breakwater.sdk.discovery.balancing import BalancerConfig
from breakwater.sdk.discovery.judgement import is_panic, near_share
from breakwater.sdk.discovery.node import EJECTED, IN_USE, REFUSED, Node


class Pool:
    """Instances to draw from; most_out: the worst standing of those that may be drawn."""

    __slots__ = ("_most_out", "_random", "_sums", "nodes")

    def __init__(
        self, nodes: Sequence[Node], most_out: int, random: Callable[[], float] = lambda: 0.0
    ) -> None:
        self.nodes = tuple(nodes)
        self._most_out = most_out
        self._random = random
        is_even = all(node.share == self.nodes[0].share for node in self.nodes)
        self._sums = None if is_even else tuple(accumulate(node.share for node in self.nodes))

    def draw(self, exclude: Collection[str]) -> Node | None:
        """One of the usable ones; None if there is none."""
        nodes, most_out, random, sums = self.nodes, self._most_out, self._random, self._sums
        count = len(nodes)
        if count == 0:
            return None
        if sums is None:
            place = int(random() * count)
            other = int(random() * (count - 1))
            first, second = nodes[place], nodes[other + (other >= place) if count > 1 else 0]
        else:
            first = nodes[bisect(sums, random() * sums[-1], 0, count - 1)]
            second = nodes[bisect(sums, random() * sums[-1], 0, count - 1)]
        if first.out > most_out or first.id in exclude:
            if second.out > most_out or second.id in exclude:
                return self._search(exclude)
            return second
        if second.out > most_out or second.id in exclude:
            return first
        if sums is None:
            one, two = first.in_flight, second.in_flight
            return second if two < one or (two == one and second.turn < first.turn) else first
        is_lighter = second.in_flight * first.share < first.in_flight * second.share
        return second if is_lighter else first

    def _search(self, exclude: Collection[str]) -> Node | None:
        """The least loaded of all that may be drawn: for what chance did not find at once."""
        usable = (
            node for node in self.nodes if node.out <= self._most_out and node.id not in exclude
        )
        return min(usable, key=lambda node: (node.in_flight / node.share, node.turn), default=None)


class Table:
    """Where calls go until `until_s`, if nothing happens before.

    near_share: of calls, to instances of the own zone. due: those one call may be sent to on
    trial. most_out: the worst standing that is used. refusing: all, if nobody listens and calls
    fail.
    """

    __slots__ = ("due", "far", "most_out", "near", "near_share", "refusing", "until_s")

    def __init__(
        self,
        *,
        near: Pool,
        far: Pool,
        near_share: float,
        due: list[Node],
        most_out: int,
        until_s: float,
        refusing: Sequence[Node] = (),
    ) -> None:
        self.near = near
        self.far = far
        self.near_share = near_share
        self.due = due
        self.most_out = most_out
        self.until_s = until_s
        self.refusing = refusing


EMPTY: Final = Pool((), IN_USE)


def lay_out(
    members: Sequence[Node],
    config: BalancerConfig,
    random: Callable[[], float],
    *,
    now_s: float,
    until_s: float,
) -> Table:
    """Where calls go, by the standings of `members` at this moment. O(members)."""
    most_out = standing_used(members, config)
    usable = [node for node in members if node.out <= most_out]
    if most_out == REFUSED:  # those that have not yet refused often enough are all there is
        usable = [node for node in members if node.refusals_in_row < config.refused_in_row]
    near = [node for node in usable if node.is_near]
    far = [node for node in usable if not node.is_near]
    homes = sum(node.is_near for node in members)
    share = near_share(
        homes, len(near), len(members) - homes, len(far), config.over_provisioning
    )  # fmt: skip
    due: list[Node] = []
    if most_out < REFUSED:
        for node in members:
            if node.out <= most_out:
                continue
            if node.is_due(now_s):
                due.append(node)
            else:
                until_s = min(until_s, max(node.trial_at_s, node.trial_ends_s))
    return Table(
        near=Pool(near, most_out, random) if near else EMPTY,
        far=Pool(far, most_out, random) if far else EMPTY,
        near_share=share,
        due=due,
        most_out=most_out,
        until_s=until_s,
        refusing=() if usable else members,
    )


def standing_used(members: Sequence[Node], config: BalancerConfig) -> int:
    """The worst standing that is used: the ejected in a panic, those that refused if all did."""
    well = sum(node.out == IN_USE for node in members)
    if well and not is_panic(well, len(members), config.panic_percent):
        return IN_USE
    if any(node.out != REFUSED for node in members):
        return EJECTED
    return REFUSED
