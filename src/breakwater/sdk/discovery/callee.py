"""One service as this process calls it: its instances, where the next call goes, how calls ended.

A pick reads a table that was laid out when something last changed, and takes the lock only to count
the call. The lock may be taken again by its holder, because the end of a call may be booked by the
collector of garbage in the midst of anything.
"""

import threading
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Final

from breakwater.model import CalleeReport, Clock, Instance
from breakwater.sdk.discovery.balancing import BalancerConfig
from breakwater.sdk.discovery.bench import Bench, Cause, StandingChanged, Turn
from breakwater.sdk.discovery.evidence import Evidence
from breakwater.sdk.discovery.hashing import seed_of
from breakwater.sdk.discovery.membership import age, choose_members, ranked, renewed
from breakwater.sdk.discovery.node import IN_USE, REFUSED, Node
from breakwater.sdk.discovery.picks import Pick
from breakwater.sdk.discovery.reports import has_news, report_of
from breakwater.sdk.discovery.sticky import StickyKeys
from breakwater.sdk.discovery.table import EMPTY, Table, lay_out
from breakwater.sdk.guard.forks import mend_after_fork

if TYPE_CHECKING:
    from random import Random

TRIAL_LEASE_S: Final = 30.0
"""A call on trial whose end nobody tells is forgotten after this."""
OVERDUE_S: Final = 5.0
"""How long a trial waits for a call that is repeated if it fails."""
SMALL: Final = 100
"""Instances up to which each change lays the table out anew; beyond, at most each REST_S."""
REST_S: Final = 0.02
MOST_GONE: Final = 1_000
"""Instances that left and were not reported on yet, kept until they are."""


