"""Bringing up platform and fleet as processes, and taking every one of them down again."""

import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import msgspec

from breakwater.drill.client import PlatformClient
from breakwater.drill.errors import StageError
from breakwater.fleet import FleetEvent, Supervisor
from breakwater.model import Clock, ProcessSpec
from breakwater.reference import fleet_plan

PLAYER = "player"
PLATFORM = "platform"


class StageSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the stage is set: step of the metrics, traffic, seed of the fleet, where logs go."""

    folder: Path
    rps: float = 60.0
    seed: int = 1
    step_ms: int = 1000
    start_deadline_s: float = 60.0


class Stage:
    """A running platform with its fleet."""

    def __init__(
        self,
        supervisor: Supervisor,
        client: PlatformClient,
        settings: StageSettings,
        specs: list[ProcessSpec],
        url: str,
    ) -> None:
        self.supervisor = supervisor
        self.client = client
        self.settings = settings
        self.specs = specs
        self.url = url

    async def revive(self) -> list[str]:
        """Start every dead process of the fleet again; returns their names."""
        alive = set(self.supervisor.alive())
        dead = [spec.name for spec in self.specs if spec.name not in alive]
        for name in dead:
            await self.supervisor.restart(name)
        return dead

    def check_platform(self) -> None:
        """Raise StageError when the platform itself has gone."""
        if PLATFORM not in self.supervisor.alive():
            log = self.settings.folder / "logs" / f"{PLATFORM}.log"
            raise StageError(f"the platform has ended by itself; its log: {log}")


@asynccontextmanager
async def raise_stage(
    settings: StageSettings, clock: Clock, on_event: Callable[[FleetEvent], None] | None = None
) -> AsyncIterator[Stage]:
    """Start the platform, then the fleet, then the players; stop them all at the end of the block.

    Raises StageError, or the supervisor's StartFailedError with the last lines of the log of what
    did not come up.
    """
    http_port, udp_port = free_port(socket.SOCK_STREAM), free_port(socket.SOCK_DGRAM)
    url = f"http://127.0.0.1:{http_port}"
    platform = _platform_spec(settings, http_port, udp_port)
    specs = fleet_plan(url, f"udp://127.0.0.1:{udp_port}", base_port=0, seed=settings.seed)
    players = next(spec for spec in specs if spec.name == PLAYER)
    async with (
        Supervisor(settings.folder / "logs", clock, on_event=on_event) as supervisor,
        PlatformClient(url, f"http://127.0.0.1:{players.port}") as client,
    ):
        services = [spec for spec in specs if spec.name != PLAYER]
        with anyio.fail_after(settings.start_deadline_s * 2):
            await supervisor.start([platform], deadline_s=settings.start_deadline_s)
            await supervisor.start(services, deadline_s=settings.start_deadline_s)
            await supervisor.start([players], deadline_s=settings.start_deadline_s)
            await client.set_load(settings.rps)
        yield Stage(supervisor, client, settings, specs, url)


def free_port(kind: socket.SocketKind) -> int:
    """A loopback port that is free now."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _platform_spec(settings: StageSettings, http_port: int, udp_port: int) -> ProcessSpec:
    options = {
        "server.port": http_port,
        "udp.port": udp_port,
        "data_dir": settings.folder / "data",
        "metrics.step_ms": settings.step_ms,
        "chaos.leashed": "false",
    }
    flags = [part for key, value in options.items() for part in ("--set", f"{key}={value}")]
    return ProcessSpec(
        name=PLATFORM,
        service=PLATFORM,
        argv=[sys.executable, "-m", "breakwater.cli", "serve", *flags],
        port=http_port,
        ready_url=f"http://127.0.0.1:{http_port}/healthcheck",
    )
