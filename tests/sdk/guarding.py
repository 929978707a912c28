"""What the tests of all adapters ask of a guard, and the fault rules they hand out."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any, Final

import msgspec
from tests.sdk.fleet import PATIENCE_S

from breakwater.model import SystemClock
from breakwater.sdk import CommandConfig, Service
from breakwater.sdk.faults import RuleBook
from breakwater.sdk.guard import Command


def wait_until(holds: Callable[[], bool]) -> None:
    """Let other threads run until it holds; for counts, which tell nobody when they change."""
    ends_s, pause = SystemClock().monotonic_s() + PATIENCE_S, threading.Event()
    while not holds():
        assert SystemClock().monotonic_s() < ends_s, "it never came to hold"
        pause.wait(0.001)


async def wait_until_async(holds: Callable[[], bool]) -> None:
    """As `wait_until`, letting the other tasks of the loop run."""
    ends_s = SystemClock().monotonic_s() + PATIENCE_S
    while not holds():
        assert SystemClock().monotonic_s() < ends_s, "it never came to hold"
        await asyncio.sleep(0.001)


PATIENT: Final = CommandConfig(timeout_s=PATIENCE_S)
BRIEF: Final = CommandConfig(timeout_s=0.05)


def guard_in(service: Service, name: str) -> Command:
    """The guard of this name."""
    found = service.guards.get(name)
    assert found is not None
    return found


def permits_out(command: Command) -> int:
    """How many calls hold a permit of this guard now."""
    bulkhead = command.stats().bulkhead
    assert bulkhead is not None
    return bulkhead.in_use


def failures(command: Command) -> int:
    """How many failures its breaker has seen lately."""
    breaker = command.stats().breaker
    assert breaker is not None
    return breaker.window_failures


def break_at(service: Service, point: str, kind: str, **given: Any) -> None:
    """Put one fault rule in force for this service, in place of those before."""
    made = {
        "id": "f",
        "point": point,
        "kind": kind,
        "service": service.settings.service,
        "expires_ms": SystemClock().now_ms() + 60_000,
        **given,
    }
    service.runtime.faults.accept(msgspec.json.encode({"revision": 1, "rules": [made]}))


class _Told(dict[object, Any]):
    """A dictionary that says when something is put into it."""

    def __init__(self) -> None:
        super().__init__()
        self.happened = threading.Event()

    def __setitem__(self, key: object, value: Any) -> None:
        super().__setitem__(key, value)
        self.happened.set()


def waits_of(book: RuleBook) -> threading.Event:
    """Set as soon as a call waits for a rule of this book to end."""
    book._watches = told = _Told()
    return told.happened


def mend(service: Service) -> None:
    """Take all fault rules back."""
    service.runtime.faults.accept(msgspec.json.encode({"revision": 2, "rules": []}))
