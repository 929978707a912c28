"""Everything a test of guarded code needs, made to fit: one clock, one registry, one seed."""

from collections.abc import Coroutine
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from breakwater.sdk import Command, CommandConfig, Guards, Kind, Service
from breakwater.testing.clock import FakeClock
from breakwater.testing.dependency import ScriptedDependency, ScriptOverError
from breakwater.testing.events import EventRecorder, recording
from breakwater.testing.loop import run_virtual
from breakwater.testing.seeds import seeded

T = TypeVar("T")


class Rehearsal:
    """A registry in virtual time: waits take none, limits are met to the instant, draws replay.

    clock: sync waits advance it, async ones in `run` too. guards: the registry; give it to whatever
    makes its own commands. name: of the test, for its randomness (`seeded`).
    """

    def __init__(self, name: str = "", *, seed: int | str | None = None) -> None:
        self.clock = FakeClock()
        self.random = seeded(name, seed)
        self.guards = Guards(clock=self.clock, random=self.random, sleep=self.clock.sleep)

    def command(self, name: str, config: CommandConfig | None = None, **given: Any) -> Command:
        """A command of this registry; `given` as for `Command`."""
        return self.guards.command(name, config, **given)

    def service(self, name: str, **given: Any) -> Service:
        """A service on this clock that talks to no platform; `given` as for `Service`."""
        settings = {"url": "none", "metrics": "none", **given}
        service = Service(name, clock=self.clock, random=self.random, **settings)
        service.guards.shared.sleep = self.clock.sleep
        return service

    def dependency(self, *steps: Any, then: Any = ScriptOverError) -> ScriptedDependency:
        """A dependency on this clock that does as its script says."""
        return ScriptedDependency(*steps, clock=self.clock, then=then)

    def recording(self, *kinds: Kind) -> AbstractContextManager[EventRecorder]:
        """Record events of these kinds within a block, of all without any."""
        return recording(self.guards, kinds or None)

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """As `asyncio.run`, in this clock's time."""
        return run_virtual(main, self.clock)
