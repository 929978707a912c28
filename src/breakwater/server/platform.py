"""All rooms of the platform, wired together: what owns what, what runs, and how it ends."""

from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anyio
import anyio.to_thread
import msgspec
import psutil
import structlog

from breakwater import __version__
from breakwater.chaos import Chaos, UndoFailedError
from breakwater.guards import GuardWatch, SettingBook
from breakwater.incidents import Triage, Watcher
from breakwater.ingest import LineAggregator, Publisher, RemoteWriter, UdpLineServer
from breakwater.journal import Journal
from breakwater.metrics import MetricsEngine
from breakwater.metrics.http import QueryQueue
from breakwater.model import Clock
from breakwater.registry import Directory
from breakwater.render import shared_rasteriser
from breakwater.server.errors import DataFolderError
from breakwater.server.footprint import Footprint
from breakwater.server.selfwatch import SelfWatch
from breakwater.server.settings import Settings
from breakwater.server.tasks import Loop
from breakwater.storage import ControlDatabase, StorageSettings

log = structlog.get_logger("breakwater.server")

_DATABASE = "control.db"
_LEDGER = "undo-ledger.jsonl"
_METRICS = "metrics"
_MAINTAIN_S = 1.0


class ProcessStats(msgspec.Struct, frozen=True, kw_only=True):
    """The process itself."""

    version: str
    cpu_s: float
    memory_bytes: int
    threads: int


def process_stats() -> ProcessStats:
    """What the operating system says about this process."""
    process = psutil.Process()
    times = process.cpu_times()
    return ProcessStats(
        version=__version__,
        cpu_s=times.user + times.system,
        memory_bytes=process.memory_info().rss,
        threads=process.num_threads(),
    )


class Platform:
    """One running platform without its HTTP side.

    Making it opens the data folder and the undo ledger and recovers the metrics, entering its
    context opens the UDP port; both raise what those raise. `loops` are then to be run until the
    end, and leaving the context undoes every fault, answers every waiting caller and closes the
    files.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        step_ms = settings.metrics.step_ms
        self.folder = folder = Path(settings.data_dir).absolute()
        self.database = ControlDatabase(
            folder / _DATABASE,
            StorageSettings(
                busy_timeout_ms=settings.storage.busy_timeout_ms,
                max_waiting=settings.storage.max_waiting,
            ),
        )
        self.journal = Journal(self.database, clock)
        self.directory = Directory(settings.registry, clock, self.database, journal=self.journal)
        self.chaos = self._open_chaos()
        self.engine = self._open_engine()
        self.footprint = Footprint(clock)
        self.queries = QueryQueue(self.engine)
        self.aggregator = LineAggregator(settings.ingest, self.engine, clock)
        self.publisher = Publisher(settings.ingest, self.engine, clock)
        self.remote_writer = RemoteWriter(settings.ingest, self.engine, clock)
        self.udp = UdpLineServer(settings.ingest, self.aggregator, clock, step_ms=step_ms)
        self.triage = Triage(self.engine, self.journal, clock, settings.incidents, step_ms=step_ms)
        self.triage.check_settings()
        self.watcher = Watcher(self.triage, self.journal, clock, settings.incidents)
        self.guard_watch = GuardWatch(self.directory.view, settings.guards, clock)
        self.guard_settings = SettingBook(self.database, self.journal, clock, settings.guards)
        works = {
            "udp": self.udp.run,
            "metrics": self._maintain_metrics,
            "registry": self.directory.run,
            "chaos": self.chaos.run,
            "guards": self.guard_watch.run,
            "guard-settings": self.guard_settings.run,
            "selfwatch": SelfWatch(self.stats, self.engine, clock).run,
        }
        if self.directory.dns is not None:
            works["dns"] = self.directory.dns.run
        if settings.incidents.enabled:
            works["incidents"] = self.watcher.run
        self.loops = [Loop(name, work, clock) for name, work in works.items()]
        self._closing = AsyncExitStack()
        self._is_settled = False

    def _open_chaos(self) -> Chaos:
        """Chaos with its ledger; the first to need the data folder."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            return Chaos(
                self.directory.view,
                self.folder / _LEDGER,
                self.journal,
                self.clock,
                self.settings.chaos,
            )
        except OSError as error:
            raise self._unusable(error) from error

    def _open_engine(self) -> MetricsEngine:
        """The metrics engine with everything that was acknowledged before."""
        try:
            return MetricsEngine(self.settings.metrics, self.clock, folder=self.folder / _METRICS)
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> DataFolderError:
        return DataFolderError(
            f"the data folder {self.folder} cannot be used: {error.strerror or error}; "
            "choose another with --data-dir or make it writable"
        )

    async def __aenter__(self) -> Self:
        """Open the UDP port and undo what a crash may have left; all is closed when that fails."""
        self._closing.push_async_callback(self.database.close)
        self._closing.push_async_callback(self.directory.flush)
        self._closing.push_async_callback(anyio.to_thread.run_sync, self.engine.close)
        self._closing.push_async_callback(self.settle)
        try:
            self.udp.bind()
            self._closing.callback(self.udp.close)
            if self.directory.dns is not None:
                self.directory.dns.bind()
                self._closing.callback(self.directory.dns.close)
            await self._recover()
        except BaseException:
            await self._closing.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Undo, answer, flush and close."""
        await self._closing.aclose()

    async def _recover(self) -> None:
        await self.directory.recall()
        try:
            await self.chaos.recover()
        except UndoFailedError as error:  # the loop of chaos tries again until it succeeds
            log.warning("chaos.recovery.unfinished", reason=str(error))

    async def _maintain_metrics(self) -> None:
        """Seal and forget old blocks, give memory back; in a thread, for it takes its time."""
        while True:
            await anyio.to_thread.run_sync(self.engine.maintain)
            await anyio.to_thread.run_sync(self.footprint.maintain)
            await anyio.sleep(_MAINTAIN_S)

    async def settle(self) -> None:
        """Undo every fault and answer every long poll, now and for good; then requests can end."""
        self.directory.close()
        self.guard_watch.close()
        self.guard_settings.close()
        self.engine.wind_up()
        if not self._is_settled:
            self._is_settled = True
            await self.chaos.close()

    def health(self) -> dict[str, bool]:
        """Which parts work: every loop runs, the journal and the metrics log can write."""
        return {
            **{loop.name: loop.is_well for loop in self.loops},
            "registry-disk": self.directory.is_durable,
            "journal": not self.database.stats().last_failure,
            "metrics-log": self.engine.is_durable,
            "metrics-clock": self.engine.takes_present,
        }

    def stats(self) -> dict[str, Any]:  # Any: one frozen record a room, each of its own type
        """What every room says about itself."""
        return {
            "metrics": self.engine.stats(),
            "queries": self.queries.stats(),
            "udp": self.udp.stats(),
            "lines": self.aggregator.stats(),
            "publish": self.publisher.stats(),
            "remote_write": self.remote_writer.stats(),
            "registry": self.directory.registry.stats(),
            "discovery": self.directory.stats(),
            "storage": self.database.stats(),
            "journal": self.journal.stats(),
            "chaos": self.chaos.stats(),
            "incidents": self.watcher.stats(),
            "guards": self.guard_watch.stats(),
            "guard_settings": self.guard_settings.stats(),
            "pictures": shared_rasteriser().stats(),
            "process": process_stats(),
            "footprint": self.footprint.stats(),
            "loops": {loop.name: loop.stats() for loop in self.loops},
        }
