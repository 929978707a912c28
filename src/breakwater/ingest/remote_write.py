"""Prometheus remote write 1.0: samples as Prometheus and its agents send them.

Values are stored as they come, each in the step its stamp falls into, and their series are gauges
to the query language; with `remote_write_counters = "rate"` series with the name of a counter are
taken as totals and become rates. Format: docs/formats/remote-write.md.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import anyio.to_thread
import msgspec
import numpy as np
from numpy.typing import NDArray

from breakwater.ingest.errors import PayloadTooLargeError
from breakwater.ingest.handles import Handles
from breakwater.ingest.intake import Intake, Positions, Reach, Taken
from breakwater.ingest.labels import LabelSpelling
from breakwater.ingest.settings import IngestSettings
from breakwater.ingest.sink import Lines, Resolved, Sink
from breakwater.ingest.write_request import (
    WriteRequest,
    declared_bytes,
    read_write_request,
    unpacked,
)
from breakwater.model import Clock, LimitExceededError

_WORTH_A_THREAD_BYTES: Final = 8 << 20
_TOTAL: Final = ("atlas.dstype", "counter")


class RemoteWriteStats(msgspec.Struct, frozen=True, kw_only=True):
    """What came by remote write, counted since the start.

    samples: stored. no_value: markers of Prometheus that a series has ended, and other NaN.
    refused: samples by rule. changed: what was changed about labels of new series. known_series:
    spellings of labels in the table.
    """

    requests: int
    samples: int
    no_value: int
    exemplars: int
    metadata: int
    refused: dict[str, int]
    changed: dict[str, int]
    known_series: int
    known_bytes: int


class RemoteWriter:
    """Decodes remote write requests and writes their samples to a sink.

    Bounded by `max_payload_bytes`, `max_write_bytes`, `max_write_samples` and `max_known_tags`.
    Not thread-safe, but requests may be taken side by side by tasks of one loop.
    """

    def __init__(self, settings: IngestSettings, sink: Sink, clock: Clock) -> None:
        self._settings = settings
        self._spelling = LabelSpelling(settings.remote_write_counters)
        store = _Raw(sink) if settings.remote_write_counters == "raw" else _Mixed(sink)
        reach = Reach(max_age_ms=None, max_ahead_ms=settings.max_ahead_ms)
        self._intake = Intake(store, clock, reach, most_known=settings.max_known_tags)
        self._requests = self._exemplars = self._metadata = self._histograms = 0

    async def write(self, body: bytes) -> Taken:
        """Store one request's samples, in turns of some milliseconds.

        Raises InputError, PayloadTooLargeError or TooManySamplesError for a request that cannot be
        read; then nothing of it is stored. A sample that cannot be stored is refused alone.
        """
        limit = self._settings.max_payload_bytes
        if len(body) > limit:
            raise PayloadTooLargeError("the request", limit)
        if declared_bytes(body) < _WORTH_A_THREAD_BYTES:
            request = self._read(body)
        else:
            request = await anyio.to_thread.run_sync(self._read, body)
        self._requests += 1
        self._exemplars += request.exemplars
        self._metadata += request.metadata
        taken = await self._intake.take(request.columns, self._spelling)
        return self._with_histograms(taken, request.histograms)

    def stats(self) -> RemoteWriteStats:
        """Counts since the start."""
        intake = self._intake.stats()
        refused = dict(intake.refused)
        if self._histograms:
            refused["NativeHistogram"] = self._histograms
        return RemoteWriteStats(
            requests=self._requests,
            samples=intake.datapoints,
            no_value=intake.no_value,
            exemplars=self._exemplars,
            metadata=self._metadata,
            refused=refused,
            changed=dict(self._spelling.changed),
            known_series=intake.known,
            known_bytes=intake.known_bytes,
        )

    def _read(self, body: bytes) -> WriteRequest:
        settings = self._settings
        data = unpacked(body, settings.max_write_bytes)
        return read_write_request(data, settings.max_write_samples)

    def _with_histograms(self, taken: Taken, histograms: int) -> Taken:
        """The result with native histograms among what was refused: there is no place for them."""
        if not histograms:
            return taken
        self._histograms += histograms
        message = f"NativeHistogram: {histograms} native histograms; only plain samples are taken"
        return msgspec.structs.replace(
            taken, refused=taken.refused + histograms, messages=[message, *taken.messages[:4]]
        )


class _Raw:
    """A sink that is given values as they are."""

    def __init__(self, sink: Sink) -> None:
        self.resolve_table = sink.resolve_table
        self.reach_ms = sink.reach_ms
        self.write = sink.write


class _Doubled(NamedTuple):
    """Handles that also say whether they are of totals: handle * 2, and 1 for a total."""

    handles: Handles
    error: LimitExceededError | None


class _Mixed:
    """A sink that is given totals as totals, and everything else as it is."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.reach_ms = sink.reach_ms

    def resolve_table(self, pairs: Sequence[tuple[str, str]], lines: Lines) -> Resolved:
        """Doubled handles."""
        resolved = self._sink.resolve_table(pairs, lines)
        places = np.flatnonzero(np.bincount(lines[lines >= 0], minlength=1)).tolist()
        totals = [place for place in places if pairs[place] == _TOTAL]
        is_total = np.isin(lines, totals).any(axis=1)
        handles = resolved.handles
        return _Doubled(np.where(handles < 0, handles, handles * 2 + is_total), resolved.error)

    def write(
        self, handles: Handles, timestamps_ms: Handles, values: NDArray[np.float64]
    ) -> Positions:
        """Write each where it belongs."""
        is_total = (handles & 1).astype(np.bool_)
        stale = []
        for chosen, write in (
            (np.flatnonzero(~is_total), self._sink.write),
            (np.flatnonzero(is_total), self._sink.record),
        ):
            if len(chosen):
                found = write(handles[chosen] >> 1, timestamps_ms[chosen], values[chosen])
                stale.append(chosen[found])
        return np.concatenate(stale)
