"""What a hit does to a call: wait, hang, or fail; for tasks and for threads.

Whoever waits is woken when its rule is taken back, and goes on at once. Both forms belong inside
the guarded attempt, so that limits, breaker and records see a fault as they would see a real one.
"""

from collections.abc import Callable, Generator, Sequence
from typing import Final

from breakwater.model import FaultKind, FaultRule
from breakwater.sdk.errors import InjectedFaultError
from breakwater.sdk.faults.rules import RuleBook

LONGEST_S: Final = 3_600.0
"""No single wait is longer, so that no timer overflows; it is then looked at again."""


Leaving = Callable[[Callable[[], None]], object]
"""Takes a function and has it called, from any thread, when the caller goes away."""


async def inject(book: RuleBook, hits: Sequence[FaultRule]) -> None:
    """Do what the rules say: all delays, then the first error or hang.

    A hang ends when its rule expires or is taken back (the call then goes on), unless the
    caller's timeout, deadline or departure ends it before. Raises InjectedFaultError.
    """
    for rule, seconds in _waits(book, hits):
        await _wait(book, rule, seconds)


def inject_sync(
    book: RuleBook,
    hits: Sequence[FaultRule],
    limit_s: float | None = None,
    *,
    leaving: Leaving | None = None,
) -> None:
    """`inject` for threads, which nobody can cancel: it waits `limit_s` seconds at most.

    leaving: has a function called when the caller goes away, which ends the wait too. Raises
    TimeoutError when limit or departure come first, as a client library would that was given this
    limit; and InjectedFaultError.
    """
    stop_s = None if limit_s is None else book.clock.monotonic_s() + limit_s
    for rule, seconds in _waits(book, hits):
        if not _wait_sync(book, rule, seconds, stop_s, leaving):
            why = "" if limit_s is None else f" in {limit_s:.3g} s"
            raise TimeoutError(f"fault {rule.id}: no answer{why}")


def _waits(
    book: RuleBook, hits: Sequence[FaultRule]
) -> Generator[tuple[FaultRule, float], None, None]:
    """The waits of one call, one after the other; raises where a rule says so."""
    for rule in hits:
        if rule.kind is FaultKind.DELAY:
            yield rule, book.spread(rule)
    for rule in hits:
        if rule.kind is FaultKind.ERROR:
            raise InjectedFaultError(rule)
        if rule.kind is FaultKind.HANG:
            yield rule, book.seconds_left(rule)


async def _wait(book: RuleBook, rule: FaultRule, seconds: float) -> None:
    """Wait `seconds`, or until the rule no longer holds."""
    import asyncio  # noqa: PLC0415 - a sync service never pays for it

    seconds = min(seconds, book.seconds_left(rule), LONGEST_S)
    if seconds <= 0.0:
        return
    loop = asyncio.get_running_loop()
    over = loop.create_future()

    def end() -> None:
        if not over.done():
            over.set_result(None)

    def end_from_anywhere() -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(end)

    timer = loop.call_later(seconds, end)
    watch = book.watch(rule, end_from_anywhere)
    try:
        await over
    finally:
        book.unwatch(watch)
        timer.cancel()


def _wait_sync(
    book: RuleBook,
    rule: FaultRule,
    seconds: float,
    stop_s: float | None,
    leaving: Leaving | None,
) -> bool:
    """Wait on this thread as `_wait` does; False if `stop_s` or a departure came before the end."""
    import threading  # noqa: PLC0415 - loaded anyway; kept beside its use

    seconds = min(seconds, book.seconds_left(rule), LONGEST_S)
    left_s = seconds if stop_s is None else stop_s - book.clock.monotonic_s()
    over = threading.Event()
    watch = book.watch(rule, over.set)
    if leaving is not None:
        leaving(over.set)
    try:
        was_woken = over.wait(max(0.0, min(seconds, left_s)))
    finally:
        book.unwatch(watch)
    return not book.is_active(rule) if was_woken else left_s >= seconds