class Callee:
    """Of one `Resolver`. look: gives the instances known now, a new tuple when they change."""

    def __init__(
        self,
        service: str,
        *,
        look: Callable[[], tuple[Instance, ...]],
        zone: str,
        caller: str,
        config: BalancerConfig,
        clock: Clock,
        random: "Random",
        tell: Callable[[StandingChanged], None] = lambda _change: None,
    ) -> None:
        self.service = service
        self.config = config
        self.known: tuple[Instance, ...] | None = None
        self.nodes: dict[str, Node] = {}
        self.table = Table(
            near=EMPTY, far=EMPTY, near_share=1.0, due=[], most_out=IN_USE, until_s=float("-inf")
        )
        self.in_flight = self.picks = self.out_of_zone = self.spilled = 0
        self.trials = self.nobody = 0
        self.next_trial_s = 0.0
        self._look = look
        self._zone = zone
        self._caller = caller
        self._clock = clock
        self._now_s = clock.monotonic_s
        self._random = random.random
        self._tell = tell
        self._lock = threading.RLock()
        self.bench = Bench(config, self._random, self._changed)
        self._sticky = StickyKeys()
        self._order: list[Node] = []
        self._gone: list[Node] = []
        self._is_stale = False
        self._rests_until_s = 0.0
        self._judge_s = clock.monotonic_s() + config.judge_every_s

        mend_after_fork(self)

    def forked(self) -> None:
        """Another thread of the parent may have held the lock, and is not here to give it back."""
        self._lock = threading.RLock()

    # Choosing

    def pick(self, exclude: Collection[str], sticky: str | None, may_try: bool) -> Pick | None:  # noqa: FBT001 - by place, for speed
        """Where a call goes; None if nobody is known, or all refuse and no trial is due.

        A call that was tried before (`exclude`) is never one on trial, unless all are.
        """
        now_s = self._now_s()
        table = self.table
        if self._is_stale or now_s >= table.until_s or self._look() is not self.known:
            table = self.current(now_s)
        due_s = now_s if may_try else now_s - OVERDUE_S
        if sticky is not None and table.most_out < REFUSED:
            chosen = self._sticky_pick(table, sticky, exclude, due_s)
            if chosen is not None:
                return chosen
        if table.due and not exclude:
            chosen = self._trial(table, due_s)
            if chosen is not None:
                return chosen
        if table.refusing:
            return self._trial_of_refusing(table.refusing, exclude, now_s)
        node = self._draw(table, exclude)
        if node is None and self._is_stale:  # too much changed since the table was laid out
            with self._lock:
                table = self._turn(now_s)
            node = self._draw(table, exclude)
        if node is None and exclude:
            node = self._draw(table, ())
        return self._nobody() if node is None else self._begin(node)

    def pick_one(self, instance_id: str) -> Pick | None:
        """This very instance, whatever is held against it; None if it is not known."""
        self.current(self._clock.monotonic_s())
        node = self.nodes.get(instance_id)
        return self._nobody() if node is None else self._begin(node)

    def current(self, now_s: float) -> Table:
        """The table that holds now."""
        if self._look() is not self.known:
            with self._lock:
                self._sync(now_s)
                return self._turn(now_s)
        if now_s >= self.table.until_s or (self._is_stale and now_s >= self._rests_until_s):
            with self._lock:
                return self._turn(now_s)
        return self.table

    def _draw(self, table: Table, exclude: Collection[str]) -> Node | None:
        share, config = table.near_share, self.config
        is_home = share >= 1.0 or (share > 0.0 and self._random() < share)
        first, other = (table.near, table.far) if is_home else (table.far, table.near)
        node = first.draw(exclude)
        if node is None:
            return other.draw(exclude)
        ratio = config.spill_ratio
        if (
            ratio is None
            or not is_home
            or node.in_flight <= ratio * config.spill_spare * node.share
        ):
            return node
        far = other.draw(exclude)
        if far is None:
            return node
        is_overfull = node.in_flight / node.share > ratio * (
            far.in_flight / far.share + config.spill_spare
        )
        self.spilled += is_overfull
        return far if is_overfull else node

    def _sticky_pick(
        self, table: Table, key: str, exclude: Collection[str], due_s: float
    ) -> Pick | None:
        """The key's own instance, or the next in its order that can take the call."""
        config, second = self.config, None
        for node in self._sticky.order(key):
            if node.id in exclude:
                continue
            if node.out > table.most_out:
                begun = None if exclude else self._try(node, due_s)
                if begun is not None:
                    return begun
                continue
            if self._sticky.has_room(node, self.in_flight, config):
                return self._begin(node)
            second = second or node
        return None if second is None else self._begin(second)

    def _begin(self, node: Node, *, is_trial: bool = False) -> Pick:
        with self._lock:
            node.in_flight += 1
            self.in_flight += 1
            self.picks = node.turn = self.picks + 1
            self.out_of_zone += node.instance.zone != self._zone
            return Pick(self, node, is_trial)

    def _nobody(self) -> Pick | None:
        with self._lock:
            self.nobody += 1
        return None

    def _trial(self, table: Table, due_s: float) -> Pick | None:
        for node in tuple(table.due):
            begun = self._try(node, due_s)
            if begun is not None:
                return begun
        return None

    def _try(self, node: Node, due_s: float) -> Pick | None:
        """A call on trial, if one has been due since `due_s` and none is out."""
        with self._lock:
            if not node.is_due(due_s):
                return None
            node.trial_ends_s = self._now_s() + TRIAL_LEASE_S
            self.trials += 1
            self.table.due = [one for one in self.table.due if one is not node]
            return self._begin(node, is_trial=True)

    def _trial_of_refusing(
        self, nodes: Sequence[Node], exclude: Collection[str], now_s: float
    ) -> Pick | None:
        """One call each refused_trial_s to one of those that all refuse."""
        with self._lock:
            if now_s < self.next_trial_s:
                return self._nobody()
            free = [node for node in nodes if node.id not in exclude] or nodes
            node = min(free, key=lambda node: (node.trial_ends_s > now_s, node.trial_at_s))
            self.next_trial_s = now_s + self.config.refused_trial_s
            node.trial_ends_s = now_s + TRIAL_LEASE_S
            self.trials += 1
            return self._begin(node, is_trial=True)

    # What became of it

    def settle(self, pick: Pick, evidence: Evidence) -> None:
        """One call ended."""
        node = pick.node
        with self._lock:
            if not pick.is_open:
                return
            pick.is_open = False
            node.in_flight -= 1
            self.in_flight -= 1
            if evidence is Evidence.SUCCESS:
                node.calls += 1
                node.window_calls += 1
                if node.out or node.failures_in_row:
                    self._note(pick, evidence)
            elif evidence is Evidence.NOTHING:
                if pick.is_trial and pick.epoch == node.epoch:
                    node.trial_ends_s = self.next_trial_s = 0.0
                    self._is_stale = True
            else:
                self._count_failure(node, evidence)
                self._note(pick, evidence)

    @staticmethod
    def _count_failure(node: Node, evidence: Evidence) -> None:
        node.calls += 1
        node.window_calls += 1
        node.failures += 1
        node.window_failures += 1
        node.refused += evidence is Evidence.REFUSED
        node.timeouts += evidence is Evidence.TIMEOUT

    def _note(self, pick: Pick, evidence: Evidence) -> None:
        node = pick.node
        if pick.epoch != node.epoch or self.nodes.get(node.id) is not node:
            return
        now_s = self._clock.monotonic_s()
        was_refusing = bool(self.table.refusing)
        if self.bench.note(
            node, evidence, is_trial=pick.is_trial, now_s=now_s, size=len(self.nodes)
        ):
            self._is_stale = True
            if was_refusing and node.out != REFUSED:
                self.bench.ease(self.nodes.values(), now_s)

    def note(self, instance_id: str, evidence: Evidence) -> None:
        """Take in evidence of a call that was not picked here."""
        begun = self.pick_one(instance_id)
        if begun is not None:
            self.settle(begun, evidence)

    # Keeping up

    def configure(self, config: BalancerConfig) -> None:
        """Go by other rules from now on; who is passed over stays so until its trial."""
        with self._lock:
            self.config = self.bench.config = config
            self.known = None  # taken in anew with the next call

    def _sync(self, now_s: float) -> None:
        known = self._look()
        if known is self.known:  # another thread was here first
            return
        zone = self._zone if self.config.zone_preference else ""
        before = self.nodes
        after = renewed(before, known, zone, now_s=now_s, now_ms=self._clock.now_ms())
        left = [node for name, node in before.items() if after.get(name) is not node]
        self.bench.forget(left)
        self._gone += [node for node in left if has_news(node)]
        del self._gone[:-MOST_GONE]
        size, order = self.config.subset_size, list(after.values())
        if size is not None and len(order) > size:
            order = ranked(order, seed_of(self._caller))
        self.nodes, self._order, self.known = after, order, known
        self._sticky.forget(order)

    def _turn(self, now_s: float) -> Table:
        """Lay the table out anew; under the lock."""
        config = self.config
        if now_s >= self._judge_s:
            self.bench.judge(self._order, now_s)
            self._judge_s = now_s + config.judge_every_s
        self._is_stale = False
        if len(self._order) > SMALL:
            self._rests_until_s = now_s + REST_S
        members = choose_members(self._order, config.subset_size)
        until_s = min(self._judge_s, age(self._order, config.slow_start_s, now_s))
        self.table = table = lay_out(members, config, self._random, now_s=now_s, until_s=until_s)
        table.until_s = max(table.until_s, self._rests_until_s)
        return table

    def _changed(self, node: Node, turn: Turn, cause: Cause | str, seconds: float) -> None:
        self._tell(
            StandingChanged(
                at_ms=self._clock.now_ms(),
                service=self.service,
                instance_id=node.id,
                turn=turn,
                cause=cause,  # type: ignore[arg-type] # the empty word for a return
                seconds=seconds,
            )
        )

    def take_report(self) -> list[CalleeReport]:
        """What was seen of each instance since the last time, those that have left included."""
        with self._lock:
            gone, self._gone = self._gone, []
            return [
                report
                for node in (*self.nodes.values(), *gone)
                if (report := report_of(self.service, node)) is not None
            ]
