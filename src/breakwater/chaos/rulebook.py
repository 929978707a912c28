"""The rules in force, by service, and the long poll that hands them out."""

from collections.abc import Sequence

import anyio

from breakwater.chaos.errors import TooManyWaitersError
from breakwater.model import Clock, FaultRule, FaultRules


class RuleBook:
    """Rules by fault, each service at a revision of its own.

    Revisions only grow, across restarts too, because they start from the wall clock: a service
    that knew rules of an earlier run sees another number and drops them at once.
    """

    def __init__(self, clock: Clock, *, max_wait_s: float, max_waiters: int) -> None:
        self._clock = clock
        self._max_wait_s = max_wait_s
        self._max_waiters = max_waiters
        self._rules: dict[str, list[FaultRule]] = {}
        self._latest = self._first = clock.now_ms()
        self._revisions: dict[str, int] = {}
        self._changed = anyio.Event()
        self._is_closed = False
        self.waiters = 0

    def put(self, fault_id: str, rules: Sequence[FaultRule]) -> None:
        """Switch the rules of a fault on and wake who waits for them."""
        self._rules[fault_id] = list(rules)
        self._bump(rules)

    def drop(self, fault_id: str) -> None:
        """Switch the rules of a fault off, if it has any."""
        self._bump(self._rules.pop(fault_id, []))

    def rules_for(self, service: str, instance: str | None) -> FaultRules:
        """The rules one instance has to obey now; all of the service's when instance is None."""
        now_ms = self._clock.now_ms()
        rules = [
            rule
            for rules in self._rules.values()
            for rule in rules
            if rule.service == service
            and rule.expires_ms > now_ms
            and (instance is None or rule.instance in (None, instance))
        ]
        return FaultRules(revision=self._revision(service), rules=rules)

    async def wait(
        self, service: str, instance: str | None, revision: int | None, wait_s: float
    ) -> FaultRules:
        """The rules as soon as their revision is not `revision`, at the latest after `wait_s`."""
        if self.waiters >= self._max_waiters:
            raise TooManyWaitersError(
                f"{self.waiters} long polls for fault rules are open, at most "
                f"{self._max_waiters} may be; ask again later"
            )
        self.waiters += 1
        try:
            with anyio.move_on_after(min(max(wait_s, 0.0), self._max_wait_s)):
                while revision == self._revision(service) and not self._is_closed:
                    await self._changed.wait()
        finally:
            self.waiters -= 1
        return self.rules_for(service, instance)

    def close(self) -> None:
        """Answer everybody who waits, so that the platform can stop."""
        self._is_closed = True
        self._wake()

    def _revision(self, service: str) -> int:
        return self._revisions.get(service, self._first)

    def _bump(self, rules: Sequence[FaultRule]) -> None:
        if not rules:
            return
        self._latest = max(self._latest + 1, self._clock.now_ms())
        for rule in rules:
            self._revisions[rule.service] = self._latest
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()
