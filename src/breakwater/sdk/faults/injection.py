"""What a hit does to an async call: wait, hang, or fail."""

from collections.abc import Sequence
from typing import Final

from breakwater.model import BreakwaterError, FaultKind, FaultRule
from breakwater.sdk.faults.rules import RuleBook

SLICE_S: Final = 0.25
"""A hang or a long delay looks this often whether its rule was taken back."""


class InjectedFaultError(BreakwaterError):
    """A rule says this call fails with HTTP `status`; adapters turn it into an answer."""

    def __init__(self, rule: FaultRule) -> None:
        super().__init__(f"fault {rule.id}: HTTP {rule.status}")
        self.status = rule.status


async def inject(book: RuleBook, hits: Sequence[FaultRule]) -> None:
    """Do what the rules say: all delays, then the first error or hang.

    A hang ends when its rule expires or is taken back (the call then goes on), unless the
    caller's timeout, deadline or departure ends it before. Raises InjectedFaultError.
    """
    for rule in hits:
        if rule.kind is FaultKind.DELAY:
            await _wait(book, rule, book.spread(rule))
    for rule in hits:
        if rule.kind is FaultKind.ERROR:
            raise InjectedFaultError(rule)
        if rule.kind is FaultKind.HANG:
            await _wait(book, rule, book.seconds_left(rule))


async def _wait(book: RuleBook, rule: FaultRule, seconds: float) -> None:
    """Wait `seconds`, or until the rule no longer holds."""
    import asyncio  # noqa: PLC0415 - a sync service never pays for it

    left_s = seconds
    while left_s > 0 and book.is_active(rule):
        await asyncio.sleep(min(left_s, SLICE_S))
        left_s -= SLICE_S
