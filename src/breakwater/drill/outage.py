"""One outage on a running stage: a dependency is broken whole, for some seconds, and read out."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import anyio
import msgspec

from breakwater.drill.proof import FAULTS, Proof, Run, Track, run_of
from breakwater.drill.rounds import wait_for_calm
from breakwater.drill.stage import Stage
from breakwater.model import Clock

Say = Callable[[str], None]

_STEP_MS: Final = 1000
_ARRIVE_S: Final = 3.0
"""What a measurement needs from a process to the graphs of the platform."""
_OVERTIME_S: Final = 60.0
"""A fault or a setting that nobody took back ends by itself so long after its time."""
_SWITCH: Final = "fallback.enabled"

_CALLS: Final = "name,ipc.client.call,:eq,statistic,count,:eq,:and"
_EDGE: Final = f"{_CALLS},ipc.client.app,player,:eq,:and,ipc.server.app,gateway,:eq,:and"
_PROGRAMS: Final = {
    "sps": "name,stream.starts,:eq,result,success,:eq,:and,:sum",
    "wanted": "name,stream.wanted,:eq,:sum",
    "served": "name,stream.wanted,:eq,result,success,:eq,:and,:sum",
    "edge": f"{_EDGE},:sum",
    "edge_good": f"{_EDGE},ipc.result,success,:eq,:and,:sum",
    "fallbacks": f"{_CALLS},ipc.server.app,{{target}},:eq,:and,ipc.status,fallback,:eq,:and,:sum",
    "short_circuited": (
        f"{_CALLS},ipc.server.app,{{target}},:eq,:and,ipc.status,short_circuited,:eq,:and,:sum"
    ),
}


class OutageSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What happens, and how long what lasts, in seconds; fault: a key of `FAULTS`.

    after_s: shown behind the outage, while all recovers. settle_s: for live settings to arrive and
    breakers to close. calm_s: patience for an incident of the outage before to be closed.
    """

    fault: str
    before_s: int = 15
    down_s: int = 25
    after_s: int = 10
    settle_s: float = 8.0
    calm_s: float = 45.0
    contrast: bool = True


async def prove_target(
    stage: Stage, target: str, settings: OutageSettings, clock: Clock, say: Say
) -> Proof:
    """Break `target` as it is, and once more with the fallbacks of the whole fleet disabled."""
    kept = await play_outage(stage, target, settings, clock, say)
    bare = None
    if settings.contrast:
        say(f"{target}: the same without fallbacks")
        async with _without_fallbacks(stage, settings):
            bare = await play_outage(stage, target, settings, clock, say)
        await anyio.sleep(settings.settle_s)
    return Proof(target=target, fault=settings.fault, kept=kept, bare=bare)


async def play_outage(
    stage: Stage, target: str, settings: OutageSettings, clock: Clock, say: Say
) -> Run:
    """Measure, break, measure, repair, and read what the platform recorded of it."""
    # An incident of the outage before would swallow this one's.
    await wait_for_calm(stage, 0.0, settings.calm_s, clock)
    say(f"{target}: steady for {settings.before_s} s")
    start_ms = clock.now_ms() // _STEP_MS * _STEP_MS
    await anyio.sleep((start_ms - clock.now_ms()) / 1000 + settings.before_s)
    say(f"{target}: {settings.fault}, every instance, for {settings.down_s} s")
    try:
        await stage.client.inject(_request(target, settings))
        until_ms = start_ms + (settings.before_s + settings.down_s) * 1000
        await anyio.sleep(max(0.0, (until_ms - clock.now_ms()) / 1000))
        named = await _named_since(stage, start_ms)
    finally:
        with anyio.CancelScope(shield=True), anyio.move_on_after(30):
            await stage.client.undo_all()
            await stage.revive()
    say(f"{target}: repaired")
    await anyio.sleep(settings.after_s + _ARRIVE_S)
    seconds = settings.before_s + settings.down_s + settings.after_s
    track = await _read(stage, target, start_ms, seconds)
    return run_of(track, before_s=settings.before_s, down_s=settings.down_s, named=named)


async def _named_since(stage: Stage, start_ms: int) -> str | None:
    """Whom an incident of this run was given to, if there is one."""
    incidents = await stage.client.incidents()
    named = (one.named for one in incidents if (one.paged_ms or 0) >= start_ms)
    return next((name for name in named if name), None)


def _request(target: str, settings: OutageSettings) -> dict[str, Any]:
    kind, details = FAULTS[settings.fault]
    return {
        "kind": kind,
        "service": target,
        "duration_s": settings.down_s + _OVERTIME_S,
        "actor": "prove",
        **details,
    }


async def _read(stage: Stage, target: str, start_ms: int, seconds: int) -> Track:
    """Every series of the run; gaps are 0."""
    read = {
        name: await stage.client.values(
            program.format(target=target), start_ms=start_ms, seconds=seconds
        )
        for name, program in _PROGRAMS.items()
    }
    return Track(start_ms=start_ms, **read)


@asynccontextmanager
async def _without_fallbacks(stage: Stage, settings: OutageSettings) -> AsyncIterator[None]:
    """Fallbacks disabled in every service, by live configuration, until the block is left."""
    lasts_s = settings.before_s + settings.down_s + settings.after_s + _OVERTIME_S
    await stage.client.set_guard(_SWITCH, value=False, duration_s=lasts_s)
    try:
        await anyio.sleep(settings.settle_s)
        yield
    finally:
        with anyio.CancelScope(shield=True), anyio.move_on_after(10):
            await stage.client.unset_guard(_SWITCH)
