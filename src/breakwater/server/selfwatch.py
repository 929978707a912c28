"""The platform's own numbers, kept like anybody else's: as series of its metrics engine.

Once a step every number in every room's `stats()` becomes a gauge `breakwater.<room>.<field>` with
tag `nf.app=breakwater`, so that the platform is watched with the queries it offers.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import anyio
import msgspec
import numpy as np

from breakwater.ingest import Sink
from breakwater.model import Clock, LimitExceededError, sanitize

APP: Final = "breakwater"
_SETTLE_S: Final = 0.02


class SelfWatch:
    """Writes the numbers of `read` to `sink` at the end of every step."""

    def __init__(
        self,
        read: Callable[[], Mapping[str, Any]],  # Any: one frozen record a room
        sink: Sink,
        clock: Clock,
    ) -> None:
        self._read = read
        self._sink = sink
        self._clock = clock
        self._handles: dict[str, int] = {}

    async def run(self) -> None:
        """Write once a step until cancelled."""
        step_ms = self._sink.step_ms
        while True:
            left_ms = step_ms - self._clock.now_ms() % step_ms
            await anyio.sleep(left_ms / 1000 + _SETTLE_S)
            self.write(self._clock.now_ms() // step_ms * step_ms)

    def write(self, end_ms: int) -> int:
        """Write all numbers as of the step that ended at `end_ms`; returns how many there were."""
        found = dict(numbers(msgspec.to_builtins(self._read())))
        try:
            handles = [self._handle(name) for name in found]
        except LimitExceededError:
            return 0  # the store is full of users' series, which come first; it counts this itself
        column = np.array(list(found.values()), dtype=np.float64)
        stale = self._sink.write(np.array(handles, dtype=np.int64), end_ms, column)
        if len(stale):
            self._handles.clear()  # resolved again at the next step
        return len(found)

    def _handle(self, name: str) -> int:
        handle = self._handles.get(name)
        if handle is None:
            tags = {"name": sanitize(name)[:255], "nf.app": APP, "statistic": "gauge"}
            handle = self._handles[name] = self._sink.resolve(tags)
        return handle


def numbers(tree: Mapping[str, Any], prefix: str = APP) -> Iterator[tuple[str, float]]:
    """Every number of nested records with its dotted name; truth values count as 0 and 1."""
    for key, value in tree.items():
        name = f"{prefix}.{key}"
        if isinstance(value, Mapping):
            yield from numbers(value, name)
        elif isinstance(value, int | float):
            yield name, float(value)
