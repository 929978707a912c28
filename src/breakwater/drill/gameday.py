"""A game day for discovery: what an operator does, done under load, and who went without a stream.

Two exercises. `rolling-restart` restarts every process of the fleet but the players, one after the
other. `registry-outage` kills the platform, the registry with it, and starts it again later.
People are asked, not the platform: the players count what they were refused, second by second,
whoever else is away.
"""

import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import StrEnum
from typing import Final

import anyio
import msgspec

from breakwater.drill.errors import StageError
from breakwater.drill.stage import PLATFORM, PLAYER, Stage, free_port
from breakwater.model import Clock, ProcessSpec

Say = Callable[[str], None]

_AFTERWARDS_S: Final = 20.0
"""Load behind the last deed: whoever noticed late is counted too."""
_BREATH_S: Final = 1.0


class Exercise(StrEnum):
    """What is done to the fleet."""

    ROLLING_RESTART = "rolling-restart"
    REGISTRY_OUTAGE = "registry-outage"


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """What the players had counted at one moment, since they started.

    requests, errors: of the edge. wanted, unserved: people who came to watch, and those of them
    who got no stream. segments, segment_errors: pieces of streams.
    """

    at_ms: int
    requests: int
    errors: int
    wanted: int
    unserved: int
    segments: int
    segment_errors: int


class Deed(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was done, and from when to when."""

    what: str
    start_ms: int
    end_ms: int


class GameDay(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it; counts from the first deed until some time after the last."""

    exercise: Exercise
    samples: list[Sample]
    deeds: list[Deed]
    requests: int
    errors: int
    wanted: int
    unserved: int
    segments: int
    segment_errors: int

    @property
    def holds(self) -> bool:
        """Nobody noticed: no stream start failed and, with the registry away, no request at all."""
        if self.exercise is Exercise.ROLLING_RESTART:
            return self.wanted > 0 and not self.unserved
        return self.wanted > 0 and not (self.unserved or self.errors or self.segment_errors)


class Observer:
    """Asks the players once a second, until cancelled."""

    def __init__(self, stage: Stage, clock: Clock) -> None:
        self._stage = stage
        self._clock = clock
        self.samples: list[Sample] = []

    async def run(self) -> None:
        """Keep asking; a look that fails on a busy machine is made up for by the next."""
        while True:
            with suppress(StageError):
                await self.look()
            await anyio.sleep(1.0)

    async def look(self) -> Sample:
        """Ask now."""
        counts = await self._stage.client.load()
        sample = msgspec.convert({**counts, "at_ms": self._clock.now_ms()}, Sample)
        self.samples.append(sample)
        return sample


async def play(
    stage: Stage, exercise: Exercise, clock: Clock, say: Say, *, away_s: float, warm_s: float
) -> GameDay:
    """Warm up for `warm_s`, perform, wait for the aftermath; `away_s`: how long the registry is."""
    observer = Observer(stage, clock)
    perform = _DEEDS[exercise]
    async with anyio.create_task_group() as group:
        group.start_soon(observer.run)
        say(f"steady for {warm_s:.0f} s")
        await anyio.sleep(warm_s)
        first = await observer.look()
        deeds = await perform(stage, clock, say, away_s)
        say(f"{_AFTERWARDS_S:.0f} s more")
        await anyio.sleep(_AFTERWARDS_S)
        last = await observer.look()
        group.cancel_scope.cancel()
    return outcome(exercise, observer.samples, deeds, first, last)


async def _restart_all(stage: Stage, clock: Clock, say: Say, _away_s: float) -> list[Deed]:
    """Every process but platform and players: SIGTERM, and up again before the next.

    The only copy of a service gets a stand-in for that time, as a deployment would give it.
    """
    deeds = []
    copies = Counter(spec.service for spec in stage.specs)
    for spec in stage.specs:
        if spec.name == PLAYER:
            continue
        is_alone = copies[spec.service] == 1
        say(f"restarting {spec.name}{', with a stand-in' if is_alone else ''}")
        start_ms = clock.now_ms()
        if is_alone:
            await _restart_behind_stand_in(stage, spec)
        else:
            await _restart(stage, spec)
        deeds.append(Deed(what=spec.name, start_ms=start_ms, end_ms=clock.now_ms()))
        await anyio.sleep(_BREATH_S)
    return deeds


async def _restart(stage: Stage, spec: ProcessSpec) -> None:
    await stage.supervisor.restart(spec.name)
    await stage.client.wait_listed(spec.service, spec.name)


async def _restart_behind_stand_in(stage: Stage, spec: ProcessSpec) -> None:
    name, port = f"{spec.name}-stand-in", free_port(socket.SOCK_STREAM)
    own = {"BREAKWATER_INSTANCE": name, "BREAKWATER_PORT": str(port)}
    stand_in = msgspec.structs.replace(
        spec,
        name=name,
        env={**spec.env, **own},
        port=port,
        ready_url=f"http://127.0.0.1:{port}/healthcheck",
    )
    await stage.supervisor.start([stand_in])
    await stage.client.wait_listed(spec.service, name)
    await anyio.sleep(_BREATH_S)
    await _restart(stage, spec)
    await anyio.sleep(_BREATH_S)
    await stage.supervisor.end(name)


async def _lose_registry(stage: Stage, clock: Clock, say: Say, away_s: float) -> list[Deed]:
    """The platform is killed, stays away, and is started again."""
    say(f"the registry is killed, for {away_s:.0f} s")
    start_ms = clock.now_ms()
    await stage.supervisor.kill(PLATFORM)
    await anyio.sleep(away_s)
    await stage.supervisor.restart(PLATFORM)
    say("the registry is back")
    return [Deed(what="the registry is away", start_ms=start_ms, end_ms=clock.now_ms())]


_DEEDS: Final[dict[Exercise, Callable[[Stage, Clock, Say, float], Awaitable[list[Deed]]]]] = {
    Exercise.ROLLING_RESTART: _restart_all,
    Exercise.REGISTRY_OUTAGE: _lose_registry,
}


def outcome(
    exercise: Exercise, samples: list[Sample], deeds: list[Deed], first: Sample, last: Sample
) -> GameDay:
    """What was counted between `first` and `last`."""
    return GameDay(
        exercise=exercise,
        samples=samples,
        deeds=deeds,
        requests=last.requests - first.requests,
        errors=last.errors - first.errors,
        wanted=last.wanted - first.wanted,
        unserved=last.unserved - first.unserved,
        segments=last.segments - first.segments,
        segment_errors=last.segment_errors - first.segment_errors,
    )
