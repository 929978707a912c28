"""CPU burn: threads that spin until a rule ends, as a runaway loop in the service would.

They run at nice 19, so that on a small machine the burn takes the service's time and not that of
everything beside it; inside the process they compete for the interpreter like any other thread.
"""

import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from breakwater.model import Clock, FaultRule

MAX_THREADS: Final = 16
_SPINS: Final = 20_000


class Burners:
    """Keeps as many spinning threads as the rules in force ask for, at most `limit` in all."""

    def __init__(self, clock: Clock, limit: int = MAX_THREADS) -> None:
        self._limit = limit
        self._clock = clock
        self._stops: dict[str, threading.Event] = {}
        self._threads: list[threading.Thread] = []

    def follow(self, rules: Sequence[FaultRule]) -> None:
        """Start threads for new rules, stop those of rules that are gone."""
        wanted = {rule.id: rule for rule in rules if rule.kind == "burn"}
        for rule_id in [known for known in self._stops if known not in wanted]:
            self._stops.pop(rule_id).set()
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        for rule_id, rule in wanted.items():
            if rule_id not in self._stops:
                self._stops[rule_id] = self._start(rule)

    def _start(self, rule: FaultRule) -> threading.Event:
        stop = threading.Event()
        room = self._limit - len(self._threads)
        for _ in range(max(0, min(rule.threads, room))):
            thread = threading.Thread(
                target=self._spin,
                args=(rule.expires_ms, stop),
                name=f"breakwater-burn {rule.id}",
                daemon=True,
            )
            self._threads.append(thread)
            thread.start()
        return stop

    def _spin(self, expires_ms: int, stop: threading.Event) -> None:
        with suppress(OSError, AttributeError):  # without the right, it burns at normal priority
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
        while not stop.is_set() and self._clock.now_ms() < expires_ms:
            for _ in range(_SPINS):
                pass

    def count(self) -> int:
        """How many threads spin now."""
        return sum(thread.is_alive() for thread in self._threads)
