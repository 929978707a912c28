"""How to wait between attempts, unless the retrying object is given another way."""
# ruff: noqa: N801, D102 - the library's name; what `__call__` does, the class says

import threading
import time


def sleep(seconds: float) -> None:
    """Wait on this thread."""
    time.sleep(seconds)


class sleep_using_event:
    """Wait, but no longer than until an event is set."""

    def __init__(self, event: threading.Event) -> None:
        self.event = event

    def __call__(self, timeout: float | None) -> None:
        self.event.wait(timeout=timeout)
