"""Whose turn it is to be probed."""

import anyio

from breakwater.registry.judging import rota as rota_module
from breakwater.registry.judging.probing import Sight, Target
from breakwater.registry.judging.rota import Key, Rota
from breakwater.registry.judging.verdicts import Finding
from breakwater.testing import FakeClock, run_virtual

TARGET = Target(host="h", port=1)


class Watch:
    """Probes that take a second, and who was probed when."""

    def __init__(self, clock: FakeClock, per_s: float, took_s: float = 1.0) -> None:
        self.clock = clock
        self.took_s = took_s
        self.found: list[tuple[float, str]] = []
        self.at_once = self.most_at_once = 0
        self.rota = Rota(self._probe, self._found, per_s=per_s)

    def ask(self, *names: str, is_urgent: bool = False) -> None:
        """Have some probed."""
        for name in names:
            self.rota.ask(("APP", name), TARGET, is_urgent=is_urgent)

    async def _probe(self, _: Target) -> Sight:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await anyio.sleep(self.took_s)
        self.at_once -= 1
        return Sight(finding=Finding.ACCEPTS)

    def _found(self, key: Key, _: Sight, took_s: float) -> None:
        assert took_s >= self.took_s - 1e-6
        self.found.append((self.clock.monotonic_s(), key[1]))

    async def run(self, seconds: float) -> None:
        """Let the rota work for so long."""
        with anyio.move_on_after(seconds):
            await self.rota.run()


def test_so_many_a_second() -> None:
    """However many wait, the rate holds, and everybody has a turn in the end."""
    clock = FakeClock()
    watch = Watch(clock, per_s=20, took_s=0.0)

    async def main() -> None:
        watch.ask(*(f"i-{number}" for number in range(100)))
        assert len(watch.rota) == 100
        await watch.run(4)
        assert 75 <= len(watch.found) <= 85
        await watch.run(2)
        assert len({name for _, name in watch.found}) == 100

    run_virtual(main(), clock)


def test_urgent_ones_come_first_and_nobody_stands_twice() -> None:
    """Asked again it keeps its place, urgently it comes to the front; no more once forgotten."""
    clock = FakeClock()
    watch = Watch(clock, per_s=1, took_s=0.0)

    async def main() -> None:
        watch.ask("a", "b", "c", "b")
        watch.ask("c", is_urgent=True)
        watch.rota.forget(("APP", "a"))
        watch.rota.forget(("APP", "nobody"))
        assert len(watch.rota) == 2
        await watch.run(5)
        assert [name for _, name in watch.found] == ["c", "b"]
        assert watch.rota.probes == 2

    run_virtual(main(), clock)


def test_who_is_being_looked_at_is_not_looked_at_again() -> None:
    """While a probe is under way another for the same instance is not begun."""
    clock = FakeClock()
    watch = Watch(clock, per_s=100)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(watch.run, 3)
            watch.ask("a")
            await anyio.sleep(0.5)
            watch.ask("a", is_urgent=True)
            assert len(watch.rota) == 0
        assert len(watch.found) == 1

    run_virtual(main(), clock)


def test_nobody_waits_for_ever() -> None:
    """Urgent ones that are asked for again and again leave every fifth turn to the others."""
    clock = FakeClock()
    watch = Watch(clock, per_s=1, took_s=0.0)

    async def main() -> None:
        urgent = [f"u-{number}" for number in range(6)]
        watch.ask("calm")
        watch.ask(*urgent, is_urgent=True)
        async with anyio.create_task_group() as group:
            group.start_soon(watch.run, 12.5)
            for _ in range(12):
                await anyio.sleep(1)
                watch.ask(*urgent, is_urgent=True)
        names = [name for _, name in watch.found]
        assert names.index("calm") == 4
        assert set(names[:7]) == {"calm", *urgent}

    run_virtual(main(), clock)


def test_so_many_at_once() -> None:
    """A network that swallows everything holds no more probes than are allowed at once."""
    clock = FakeClock()
    watch = Watch(clock, per_s=10_000)

    async def main() -> None:
        watch.ask(*(f"i-{number}" for number in range(600)))
        await watch.run(10)

    run_virtual(main(), clock)
    assert watch.most_at_once <= rota_module.AT_ONCE
    assert len(watch.found) == 600
