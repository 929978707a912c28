"""Whose turn it is to be probed: so many a second, so many at once, the urgent ones sooner."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import anyio

from breakwater.registry.judging.probing import Probe, Sight, Target

Key = tuple[str, str]
AT_ONCE: Final = 256
_BURST_S: Final = 0.05


class Rota:
    """A queue of addresses to look at; each instance stands in it once.

    `found` is called with every outcome. Of `per_s` probes a second some may be started together,
    as many as are due within a twentieth of a second.
    """

    def __init__(
        self, probe: Probe, found: Callable[[Key, Sight, float], None], *, per_s: float
    ) -> None:
        self._probe = probe
        self._found = found
        self._per_s = per_s
        self._urgent: OrderedDict[Key, Target] = OrderedDict()
        self._waiting: OrderedDict[Key, Target] = OrderedDict()
        self._turn = 0
        self._under_way: set[Key] = set()
        self._work = anyio.Event()
        self.probes = 0

    def __len__(self) -> int:
        """How many wait for their turn."""
        return len(self._urgent) + len(self._waiting)

    def ask(self, key: Key, target: Target, *, is_urgent: bool) -> None:
        """Have `target` looked at; nothing more happens if that is being done already."""
        if key in self._under_way or key in self._urgent:
            return
        if is_urgent:
            self._waiting.pop(key, None)
            self._urgent[key] = target
        else:
            self._waiting.setdefault(key, target)
        self._work.set()

    def forget(self, key: Key) -> None:
        """Nobody needs to know any more."""
        self._urgent.pop(key, None)
        self._waiting.pop(key, None)

    async def run(self) -> None:
        """Probe until cancelled."""
        allowance, filled_s = 1.0, anyio.current_time()
        most = 1.0 + self._per_s * _BURST_S
        async with anyio.create_task_group() as group:
            while True:
                await self._until_work()
                now_s = anyio.current_time()
                allowance = min(most, allowance + (now_s - filled_s) * self._per_s)
                filled_s = now_s
                while len(self) and allowance >= 1 and len(self._under_way) < AT_ONCE:
                    allowance -= 1
                    key, target = self._next()
                    self._under_way.add(key)
                    group.start_soon(self._look, key, target)
                if len(self):
                    await anyio.sleep(max(_BURST_S / 2, (1 - allowance) / self._per_s))

    def _next(self) -> tuple[Key, Target]:
        """Who has waited longest: of the urgent ones, and each fifth time of the others."""
        self._turn = (self._turn + 1) % 5
        is_others = self._waiting and (not self._urgent or self._turn == 0)
        return (self._waiting if is_others else self._urgent).popitem(last=False)

    async def _until_work(self) -> None:
        if not len(self):
            self._work = anyio.Event()
            await self._work.wait()

    async def _look(self, key: Key, target: Target) -> None:
        began_s = anyio.current_time()
        try:
            sight = await self._probe(target)
        finally:
            self._under_way.discard(key)
        self.probes += 1
        self._found(key, sight, anyio.current_time() - began_s)
