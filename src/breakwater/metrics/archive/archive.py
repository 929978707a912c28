"""The archive of an engine: knows the chunks there are, writes new ones, reads for queries."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import structlog

from breakwater.metrics.archive.chunks import Chunk, chunk_of
from breakwater.metrics.archive.exporting import Exportable, export
from breakwater.metrics.archive.objects import Objects
from breakwater.metrics.archive.reading import ChunkReader
from breakwater.metrics.errors import ArchiveUnavailableError
from breakwater.metrics.settings import ArchiveSettings
from breakwater.model import Clock

log = structlog.get_logger("breakwater.metrics")

_LOOK_EVERY_S: Final = 300.0
_WAKE_EVERY_S: Final = 10.0
_RETRY_S: Final = 60.0
_JOIN_S: Final = 3.0
_RECENT: Final = 100


class ArchiveStats(msgspec.Struct, frozen=True, kw_only=True):
    """The archive about itself. chunks: known now; the rest is since the start.

    cut_chunks: exported when their beginning had been forgotten already. failures: exports and
    looks that went wrong; failure: what the last one said, empty when it went well.
    """

    chunks: int
    oldest_ms: int
    exported_chunks: int
    exported_rows: int
    cut_chunks: int
    failures: int
    failure: str
    reads: int
    cache_bytes: int


class ArchiveView(msgspec.Struct, frozen=True, kw_only=True):
    """An archive as it is now. pending, recent: paths still to be written, and those written last.

    is_exporting: whether it is at work this moment.
    """

    url: str
    is_exporting: bool
    pending: list[str]
    recent: list[str]
    stats: ArchiveStats


class Archive:
    """The chunks of some classes in one place; `close` ends the thread `start` began.

    A chunk that is there is never written again.
    """

    def __init__(
        self,
        settings: ArchiveSettings,
        objects: Objects,
        sources: Sequence[Exportable],
        clock: Clock,
    ) -> None:
        self.reader = ChunkReader(objects, settings.cache_bytes)
        self._settings = settings
        self._objects = objects
        self._sources = list(sources)
        self._clock = clock
        self._known: dict[str, list[Chunk]] = {}
        self._empty: set[Chunk] = set()
        self._turn = threading.Lock()
        self._is_ending = self._is_busy = False
        self._woken = threading.Event()
        self._recent: deque[str] = deque(maxlen=_RECENT)
        self._thread: threading.Thread | None = None
        self._look_at_s = self._retry_at_s = 0.0
        self._exported = self._rows = self._cut = self._failures = 0
        self._failure = ""

    def start(self) -> None:
        """Look for chunks and export new ones from now on, in a thread."""
        self._thread = threading.Thread(target=self._run, name="metrics-archive", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Export what is ready now, even soon after a failure; returns at once."""
        self._retry_at_s = self._look_at_s = 0.0
        self._is_busy = True
        self._woken.set()

    def close(self) -> None:
        """End the thread; an export under way is given up, and begun anew after a restart."""
        self._is_ending = True
        self._woken.set()
        if self._thread is not None:
            self._thread.join(_JOIN_S)

    def chunks(self, name: str) -> Sequence[Chunk]:
        """The chunks of a class, ascending."""
        return self._known.get(name, ())

    def look(self) -> None:
        """See which chunks there are; raises ArchiveUnavailableError."""
        found: dict[str, list[Chunk]] = {}
        steps = {source.name: source.step_ms for source in self._sources}
        for path in self._objects.paths():
            chunk = chunk_of(path)
            if chunk is not None and steps.get(chunk.name) == chunk.step_ms:
                found.setdefault(chunk.name, []).append(chunk)
        self._known = {name: sorted(chunks) for name, chunks in found.items()}

    def export_ready(self, *, may_go_on: Callable[[], bool] = lambda: True) -> list[Chunk]:
        """Export every chunk that is ready and not there yet; returns those it wrote.

        Raises ArchiveUnavailableError; what was written before stays.
        """
        written: list[Chunk] = []
        with self._turn:
            self._is_busy = True
            self.look()
            for source in self._sources:
                for chunk in self._due(source):
                    if not self._export(source, chunk, may_go_on):
                        return written
                    if chunk not in self._empty:
                        written.append(chunk)
        return written

    def view(self) -> ArchiveView:
        """The archive as it is now."""
        pending = [chunk.path for source in self._sources for chunk in self._due(source)]
        return ArchiveView(
            url=self._settings.url,
            is_exporting=self._is_busy,
            pending=pending,
            recent=list(self._recent),
            stats=self.stats(),
        )

    def stats(self) -> ArchiveStats:
        """The archive about itself."""
        chunks = [chunk for known in self._known.values() for chunk in known]
        return ArchiveStats(
            chunks=len(chunks),
            oldest_ms=min((chunk.start_ms for chunk in chunks), default=0),
            exported_chunks=self._exported,
            exported_rows=self._rows,
            cut_chunks=self._cut,
            failures=self._failures,
            failure=self._failure,
            reads=self.reader.reads,
            cache_bytes=self.reader.size_bytes,
        )

    def _export(self, source: Exportable, chunk: Chunk, may_go_on: Callable[[], bool]) -> bool:
        """Write one chunk; False when it was given up."""
        is_cut = source.is_cut(chunk)
        rows = 0
        work = export(source, chunk, self._objects)
        try:
            for rows in work:  # noqa: B007 - the last one is how many there were
                if not may_go_on():
                    return False
        finally:
            work.close()
        if not rows:
            self._empty.add(chunk)
            return True
        self._known[chunk.name] = sorted([*self.chunks(chunk.name), chunk])
        self._exported += 1
        self._recent.append(chunk.path)
        self._rows += rows
        self._cut += is_cut
        log.info("metrics.archived", path=chunk.path, series=rows)
        return True

    def _run(self) -> None:
        while not self._is_ending:
            self._woken.clear()
            self._step()
            self._is_busy = self._woken.is_set()
            self._woken.wait(_WAKE_EVERY_S)

    def _step(self) -> None:
        """Look and export when it is time to; a failure is told and tried again later."""
        now_s = self._clock.monotonic_s()
        if now_s < self._retry_at_s:
            return
        try:
            if self._settings.is_exporting and self._has_news():
                self.export_ready(may_go_on=lambda: not self._is_ending)
            elif now_s >= self._look_at_s:
                self.look()
                self._look_at_s = now_s + _LOOK_EVERY_S
            self._failure = ""
        except ArchiveUnavailableError as error:
            self._fail(str(error), now_s)
        except Exception as error:  # the supervision edge of this thread: it is to go on
            self._fail(repr(error), now_s)
            log.exception("metrics.archive_broken")

    def _has_news(self) -> bool:
        """Whether any chunk is ready that was not there when last looked."""
        return any(self._due(source) for source in self._sources)

    def _due(self, source: Exportable) -> list[Chunk]:
        """Chunks that are ready and not there yet."""
        there = self._empty.union(self.chunks(source.name))
        return [chunk for chunk in source.ready() if chunk not in there]

    def _fail(self, reason: str, now_s: float) -> None:
        self._failures += 1
        self._retry_at_s = now_s + _RETRY_S
        if reason != self._failure:
            self._failure = reason
            log.warning("metrics.archive_failed", reason=reason)
