"""Who is passed over, and until when: evidence against the instances of one service.

Called under the lock of the `Callee` it belongs to. Every change of standing begins a new epoch of
the instance; what calls of an earlier epoch end in is counted and moves nothing.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import msgspec

from breakwater.sdk.discovery.balancing import BalancerConfig
from breakwater.sdk.discovery.evidence import Evidence
from breakwater.sdk.discovery.judgement import backoff_s, ejection_s, most_ejected, outliers
from breakwater.sdk.discovery.node import EJECTED, IN_USE, REFUSED, Node

Cause = Literal["refused", "consecutive", "rate", "trial"]
Turn = Literal["refused", "ejected", "returned"]


class StandingChanged(msgspec.Struct, frozen=True, kw_only=True):
    """An instance is passed over from now on, for `seconds` at least, or is used again (0).

    cause: `refused`, `consecutive` failures, `rate` of failures, or a failed `trial`.
    """

    at_ms: int
    service: str
    instance_id: str
    turn: Turn
    cause: Cause | Literal[""] = ""
    seconds: float = 0.0


class Bench:
    """Of one service. tell: is given each change."""

    def __init__(
        self, config: BalancerConfig, chance: Callable[[], float], tell: "Tell | None" = None
    ) -> None:
        self.config = config
        self._chance = chance
        self._tell = tell
        self.ejected = 0
        """How many are ejected now."""
        self.causes: dict[str, int] = {}
        """How often each cause put one on the bench."""
        self.returns = 0

    def note(
        self, node: Node, evidence: Evidence, *, is_trial: bool, now_s: float, size: int
    ) -> bool:
        """Take in the end of a call of this epoch; True if the standing changed."""
        if evidence is Evidence.SUCCESS:
            node.failures_in_row = 0
            if node.out == IN_USE:
                return False
            self._return(node)
            return True
        if evidence is Evidence.REFUSED:
            self._refuse(node, now_s)
            return True
        return self._failed(node, now_s, size, is_trial=is_trial)

    def _failed(self, node: Node, now_s: float, size: int, *, is_trial: bool) -> bool:
        node.failures_in_row += 1
        if node.out == REFUSED:  # somebody listens again, and fails
            node.refusals_in_row = 0
            if not self._eject(node, "trial", now_s, size):
                self._return(node)
            return True
        if node.out == EJECTED:
            return is_trial and self._eject(node, "trial", now_s, size)
        limit = self.config.consecutive_failures
        if limit and node.failures_in_row >= limit:
            return self._eject(node, "consecutive", now_s, size)
        return False

    def judge(self, nodes: Sequence[Node], now_s: float) -> None:
        """Compare the shares of good calls since the last time, and begin anew. O(nodes)."""
        config = self.config
        judged = [
            node
            for node in nodes
            if node.out == IN_USE and node.window_calls >= config.rate_min_calls
        ]
        if config.rate_stdev is not None:
            rates = [1.0 - node.window_failures / node.window_calls for node in judged]
            for place in outliers(rates, config.rate_stdev, config.rate_gap):
                self._eject(judged[place], "rate", now_s, len(nodes))
        for node in nodes:
            node.window_calls = node.window_failures = 0
            if node.out == IN_USE and node.ejections:
                node.ejections -= 1

    def forget(self, nodes: Iterable[Node]) -> None:
        """These left."""
        self.ejected -= sum(node.out == EJECTED for node in nodes)

    def ease(self, nodes: Iterable[Node], now_s: float) -> None:
        """The first of a service that refused everywhere is back: try the others soon, too."""
        config = self.config
        for node in nodes:
            if node.out == REFUSED:
                wait_s = backoff_s(1, config.refused_base_s, config.refused_max_s, self._chance())
                node.trial_at_s = min(node.trial_at_s, now_s + wait_s)

    def _refuse(self, node: Node, now_s: float) -> None:
        config = self.config
        node.refusals_in_row += 1
        self.ejected -= node.out == EJECTED
        wait_s = backoff_s(
            node.refusals_in_row, config.refused_base_s, config.refused_max_s, self._chance()
        )
        self._bench(node, REFUSED, "refused", now_s, wait_s)

    def _eject(self, node: Node, cause: Cause, now_s: float, size: int) -> bool:
        config = self.config
        if node.out != EJECTED:
            if self.ejected >= most_ejected(size, config.max_ejected_percent):
                return False
            self.ejected += 1
        wait_s = ejection_s(node.ejections + 1, config.base_ejection_s, config.max_ejection_s)
        if wait_s < config.max_ejection_s:
            node.ejections += 1
        self._bench(node, EJECTED, cause, now_s, wait_s)
        return True

    def _bench(self, node: Node, out: int, cause: Cause, now_s: float, wait_s: float) -> None:
        node.out, node.cause = out, cause
        node.epoch += 1
        node.trial_at_s, node.trial_ends_s = now_s + wait_s, 0.0
        self.causes[cause] = self.causes.get(cause, 0) + 1
        if self._tell is not None:
            self._tell(node, "refused" if out == REFUSED else "ejected", cause, wait_s)

    def _return(self, node: Node) -> None:
        self.ejected -= node.out == EJECTED
        node.out, node.cause = IN_USE, ""
        node.epoch += 1
        node.refusals_in_row = node.failures_in_row = 0
        node.trial_at_s = node.trial_ends_s = 0.0
        self.returns += 1
        if self._tell is not None:
            self._tell(node, "returned", "", 0.0)


Tell = Callable[[Node, Turn, Cause | Literal[""], float], None]
